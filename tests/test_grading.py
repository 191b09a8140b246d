"What a grade says: the competition's procedure, intervals, confusions, other runtimes, and clips that still grow."

import importlib.resources
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zoo import PHRASES, clip_rows, convert, pack, read_first, write_corpus

import aslkit
from aslkit.competition import DataError, KitError, SubmissionError, encode, levenshtein, score
from aslkit.grading import (
    Reader,
    Submission,
    align,
    confusion,
    grade,
    interval,
    read_clip,
    read_corpus,
    read_landmarks,
    summarise,
)
from aslkit.reader import Stream
from aslkit.sandbox import STRICT_PYTHON, STRICT_RUNTIME, strict_python

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return pack(tmp_path_factory.mktemp("good") / "submission.zip", convert(read_first))


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus")


def sentence(error):
    "The message, after making sure that it is one sentence."
    text = str(error.value)
    assert text.endswith(".") and not text.endswith("..") and "\n" not in text, text
    return text


# --- one clip; what is wrong with submissions is in the zoo


def test_just_under_40_mb(tmp_path):
    content = convert(read_first)
    fits = Submission(pack(tmp_path / "fits.zip", content + bytes(39_999_999 - len(content))))
    assert len(fits.model) == 39_999_999 and Reader(fits).read(np.array([[0.32, 0]])) == "a"


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


@pytest.mark.usefixtures("no_process_left")
def test_workers_give_the_same_table(good, corpus):
    one = read_corpus(good, corpus).drop(columns="milliseconds")
    pd.testing.assert_frame_equal(one, read_corpus(good, corpus, workers=8).drop(columns="milliseconds"))
    assert one.reading.tolist() == PHRASES


def test_chosen_rows(good, corpus, tmp_path):
    table = pd.read_csv(corpus / "train.csv")
    chosen = table.iloc[[4, 0]]
    assert grade(good, corpus, rows=chosen)["clips"] == 2
    chosen.to_csv(tmp_path / "held_out.csv", index=False)
    report = grade(good, corpus, rows=tmp_path / "held_out.csv", out=tmp_path / "new" / "readings.csv")
    assert report["by_signer"] == {"0": {"score": 1.0, "low": 1.0, "high": 1.0, "over": "clips", "clips": 2}}
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
def test_what_cannot_be_read_is_set_aside(good, corpus, damage, expected):
    damage(corpus)
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


@pytest.mark.usefixtures("no_process_left")
def test_a_model_that_never_ends(tmp_path, corpus):
    def endless(tf, frames):
        n = tf.shape(frames)[0]
        i = tf.while_loop(lambda i: i < n + 5, lambda i: (i + 1) % n, [n - n])[0]
        return tf.one_hot(tf.fill([n], i), 60)

    with pytest.raises(SubmissionError) as error:
        grade(pack(tmp_path / "submission.zip", convert(endless)), corpus, timeout=1.5, workers=2)
    assert "model.tflite did not finish reading clip 1" in sentence(error) and "within 1.5 s" in str(error.value)


RUNTIME = """
class Runner:
    def get_input_details(self): return {"inputs": {"shape_signature": [-1, 2], "dtype": "float32"}}
    def __call__(self, inputs):
        print("a model that talks")
        %s
class Interpreter:
    def __init__(self, model_content, num_threads): pass
    def get_signature_list(self): return {"serving_default": {"inputs": ["inputs"], "outputs": ["outputs"]}}
    def get_signature_runner(self, name): return Runner()
"""


def runtime(tmp_path, monkeypatch, line):
    "Let the reading process find a stand-in for LiteRT, whose model does `line`."
    (tmp_path / "fake/ai_edge_litert").mkdir(parents=True)
    (tmp_path / "fake/ai_edge_litert/__init__.py").touch()
    (tmp_path / "fake/ai_edge_litert/interpreter.py").write_text(RUNTIME % line)
    monkeypatch.syspath_prepend(tmp_path / "fake")


def test_a_model_that_prints(tmp_path, corpus, good, monkeypatch):
    runtime(tmp_path, monkeypatch, "import numpy; return {'outputs': numpy.eye(60)[[32, 33]]}")
    assert set(read_corpus(good, corpus).reading) == {"ab"}


def test_a_defect_of_ours_keeps_its_traceback(tmp_path, corpus, good, monkeypatch):
    runtime(tmp_path, monkeypatch, "raise KeyError('ours')")
    with pytest.raises(RuntimeError, match="(?s)reading process failed while reading clip 10.*KeyError: 'ours'"):
        grade(good, corpus)


# --- how sure, and where


TEXT = st.text("abc 1", max_size=8)


@settings(max_examples=300, deadline=None)
@given(TEXT, TEXT)
def test_alignments_are_complete_and_short(phrase, reading):
    pairs = align(phrase, reading)
    assert ("".join(a for a, _ in pairs), "".join(b for _, b in pairs)) == (phrase, reading)
    assert sum(a != b for a, b in pairs) == levenshtein(phrase, reading)
    assert ("", "") not in pairs


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6))
def test_confusions_count_each_character_once(pairs):
    readings = pd.DataFrame(pairs, columns=["phrase", "reading"])
    table = confusion(readings)
    assert table.loc[table.meant != "", "count"].sum() == readings.phrase.str.len().sum()
    assert table.loc[table.read != "", "count"].sum() == readings.reading.str.len().sum()
    assert table.loc[table.meant != table.read, "count"].sum() == sum(map(levenshtein, *zip(*pairs)))
    np.testing.assert_allclose(table[table.meant != ""].groupby("meant").share.sum(), 1)


def test_the_interval_is_about_people_where_there_are_some():
    "Two signers in three are read well; a thousand clips of each make the mean of clips sure, and that of people not."
    table = pd.DataFrame({"participant_id": np.arange(9).repeat(1000), "phrase": "x" * 10})
    table["edits"] = np.where(table.participant_id % 3, 1, 5)
    wide, narrow = interval(table), interval(table.assign(participant_id=table.participant_id % 4))
    assert (wide["over"], narrow["over"]) == ("signers", "clips")
    assert wide["high"] - wide["low"] > 10 * (narrow["high"] - narrow["low"]) > 0
    assert wide["low"] < 1 - table.edits.mean() / 10 < wide["high"]
    assert interval(table.sample(frac=1, random_state=3)) == wide


def test_the_score_of_a_draw_is_a_ratio_of_sums():
    "A long phrase weighs more than a short one: the interval lies around the corpus ratio, not around the mean of clips."
    table = pd.DataFrame({"participant_id": range(60), "phrase": ["x" * 100, "x"] * 30, "edits": [50, 1] * 30})
    found = interval(table)
    assert found["low"] < 1 - 51 / 101 < found["high"] and found["high"] - found["low"] < 0.01


def test_clips_without_frames_hands_or_characters_are_counted():
    table = pd.DataFrame(
        {"path": "a", "sequence_id": [1, 2, 3], "participant_id": 1, "phrase": ["ab", "", "cd"], "kind": "address"}
    )
    table = table.assign(reading=["ab", "x", ""], edits=[0, 1, 2], milliseconds=1.0, problem="")
    report = summarise(table.assign(frames=[0, 5, 9], hand_frames=[0, 1, None]))
    assert report["clips"] == 3 and sum(one["clips"] for one in report["by_length"].values()) == 3
    assert {name: one["clips"] for name, one in report["by_speed"].items()} == {"under 4": 1, "4 to 6": 1}
    assert {name: one["clips"] for name, one in report["by_hand"].items()} == {"under 25%": 1}
    json.dumps(report, allow_nan=False)


def test_tables_beside_the_readings(good, corpus, tmp_path):
    report = grade(good, corpus, out=tmp_path / "o.csv")
    assert {path.name for path in tmp_path.glob("o*")} == {"o.csv", "o_confusion.csv", "o_worst.csv", "o_report.json"}
    assert json.loads((tmp_path / "o_report.json").read_text()) == report
    table = pd.read_csv(tmp_path / "o_confusion.csv", keep_default_na=False)
    assert (table.meant == table.read).all() and table["count"].sum() == report["characters"]
    assert pd.read_csv(tmp_path / "o_worst.csv").empty
    assert report["runtime"].startswith("ai_edge_litert ") and report["hours_four_cores"] == report["hours_one_core"] / 4


# --- the old runtime


def test_no_old_runtime(good, corpus, monkeypatch, tmp_path):
    monkeypatch.delenv(STRICT_PYTHON, raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KitError) as error:
        grade(good, corpus, strict_runtime=True)
    assert ".strict/bin/python: there is no Python to run the old runtime; run `python3.11 -m venv .strict && " in sentence(
        error
    )


def test_the_old_runtime_reads_the_same(good, corpus):
    try:
        strict_python()
    except KitError as error:
        pytest.skip(f"NOTHING WAS TRIED UNDER {STRICT_RUNTIME}: {error}")
    report = grade(good, corpus, strict_runtime=True, workers=2)
    assert report["runtime"].startswith(STRICT_RUNTIME) and report["score"] == 1
    with pytest.raises(SubmissionError) as error:
        grade(pack(corpus / "rank.zip", convert(lambda tf, x: x[:, 0])), corpus, strict_runtime=True)
    assert "with the shape (9,)" in sentence(error)


# --- ready weights


@pytest.fixture
def shipped(monkeypatch, tmp_path):
    "Put a submission where the kit's ready weights are looked for."

    def ship(submission):
        (tmp_path / "kit/ready/tiny").mkdir(parents=True)
        if submission:
            (tmp_path / "kit/ready/tiny/submission.zip").write_bytes(Path(submission).read_bytes())
        monkeypatch.setattr(importlib.resources, "files", lambda package: tmp_path / "kit")

    return ship


def test_ready_weights(good, corpus, shipped):
    shipped(good)
    assert aslkit.Reader().read(np.array([[0.32, 0], [0.33, 0]])) == "ab"
    assert read_clip(None, corpus / "train_landmarks/1.parquet", 14) == PHRASES[4]


def test_no_ready_weights(shipped):
    shipped(None)
    with pytest.raises(SubmissionError) as error:
        aslkit.Reader()
    assert "submission.zip: this copy of the kit has no ready weights; name a submission.zip of your own" in sentence(error)


# --- clips that still grow


class Recorder:
    "Reads a clip as the numbers of its frames, and remembers how long each one was."

    columns = ["x_right_hand_0", "x_pose_0"]

    def __init__(self):
        self.lengths = []

    def read(self, frames):
        self.lengths.append(len(frames))
        return " ".join(str(int(n)) for n in frames[:, 1])


def shown(seen):
    "Frames (T, 2): whether a hand is seen, and a number that is always there."
    return np.array([[0.5 if hand else np.nan, i] for i, hand in enumerate(seen)], "float32").reshape(-1, 2)


STAYS = st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=12).map(
    lambda runs: [s for s, n in runs for _ in range(n)]
)


@settings(max_examples=300, deadline=None)
@given(
    STAYS,
    st.integers(1, 12),
    st.integers(0, 20),
    st.one_of(st.none(), st.integers(1, 30)),
    st.one_of(st.none(), st.integers(21, 90)),
)
def test_a_stream_keeps_its_word(seen, every, lead, pause, longest):
    reader = Recorder()
    stream, frames = Stream(reader, every, lead, pause, longest), shown(seen)
    for frame in frames:
        before = len(reader.lengths)
        stream.add(frame)
        assert len(reader.lengths) <= before + 1
    stream.finish()
    phrases = [[int(n) for n in phrase.split()] for phrase in stream.phrases]
    read = [n for phrase in phrases for n in phrase]
    assert len(set(read)) == len(read) and set(np.flatnonzero(seen)) <= set(read)  # each frame with a hand in one phrase
    for phrase in phrases:
        first = next(k for k, n in enumerate(phrase) if seen[n])
        assert phrase == list(range(phrase[0], phrase[-1] + 1)) and first <= lead  # neighbours, and few idle ones before
        assert longest is None or len(phrase) <= longest
        away = "".join("x" if seen[n] else " " for n in phrase[first:])
        assert pause is None or " " * pause not in away[:-1]
    assert sum(reader.lengths) <= 6 * len(read)
    idle = seen.index(True) if True in seen else len(seen)
    gone = max((len(gap) for gap in "".join("x" if s else " " for s in seen[idle:]).split("x")), default=0)
    if True in seen and idle <= lead and (pause is None or gone < pause) and (longest is None or len(seen) <= longest):
        assert stream.text == reader.read(frames)


def test_frame_by_frame_ends_as_the_whole(tmp_path):
    "Through TFLite: the answer depends on every frame, and on how many there are."
    mean = convert(
        lambda tf, x: tf.one_hot(
            tf.cast(tf.cumsum(tf.where(tf.math.is_nan(x), 0.25, x), reverse=True)[:, 0], tf.int32) % 59, 60
        ),
        columns=["x_right_hand_0", "x_pose_0"],
    )
    reader = Reader(pack(tmp_path / "submission.zip", mean, ["x_right_hand_0", "x_pose_0"]))
    rng = np.random.default_rng(0)
    frames = np.where(rng.random((150, 2)) < 0.4, np.nan, rng.random((150, 2))).astype("float32")
    stream, texts = reader.stream(), []
    for frame in frames:
        texts.append(stream.add(frame))
    assert stream.finish() == reader.read(frames)
    assert 5 < len(set(texts)) < 30  # it reads now and then, not each time


def test_a_stream_refuses_what_read_refuses(good):
    stream = Reader(good).stream()
    with pytest.raises(ValueError, match=r"\(T, 2\)"):
        stream.add(np.zeros(3))
    with pytest.raises(ValueError, match="got arm"):
        stream.add({"arm": np.zeros((4, 3))})
    assert stream.finish() == ""
