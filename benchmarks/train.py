"""How fast a training step is, and where its time goes: `base` beside `seed`, and `base` beside itself without one part.

All in one run on one device, in turn, medians. On an accelerator in bfloat16 and large batches, on a processor in float32 and
small ones."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from common import OUT, figure, report

from aslkit.batches import Batches, plan_buckets
from aslkit.corpus import Corpus
from aslkit.ctc import ctc_loss
from aslkit.model import PRESETS
from aslkit.stitch import stitch
from aslkit.training import TrainParams, compiled_reader

POLICY = "strong"  # the most that augmentation does


def unlearnt(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
    "In place of a model's loss: something cheap whose gradient reaches every score that CTC would."
    given = [y_pred["logits"], *y_pred.get("middle", [])]
    return sum(keras.ops.mean(keras.ops.square(logits)) for logits in given)


def step_of(preset: str, settings: argparse.Namespace, augment: str = POLICY, ctc: bool = True) -> Callable:  # batch -> None
    "One training step of a preset; it ends when the device has ended."
    precision = "mixed_bfloat16" if settings.accelerated else "float32"
    params = TrainParams(preset=preset, augment=augment, batch_size=settings.batch_size, precision=precision)
    reader = compiled_reader(params, 100)
    if not ctc:
        reader.__class__ = type("Unlearnt", (type(reader),), {"compute_loss": unlearnt})
    keras.config.set_dtype_policy("float32")
    return lambda batch: float(reader.train_on_batch(*batch))  # float() waits for the device


def in_turn(steps: dict[str, Callable], batches: dict[str, list], times: int) -> dict[str, np.ndarray]:
    "Seconds a clip of each step over its own batches, in each of so many turns, after one that compiles."
    found = {name: np.zeros(times + 1) for name in steps}
    lengths = len(next(iter(batches.values())))
    for turn in range(times + 1):
        for i in range(lengths):  # one length after the other: what is compared lies close in time
            for name, step in steps.items():
                share, batch = batches[name][i]
                begin = time.perf_counter()
                step(batch)
                found[name][turn] += share * (time.perf_counter() - begin) / len(batch[1]["characters"])
        print(f"turn {turn} of {times}: " + ", ".join(f"{n} {1 / t[turn]:.1f} clips/s" for n, t in found.items()), flush=True)
    return {name: seconds[1:] for name, seconds in found.items()}


def some_batches(corpus: Corpus, settings: argparse.Namespace) -> list:  # share of the corpus's clips, batch; short ones first
    "One whole batch of each of a few lengths."
    frames = corpus.clips.frames.to_numpy()
    buckets = plan_buckets(frames, settings.lengths)
    batches = Batches(corpus, np.arange(len(corpus)), settings.batch_size, buckets, 0, told=True, letters=64)
    found = {}
    for i in range(len(batches)):
        inputs, labels = batches[i]
        found.setdefault(inputs["landmarks"].shape[1], (inputs, labels))
    shares = np.bincount(np.searchsorted(buckets, np.minimum(frames, buckets[-1])), minlength=len(buckets)) / len(frames)
    return [(share, found[length]) for length, share in zip(buckets, shares)]


def waiting(corpus: Corpus, step: Callable, settings: argparse.Namespace) -> float:  # share of the time, 0-1
    "How long training waits for its batches, of a whole epoch."
    buckets = plan_buckets(corpus.clips.frames.to_numpy(), settings.lengths)
    batches = Batches(corpus, np.arange(len(corpus)), settings.batch_size, buckets, 0, told=True, letters=64)
    stream, waited, begin = batches.stream(1), 0.0, time.perf_counter()
    while True:
        asked = time.perf_counter()
        batch = next(stream, None)
        waited += time.perf_counter() - asked
        if batch is None:
            return waited / (time.perf_counter() - begin)
        step(batch)


def ctc_rivals(times: int) -> float:  # TensorFlow's seconds over ours
    "Loss and gradient of TensorFlow's dense CTC against ours: batch 64, 96 frames, 60 classes, 32 letters."
    import tensorflow as tf

    rng = np.random.default_rng(0)
    logits = tf.constant(rng.normal(size=(64, 96, 60)).astype("float32"))
    classes, frames, characters = (
        rng.integers(0, 59, (64, 32)).astype("int32"),
        np.full(64, 96, "int32"),
        np.full(64, 32, "int32"),
    )

    def rival(logits):
        return tf.nn.ctc_loss(classes, logits, characters, frames, logits_time_major=False, blank_index=59)

    def timed(loss):
        @tf.function(autograph=False)
        def both(logits):
            with tf.GradientTape() as tape:
                tape.watch(logits)
                value = loss(logits)
            return value, tape.gradient(value, logits)

        return lambda batch: both(batch)[1].numpy()

    ways = {"ours": timed(lambda logits: ctc_loss(logits, frames, classes, characters)), "tf.nn": timed(rival)}
    for way in ways.values():
        way(logits)
    seconds = {name: [] for name in ways}
    for _ in range(times):
        for name, way in ways.items():
            begin = time.perf_counter()
            way(logits)
            seconds[name].append(time.perf_counter() - begin)
    return float(np.median(seconds["tf.nn"]) / np.median(seconds["ours"]))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=5, help="turns that are measured")
    parser.add_argument("--lengths", type=int, default=3, help="of batches; each is compiled for each way")
    parser.add_argument("--batch-size", type=int, default=None, help="clips; 256 on an accelerator, 16 without")
    parser.add_argument("--clips", type=int, default=None, help="clips of the corpus; 8,192 on an accelerator, 256 without")
    parser.add_argument("--out", type=Path, default=OUT)
    settings = parser.parse_args(arguments)
    settings.accelerated = not keras.distribution.list_devices()[0].startswith("cpu")
    settings.batch_size = settings.batch_size or (256 if settings.accelerated else 16)
    settings.clips = settings.clips or (8192 if settings.accelerated else 256)
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        made = {s: Corpus(stitch(Path(folder) / s, settings.clips, 40, prepared=True, landmark_set=s)) for s in ("kit", "seed")}
        given = {s: some_batches(corpus, settings) for s, corpus in made.items()}
        ways = {"base": step_of("base", settings), "seed": step_of("seed", settings)}
        ways |= {"base without CTC": step_of("base", settings, ctc=False)}
        ways |= {"base without augmentation": step_of("base", settings, augment="none")}
        batches = {name: given["seed" if name == "seed" else "kit"] for name in ways}
        seconds = in_turn(ways, batches, settings.times)
        fast = 4000 if settings.accelerated else None
        figures["clips of base"] = figure(float(1 / np.median(seconds["base"])), "clips/s", fast)
        figures["base against seed"] = figure(float(np.median(seconds["seed"] / seconds["base"])), "x", 2.0)
        for part in ("CTC", "augmentation"):
            share = 1 - float(np.median(seconds[f"base without {part}"] / seconds["base"]))
            figures[f"{part}, share of a step"] = figure(share, "of 1", 0.1, "lower")
        figures["waiting for input"] = figure(waiting(made["kit"], ways["base"], settings), "of 1", 0.05, "lower")
    if keras.backend.backend() == "tensorflow":
        figures["TensorFlow's CTC against ours"] = figure(ctc_rivals(20), "x", 10.0)
    print(f"batch {settings.batch_size}, {keras.backend.backend()}, parameters: "
          + ", ".join(f"{p} {PRESETS[p]['parameters']:,}" for p in ("base", "seed")))  # fmt: skip
    report("train", figures, settings.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
