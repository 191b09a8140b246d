"A run folder without a training: the ready weights read the held-out people of a small stitched corpus."

import pandas as pd

from aslkit.corpus import Corpus
from aslkit.params import TrainParams
from aslkit.stitch import stitch
from aslkit.training import batches, finish, load_reader, split


def small_run(folder, clips=24, **parameters):
    "The run folder, its corpus within it; the history is made up."
    folder.mkdir(parents=True)
    stitch(folder / "prepared", clips=clips, signers=8, seed=3, prepared=True, workers=1)
    chosen = {"preset": "tiny", "epochs": 3, "held_out": 0.5, "batch_size": 8, "seed": 4} | parameters
    params = TrainParams(prepared=str(folder / "prepared"), run=str(folder), **chosen)
    corpus = Corpus(params.prepared)
    finish(params, corpus, load_reader(), batches(params, corpus, split(params, corpus)[1], shuffle=False))
    history = {"epoch": range(3), "loss": [40, 25, 18.0], "val_loss": [45, 30, 24.0], "val_score": [0.1, 0.4, 0.6]}
    pd.DataFrame(history).assign(learning_rate=1e-3).to_csv(folder / "history.csv", index=False)
    return folder
