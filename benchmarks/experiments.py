"""What each choice is worth: networks, losses, augmentations and optimisers, trained alike and read by the same judges.

Every row of a plan trains on the same stitched clips for as many clips seen, and is scored on stitched people that it never
saw and on clips of real hands (see real_hands.py). Rows that are done are in experiments.csv and are not run again. Fast on a
GPU with KERAS_BACKEND=jax; no row of the full size ends within hours on two cores."""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import pandas as pd
from common import OUT, figure, report
from ingredients import InMemory
from real_hands import LETTERS, PHRASES, real_arrays
from real_hands import scores as real_scores

from aslkit.augment import POLICIES
from aslkit.competition import KitError
from aslkit.corpus import Corpus
from aslkit.landmarks import LANDMARK_SETS
from aslkit.model import PRESETS
from aslkit.preprocess import Preprocess
from aslkit.stitch import stitch

QUIET_SEED = "drop_feed=0, drop_mix=0, stem_dropout=0, head_dropout=0"  # without its stochastic depth and dropout
SMALL_SEED = "blocks=4, width=160, heads=5, head_width=320"  # to `tiny` as the seed is to `base`: 2.4 times the parameters
SEED = {"preset": "seed", "learning_rate": 8e-4, "weight_decay": 0.05}
GROUPS = {  # members of "strong"
    "joins": ("cut_mix", "concatenate"),
    "time": ("crop", "shift", "tempo", "warp", "jitter"),
    "reverse": ("reverse",),
    "mirror": ("mirror",),
    "camera": ("turn", "affine"),
    "lost fingers": ("lose_finger",),
    "lost parts": ("lose_hand", "lose_face", "lose_pose", "lose_points"),
    "lost frames": ("lose_frames",),
    "shake": ("shake",),
}


def among(policy: str, name: str, *, drop: Sequence[str] = (), add: Sequence[str] = ()) -> str:
    "The name of a new policy: the one named without some groups of members, or with some groups of `strong`."
    out, more = ({member for group in groups for member in GROUPS[group]} for groups in (drop, add))
    members = {member: ranges for member, ranges in POLICIES[policy]["members"].items() if member not in out}
    members |= {member: ranges for member, ranges in POLICIES["strong"]["members"].items() if member in more}
    POLICIES[name] = {"description": "for an experiment", "members": members}
    return name


class Unmasked(Preprocess):
    "Features of which no layer is told where a clip ends."

    def call(self, *inputs):
        features, mask = super().call(*inputs)
        return features, keras.ops.ones_like(mask)


SWITCHES = {  # of the network, alike for `base` and `tiny`
    "stride 1": {"network": "stride=1"},
    "stride 3": {"network": "stride=3"},
    "plain stem": {"network": "style=parts"},
    "with z": {"network": "depth=true"},
    "128 frames at most": {"network": "limit=128"},
    "branches start at full size": {"network": "gain=1"},
    "relative positions": {"network": "positions=relative"},
}
PLANS = {  # plan -> row -> parameters of TrainParams that differ from those of every row; masks: see Unmasked
    "rivals": {
        "base": {"preset": "base"},
        "seed as published": SEED,
        "seed without dropout": {**SEED, "network": QUIET_SEED},
    },
    "small rivals": {  # the two designs at the size of two cores
        "tiny": {},
        "tiny, whole body": {"network": "style=body"},
        "the seed's design, as published": {**SEED, "network": SMALL_SEED},
        "the seed's design, without dropout": {**SEED, "network": f"{SMALL_SEED}, {QUIET_SEED}"},
    },
    "augmentation": {"strong": {"augment": "strong"}}
    | {f"without {group}": {"augment": among("strong", f"strong without {group}", drop=[group])} for group in GROUPS}
    | {name: {"augment": name} for name in ("light", "none", "augment", "augment_mix")},
    "losses": {
        "two middle heads": {},
        "CTC alone": {"network": "middle=0"},
        "one middle head": {"network": "middle=1"},
        "self-conditioned": {"network": "condition=true"},
        "smoothing": {"network": "smoothing=0.01"},
        "two views": {"network": "consistency=0.2"},
        "spelling decoder": {"network": "spelling=0.3"},
        "adversarial weights": {"adversarial": 0.01},
    },
    "network": {
        "as it is": {},
        **SWITCHES,
        "without dropout": {"network": "dropout=0, drop_feed=0, drop_mix=0"},
        "more dropout": {"network": "dropout=0.2"},
        "hand alone": {"network": "style=hand"},
        "shallow and wide": {"network": "blocks=5, width=256"},
        "deep and narrow": {"network": "blocks=16, width=144"},
        "tiny, shallow and wide": {"preset": "tiny", "network": "blocks=2, width=176"},
        "tiny, deep and narrow": {"preset": "tiny", "network": "blocks=7, width=96"},
        "kernel 7": {"network": "kernel=7"},
        "kernel 31": {"network": "kernel=31"},
    },
    "training": {
        "AdamW": {},
        "Lion": {"optimizer": "lion", "learning_rate": 3e-4, "weight_decay": 0.1},
        "Muon": {"optimizer": "muon"},
        "RAdam with Lookahead": {"optimizer": "radam"},
        "average of weights": {"ema": 0.999},
        "without drills and sentences": {"supplemental": 0.0},
        "drills and sentences twice": {"supplemental": 2.0},
        "half the rate": {"learning_rate": 1e-3},
        "twice the rate": {"learning_rate": 4e-3},
    },
    "tiny": {  # the table of nbs/explore/experiments: all of the above at the size of two cores
        "tiny": {},
        "without masks": {"masks": False},
        "CTC at one more place": {"network": "middle=1"},
        "CTC at two more places": {"network": "middle=2"},
        "self-conditioned": {"network": "middle=1, condition=true"},
        "spelling decoder": {"network": "spelling=0.3"},
        "two views": {"network": "consistency=0.2"},
        "smoothing": {"network": "smoothing=0.01"},
        "no augmentation": {"augment": "none"},
        "strong": {"augment": "strong"},
        "the seed's augment": {"augment": "augment"},
        "the seed's augment_mix": {"augment": "augment_mix"},
        **{
            f"without {group}": {"augment": among("light", f"light without {group}", drop=[group])}
            for group in ("time", "camera", "lost frames", "lost fingers", "shake")
        },
        **{
            f"with {group}": {"augment": among("light", f"light with {group}", add=[group])}
            for group in ("joins", "mirror", "lost parts", "reverse")
        },
        **SWITCHES,
        "dropout": {"network": "dropout=0.1, drop_feed=0.05, drop_mix=0.05"},
        "whole body": {"network": "style=body"},
        "whole body, lost at times": {"network": "style=body", "augment": "body"},
        "two wide blocks": {"network": "blocks=2, width=176"},
        "seven narrow blocks": {"network": "blocks=7, width=96"},
        "kernel 3": {"network": "kernel=3"},
        "kernel 15": {"network": "kernel=15"},
        "Lion": {"optimizer": "lion", "learning_rate": 2e-4, "weight_decay": 0.1},
        "Muon": {"optimizer": "muon"},
        "RAdam with Lookahead": {"optimizer": "radam"},
        "average of weights": {"ema": 0.995},
        "adversarial weights": {"adversarial": 0.01},
        "without drills and sentences": {"supplemental": 0.0},
        "drills and sentences twice": {"supplemental": 2.0},
        "half the rate": {"learning_rate": 7.5e-4},
        "twice the rate": {"learning_rate": 3e-3},
        "batches of 32": {"batch_size": 32},
    },
}
SIZES = {  # plan -> other defaults
    "tiny": {"clips": 8000, "drills": 0.5, "seen": 24_000, "judged": 600, "batch_size": 16},
    "small rivals": {"clips": 10_000, "seen": 50_000, "judged": 600, "batch_size": 16},
}
COMMON = dict.fromkeys(SIZES, {"preset": "tiny", "learning_rate": 1.5e-3})  # parameters of every row, else those of `base`


def corpora(folder: Path, landmark_set: str, settings: argparse.Namespace) -> dict[str, Corpus]:
    "The clips to train on, and those of other people, with the points that a preset reads."
    found, sizes = {}, {"train": (settings.clips, settings.signers, 0), "others": (settings.judged, 12, 99)}
    for name, (clips, signers, seed) in sizes.items():
        out = folder / f"{name}_{landmark_set}_{clips}_{signers}_{settings.drills:g}"
        if not (out / "corpus.json").exists():
            more = {"supplemental": clips // 20, "drills": round(clips * settings.drills)} if name == "train" else {}
            stitch(out, clips, signers, **more, seed=seed, prepared=True, landmark_set=landmark_set)
        found[name] = Corpus(out)
    return found


def parameters(changes: dict, settings: argparse.Namespace) -> dict:
    "Those of TrainParams that a row trains with, without its folders; and `masks`."
    common = COMMON.get(settings.plan, {"preset": "base", "learning_rate": 2e-3})
    common = common | {"batch_size": settings.batch_size, "precision": settings.precision, "seed": settings.seed, "masks": True}
    return common | dict(pair.split("=", 1) for pair in settings.set) | changes


def train(row: str, changes: dict, settings: argparse.Namespace) -> dict:
    "Train and judge one row."
    from aslkit.competition import score
    from aslkit.optimise import averaged
    from aslkit.training import TrainParams, batches, compiled_reader, fit, read_all

    folder = settings.work / "corpora"
    run = settings.work / f"{settings.plan} {row} {settings.seed}"
    chosen = parameters(changes, settings)
    masks = chosen.pop("masks")
    params = TrainParams.from_dict(chosen | {"prepared": str(folder), "run": str(run)})
    landmark_set = PRESETS[params.preset]["landmark_set"]
    clips = corpora(folder, landmark_set, settings)
    about = clips["train"].clips
    rows = np.flatnonzero(about.hand_frames >= params.least_hand * about.phrase.str.len())
    if params.supplemental == 0:
        rows = rows[about["set"].iloc[rows] == "train"]
    params = TrainParams.from_dict(vars(params) | {"epochs": max(1, round(settings.seen / len(rows)))})
    told, judge = batches(params, clips["train"], rows, shuffle=True), np.arange(len(clips["others"].clips))
    with contextlib.nullcontext() if masks else mock.patch("aslkit.model.Preprocess", Unmasked):
        reader = compiled_reader(params, len(told))
    begin = time.perf_counter()
    fit(params, reader, told, batches(params, clips["others"], judge[:64], shuffle=False))
    seconds = time.perf_counter() - begin
    found = {"plan": settings.plan, "row": row, "seed": settings.seed, "parameters": reader.count_params()}
    found |= {"clips seen": params.epochs * len(told) * params.batch_size, "seconds": round(seconds)}
    points = LANDMARK_SETS[landmark_set]
    wanted, arrays = real_arrays(settings.letters, settings.phrases, points=points.points)
    with averaged(reader):
        table, _ = read_all(reader, batches(params, clips["others"], judge, shuffle=False))
        found["stitched"] = score(table.phrase, table.reading)
        real = InMemory(wanted.phrase, [clip.astype("float16") for clip in arrays], points)
        table, _ = read_all(reader, batches(params, real, np.arange(len(arrays)), shuffle=False))
    found["real hands"] = real_scores(wanted.assign(reading=table.reading.to_numpy()))[""]
    if settings.save:
        reader.save_weights(settings.out / f"{row}.weights.h5")
    keras.backend.clear_session()
    return found


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("plan", choices=PLANS)
    parser.add_argument("--only", nargs="*", default=[], help="some rows, by name")
    parser.add_argument("--letters", type=Path, default=LETTERS, help="letters.npz of people whom no bank knows")
    parser.add_argument("--phrases", type=Path, default=PHRASES, help="CSV with the phrases to spell")
    parser.add_argument("--clips", type=int, default=50_000, help="clips to train on, beside drills")
    parser.add_argument("--drills", type=float, default=0.1, help="clips of one to four characters, relative to the others")
    parser.add_argument("--signers", type=int, default=400)
    parser.add_argument("--seen", type=int, default=300_000, help="clips that each row sees")
    parser.add_argument("--judged", type=int, default=1000, help="clips of stitched people that no row sees")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="parameters of every row")
    parser.add_argument("--work", type=Path, default=Path("runs/experiments"), help="folder for corpora and unfinished runs")
    parser.add_argument("--save", action="store_true", help="keep the weights beside the figures")
    parser.add_argument("--out", type=Path, default=OUT)
    plan = parser.parse_known_args(arguments)[0].plan
    parser.set_defaults(**SIZES.get(plan, {}))
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    settings = options(arguments)
    rows = {row: changes for row, changes in PLANS[settings.plan].items() if not settings.only or row in settings.only}
    settings.out.mkdir(parents=True, exist_ok=True)
    path, done = settings.out / "experiments.csv", pd.DataFrame(columns=["plan", "row", "seed"])
    with contextlib.suppress(FileNotFoundError):
        done = pd.read_csv(path)
    for row, changes in rows.items():
        if ((done.plan == settings.plan) & (done.row == row) & (done.seed == settings.seed)).any():
            continue
        try:
            found = train(row, changes, settings)
        except KitError as error:
            print(error, file=sys.stderr)
            return 2
        print(json.dumps(found), flush=True)
        done = pd.concat([done, pd.DataFrame([found])], ignore_index=True) if len(done) else pd.DataFrame([found])
        done.to_csv(path, index=False)
    mine = (
        done[(done.plan == settings.plan) & done.row.isin(rows)].groupby("row", sort=False)[["stitched", "real hands"]].mean()
    )
    figures = {f"{judge}, {row}": figure(mine[judge][row], "score") for judge in mine for row in mine.index}
    report(f"experiments_{settings.plan}", figures, settings.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
