"""Hostile submissions and corpora, and what `aslkit grade` must say about each.

    python tests/zoo.py

runs the real command on every one of them, in a folder of its own, and prints how it left and what it said.
"""

import functools
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from aslkit.competition import LANDMARK_COLUMNS, METADATA_COLUMNS, encode

COLUMNS = ["y_pose_3", "x_face_7"]
PHRASES = ["12 elm st", "+1-202-555", "www.sign.org", "3 oak ln", "ada lovelace", "zoe 7"]
ARGS = json.dumps({"selected_columns": COLUMNS})
MODEL = "model.tflite"


# --- models


def convert(answer, name="inputs", output="outputs", columns=COLUMNS, with_signature=True, custom=False, flex=False, kind=None):
    "A TFLite model of a function (T, C) -> (L, classes)."
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    module = tf.Module()
    spec = tf.TensorSpec([None, len(columns)], kind or tf.float32, name=name)
    module.read = tf.function(lambda frames: {output: answer(tf, frames)}, input_signature=[spec], autograph=False)
    functions = [module.read.get_concrete_function()]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(functions, module if with_signature else None)
    converter.allow_custom_ops = custom
    if flex:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    return converter.convert()


def read_first(tf, frames):
    "Each frame carries its class / 100 in the first column; NaN is class 59, which reads as nothing."
    x = frames[:, 0]
    return tf.one_hot(tf.cast(tf.where(tf.math.is_nan(x), 59.0, tf.round(100 * x)), tf.int32), 60)


def endless(tf, frames):
    n = tf.shape(frames)[0]
    i = tf.while_loop(lambda i: i < n + 5, lambda i: (i + 1) % n, [n - n])[0]
    return tf.one_hot(tf.fill([n], i), 60)


def hungry(tf, frames):
    "Doubles a tensor for ever."
    grown = tf.while_loop(
        lambda x: tf.shape(x)[0] > 0, lambda x: (tf.concat([x, x], 0),), [frames], shape_invariants=[tf.TensorShape([None, 2])]
    )[0]
    return tf.repeat(grown, 30, axis=1)


def greedy(tf, frames):
    "Asks for 16 GB at once."
    n = tf.shape(frames)[0]
    x = tf.fill([n * 20_000, 20_000], frames[0, 0])
    return tf.one_hot(tf.cast(tf.reduce_sum(x, 1)[:n], tf.int32), 60)


def crashing():
    "A loop whose body is the whole model: it calls itself until the stack is full."
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    loop = convert(lambda tf, x: tf.while_loop(lambda x: tf.reduce_sum(x) < 3, lambda x: (2 * x + 1,), [x])[0])
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(loop, 0))
    for operator in model.subgraphs[0].operators:
        if isinstance(operator.builtinOptions, schema.WhileOptionsT):
            operator.builtinOptions.bodySubgraphIndex = 0
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def two_inputs():
    import tensorflow as tf

    module = tf.Module()
    spec = [tf.TensorSpec([None, 2], tf.float32, name=name) for name in ("inputs", "more")]
    module.read = tf.function(lambda inputs, more: {"outputs": tf.repeat(inputs + more, 30, axis=1)}, input_signature=spec)
    return tf.lite.TFLiteConverter.from_concrete_functions([module.read.get_concrete_function()], module).convert()


MODELS = {
    "good": lambda: convert(read_first),
    "no signature": lambda: convert(read_first, with_signature=False),
    "input misnamed": lambda: convert(read_first, name="frames"),
    "output misnamed": lambda: convert(read_first, output="answer"),
    "two inputs": two_inputs,
    "int input": lambda: convert(lambda tf, x: tf.one_hot(x[:, 0], 60), kind="int32"),
    "three columns": lambda: convert(read_first, columns=[*COLUMNS, "x_face_8"]),
    "rank 1": lambda: convert(lambda tf, x: x[:, 0]),
    "rank 3": lambda: convert(lambda tf, x: tf.repeat(x, 30, axis=1)[None]),
    "58 classes": lambda: convert(lambda tf, x: tf.repeat(x, 29, axis=1)),
    "int output": lambda: convert(lambda tf, x: tf.cast(read_first(tf, x), tf.int32)),
    "bool output": lambda: convert(lambda tf, x: read_first(tf, x) > 0.5),
    "nan": lambda: convert(lambda tf, x: tf.repeat(x * np.nan, 30, axis=1)),
    "nothing": lambda: convert(lambda tf, x: tf.boolean_mask(tf.repeat(x, 30, axis=1), x[:, 1] < 0)),
    "no classes": lambda: convert(lambda tf, x: tf.fill([tf.shape(x)[0], tf.shape(x)[0] - tf.shape(x)[0]], x[0, 1])),
    "babbling": lambda: convert(lambda tf, x: tf.one_hot(tf.fill([3000], 40), 60) + 0 * x[0, 1]),
    "huge": lambda: convert(lambda tf, x: tf.fill([20_000_000, 60], x[0, 1])),
    "ten frames only": lambda: convert(lambda tf, x: tf.repeat(tf.reshape(x, [10, 2]), 30, axis=1)),
    "flex": lambda: convert(lambda tf, x: tf.repeat(tf.math.cumprod(x), 30, axis=1), flex=True),
    "custom": lambda: convert(lambda tf, x: tf.linalg.expm(tf.zeros([60, 60]) + x[0, 0]), custom=True),
    "endless": lambda: convert(endless),
    "hungry": lambda: convert(hungry),
    "greedy": lambda: convert(greedy),
    "crashing": crashing,
}


@functools.cache
def model(name):
    return MODELS[name]()


# --- zips


def pack(path, model, columns=COLUMNS, args=None):
    "A submission as it should be, but for what is given."
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.tflite", model)
        archive.writestr("inference_args.json", json.dumps({"selected_columns": columns}) if args is None else args)
    return path


def members(*pairs, compression=zipfile.ZIP_DEFLATED):
    "The bytes of a zip of (name or ZipInfo, content) pairs."
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in pairs:
            archive.writestr(name, content)
    return file.getvalue()


def names(*names):
    return lambda: members(*((name, ARGS) for name in names))


def twice():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return members((MODEL, model("good")), ("inference_args.json", ARGS), (MODEL, b"other"))


def symlink():
    link = zipfile.ZipInfo(MODEL)
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return members((link, "/etc/passwd"), ("inference_args.json", ARGS))


def changed(offset, value, content=None):
    "A good zip with the same two bytes of each member's headers replaced; offsets as in its central directory."
    content = bytearray(content or members((MODEL, model("good")), ("inference_args.json", ARGS)))
    for signature, shift in ((b"PK\x03\x04", -2), (b"PK\x01\x02", 0)):
        at = content.find(signature)
        while at >= 0:
            content[at + offset + shift : at + offset + shift + 2] = value.to_bytes(2, "little")
            at = content.find(signature, at + 1)
    return bytes(content)


def bomb(name, size, compression=zipfile.ZIP_DEFLATED):
    content = {MODEL: model("good"), "inference_args.json": ARGS} | {name: b"\0\0\0\0TFL3" + bytes(size)}
    return members(*content.items(), compression=compression)


def lying():
    "A bomb whose central directory claims ten bytes."
    content = bytearray(bomb(MODEL, 60_000_000))
    at = content.rfind(b"PK\x01\x02", 0, content.rfind(b"PK\x01\x02"))
    content[at + 24 : at + 28] = (10).to_bytes(4, "little")
    return bytes(content)


def damaged():
    content = bytearray(members((MODEL, model("good")), ("inference_args.json", ARGS)))
    content[200] ^= 0xFF
    return bytes(content)


def zipped(content, args=ARGS):
    return members((MODEL, model(content) if isinstance(content, str) else content), ("inference_args.json", args))


# --- corpora


def clip_rows(phrase, sequence_id):
    "A row a character, which stands in y_pose_3; x_face_7 says 9, all else is NaN."
    index = pd.Index([sequence_id] * len(phrase), name="sequence_id")
    rows = pd.DataFrame(np.nan, index=index, columns=["frame", *LANDMARK_COLUMNS], dtype="float32")
    return rows.assign(frame=np.arange(len(phrase), dtype="int16"), x_face_7=np.float32(9)).assign(
        y_pose_3=np.array(encode(phrase), "float32") / 100
    )


def write_corpus(data):
    "Six clips of three signers in three files; the rows of file 0 are interleaved."
    (data / "train_landmarks").mkdir(parents=True)
    table = [(f"train_landmarks/{i % 3}.parquet", i % 3, 10 + i, i % 2, p) for i, p in enumerate(PHRASES)]
    table = pd.DataFrame(table, columns=METADATA_COLUMNS)
    table.to_csv(data / "train.csv", index=False)
    for path, clips in table.groupby("path"):
        rows = pd.concat([clip_rows(c.phrase, c.sequence_id) for c in clips.itertuples()])
        (rows.sort_values("frame", kind="stable") if path.endswith("0.parquet") else rows).to_parquet(data / path)
    return data


def parquet(change):
    "Damage to the table of a landmark file."

    def damage(data):
        path = data / "train_landmarks/1.parquet"
        change(pd.read_parquet(path)).to_parquet(path)

    return damage


def content(name, change):
    "Damage to the bytes of a file."

    def damage(data):
        path = data / name
        path.write_bytes(change(path.read_bytes() if path.exists() else b""))

    return damage


def rows(**changes):
    "A rows.csv beside the corpus: the first rows of train.csv, changed."

    def damage(data):
        table = pd.read_csv(data / "train.csv").head(2).assign(**changes)
        table.to_csv(data / "rows.csv", index=False)

    return damage


# --- the animals


@dataclass(frozen=True)
class Animal:
    name: str
    expected: str  # words of the sentence
    zip: Callable[[], bytes] | None = None  # what stands in submission.zip; None = a good one
    data: Callable[[Path], None] | None = None  # damage to a good corpus
    options: tuple[str, ...] = ()
    place: Callable[[Path], None] | None = None  # puts something else where submission.zip should be

    def cage(self, folder: Path, corpus: Path) -> list[str]:
        "Build the animal in an empty folder; the arguments of `aslkit` that meet it there."
        folder.mkdir(parents=True)
        shutil.copytree(corpus, folder / "corpus")
        if self.place:
            self.place(folder / "submission.zip")
        else:
            (folder / "submission.zip").write_bytes(self.zip() if self.zip else zipped("good"))
        if self.data:
            self.data(folder / "corpus")
        return ["grade", "submission.zip", "--data", "corpus", *self.options]


def args(name, text, expected):
    return Animal(name, expected, lambda: zipped("good", text))


def made(name, expected, *options):
    return Animal(f"model: {name}", expected, lambda: zipped(name), None, options)


LEADS_OUT, EXACTLY = "leads out of the zip", "zip exactly model.tflite and inference_args.json"
WITH_ROWS = ("--rows", "corpus/rows.csv")

ZIPS = [
    Animal("no file", "submission.zip: no such file; export a run first", place=lambda path: None),
    Animal("a folder", "a folder or a device", place=Path.mkdir),
    Animal("a pipe", "a folder or a device", place=os.mkfifo),
    Animal("an empty file", "not a zip file", lambda: b""),
    Animal("text", "not a zip file", lambda: b"hello"),
    Animal("a truncated zip", "not a zip file", lambda: zipped("good")[:-30]),
    Animal("half a zip", "not a zip file", lambda: zipped("good")[: len(zipped("good")) // 2]),
    Animal("an empty zip", f"holds nothing; {EXACTLY}", names()),
    Animal("../", LEADS_OUT, names("../model.tflite", "inference_args.json")),
    Animal("an absolute name", LEADS_OUT, names("/tmp/model.tflite", "inference_args.json")),
    Animal("a drive", LEADS_OUT, names("C:/model.tflite", "inference_args.json")),
    Animal("a\\..\\b", LEADS_OUT, names("a\\..\\..\\model.tflite", "inference_args.json")),
    Animal("a file short", EXACTLY, names(MODEL)),
    Animal("a file too many", f"notes.txt; {EXACTLY}", names(MODEL, "inference_args.json", "notes.txt")),
    Animal("inside a folder", EXACTLY, names("run/model.tflite", "run/inference_args.json")),
    Animal("a name that paints the terminal", EXACTLY, names("\x1b[2Jmodel.tflite\n\nTraceback", "inference_args.json")),
    Animal("20,000 members", EXACTLY, lambda: members(*((f"{i}.txt", b"") for i in range(20_000)))),
    Animal("a name twice", "holds model.tflite 2 times", twice),
    Animal("a symbolic link", "model.tflite is a symbolic link", symlink),
    Animal("a password", "inference_args.json cannot be unpacked", lambda: changed(8, 1)),
    Animal("an unknown compression", "inference_args.json cannot be unpacked", lambda: changed(10, 99)),
    Animal("a damaged member", "model.tflite cannot be unpacked", damaged),
    Animal("41 MB", "model.tflite is not under the limit of 40,000,000 bytes", lambda: bomb(MODEL, 41_000_000)),
    Animal("exactly 40 MB", "model.tflite is not under the limit", lambda: bomb(MODEL, 40_000_000 - 8)),
    Animal("a zip bomb", "model.tflite is not under the limit", lambda: bomb(MODEL, 200_000_000)),
    Animal("a bzip2 bomb", "model.tflite is not under the limit", lambda: bomb(MODEL, 90_000_000, zipfile.ZIP_BZIP2)),
    Animal("a bomb of arguments", "is not under the limit of 1,000,000 bytes", lambda: bomb("inference_args.json", 50_000_000)),
    Animal("a bomb that claims ten bytes", "model.tflite cannot be unpacked", lying),
]
NO_LIST = "inference_args.json is not a list of columns"
ARGUMENTS = [
    args("not JSON", "{", NO_LIST),
    args("no bytes", "", NO_LIST),
    args("not UTF-8", b"\xff\xfe\x00", NO_LIST),
    args("JSON of a list", "[1]", NO_LIST),
    args("another key", '{"columns": ["x_face_0"]}', NO_LIST),
    args("an empty list", '{"selected_columns": []}', NO_LIST),
    args("a string for a list", '{"selected_columns": "x_face_0"}', NO_LIST),
    args("a number in the list", '{"selected_columns": ["x_face_0", 3]}', NO_LIST),
    args("lists in lists", "[" * 100_000, NO_LIST),
    args("an unknown column", '{"selected_columns": ["x_face_0", "x_face_468"]}', "selects the unknown column 'x_face_468'"),
    args("a column of another kind", '{"selected_columns": ["frame"]}', "unknown column 'frame'"),
    args("half a character", '{"selected_columns": ["\\ud800\\u001b[2J"]}', "selects the unknown column"),
    args("a column twice", json.dumps({"selected_columns": [*COLUMNS, COLUMNS[0]]}), "'y_pose_3' twice"),
    args("a million columns", json.dumps({"selected_columns": ["x_face_0"] * 80_000}), "'x_face_0' twice"),
]
MADE = [
    Animal("not TFLite", "model.tflite is not a TFLite file", lambda: zipped(b"{}")),
    Animal("a truncated model", "model.tflite", lambda: zipped(model("good")[:600])),
    Animal("a head without a model", "model.tflite is cut short or damaged", lambda: zipped(b"\xff\xff\xff\x7fTFL3abc")),
    Animal("zeros behind the head", "model.tflite", lambda: zipped(b"\0\0\0\0TFL3" + bytes(10_000))),
    made("no signature", "the signature 'serving_default' is missing"),
    made("input misnamed", "'inputs': ['frames']"),
    made("output misnamed", "'outputs': ['answer']"),
    made("two inputs", "'inputs': ['inputs', 'more']"),
    made("int input", "model.tflite takes int32; export it so that it takes float32"),
    made("three columns", "takes the shape [-1, 3] and inference_args.json selects 2 columns"),
    made("rank 1", "a clip of 9 frames with the shape (9,)"),
    made("rank 3", "a clip of 9 frames with the shape (1, 9, 60)"),
    made("58 classes", "a clip of 9 frames with the shape (9, 58); answer [characters, 59 or more]"),
    made("int output", "a clip of 9 frames with int32"),
    made("bool output", "a clip of 9 frames with bool"),
    made("nan", "a clip of 9 frames with NaN"),
    made("nothing", "answers every one of the 6 clips with nothing"),
    made("no classes", "a clip of 9 frames"),
    made("babbling", "a clip of 9 frames with 3,000 characters"),
    made("huge", "model.tflite fails on a clip of 9 frames", "--memory", "2"),
    made("ten frames only", "model.tflite fails on a clip of 9 frames"),
    made("flex", "model.tflite needs FlexCumprod, which TFLite has not built in"),
    made("custom", "which TFLite has not built in"),
    made("crashing", "model.tflite crashed its process while reading clip 10 (SIGSEGV)"),
    made("endless", "model.tflite did not finish reading clip 10 within 1 s", "--timeout", "1"),
    made("hungry", "model.tflite", "--memory", "1", "--timeout", "20"),
    made("greedy", "model.tflite fails on a clip of 9 frames", "--memory", "1"),
]
FILE = "train_landmarks/1.parquet"
CORPORA = [
    Animal("no train.csv", "train.csv: no such file", data=lambda data: (data / "train.csv").unlink()),
    Animal("an empty train.csv", "train.csv: not a readable CSV", data=content("train.csv", lambda old: b"")),
    Animal(
        "a train.csv of other columns",
        "column path: the column is missing",
        data=content("train.csv", lambda old: b"a,b\n1,2\n"),
    ),
    Animal(
        "a binary train.csv", "train.csv: not a readable CSV", data=content("train.csv", lambda old: b"\x89PNG\xff\0\n,\n" * 9)
    ),
    Animal(
        "another character map",
        "not the competition's map",
        data=content("character_to_prediction_index.json", lambda old: b"{}"),
    ),
    Animal("no landmark file", f"{FILE}: no such file", data=lambda data: (data / FILE).unlink()),
    Animal("a truncated landmark file", f"{FILE}: not a parquet file", data=content(FILE, lambda old: old[:-1000])),
    Animal("a CSV named parquet", f"{FILE}: not a parquet file", data=content(FILE, lambda old: b"sequence_id,frame\n1,2\n")),
    Animal("damaged pages", f"{FILE}: ", data=content(FILE, lambda old: old[:4] + b"\xff" * 40_000 + old[40_004:])),
    Animal("a missing column", "column x_face_7: the column is missing", data=parquet(lambda t: t.drop(columns="x_face_7"))),
    Animal("a column of text", "column x_face_7: does not hold numbers", data=parquet(lambda t: t.assign(x_face_7="9"))),
    Animal("no sequence_id", "column sequence_id: the column is missing", data=parquet(lambda t: t.reset_index(drop=True))),
    Animal("a missing clip", f"{FILE}: no frames of sequence_id 11", data=parquet(lambda t: t.drop(index=[11, 14]))),
    Animal("a file without rows", f"{FILE}: no frames of sequence_id 11", data=parquet(lambda t: t.iloc[:0])),
    Animal("no rows.csv", "rows.csv: no such file", options=WITH_ROWS),
    Animal("a folder for rows.csv", "rows.csv: ", data=lambda data: (data / "rows.csv").mkdir(), options=WITH_ROWS),
    Animal("rows without a clip", "no clip to grade", data=rows(phrase=""), options=WITH_ROWS),
    Animal("rows of an unknown clip", "no frames of sequence_id 99", data=rows(sequence_id=[10, 99]), options=WITH_ROWS),
    Animal("rows of an unknown file", "nine.parquet: no such file", data=rows(path="nine.parquet"), options=WITH_ROWS),
    Animal("rows that repeat", "is to be graded twice", data=rows(sequence_id=10, path=FILE), options=WITH_ROWS),
    Animal("rows with half an id", "'1.5' is not a whole number", data=rows(sequence_id=["10", "1.5"]), options=WITH_ROWS),
]
ANIMALS = [*ZIPS, *ARGUMENTS, *MADE, *CORPORA]


def main() -> None:
    "Every animal through the real command; exit with the number of those that did not end in their sentence."
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        corpus = write_corpus(Path(folder) / "corpus")
        for i, animal in enumerate(ANIMALS):
            cage = Path(folder) / str(i)
            command = [Path(sys.executable).with_name("aslkit"), *animal.cage(cage, corpus)]
            done = subprocess.run(command, cwd=cage, capture_output=True, text=True)
            right = done.returncode == 2 and not done.stdout and done.stderr.count("\n") == 1 and animal.expected in done.stderr
            failed += not right
            print(
                f"{'  ' if right else '! '}{animal.name:32} {done.returncode}  {done.stderr.strip() or done.stdout[:200]}",
                flush=True,
            )
            shutil.rmtree(cage)
    print(f"{len(ANIMALS)} animals, {failed} at large")
    sys.exit(failed)


if __name__ == "__main__":
    main()
