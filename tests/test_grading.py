"Submissions that break the rules, models that misbehave, corpora with holes: each ends in one sentence."

import json
import os
import zipfile

import numpy as np
import pandas as pd
import psutil
import pytest

from aslkit.competition import LANDMARK_COLUMNS, METADATA_COLUMNS, DataError, SubmissionError, encode, score
from aslkit.grading import Reader, Submission, grade, read_clip, read_corpus, read_landmarks

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

COLUMNS = ["y_pose_3", "x_face_7"]
PHRASES = ["12 elm st", "+1-202-555", "www.sign.org", "3 oak ln", "ada lovelace", "zoe 7"]


def convert(answer, name="inputs", output="outputs", columns=COLUMNS, with_signature=True, custom=False):
    "A TFLite model of a function (T, C) -> (L, classes)."
    import tensorflow as tf

    module = tf.Module()
    spec = tf.TensorSpec([None, len(columns)], tf.float32, name=name)
    module.read = tf.function(lambda frames: {output: answer(tf, frames)}, input_signature=[spec])
    functions = [module.read.get_concrete_function()]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(functions, module if with_signature else None)
    converter.allow_custom_ops = custom
    return converter.convert()


def pack(path, model, columns=COLUMNS, args=None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.tflite", model)
        archive.writestr("inference_args.json", json.dumps({"selected_columns": columns}) if args is None else args)
    return path


def read_first(tf, frames):
    "Each frame carries its class / 100 in the first column; NaN is class 59, which reads as nothing."
    x = frames[:, 0]
    return tf.one_hot(tf.cast(tf.where(tf.math.is_nan(x), 59.0, tf.round(100 * x)), tf.int32), 60)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return pack(tmp_path_factory.mktemp("good") / "submission.zip", convert(read_first))


def clip_rows(phrase, sequence_id):
    "A row a character, which stands in y_pose_3; x_face_7 says 9, all else is NaN."
    index = pd.Index([sequence_id] * len(phrase), name="sequence_id")
    rows = pd.DataFrame(np.nan, index=index, columns=["frame", *LANDMARK_COLUMNS], dtype="float32")
    return rows.assign(frame=np.arange(len(phrase), dtype="int16"), x_face_7=np.float32(9)).assign(
        y_pose_3=np.array(encode(phrase), "float32") / 100
    )


@pytest.fixture
def corpus(tmp_path):
    "Six clips of three signers in three files; the rows of file 0 are interleaved."
    data = tmp_path / "corpus"
    (data / "train_landmarks").mkdir(parents=True)
    table = [(f"train_landmarks/{i % 3}.parquet", i % 3, 10 + i, i % 2, p) for i, p in enumerate(PHRASES)]
    table = pd.DataFrame(table, columns=METADATA_COLUMNS)
    table.to_csv(data / "train.csv", index=False)
    for path, clips in table.groupby("path"):
        rows = pd.concat([clip_rows(c.phrase, c.sequence_id) for c in clips.itertuples()])
        (rows.sort_values("frame", kind="stable") if path.endswith("0.parquet") else rows).to_parquet(data / path)
    return data


def sentence(error):
    "The message, after making sure that it is one sentence."
    text = str(error.value)
    assert text.endswith(".") and not text.endswith("..") and "\n" not in text, text
    return text


# --- the zip


def test_no_such_file(tmp_path):
    with pytest.raises(SubmissionError) as error:
        Submission(tmp_path / "submission.zip")
    assert "submission.zip: no such file; export a run" in sentence(error)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", "not a zip file"), (b"hello", "not a zip file"), (b"PK\x03\x04" + bytes(60), "not a zip file")],
)
def test_not_a_zip(tmp_path, content, expected):
    (tmp_path / "submission.zip").write_bytes(content)
    with pytest.raises(SubmissionError) as error:
        Submission(tmp_path / "submission.zip")
    assert expected in sentence(error)


def test_a_folder_is_not_a_zip(tmp_path):
    with pytest.raises(SubmissionError) as error:
        Submission(tmp_path)
    assert "not a zip file" in sentence(error)


@pytest.mark.parametrize("name", ["../model.tflite", "/model.tflite", "C:/model.tflite", "a\\..\\model.tflite"])
def test_names_that_lead_out(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "submission.zip", "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(SubmissionError) as error:
        Submission(tmp_path / "submission.zip")
    assert "leads out of the zip" in sentence(error)
    assert [p.name for p in tmp_path.iterdir()] == ["submission.zip"]


@pytest.mark.parametrize(
    "names",
    [[], ["model.tflite"], ["run/model.tflite", "run/inference_args.json"], ["model.tflite", "inference_args.json", "a.txt"]],
)
def test_not_exactly_the_two_files(tmp_path, names):
    with zipfile.ZipFile(tmp_path / "submission.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    with pytest.raises(SubmissionError) as error:
        Submission(tmp_path / "submission.zip")
    assert "zip exactly model.tflite and inference_args.json" in sentence(error)


def test_a_name_twice(tmp_path):
    with zipfile.ZipFile(tmp_path / "submission.zip", "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for name in ["model.tflite", "inference_args.json", "model.tflite"]:
            archive.writestr(name, b"x")
    with pytest.raises(SubmissionError):
        Submission(tmp_path / "submission.zip")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ("{", "not a list of columns"),
        ("[1]", "not a list of columns"),
        ("[" * 100_000, "not a list of columns"),
        ('{"selected_columns": []}', "not a list of columns"),
        ('{"selected_columns": "x_face_0"}', "not a list of columns"),
        ('{"selected_columns": ["x_face_0", 3]}', "not a list of columns"),
        ('{"selected_columns": ["x_face_0", "frame"]}', "unknown column 'frame'"),
        ('{"selected_columns": ["x_face_0", "x_face_1", "x_face_0"]}', "'x_face_0' twice"),
        (b"\xff\xfe\x00", "not a list of columns"),
        (" " * 1_000_000, "not under the limit of 1,000,000 bytes"),
    ],
)
def test_wrong_arguments(tmp_path, args, expected):
    with pytest.raises(SubmissionError) as error:
        Submission(pack(tmp_path / "submission.zip", b"x", args=args))
    assert expected in sentence(error)


def test_over_40_mb(tmp_path):
    fits = Submission(pack(tmp_path / "fits.zip", b"\0\0\0\0TFL3" + bytes(39_999_991)))
    assert len(fits.model) == 39_999_999
    with pytest.raises(SubmissionError) as error:
        Submission(pack(tmp_path / "submission.zip", b"\0\0\0\0TFL3" + bytes(39_999_992)))
    assert "model.tflite is not under the limit of 40,000,000 bytes" in sentence(error)


def test_a_damaged_member(tmp_path, good):
    content = bytearray(good.read_bytes())
    content[content.index(b"TFL3") + 200 if b"TFL3" in content else 200] ^= 0xFF
    (tmp_path / "submission.zip").write_bytes(content)
    with pytest.raises(SubmissionError) as error:
        Submission(tmp_path / "submission.zip")
    assert "model.tflite cannot be unpacked" in sentence(error)


# --- the model


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"with_signature": False}, "the signature 'serving_default' is missing"),
        ({"name": "frames"}, "'inputs': ['frames']"),
        ({"output": "answer"}, "'outputs': ['answer']"),
    ],
)
def test_wrong_signature(tmp_path, corpus, options, expected):
    submission = pack(tmp_path / "submission.zip", convert(read_first, **options))
    with pytest.raises(SubmissionError) as error:
        grade(submission, corpus)
    assert expected in sentence(error) and "submission.zip" in str(error.value)


def test_models_that_do_not_load(tmp_path, good):
    model = Submission(good).model
    for content, expected in [
        (b"{}", "not a TFLite file"),
        (model[:600], "does not load"),
        (b"\0\0\0\0TFL3abc", "does not load"),
    ]:
        with pytest.raises(SubmissionError) as error:
            Reader(pack(tmp_path / "submission.zip", content))
        assert expected in sentence(error)


def test_ops_that_are_not_built_in(tmp_path):
    model = convert(lambda tf, frames: tf.linalg.expm(tf.zeros([60, 60]) + frames[0, 0]), custom=True)
    with pytest.raises(SubmissionError) as error:
        Reader(pack(tmp_path / "submission.zip", model)).read(np.zeros((3, 2)))
    assert "custom op" in sentence(error)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda tf, x: x[:, 0], "with the shape (3,)"),
        (lambda tf, x: tf.repeat(x, 29, axis=1), "with the shape (3, 58)"),
        (lambda tf, x: tf.repeat(x, 30, axis=1)[None], "with the shape (1, 3, 60)"),
        (lambda tf, x: tf.repeat(x, 30, axis=1), "with NaN"),
    ],
)
def test_wrong_answers(tmp_path, answer, expected):
    reader = Reader(pack(tmp_path / "submission.zip", convert(answer)))
    with pytest.raises(SubmissionError) as error:
        reader.read(np.full((3, 2), np.nan))
    assert expected in sentence(error)


def test_no_frames(tmp_path, good):
    assert Reader(good).read(np.zeros((0, 2))) == ""
    fails = convert(lambda tf, x: tf.gather(tf.one_hot(tf.cast(x[:, 0], tf.int32), 60), tf.range(1)))
    with pytest.raises(SubmissionError) as error:
        Reader(pack(tmp_path / "submission.zip", fails)).read(np.zeros((0, 2)))
    assert "fails on a clip of 0 frames" in sentence(error) and "any length" in str(error.value)


def test_classes_outside_the_map_read_as_nothing(tmp_path):
    wide = convert(lambda tf, x: tf.one_hot(tf.cast(x[:, 0], tf.int32), 100))
    reader = Reader(pack(tmp_path / "submission.zip", wide))
    assert reader.read(np.array([[32, 0], [59, 0], [33, 0], [99, 0], [58, 0]])) == "ab~"


def test_all_coordinates_of_the_points(tmp_path):
    "Columns in an odd order take the right numbers out of (T, P, 3)."
    columns = ["z_pose_1", "x_face_2", "x_pose_1"]
    which = convert(lambda tf, x: tf.one_hot(tf.cast(tf.reshape(x, [-1]), tf.int32), 60), columns=columns)
    reader = Reader(pack(tmp_path / "submission.zip", which, columns))
    points = np.zeros((1, 2, 3))  # pose_1, face_2
    points[0, 0, 2], points[0, 1, 0], points[0, 0, 0] = encode("abc")
    assert reader.read(points) == "abc"
    with pytest.raises(ValueError, match=r"\(T, 3\) or \(T, 2, 3\), got \(1, 3, 3\)"):
        reader.read(np.zeros((1, 3, 3)))


# --- reading a corpus


def competition_grader(submission, data, rows):
    "The evaluation page's loop, written plainly: pandas, one clip a call."
    from ai_edge_litert.interpreter import Interpreter

    with zipfile.ZipFile(submission) as archive:
        columns = json.loads(archive.read("inference_args.json"))["selected_columns"]
        runner = Interpreter(model_content=archive.read("model.tflite")).get_signature_runner("serving_default")
    character = {i: c for c, i in json.loads((data / "character_to_prediction_index.json").read_text()).items()}
    readings = []
    for row in rows.itertuples():
        frames = pd.read_parquet(data / row.path, columns=columns).loc[[row.sequence_id]].to_numpy(np.float32)
        answer = runner(inputs=frames)["outputs"]
        readings.append("".join(character.get(int(i), "") for i in np.argmax(answer, axis=1)))
    return readings


def test_reads_as_the_competition_did(tmp_path, corpus):
    from aslkit.competition import write_character_map

    write_character_map(corpus)
    # the second column decides, NaN in the third shifts each character: order and NaN both matter
    columns = ["x_face_7", "y_pose_3", "z_pose_3"]
    model = convert(
        lambda tf, x: tf.one_hot(tf.cast(tf.round(100 * x[:, 1]) + tf.cast(tf.math.is_nan(x[:, 2]), tf.float32), tf.int32), 60),
        columns=columns,
    )
    submission = pack(tmp_path / "submission.zip", model, columns)
    readings = read_corpus(submission, corpus)
    assert readings.reading.tolist() == competition_grader(submission, corpus, readings)
    assert readings.reading[0] == "".join(chr(ord(c) + 1) for c in PHRASES[0])
    report = grade(submission, corpus)
    assert report["score"] == pytest.approx(score(PHRASES, readings.reading.tolist()))
    assert report["size_bytes"] == len(model)
    json.dumps(report)


def test_workers_give_the_same_table(good, corpus):
    one = read_corpus(good, corpus).drop(columns="milliseconds")
    pd.testing.assert_frame_equal(one, read_corpus(good, corpus, workers=8).drop(columns="milliseconds"))
    assert one.reading.tolist() == PHRASES
    assert not psutil.Process().children()


def test_chosen_rows(good, corpus, tmp_path):
    table = pd.read_csv(corpus / "train.csv")
    chosen = table.iloc[[4, 0]]
    assert grade(good, corpus, rows=chosen)["clips"] == 2
    chosen.to_csv(tmp_path / "held_out.csv", index=False)
    report = grade(good, corpus, rows=tmp_path / "held_out.csv", out=tmp_path / "new" / "readings.csv")
    assert report["by_signer"] == {"0": {"score": 1.0, "clips": 2}}
    assert pd.read_csv(tmp_path / "new" / "readings.csv").sequence_id.tolist() == [14, 10]
    with pytest.raises(DataError) as error:
        grade(good, corpus, rows=table.iloc[:0])
    assert "no clip to grade" in sentence(error)


def break_missing_file(data):
    (data / "train_landmarks/1.parquet").unlink()


def break_truncated_file(data):
    path = data / "train_landmarks/1.parquet"
    path.write_bytes(path.read_bytes()[:-1000])


def break_missing_column(data):
    path = data / "train_landmarks/1.parquet"
    pd.read_parquet(path).drop(columns="x_face_7").to_parquet(path)


def break_text_column(data):
    path = data / "train_landmarks/1.parquet"
    pd.read_parquet(path).assign(x_face_7="9").to_parquet(path)


def break_missing_clip(data):
    path = data / "train_landmarks/1.parquet"
    pd.read_parquet(path).drop(index=[11, 14]).to_parquet(path)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (break_missing_file, "1.parquet: no such file"),
        (break_truncated_file, "1.parquet: not a parquet file"),
        (break_missing_column, "1.parquet, column x_face_7: the column is missing"),
        (break_text_column, "1.parquet, column x_face_7: does not hold numbers"),
        (break_missing_clip, "1.parquet: no frames of sequence_id 11"),
    ],
)
def test_damaged_corpus(good, corpus, damage, expected):
    damage(corpus)
    with pytest.raises(DataError) as error:
        grade(good, corpus)
    assert expected in sentence(error)
    report = grade(good, corpus, strict=False)
    assert (report["clips"], report["score"]) == (4, 1.0)
    assert [clip["sequence_id"] for clip in report["set_aside"]] == [11, 14]
    assert expected in report["set_aside"][0]["problem"]


def test_nothing_left_to_grade(good, corpus):
    for i in range(3):
        (corpus / f"train_landmarks/{i}.parquet").unlink()
    with pytest.raises(DataError) as error:
        grade(good, corpus, strict=False)
    assert "every clip was set aside" in sentence(error)


def test_missing_train_csv(good, tmp_path):
    with pytest.raises(DataError) as error:
        grade(good, tmp_path)
    assert "train.csv: no such file" in sentence(error)


def test_read_clip(good, corpus):
    path = corpus / "train_landmarks/1.parquet"
    assert read_clip(good, path, 14) == PHRASES[4]
    with pytest.raises(DataError) as error:
        read_clip(good, path)
    assert "holds 2 clips; choose one with --sequence-id (sequence_id=): 11, 14." in sentence(error)
    with pytest.raises(DataError) as error:
        read_clip(good, path, 15)
    assert "no frames of sequence_id 15" in sentence(error)
    pd.read_parquet(path).loc[[14]].to_parquet(path)
    assert read_clip(good, path) == PHRASES[4]


def test_missing_numbers_become_nan(tmp_path):
    "Integers with nulls, doubles, and float32 all arrive as float32."
    rows = clip_rows("abc", 1).assign(x_face_0=pd.array([1, None, 3], "Int64"), x_face_1=[0.5, np.nan, 1.5])
    rows.to_parquet(tmp_path / "a.parquet")
    ids, found = read_landmarks(tmp_path / "a.parquet", ["x_face_1", "x_face_0"])
    np.testing.assert_array_equal(found, np.array([[0.5, 1], [np.nan, np.nan], [1.5, 3]], "float32"))
    assert ids.tolist() == [1, 1, 1] and found.dtype == np.float32


# --- models that misbehave


def test_a_model_that_never_ends(tmp_path, corpus):
    def endless(tf, frames):
        n = tf.shape(frames)[0]
        i = tf.while_loop(lambda i: i < n + 5, lambda i: (i + 1) % n, [n - n])[0]
        return tf.one_hot(tf.fill([n], i), 60)

    with pytest.raises(SubmissionError) as error:
        grade(pack(tmp_path / "submission.zip", convert(endless)), corpus, timeout=1.5, workers=2)
    assert "model.tflite did not finish reading clip 1" in sentence(error) and "within 1.5 s" in str(error.value)
    assert not psutil.Process().children()


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="only Linux limits memory")
def test_a_model_that_eats_memory(tmp_path, corpus):
    def big(tf, frames):
        n = tf.shape(frames)[0]
        x = tf.fill([n * 20_000, 20_000], frames[0, 0])
        return tf.one_hot(tf.cast(tf.reduce_sum(x, 1)[:n], tf.int32), 60)

    with pytest.raises(SubmissionError) as error:
        grade(pack(tmp_path / "submission.zip", convert(big)), corpus, memory_gb=1)
    assert "model.tflite fails on a clip of 9 frames" in sentence(error)


RUNTIME = """
import os, signal
class Interpreter:
    def __init__(self, model_content, num_threads): pass
    def get_signature_list(self): return {"serving_default": {"inputs": ["inputs"], "outputs": ["outputs"]}}
    def get_signature_runner(self, name):
        def run(inputs):
            print("a model that talks")
            %s
        return run
"""


def runtime(tmp_path, monkeypatch, line):
    "Let the reading process find a stand-in for LiteRT, whose model does `line`."
    (tmp_path / "fake/ai_edge_litert").mkdir(parents=True)
    (tmp_path / "fake/ai_edge_litert/__init__.py").touch()
    (tmp_path / "fake/ai_edge_litert/interpreter.py").write_text(RUNTIME % line)
    monkeypatch.syspath_prepend(tmp_path / "fake")


def test_a_model_that_crashes(tmp_path, corpus, good, monkeypatch):
    runtime(tmp_path, monkeypatch, "os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(SubmissionError) as error:
        grade(good, corpus)
    assert "model.tflite crashed its process while reading clip 10 (SIGSEGV)" in sentence(error)


def test_a_model_that_prints(tmp_path, corpus, good, monkeypatch):
    runtime(tmp_path, monkeypatch, "import numpy; return {'outputs': numpy.eye(60)[[32, 33]]}")
    assert set(read_corpus(good, corpus).reading) == {"ab"}


def test_a_defect_of_ours_keeps_its_traceback(tmp_path, corpus, good, monkeypatch):
    runtime(tmp_path, monkeypatch, "raise KeyError('ours')")
    with pytest.raises(RuntimeError, match="(?s)reading process failed while reading clip 10.*KeyError: 'ours'"):
        grade(good, corpus)
