"""Prepare under bad input, kills, full disks and many workers."""

import errno
import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aslkit.corpus as corpus_module
import aslkit.prepare as prepare_module
from aslkit.competition import LANDMARK_COLUMNS, METADATA_COLUMNS, DataError, ParameterError, SpaceError
from aslkit.corpus import Corpus, report_table
from aslkit.landmarks import LANDMARK_SETS
from aslkit.prepare import prepare

USED = sorted({column for chosen in LANDMARK_SETS.values() for column in chosen.columns})


def landmark_table(lengths: dict[int, int], columns: list[str]) -> pd.DataFrame:
    "Landmarks that depend on sequence_id and frame alone; the left hand is seen in every third frame."
    ids = np.repeat(list(lengths), list(lengths.values()))
    frames = np.concatenate([np.arange(n) for n in lengths.values()])
    values = np.sin(ids[:, None] * 1.7 + frames[:, None] * 0.1 + np.arange(len(columns)) * 0.01).astype(np.float32)
    hands = [j for j, column in enumerate(columns) if "_hand_" in column]
    values[np.ix_(frames % 3 > 0, hands)] = np.nan
    table = pd.DataFrame(values, columns=columns)
    table.insert(0, "frame", frames.astype(np.int16))
    return table.set_index(pd.Index(ids, name="sequence_id"))


def write_corpus(folder: Path, files: int = 3, clips: int = 4, columns=USED, row_group_size=None, arrange=None) -> Path:
    "A corpus in the competition's layout: `files` train files and a supplemental one; clip k has 5 + k frames."
    rows = {"train.csv": [], "supplemental_metadata.csv": []}
    for file in range(files + 1):
        kind, table = ("train", "train.csv") if file < files else ("supplemental", "supplemental_metadata.csv")
        ids = [1000 * (file + 1) + k for k in range(clips)]
        path = folder / f"{kind}_landmarks" / f"{file}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        landmarks = landmark_table({i: 5 + i % 1000 for i in ids}, list(columns))
        (arrange(landmarks) if arrange else landmarks).to_parquet(path, row_group_size=row_group_size)
        rows[table] += [(f"{kind}_landmarks/{file}.parquet", file, i, k % 3, f"+1-{i}") for k, i in enumerate(ids)]
    for name, table in rows.items():
        pd.DataFrame(table, columns=METADATA_COLUMNS).to_csv(folder / name, index=False)
    return folder


def quiet(data: Path, out: Path, **settings) -> dict:
    return prepare(data, out, progress=False, **({"workers": 1} | settings))


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> SimpleNamespace:
    "A sound corpus, prepared by one worker; nobody changes it."
    folder = tmp_path_factory.mktemp("whole")
    data = write_corpus(folder / "data")
    return SimpleNamespace(data=data, out=folder / "out", report=quiet(data, folder / "out"))


# ---- what comes out


@pytest.mark.parametrize("name", ["kit", "seed"])
def test_landmarks_are_the_files_in_half_precision(tmp_path, name):
    data = write_corpus(tmp_path / "data", files=1, columns=LANDMARK_COLUMNS)
    quiet(data, tmp_path / "out", landmark_set=name)
    corpus = Corpus(tmp_path / "out")
    assert corpus.landmark_set == LANDMARK_SETS[name]
    for row, clip in corpus.clips.iterrows():
        path = data / f"{clip['set']}_landmarks/{clip.file_id}.parquet"
        expected = pd.read_parquet(path).loc[clip.sequence_id, LANDMARK_SETS[name].columns].to_numpy().astype(np.float16)
        assert corpus.landmarks(row).dtype == np.float16
        np.testing.assert_array_equal(corpus.landmarks(row), expected.reshape(clip.frames, -1, 3))
        assert clip.hand_frames == -(-clip.frames // 3)
        assert (clip.frames, clip.kind) == (5 + clip.sequence_id % 1000, "phone")


def test_table_of_clips(whole):
    clips = Corpus(whole.out).clips
    assert list(clips) == ["sequence_id", "file_id", "participant_id", "phrase", "kind", "frames", "hand_frames", "set"]
    assert clips["set"].tolist() == ["train"] * 12 + ["supplemental"] * 4
    assert clips.sequence_id.tolist() == [1000 * file + k for file in (1, 2, 3, 4) for k in range(4)]
    assert clips.phrase.tolist() == [f"+1-{i}" for i in clips.sequence_id]
    assert whole.report["clips"] == len(clips) and whole.report["frames"] == clips.frames.sum()
    assert whole.report["set_aside"] == [] and whole.report["why"] == {}


def test_nothing_in_the_folder_names_the_machine(whole):
    assert not [name for name, content in files_in(whole.out).items() if str(whole.data.parent).encode() in content]


@pytest.mark.parametrize("rows", [1, 7, 1000])
@pytest.mark.parametrize("block", [1, 9, 20, 10**6])
def test_row_groups_and_blocks_do_not_matter(tmp_path, whole, monkeypatch, rows, block):
    "Row groups may cut a clip; blocks may begin in mid-group; a clip may be longer than a block."
    monkeypatch.setattr(prepare_module, "BLOCK", block)
    monkeypatch.setattr(prepare_module, "ROWS", 4)
    quiet(write_corpus(tmp_path / "data", row_group_size=rows), tmp_path / "out")
    plain, other = Corpus(whole.out), Corpus(tmp_path / "out")
    pd.testing.assert_frame_equal(other.clips, plain.clips)
    for row in range(len(plain)):
        np.testing.assert_array_equal(other.landmarks(row), plain.landmarks(row))


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_any_rows_of_any_layout(data):
    "Blocks of a file with row groups, nulls, other number types and an unusual order of columns."
    rows, group = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 25))
    rng = np.random.default_rng(rows)
    values = {name: rng.normal(size=rows).astype(np.float32) for name in "abcdefghijkl"}
    values |= {"b": rng.normal(size=rows), "c": rng.integers(-9, 9, rows)}  # double precision, whole numbers
    values["d"][rng.random(rows) < 0.4] = np.nan
    table = pa.table({name: pa.array(column, from_pandas=True) for name, column in values.items()})
    table = table.append_column("m", pa.nulls(rows))
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=group)
    columns = data.draw(st.permutations([*values, "m"]).map(lambda names: names[:11]))
    start = data.draw(st.integers(0, rows - 1))
    stop = data.draw(st.integers(start + 1, rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare_module, "ROWS", data.draw(st.integers(1, 30)))
        block = prepare_module._read_block(pq.ParquetFile(buffer), columns, start, stop)
    expected = [np.asarray(values.get(name, np.full(rows, np.nan)), np.float16)[start:stop] for name in columns]
    np.testing.assert_array_equal(block, np.stack(expected, axis=1))


def test_landmarks_are_views_of_the_file(whole):
    allocated = pa.total_allocated_bytes()
    corpus, again = Corpus(whole.out), Corpus(whole.out)
    views = [corpus.landmarks(row) for row in range(len(corpus))]
    assert pa.total_allocated_bytes() - allocated < sum(view.nbytes for view in views) / 20
    assert not any(view.flags.owndata or view.flags.writeable for view in views)
    assert corpus.landmarks(3).ctypes.data == views[3].ctypes.data != again.landmarks(3).ctypes.data
    last = views[-1]
    assert last.__array_interface__["data"][0] % 2 == 0 and last.flags.c_contiguous


# ---- workers, kills, changes


def test_any_number_of_workers_gives_the_same_bytes(tmp_path, whole):
    report = quiet(whole.data, tmp_path / "out", workers=2)
    assert files_in(tmp_path / "out") == files_in(whole.out)
    assert report == whole.report


def test_workers_do_not_load_a_framework():
    code = "import sys, aslkit.prepare; print(*{'keras', 'tensorflow', 'jax', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


SLOW_DISK = """
import os, sys, time
import aslkit.corpus as corpus
from aslkit.prepare import prepare

flush, calls = os.fsync, []
def slow(file):
    flush(file)
    calls.append(file)
    if len(calls) == int(sys.argv[3]):
        print("now", flush=True)
        time.sleep(60)
corpus.os.fsync = slow
prepare(sys.argv[1], sys.argv[2], workers=1, progress=False)
"""


@pytest.mark.parametrize("writes", [2, 5, 6])
def test_killed_before_a_rename(tmp_path, whole, writes):
    "Killed when the n-th file is written but not renamed: shards 1-4, report.json, corpus.json."
    out = tmp_path / "out"
    command = [sys.executable, "-c", SLOW_DISK, whole.data, out, str(writes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "now\n"
        process.kill()
    assert list(out.glob(".*.part")) and not (out / "corpus.json").exists()
    with pytest.raises(DataError, match="was not finished|no prepared corpus"):
        Corpus(out)
    report = quiet(whole.data, out)
    assert len(report["files"]["kept"]) == min(writes - 1, 4)
    assert files_in(out) == files_in(whole.out)


MANY = """
import sys
from aslkit.prepare import prepare

if __name__ == "__main__":
    prepare(sys.argv[1], sys.argv[2], workers=2, progress=False)
"""


def test_killed_with_several_workers(tmp_path):
    data, out = write_corpus(tmp_path / "data", files=5, clips=40), tmp_path / "out"
    quiet(data, tmp_path / "reference")
    script = tmp_path / "many.py"
    script.write_text(MANY)
    process = subprocess.Popen([sys.executable, script, data, out], start_new_session=True)
    while process.poll() is None and not list(out.glob("*.arrow")):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "corpus.json").exists()
    wait_for(lambda: not alive(process.pid))  # the workers end with their parent
    report = quiet(data, out, workers=2)
    assert report["files"]["kept"] and report["files"]["done"]
    assert files_in(out) == files_in(tmp_path / "reference")


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition, seconds: float = 10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_changes_are_noticed_and_said(tmp_path):
    data, out = write_corpus(tmp_path / "data"), tmp_path / "out"
    quiet(data, out)
    path = data / "train_landmarks/1.parquet"
    pd.read_parquet(path).assign(x_pose_11=np.float32(2)).to_parquet(path)
    assert quiet(data, out)["files"]["rebuilt"] == {"train_landmarks/1.parquet": "its landmark file has changed"}
    rows = pd.read_csv(data / "train.csv").replace({"phrase": {"+1-1002": "ada"}})
    rows.to_csv(data / "train.csv", index=False)
    assert quiet(data, out)["files"]["rebuilt"] == {"train_landmarks/0.parquet": "its rows in the tables have changed"}
    shard = out / "train_landmarks-2.arrow"
    shard.write_bytes(shard.read_bytes()[:-100])
    assert quiet(data, out)["files"]["rebuilt"] == {"train_landmarks/2.parquet": "it was damaged"}
    report = quiet(data, out, landmark_set="seed")
    assert list(report["files"]["rebuilt"].values()) == ["it was made with another landmark set"] * 4
    quiet(data, tmp_path / "fresh", landmark_set="seed")
    assert files_in(out) == files_in(tmp_path / "fresh")


# ---- full disks


def test_full_disk(tmp_path, whole, monkeypatch):
    out, flush, calls = tmp_path / "out", os.fsync, itertools.count(1)

    def full(file):
        if next(calls) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(file)

    monkeypatch.setattr(corpus_module.os, "fsync", full)
    with pytest.raises(SpaceError, match="disk is full.*free some space") as caught:
        quiet(whole.data, out)
    assert str(out) in str(caught.value) and "\n" not in str(caught.value)
    assert sorted(files_in(out)) == ["train_landmarks-0.arrow", "train_landmarks-1.arrow"]
    assert len(quiet(whole.data, out)["files"]["kept"]) == 2
    assert files_in(out) == files_in(whole.out)


def test_final_names_come_by_renaming(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(corpus_module.os, "replace", lambda part, path: None)
    with pytest.raises(FileNotFoundError):
        quiet(whole.data, tmp_path / "out")
    assert files_in(tmp_path / "out") == {}


@pytest.mark.parametrize("workers", [1, 2])
def test_really_full_disk(tmp_path, whole, monkeypatch, workers):
    out = tmp_path / "small"
    out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(out)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        with pytest.raises(SpaceError, match="0.0 GB are needed and 0.0 GB are free; free some space"):
            quiet(whole.data, out, workers=workers)
        assert files_in(out) == {}
        monkeypatch.setattr(prepare_module.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10**12))
        with pytest.raises(SpaceError, match="disk is full"):
            quiet(whole.data, out, workers=workers)
        assert all(name.endswith(".arrow") for name in files_in(out))
    finally:
        subprocess.run(["umount", "-l", str(out)], check=True)


def test_two_runs_into_one_folder(tmp_path, whole):
    out = tmp_path / "out"
    command = [sys.executable, "-c", SLOW_DISK, whole.data, out, "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "now\n"
        with pytest.raises(DataError, match="another run is preparing into this folder; wait for it"):
            quiet(whole.data, out)
        assert list(out.glob(".*.part"))  # the first one's work is left alone
        process.kill()
    quiet(whole.data, out)
    assert files_in(out) == files_in(whole.out)


# ---- broken input


FILE = "train_landmarks/1.parquet"


def replace(column: str, values: dict) -> Callable[[Path], None]:
    "Change values of train.csv."

    def change(folder):
        rows = pd.read_csv(folder / "train.csv", dtype=str)
        rows[column] = rows[column].replace(values)
        rows.to_csv(folder / "train.csv", index=False)

    return change


def tables(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    "Change the rows of train.csv."

    def spoil(folder):
        change(pd.read_csv(folder / "train.csv", dtype=str)).to_csv(folder / "train.csv", index=False)

    return spoil


def table(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    "Change the rows and columns of one landmark file."
    return lambda folder: change(pd.read_parquet(folder / FILE)).to_parquet(folder / FILE)


def content(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    "Change the bytes of one landmark file."
    return lambda folder: (folder / FILE).write_bytes(change((folder / FILE).read_bytes()))


def spoil(whole: bytes) -> bytes:
    "Overwrite one column of the left hand; all that is looked at before landmarks are read stays."
    group = pq.ParquetFile(io.BytesIO(whole)).metadata.row_group(0)
    column = next(group.column(i) for i in range(group.num_columns) if group.column(i).path_in_schema == "x_left_hand_0")
    start, size = column.dictionary_page_offset, column.total_compressed_size
    return whole[:start] + b"\xff" * size + whole[start + size :]


def clip(number: int, value: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    "All landmarks of a clip."

    def change(landmarks):
        landmarks.loc[number, USED] = value
        return landmarks

    return change


def parts(*order: slice) -> Callable[[pd.DataFrame], pd.DataFrame]:
    "The rows of a file in another order; its clips are rows 0-4, 5-10, 11-17 and 18-25."
    return lambda landmarks: pd.concat([landmarks[part] for part in order])


BROKEN = {  # what is done; kind, clips that are lost, words of the sentence
    "no column": (table(lambda t: t.drop(columns="y_right_hand_8")), "missing column", 4, [FILE, "column y_right_hand_8:"]),
    "no frame": (table(lambda t: t.drop(columns="frame")), "missing column", 4, [FILE, "column frame: the column is missing"]),
    "no id": (table(lambda t: t.reset_index(drop=True)), "missing column", 4, [FILE, "column sequence_id: the column is"]),
    "text": (table(lambda t: t.assign(x_pose_11="far")), "wrong type", 4, ["x_pose_11: the column holds", "of numbers"]),
    "ids in halves": (table(lambda t: t.set_index(t.index * 1.0)), "wrong type", 4, ["holds double instead of whole numbers"]),
    "half": (content(lambda b: b[: len(b) // 2]), "unreadable file", 4, [FILE, "cut short", "download it again"]),
    "no tail": (content(lambda b: b[:-1]), "unreadable file", 4, [FILE, "cut short"]),
    "empty": (content(lambda b: b""), "unreadable file", 4, [FILE, "cut short"]),
    "footer": (content(lambda b: b[:-300] + b"\xff" * 292 + b[-8:]), "unreadable file", 4, [FILE, "cannot be read"]),
    "spoilt": (content(spoil), "unreadable file", 4, [FILE, "cannot be read"]),
    "absent": (lambda folder: (folder / FILE).unlink(), "missing file", 4, [FILE, "no such file"]),
    "no rows": (table(lambda t: t[:0]), "file without rows", 4, [FILE, "the file has no rows"]),
    "nan": (table(clip(2001, np.nan)), "nothing seen", 1, [FILE, "nothing is seen in any frame of clip 2001"]),
    "zeros": (table(clip(2003, 0.0)), "nothing seen", 1, [FILE, "nothing is seen in any frame of clip 2003"]),
    "backwards": (table(parts(slice(5), slice(10, 4, -1), slice(11, 26))), "frames out of order", 1, [FILE, "clip 2001"]),
    "a frame twice": (table(lambda t: t.assign(frame=t.frame.mask(t.frame == 7, 6))), "frames out of order", 1, ["clip 2003"]),
    "split": (table(parts(slice(7), slice(11, 26), slice(7, 11))), "split clip", 1, ["clip 2001 lie in 2 places"]),
    "phrase": (replace("phrase", {"+1-2001": "Über"}), "unknown character", 1, ["train.csv, row 6, column phrase", "'Ü'"]),
    "no phrase": (replace("phrase", {"+1-2001": ""}), "empty phrase", 1, ["row 6, column phrase: the phrase is empty"]),
    "row without frames": (
        tables(lambda t: pd.concat([t, t.iloc[[5]].assign(sequence_id="77")])),
        "clip without frames", 0, ["train.csv, row 13, column sequence_id: the clip 77 has no frames in " + FILE],
    ),
    "same row twice": (tables(lambda t: pd.concat([t, t.iloc[[5]]])), "repeated sequence_id", 0, ["row 13", "rows 6, 13"]),
    "frames without a row": (tables(lambda t: t.drop(index=5)), "frames without a row", 1, ["1 of its clips", "first 2001"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_input(tmp_path, whole, name):
    spoil_corpus, kind, lost, words = BROKEN[name]
    data, out = shutil.copytree(whole.data, tmp_path / "data"), tmp_path / "out"
    spoil_corpus(data)
    report = quiet(data, out)
    assert report["clips"] == len(Corpus(out)) == 16 - lost
    (entry,) = report["set_aside"]
    assert (entry["kind"], entry["clips"]) == (kind, max(lost, 1)) and report["why"] == {kind: max(lost, 1)}
    assert all(word in entry["sentence"] for word in words) and "\n" not in entry["sentence"]
    assert json.loads((out / "report.json").read_text())["set_aside"] == report["set_aside"]
    for _ in range(2):  # from scratch or resumed: the same
        assert quiet(data, tmp_path / "again")["set_aside"] == report["set_aside"]
    assert files_in(tmp_path / "again") == files_in(out)
    sound, rest = Corpus(whole.out), Corpus(out)
    kept = sound.clips.sequence_id.isin(rest.clips.sequence_id)
    for row, other in enumerate(np.flatnonzero(kept)):
        np.testing.assert_array_equal(rest.landmarks(row), sound.landmarks(other))
    for place in (out, tmp_path / "strict"):  # a shard made by setting aside does not hide the problem
        with pytest.raises(DataError) as caught:
            quiet(data, place, strict=True)
        sentence = str(caught.value)
        assert str(data) in sentence and "or leave out `--strict`" in sentence and "\n" not in sentence
        assert all(word in sentence for word in words)
    assert (tmp_path / "strict").exists() == (name == "spoilt")  # the only one that shows while landmarks are read


def test_two_rows_that_disagree(tmp_path):
    data = write_corpus(tmp_path / "data")
    replace("sequence_id", {"2002": "2001"})(data)
    report = quiet(data, tmp_path / "out")
    assert report["why"] == {"repeated sequence_id": 2, "frames without a row": 1} and report["clips"] == 14
    assert [entry["row"] for entry in report["set_aside"]] == [6, 7, None]
    assert {2001, 2002}.isdisjoint(Corpus(tmp_path / "out").clips.sequence_id)


def test_one_landmark_file_in_both_tables(tmp_path):
    "Its clips cannot be train and supplemental at once."
    data = write_corpus(tmp_path / "data", files=2)
    shutil.copy(data / "train.csv", data / "supplemental_metadata.csv")
    rows = pd.read_csv(data / "supplemental_metadata.csv")
    rows[:1].to_csv(data / "supplemental_metadata.csv", index=False)
    report = quiet(data, tmp_path / "out")
    assert report["why"] == {"repeated sequence_id": 2} and report["clips"] == 7


def test_all_broken_at_once(tmp_path):
    "Eleven kinds of trouble, each once, over several files; everything else is kept, bit for bit."
    data = write_corpus(tmp_path / "data", files=12)
    shutil.copytree(data, tmp_path / "sound")
    quiet(tmp_path / "sound", tmp_path / "sound_out")
    files = [f"train_landmarks/{i}.parquet" for i in range(12)]

    def change(number: int, what: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        what(pd.read_parquet(data / files[number])).to_parquet(data / files[number])

    (data / files[0]).write_bytes((data / files[0]).read_bytes()[:5000])
    change(1, lambda t: t.drop(columns="x_pose_11"))
    change(2, lambda t: t.assign(z_pose_12="near"))
    change(3, clip(4002, np.nan))
    change(4, lambda t: t[:0])
    change(5, parts(slice(5), slice(10, 4, -1), slice(11, 26)))
    change(6, parts(slice(7), slice(11, 26), slice(7, 11)))
    change(9, lambda t: t.drop(index=10_001))
    replace("sequence_id", {"8002": "8001"})(data)
    replace("phrase", {"+1-9001": "Über"})(data)
    tables(lambda t: t[t.sequence_id != "11003"])(data)
    report = quiet(data, tmp_path / "out", workers=2)
    assert report["why"] == {
        "repeated sequence_id": 2, "unknown character": 1, "unreadable file": 4, "missing column": 4, "wrong type": 4,
        "nothing seen": 1, "file without rows": 4, "frames out of order": 1, "split clip": 1,
        "frames without a row": 2, "clip without frames": 1,
    }  # fmt: skip
    lost = {1000, 1001, 1002, 1003, 2000, 2001, 2002, 2003, 3000, 3001, 3002, 3003, 4002, 5000, 5001, 5002, 5003, 6001, 7001}
    lost |= {8001, 8002, 9001, 10_001, 11_003}
    sound, rest = Corpus(tmp_path / "sound_out"), Corpus(tmp_path / "out")
    kept = np.flatnonzero(~sound.clips.sequence_id.isin(lost))
    assert report["clips"] == len(rest) == len(kept) == 52 - 24
    for row, other in enumerate(kept):
        assert rest.clips.sequence_id[row] == sound.clips.sequence_id[other]
        np.testing.assert_array_equal(rest.landmarks(row), sound.landmarks(other))
    shown = report_table(report)
    assert shown.what.tolist() == ["kept", *report["why"]] and shown.clips.tolist() == [28, *report["why"].values()]


@pytest.mark.parametrize("strict", [True, False])
def test_nothing_left_is_an_error(tmp_path, strict):
    data = write_corpus(tmp_path / "data", files=1)
    (data / "supplemental_metadata.csv").unlink()
    (data / "train_landmarks/0.parquet").write_bytes(b"")
    with pytest.raises(DataError, match="cut short"):
        quiet(data, tmp_path / "out", strict=strict)
    (data / "train.csv").write_text("path,file_id,sequence_id,participant_id,phrase\n")
    with pytest.raises(DataError, match="train.csv: the table has no rows"):
        quiet(data, tmp_path / "out", strict=strict)
    (data / "train.csv").unlink()
    with pytest.raises(DataError, match="train.csv: no such file"):
        quiet(data, tmp_path / "out", strict=strict)
    assert not (tmp_path / "out").exists()


def test_other_mistakes(tmp_path, whole):
    with pytest.raises(ParameterError, match="'kitt'.*kit, seed"):
        quiet(whole.data, tmp_path / "out", landmark_set="kitt")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="not a folder"):
        quiet(whole.data, tmp_path / "file")
    with pytest.raises(DataError, match="out: the folder cannot be made .Not a directory.; choose another place"):
        quiet(whole.data, tmp_path / "file" / "out")
    data = write_corpus(tmp_path / "data", files=1)
    (data / "character_to_prediction_index.json").write_text('{"a": 0}')
    with pytest.raises(DataError, match="59 characters"):
        quiet(data, tmp_path / "out")


def test_opening_what_is_no_corpus(tmp_path, whole):
    with pytest.raises(DataError, match="no prepared corpus; run `aslkit prepare`"):
        Corpus(tmp_path / "nowhere")
    out = tmp_path / "out"
    quiet(whole.data, out)
    about, shard = out / "corpus.json", out / "train_landmarks-1.arrow"
    whole_shard, whole_about = shard.read_bytes(), about.read_text()
    for content in (whole_shard[:-1], (out / "train_landmarks-0.arrow").read_bytes()):
        shard.write_bytes(content)
        with pytest.raises(DataError, match="train_landmarks-1.arrow: the file is not the one"):
            Corpus(out)
    shard.unlink()
    with pytest.raises(DataError, match="train_landmarks-1.arrow: the file is missing"):
        Corpus(out)
    shard.write_bytes(whole_shard)
    for old, new, words in (('"version": 2', '"version": 0', "layout 0"), ("x_left_hand_0", "x_left", "another landmark set"),
                            ("{", "", "not JSON")):  # fmt: skip
        about.write_text(whole_about.replace(old, new, 1))
        with pytest.raises(DataError, match=words):
            Corpus(out)
    about.unlink()
    with pytest.raises(DataError, match="was not finished here; run `aslkit prepare` again"):
        Corpus(out)
