"""What each ingredient of the stitched corpus is worth on real hands: the table of nbs/explore/real_hands.

Every row stitches a corpus with one ingredient switched off, trains the same reader on it for as many steps and scores it
on clips of real hands (see real_hands.py). The reader is compiled once and set back before each row. Fast on a GPU with
KERAS_BACKEND=jax; on two cores a row takes an hour."""

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from common import OUT, figure, report
from real_hands import LETTERS, PHRASES, real_arrays

from aslkit.competition import KitError
from aslkit.corpus import Corpus
from aslkit.landmarks import LANDMARK_SETS, LandmarkSet
from aslkit.signers import Variation
from aslkit.stitch import stitch


class InMemory:
    "Clips that look like a `Corpus`."

    def __init__(self, phrases: Sequence[str], clips: list[np.ndarray], landmark_set: LandmarkSet):
        self.clips = pd.DataFrame({"phrase": list(phrases), "frames": [len(clip) for clip in clips], "participant_id": 0})
        self.landmark_set, self._clips = landmark_set, clips

    def landmarks(self, row: int) -> np.ndarray:
        return self._clips[row]


def rows_of(only: Sequence[str]) -> dict[str, Variation]:
    "The rows: nothing off, one off at a time, all off."
    names = [field.name for field in dataclasses.fields(Variation)]
    rows = {"(all there)": Variation()} | {name: Variation(**{name: 0.0}) for name in names}
    rows["any of these"] = Variation(**dict.fromkeys(names, 0.0))
    return {name: row for name, row in rows.items() if not only or name in only}


def measure(settings: argparse.Namespace) -> pd.DataFrame:  # row, seed, stitched, real hands
    "Train and score every row."
    import keras

    from aslkit.batches import Batches
    from aslkit.competition import score
    from aslkit.params import TrainParams
    from aslkit.training import LONGEST, compiled_reader, read_all

    kit, longest = LANDMARK_SETS["kit"], LONGEST
    wanted, clips = real_arrays(settings.letters, settings.phrases, points=kit.points)
    real = InMemory(wanted.phrase, [clip.astype("float16") for clip in clips], kit)
    params = TrainParams(epochs=1, batch_size=settings.batch_size, learning_rate=settings.rate)
    reader, start, found = compiled_reader(params, settings.steps), {}, []

    class Steps(keras.utils.PyDataset):
        "A fixed number of steps through as many epochs as that takes."

        def __init__(self, batches):
            super().__init__()
            self.batches, self.epoch_steps = batches, len(batches)
            batches.on_epoch_end = lambda: None

        def __len__(self):
            return settings.steps

        def __getitem__(self, step):
            self.batches.epoch = step // self.epoch_steps
            return self.batches[step % self.epoch_steps]

    with tempfile.TemporaryDirectory() as folder:
        few = {"signers": settings.signers, "prepared": True}
        other = Corpus(stitch(Path(folder) / "other", 400, **few | {"signers": 12}, seed=99))
        judges = {"stitched": other, "real": real}
        judges = {name: Batches(c, np.arange(len(c.clips)), 128, (longest,), None) for name, c in judges.items()}
        for name, variation in rows_of(settings.only).items():
            out = Path(folder) / name
            corpus = Corpus(stitch(out, settings.clips, drills=settings.clips // 10, variation=variation, **few))
            for seed in range(settings.seeds):
                batches = Batches(
                    corpus, np.arange(len(corpus.clips)), settings.batch_size, (longest // 2, longest), seed, True
                )
                if seed not in start:
                    fresh = compiled_reader(dataclasses.replace(params, seed=seed), settings.steps)
                    fresh.predict_on_batch(batches[0][0])
                    reader.predict_on_batch(batches[0][0])
                    reader.optimizer.build(reader.trainable_variables) if not reader.optimizer.built else None
                    start[seed] = [np.asarray(v) for v in fresh.variables]
                for variable, value in zip(reader.variables, start[seed], strict=True):
                    variable.assign(value)
                for variable in reader.optimizer.variables:
                    variable.assign(np.zeros_like(variable))
                reader.fit(Steps(batches), epochs=1, shuffle=False, verbose=0)
                row = {"without": name, "seed": seed}
                for judge, read in judges.items():
                    table, _ = read_all(reader, read)
                    row[judge] = score(table.phrase, table.reading)
                found.append(row)
                print(row, flush=True)
    return pd.DataFrame(found)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--letters", type=Path, default=LETTERS, help="letters.npz of people whom no bank knows")
    parser.add_argument("--phrases", type=Path, default=PHRASES, help="CSV with the phrases to spell")
    parser.add_argument("--only", nargs="*", default=[], help="some rows, by name")
    parser.add_argument("--clips", type=int, default=20_000, help="clips of each corpus; a tenth of it in drills comes on top")
    parser.add_argument("--signers", type=int, default=200)
    parser.add_argument("--steps", type=int, default=1100)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--seeds", type=int, default=2, help="repeats of each row, with other weights and another order")
    parser.add_argument("--out", type=Path, default=OUT)
    settings = parser.parse_args(arguments)
    try:
        found = measure(settings)
    except KitError as error:
        print(error, file=sys.stderr)
        return 2
    scores = found.groupby("without", sort=False)[["real", "stitched"]].mean()
    figures = {f"{judge}, without {name}": figure(scores[judge][name], "score") for judge in scores for name in scores.index}
    report("ingredients", figures, settings.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
