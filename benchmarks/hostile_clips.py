"""Clips that nobody meant to record, and whether a model answers each of them.

`python benchmarks/hostile_clips.py model.tflite [--clips 10000] [--seed 0]` prints one JSON object. It needs numpy and a TFLite
runtime and nothing of the kit, so that the runtime of the competition's time can run it in an environment of its own."""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np

CHARACTERS = 59
LONGEST = 3000  # frames
KINDS = ("landmarks", "lost", "lost parts", "all NaN", "infinite", "huge", "tiny", "constant", "noise", "one value")


def lengths(rng: np.random.Generator, clips: int) -> np.ndarray:  # (clips,) frames
    "Mostly the competition's lengths; one in five is 0, 1, 2 or 3 frames, one in fifty has up to `LONGEST`."
    found = np.clip(rng.gamma(3.6, 44, clips), 1, 807).astype(int)
    found = np.where(rng.random(clips) < 0.2, rng.integers(0, 4, clips), found)
    return np.where(rng.random(clips) < 0.02, rng.integers(0, LONGEST + 1, clips), found)


def clip_of(rng: np.random.Generator, kind: str, frames: int, columns: int) -> np.ndarray:  # (frames, columns) float32
    "A clip of one of `KINDS`."
    walk = rng.normal(0, 0.01, (frames, columns)).cumsum(0) + rng.random(columns)
    if kind == "lost":
        walk[rng.random(frames) < rng.random()] = np.nan
    elif kind == "lost parts":
        walk[rng.random((frames, columns)) < rng.random()] = np.nan
        walk[:, rng.random(columns) < rng.random()] = np.nan
    elif kind == "all NaN":
        walk[:] = np.nan
    elif kind == "infinite":
        walk[rng.random((frames, columns)) < rng.random()] = rng.choice([np.inf, -np.inf])
    elif kind in ("huge", "tiny"):
        walk = walk * 10.0 ** (rng.integers(2, 38) * (1 if kind == "huge" else -1))
    elif kind == "constant":
        walk[:] = walk[:1] if frames else 0
    elif kind == "noise":
        walk = rng.normal(0, 10.0 ** rng.integers(-2, 4), (frames, columns))
    elif kind == "one value":
        walk[:] = rng.choice([0, 1, -1, 1e30, -1e30, np.float32(3e38), 1e-45, 9999.9, 10000.1])
    with np.errstate(over="ignore", under="ignore"):
        return walk.astype("float32")


def fault(
    answer: np.ndarray,  # what the model said
) -> str:  # what is wrong with it, or ""
    "An answer is one row a character, at least one, and each row is one of 59 characters."
    if answer.ndim != 2 or answer.shape[1] != CHARACTERS:
        return f"shape {answer.shape}"
    if not len(answer):
        return "empty"
    if not ((answer == 1).sum(1) == 1).all() or not ((answer == 0).sum(1) == CHARACTERS - 1).all():
        return "not one of 59"
    return ""


def interpreter_class() -> type:
    "LiteRT, or its predecessor."
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tflite_runtime.interpreter import Interpreter
    return Interpreter


def run(
    model: str | Path,  # a TFLite file
    clips: int,
    seed: int,
) -> dict:  # clips, longest (frames), faults {what: times}, kinds {kind: clips}, texts (different answers)
    "Ask for an answer to `clips` hostile clips."
    interpreter = interpreter_class()(model_path=str(model), num_threads=1)
    answer = interpreter.get_signature_runner("serving_default")
    columns = int(interpreter.get_input_details()[0]["shape_signature"][1])
    rng = np.random.default_rng(seed)
    faults, kinds, texts, chosen = Counter(), Counter(), set(), lengths(rng, clips)
    for frames in chosen:
        kind = str(rng.choice(KINDS))
        values = clip_of(rng, kind, int(frames), columns)
        try:
            said = answer(inputs=values)["outputs"]
            wrong = fault(said)
            texts.add(said.argmax(1).tobytes() if not wrong else b"")
        except (RuntimeError, ValueError) as error:
            wrong = f"raises {type(error).__name__}"
        if wrong:
            faults[f"{kind}: {wrong}"] += 1
        kinds[kind] += 1
    longest = int(chosen.max()) if clips else 0
    return {"clips": clips, "longest": longest, "faults": dict(faults), "kinds": dict(kinds), "texts": len(texts)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(json.dumps(run(given.model, given.clips, given.seed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
