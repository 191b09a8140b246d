"Recorded letters that nobody recorded: what the benchmarks on real hands need, where there are no recordings."

import numpy as np
import pandas as pd

PHRASES = [
    "zoe 7 jazz",
    "+1-202-5557",
    "www.sign.org/aa_b",
    "!#$%&'()*,-.:;=?@[~",
    "quick brown fox jumped",
    "lazy gift hub 4683 90",
]


def write_hands(folder):
    "letters.npz, phrases.csv: characters of two spellers (one in every seventh frame), photos of three people, PHRASES."
    rng, rows = np.random.default_rng(5), []

    def add(signer, label, seq, frames, step, moves):
        shape = rng.normal(0, 1, (21, 3)) * [0.4, 0.6, 0.1] + [0.5, 0.5, 0]
        way = np.cumsum(rng.normal(0, 0.4 if moves else 0.01, (frames, 1, 3)) * [1, 1, 0], axis=0)
        points = 0.3 * (shape - [0, 0, shape[0, 2]] + way + rng.normal(0, 0.01, (frames, 21, 3)))
        points[:, 0, 2] = 0
        rows.extend((p, label, signer, seq, step * t) for t, p in enumerate(points))

    for signer, frames, step in [("s0", 30, 7), ("s1", 9, 1)]:
        for label in "abcdefghijklmnopqrstuvwxyz":
            add(signer, label, f"{signer}/{label}", frames, step, label in "jz")
    for person in ("p0", "p1"):
        for label in "0123456789":
            add(person, label, f"{person}/{label}", 1, 1, False)
    add("p2", "7", "p2/7", 1, 1, False)
    xyz, label, signer, seq, t = zip(*rows)
    arrays = {"label": np.array(label), "signer": np.array(signer), "seq": np.array(seq), "t": np.array(t, "int32")}
    np.savez(folder / "letters.npz", xyz=np.array(xyz, "float16"), **arrays)
    kinds = ["address", "phone", "url", "other", "other", "address"]
    pd.DataFrame({"phrase": PHRASES, "kind": kinds}).to_csv(folder / "phrases.csv", index=False)
    return folder / "letters.npz", folder / "phrases.csv"
