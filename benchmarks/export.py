"""The exported file: its speed beside the seed's and its own matrix products', what precisions and decoders gain and cost.

One thread, one run: files that are compared take turns on the same clips. Networks for speed are untrained; scores need a run.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import hostile_clips
import numpy as np
from common import OUT, figure, report

from aslkit.competition import MODEL_FILE, decode, score
from aslkit.export import convert, export, open_evidence
from aslkit.fallback import Fallback
from aslkit.graph import DECODERS, PRECISIONS, Decoding
from aslkit.landmarks import LANDMARK_SETS
from aslkit.model import PRESETS, build_reader
from aslkit.training import load_reader

SCALING = (30, 60, 120, 240, 400, 800)  # frames
GROUPS = ("speed", "scores", "hostile")


def stream_lengths(clips: int) -> np.ndarray:  # (clips,) frames
    "Lengths like the competition's: mean 160, standard deviation 84, at most 807."
    return np.clip(np.random.default_rng(0).gamma(3.6, 44.4, clips), 1, 807).astype(int)


class File:
    "A TFLite file on one thread."

    def __init__(self, model: bytes):
        from ai_edge_litert.interpreter import Interpreter

        self.model, self.interpreter = model, Interpreter(model_content=model, num_threads=1)
        self.answer = self.interpreter.get_signature_runner("serving_default")
        self.columns = int(self.interpreter.get_input_details()[0]["shape_signature"][-1])

    def ms(self, frames: int) -> float:
        values = np.random.default_rng(frames).random((frames, self.columns), "float32")
        begin = time.perf_counter()
        self.answer(inputs=values)
        return 1000 * (time.perf_counter() - begin)

    @property
    def pieces(self) -> int:
        "Pieces into which XNNPACK takes the graph of a clip."
        self.ms(160)
        return sum(op["op_name"] == "DELEGATE" for op in self.interpreter._get_ops_details())


def products(model: bytes, frames: int) -> list[tuple[int, int, int, int]]:  # of (times, rows, depth, columns) each
    "The matrix products that a file computes for one clip, read off the shapes of its tensors."
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=model, num_threads=1, experimental_op_resolver_type=plain)
    given = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(given["index"], (frames, given["shape_signature"][-1]))
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], np.zeros((frames, given["shape_signature"][-1]), "float32"))
    interpreter.invoke()
    shapes, found = {t["index"]: tuple(map(int, t["shape"])) for t in interpreter.get_tensor_details()}, []
    for op in interpreter._get_ops_details():
        if op["op_name"] not in ("FULLY_CONNECTED", "CONV_2D", "BATCH_MATMUL"):
            continue
        (a, b), out = (shapes[i] for i in op["inputs"][:2]), shapes[op["outputs"][0]]
        if op["op_name"] == "BATCH_MATMUL":
            found.append((math.prod(out[:-2]), out[-2], math.prod(a) // math.prod(out[:-1]), out[-1]))
        else:
            found.append((1, math.prod(out[:-1]), math.prod(b) // b[0], out[-1]))
    return found


def flops(found: list[tuple[int, int, int, int]]) -> float:
    return 2.0 * sum(map(math.prod, found))


def products_file(found: list[tuple[int, int, int, int]]) -> bytes:
    "A TFLite file that computes matrix products of these shapes with constant weights, and nothing else."
    import tensorflow as tf

    found = [f[1:] for f in found if f[0] == 1]
    most, rng = max(rows for rows, _, _ in found), np.random.default_rng(0)

    class Products(tf.Module):
        def __init__(self):
            super().__init__()
            self.weights = [tf.Variable(rng.normal(size=(k, n)).astype("float32") / k**0.5) for _, k, n in found]

        @tf.function(input_signature=[tf.TensorSpec((most, max(k for _, k, _ in found)), tf.float32, "inputs")])
        def serve(self, inputs):
            done = [tf.matmul(inputs[:rows, :k], w)[:1, :1] for (rows, k, _), w in zip(found, self.weights)]
            return {"outputs": tf.add_n(done)}

    module = Products()
    return tf.lite.TFLiteConverter.from_concrete_functions([module.serve.get_concrete_function()], module).convert()


def in_turn(calls: dict[str, Callable[[], float]], times: int) -> dict[str, float]:  # name -> median ms
    "Call each in turn, `times` times."
    took = {name: [] for name in calls}
    for _ in range(times):
        for name, call in calls.items():
            took[name].append(call())
    return {name: float(np.median(found)) for name, found in took.items()}


def speed(clips: int) -> dict[str, dict]:
    "Latency over a stream of clips of changing lengths and at fixed ones, beside the seed and beside the products alone."
    wanted = [name for name in ("tiny", "base", "seed") if name in PRESETS]
    files = {name: File(convert(build_reader(name), "fp32")) for name in wanted}
    lengths, took = stream_lengths(clips), {name: [] for name in files}
    for frames in (40, 400, *lengths):
        for name, file in files.items():
            took[name].append(file.ms(int(frames)))
    figures = {f"{name}, a clip of the stream": figure(np.mean(found[2:]), "ms", None, "lower") for name, found in took.items()}
    fixed = in_turn({name: partial(file.ms, 160) for name, file in files.items()}, 25)
    for name in wanted[:-1]:
        limit = 0.35 if name == "base" else None
        figures[f"{name} / seed, stream"] = figure(np.mean(took[name][2:]) / np.mean(took["seed"][2:]), "x", limit, "lower")
        figures[f"{name} / seed, 160 frames"] = figure(fixed[name] / fixed["seed"], "x", limit, "lower")
        found = products(files[name].model, 160)
        bare = File(products_file(found))
        rows = bare.interpreter.get_input_details()[0]["shape_signature"][0]
        both = in_turn({"whole": partial(files[name].ms, 160), "bare": partial(bare.ms, int(rows))}, 40)
        rate = flops([f for f in found if f[0] == 1]) / both["bare"] / 1e6
        floor = flops(found) / rate / 1e6
        limit = 1.6 if name == "base" else None
        figures[f"{name}, rate of its products alone"] = figure(rate, "GFLOP/s")
        figures[f"{name} / its products, 160 frames"] = figure(both["whole"] / floor, "x", limit, "lower")
    for name, file in files.items():
        figures[f"{name}, pieces of the delegate"] = figure(file.pieces, "pieces", None, "lower")
        for frames in SCALING:
            ms = np.median([file.ms(frames) for _ in range(5)])
            figures[f"{name}, {frames} frames"] = figure(ms, "ms", None, "lower")
    return figures | precisions(wanted)


def precisions(presets: Sequence[str]) -> dict[str, dict]:
    "Size and latency of each precision, 160 frames."
    figures = {}
    for name in presets:
        reader = build_reader(name)
        files = {precision: File(convert(reader, precision)) for precision in PRECISIONS}
        took = in_turn({precision: partial(file.ms, 160) for precision, file in files.items()}, 15)
        for precision, file in files.items():
            limit = 9.0 if (name, precision) == ("base", "int8") else None
            figures[f"{name}, {precision}, size"] = figure(len(file.model) / 1e6, "MB", limit, "lower")
            figures[f"{name}, {precision}, 160 frames"] = figure(took[precision], "ms", None, "lower")
    return figures


def fresh_clips(folder: Path, columns: Sequence[str], clips: int) -> tuple[list[np.ndarray], list[str]]:
    "Clips by people and with phrases that no run has seen: (T, C) float32 each, and their labels."
    from aslkit.corpus import Corpus
    from aslkit.stitch import stitch

    stitch(folder / "fresh", clips=clips, signers=60, seed=987_654, prepared=True)
    corpus = Corpus(folder / "fresh")
    rows = np.flatnonzero(corpus.clips["set"] == "train")[:clips]
    assert corpus.landmark_set.columns == list(columns)
    found = [np.ascontiguousarray(corpus.landmarks(row).reshape(-1, len(columns)), "float32") for row in rows]
    return found, corpus.clips.phrase.iloc[rows].tolist()


def scores(run: Path, clips: int) -> dict[str, dict]:
    "What each precision costs and each decoder gains, on freshly stitched clips of other people."
    columns = LANDMARK_SETS[load_reader(run).settings["landmark_set"]].columns
    evidence = open_evidence(run)
    known = set(evidence.corpus.clips.phrase) if evidence else set()
    figures, texts = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        values, phrases = fresh_clips(Path(folder), columns, clips)
        new = [i for i, phrase in enumerate(phrases) if phrase not in known]
        figures["clips read"] = figure(len(phrases), "clips")
        figures["of them with a phrase that is not in the run's corpus"] = figure(len(new), "clips")
        ways = [("fp32", "greedy"), ("fp16", "greedy"), ("int8", "greedy")]
        ways += [("fp16", decoder) for decoder in DECODERS[1:] if evidence or decoder != "ngrams"]
        for precision, decoder in ways:
            path = export(run, Path(folder) / f"{precision} {decoder}", precision, decoder)
            file = File((path.parent / MODEL_FILE).read_bytes())
            begin = time.perf_counter()
            read = [decode(file.answer(inputs=value)["outputs"].argmax(1)) for value in values]
            ms = 1000 * (time.perf_counter() - begin) / len(read)
            texts[precision, decoder] = read
            way = f"{precision}, {decoder}"
            figures[f"{way}, score"] = figure(score(phrases, read), "score")
            unseen = score([phrases[i] for i in new], [read[i] for i in new])
            figures[f"{way}, score of new phrases"] = figure(unseen, "score")
            figures[f"{way}, a clip"] = figure(ms, "ms", None, "lower")
            figures[f"{way}, size"] = figure(len(file.model) / 1e6, "MB", None, "lower")
        plain = File(convert(load_reader(run), "fp16", Decoding(fallback=Fallback())))
        read = [decode(plain.answer(inputs=value)["outputs"].argmax(1)) for value in values]
    whole = score(phrases, texts["fp32", "greedy"])
    for precision in ("fp16", "int8"):
        lost = whole - score(phrases, texts[precision, "greedy"])
        same = np.mean([a == b for a, b in zip(texts["fp32", "greedy"], texts[precision, "greedy"])])
        figures[f"{precision}, score lost"] = figure(lost, "score", 0.003, "lower")
        figures[f"{precision}, same texts as fp32"] = figure(same, "share")
    learnt = score(phrases, texts["fp16", "greedy"]) - score(phrases, read)
    figures["learnt fall-back against the constant for empty readings"] = figure(learnt, "score")
    return figures


def hostile(run: Path | None, clips: int) -> dict[str, dict]:
    "Hostile clips, in today's runtime and, if ASLKIT_STRICT_PYTHON names a Python with it, in tflite_runtime 2.14."
    pythons = {"LiteRT": sys.executable}
    if strict := os.environ.get("ASLKIT_STRICT_PYTHON"):
        pythons["tflite_runtime"] = strict
    else:
        print("Hostile clips are not checked in tflite_runtime 2.14: ASLKIT_STRICT_PYTHON names no Python that has it.")
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for precision in ("fp16", "int8"):
            path = Path(folder) / f"{precision}.tflite"
            path.write_bytes(
                (export(run, folder, precision).parent / MODEL_FILE).read_bytes()
                if run
                else convert(build_reader("tiny"), precision)
            )
            for runtime, python in pythons.items():
                command = [python, hostile_clips.__file__, str(path), "--clips", str(clips)]
                done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
                if done.returncode:  # it crashed, which is what is looked for
                    figures[f"{clips:,} hostile clips, {precision}, {runtime}: crashes"] = figure(1, "crashes", 0, "lower")
                    continue
                found = json.loads(done.stdout)
                print(f"{precision}, {runtime}: {found}")
                faults = sum(found["faults"].values())
                figures[f"{clips:,} hostile clips, {precision}, {runtime}: faults"] = figure(faults, "clips", 0, "lower")
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, help="a trained run with its prepared corpus; without it nothing is scored")
    parser.add_argument("--only", default=",".join(GROUPS), help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--stream", type=int, default=60, help="clips of the stream")
    parser.add_argument("--clips", type=int, default=1000, help="clips that are scored")
    parser.add_argument("--hostile", type=int, default=10_000, help="hostile clips")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args(arguments)
    only = given.only.split(",")
    if unknown := set(only) - set(GROUPS):
        parser.error(f"--only knows {', '.join(GROUPS)}, not {', '.join(sorted(unknown))}")
    made: dict[str, Callable[[], dict[str, Any]]] = {
        "speed": lambda: speed(given.stream), "scores": lambda: scores(given.run, given.clips),
        "hostile": lambda: hostile(given.run, given.hostile),
    }  # fmt: skip
    figures = {}
    for group in GROUPS:
        if group in only and (group != "scores" or given.run):
            figures |= made[group]()
    report("export", figures, given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
