"""Read ASL fingerspelling from hand landmarks: a notebook-first kit for the Kaggle competition

Modules:

- `aslkit.anatomy`: What a TFLite file is made of, what each part of it weighs, and pieces of it that run alone.
- `aslkit.augment`: Other tempos, other cameras, lost fingers, joined clips: variations of whole padded batches, on the accelerator.
- `aslkit.batches`: Clips of like length together, mixed by weight, made ahead, and a place to go on from.
- `aslkit.cli`: The `aslkit` command: each step of the road in one line. What a line does is one function call in a notebook.
- `aslkit.clips`: How people spell and what a tracker sees of it: phrases become clips of 543 points, many at once.
- `aslkit.competition`: The contract: characters, columns, metric, submission. Everything else in the kit may change; this may not.
- `aslkit.console`: What the commands share: parameters out of words, tables out of rows.
- `aslkit.corpus`: A prepared corpus: one memory-mapped Arrow file a landmark file, a row a clip. How it is written, and how it is opened.
- `aslkit.ctc`: From scores to text, and the loss that teaches it.
- `aslkit.decode`: Reading inside the graph: from the scores of one clip to its characters, in operations that every TFLite runtime has.
- `aslkit.devices`: One batch, several devices: each reads its share, all learn the same.
- `aslkit.explore`: Some corpus to look at, what a reader makes of it, its slips side by side, and runs compared.
- `aslkit.export`: From trained runs to the two files that the competition wants, compared with the networks before they are written.
- `aslkit.fallback`: What to answer when a clip cannot be read.
- `aslkit.follow`: A pushed notebook on Kaggle: watched until it ends, its results brought home as a run, its submission handed in.
- `aslkit.grading`: What a submission would score, how sure that is, and where the slips are.
- `aslkit.graph`: One graph of built-in operations: landmarks in, characters out.
- `aslkit.hands`: A bank of real recorded letters, a hand of bones and joints, and the signs for all 59 characters.
- `aslkit.kernels`: A notebook of the repository, made ready for Kaggle: the kit inside, the metadata checked.
- `aslkit.landmarks`: Which of the 543 points a model sees, which part each belongs to, its mirror twin, and its bones.
- `aslkit.latency`: How long a model takes, for clips of all lengths, and which of its operations take it.
- `aslkit.launch`: The commands that start notebooks: here, on Kaggle, one or a whole sweep; and the list of what came of it.
- `aslkit.layers`: What the network is made of. Every layer takes a mask, so padding changes nothing.
- `aslkit.losses`: What a network is trained by: CTC, and on demand four losses and a stumbling block more.
- `aslkit.model`: Conformer-CTC: convolution sees a finger move, attention sees the phrase, CTC reads.
- `aslkit.ngrams`: Which character is likely to come next, learnt from phrases.
- `aslkit.optimise`: How fast to learn, by which rule, and which weights to keep: schedule, optimisers, and an average over the last steps.
- `aslkit.params`: Every choice of a training, with its name, its type and its range checked before anything is computed.
- `aslkit.phrases`: What people were asked to spell: made-up phone numbers, addresses, names and web addresses.
- `aslkit.plan`: What augmentations change, written down first and carried out once.
- `aslkit.player`: A clip that moves: in a notebook, in a page, in a GIF; with what is read from it, as it is read.
- `aslkit.plots`: Pictures of hands, of what is read from them, and of how training went. One look for all.
- `aslkit.prepare`: 180 GB of landmark files become 16 GB of training data: in bounded memory, by as many processes as there are cores, in several sittings if need be.
- `aslkit.preprocess`: From landmarks with holes to features: one Keras layer, the same in training and inside the exported model.
- `aslkit.push`: A built notebook on its way: searched for secrets, sent with the real `kaggle` command, every refusal in one sentence.
- `aslkit.reader`: Landmarks in, text out: a submission in an app, a web server, or a notebook with a camera.
- `aslkit.recordings`: Recordings of your own: videos, pose files, landmarks of any tracker, opened as clips of the competition.
- `aslkit.rehearse`: A built kernel, executed here as Kaggle would: its folders, its versions, no network, no kit installed.
- `aslkit.report`: A run as one page to send round: what was trained on what, how well it reads, where it fails, and what that looks like.
- `aslkit.running`: A kernel's notebook executed here under a name, as Kaggle would, and a list of what has been run.
- `aslkit.sandbox`: Models from anywhere, in a process of their own with limits on time and memory; in Kaggle's old runtime, too.
- `aslkit.session`: What a notebook finds on Kaggle: what is attached, what is missing, how much time and space is left.
- `aslkit.settings`: One small file that a competitor edits, and what the kit makes of it.
- `aslkit.signers`: Synthetic people: hands, habits, tempo, body and camera, drawn from a number.
- `aslkit.splits`: Who is trained on and who is read: whole signers, whole phrases if wanted, five ways round, and a check that nothing leaks.
- `aslkit.stitch`: Real recorded letters, stitched into a corpus in the competition's exact file layout, or straight into the prepared form: the embedded default for everybody without the 180 GB.
- `aslkit.submission`: What a submission is, and everything that can be told about one without running it.
- `aslkit.sweeps`: Many trainings from one small file: all checked first, run here or on Kaggle, gone on with after any interruption, compared in one picture.
- `aslkit.track`: A video becomes landmarks: MediaPipe in a Python of its own, since it does not get along with the kit's packages.
- `aslkit.training`: From prepared clips to a run folder: Keras `fit`, the competition's metric on people never seen, and a training that goes on where it stopped."""

__version__ = "0.1.0"


def __getattr__(name):  # `aslkit.Reader` costs nothing until it is used
    if name == "Reader":
        from aslkit.reader import Reader

        return Reader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
