"""Prepare under bad input, kills, full disks and many workers; splits and batches over many cases."""

import errno
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
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aslkit.corpus as corpus_module
from aslkit.competition import BLANK, LANDMARK_COLUMNS, METADATA_COLUMNS, DataError, ParameterError, SpaceError, decode
from aslkit.corpus import Batches, Corpus, check_no_leak, hold_out_signers, plan_batches, prepare, thin
from aslkit.landmarks import LANDMARK_SETS

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
    assert whole.report["set_aside"] == whole.report["notes"] == []


def test_nothing_in_the_folder_names_the_machine(whole):
    assert not [name for name, content in files_in(whole.out).items() if str(whole.data.parent).encode() in content]


def split_over_groups(table: pd.DataFrame) -> pd.DataFrame:
    "The last two frames of every clip go to the end of the file."
    last = table.groupby(level=0).cumcount(ascending=False) < 2
    return pd.concat([table[~last], table[last]])


def unsorted_frames(table: pd.DataFrame) -> pd.DataFrame:
    return table.iloc[np.concatenate([positions[::-1] for positions in table.groupby(level=0).indices.values()])]


LAYOUTS = {
    "one row a group": dict(row_group_size=1),
    "clips cut by groups": dict(row_group_size=7),
    "split": dict(arrange=split_over_groups),
    "split over groups": dict(arrange=split_over_groups, row_group_size=5),
    "unsorted": dict(arrange=unsorted_frames),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_row_layout_does_not_matter(tmp_path, whole, layout):
    report = quiet(write_corpus(tmp_path / "data", **layout), tmp_path / "out")
    plain, other = Corpus(whole.out), Corpus(tmp_path / "out")
    pd.testing.assert_frame_equal(other.clips, plain.clips)
    for row in range(len(plain)):
        np.testing.assert_array_equal(other.landmarks(row), plain.landmarks(row))
    assert len(report["notes"]) == (4 if "arrange" in layout else 0)
    assert all("4 clips were split or out of order" in note["note"] for note in report["notes"])


def test_rows_beyond_one_read(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(corpus_module, "ROWS", 6)
    quiet(whole.data, tmp_path / "out")
    assert files_in(tmp_path / "out") == files_in(whole.out)


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
    code = "import sys, aslkit.corpus; print(*{'keras', 'tensorflow', 'jax', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


SLOW_DISK = """
import os, sys, time
import aslkit.corpus as corpus

flush, calls = os.fsync, []
def slow(file):
    flush(file)
    calls.append(file)
    if len(calls) == int(sys.argv[3]):
        print("now", flush=True)
        time.sleep(60)
corpus.os.fsync = slow
corpus.prepare(sys.argv[1], sys.argv[2], workers=1, progress=False)
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
from aslkit.corpus import prepare

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
def test_really_full_disk(tmp_path, whole, workers):
    out = tmp_path / "small"
    out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(out)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        with pytest.raises(SpaceError, match="disk is full"):
            quiet(whole.data, out, workers=workers)
        assert all(name.endswith(".arrow") for name in files_in(out))
    finally:
        subprocess.run(["umount", "-l", str(out)], check=True)


# ---- broken input


FILE = "train_landmarks/1.parquet"


def replace(column: str, values: dict) -> Callable[[Path], None]:
    "Change values of train.csv."

    def change(folder):
        rows = pd.read_csv(folder / "train.csv", dtype=str)
        rows[column] = rows[column].replace(values)
        rows.to_csv(folder / "train.csv", index=False)

    return change


def table(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    "Change the rows and columns of one landmark file."
    return lambda folder: change(pd.read_parquet(folder / FILE)).to_parquet(folder / FILE)


def content(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    "Change the bytes of one landmark file."
    return lambda folder: (folder / FILE).write_bytes(change((folder / FILE).read_bytes()))


def spoil(whole: bytes) -> bytes:
    "Overwrite the first columns; footer and sequence_id stay."
    half = (len(whole) - int.from_bytes(whole[-8:-4], "little")) // 2
    return whole[:4] + b"\xff" * (half - 4) + whole[half:]


BROKEN = {  # what is done, what the sentence says, clips that are lost
    "no column": (table(lambda t: t.drop(columns="y_right_hand_8")), [FILE, "column y_right_hand_8: the column is missing"], 4),
    "no frame": (table(lambda t: t.drop(columns="frame")), [FILE, "column frame: the column is missing"], 4),
    "no id": (table(lambda t: t.reset_index(drop=True)), [FILE, "column sequence_id: the column is missing"], 4),
    "text": (table(lambda t: t.assign(x_pose_11="far")), [FILE, "column x_pose_11: the column holds", "instead of numbers"], 4),
    "half": (content(lambda b: b[: len(b) // 2]), [FILE, "cut short", "download it again"], 4),
    "no tail": (content(lambda b: b[:-1]), [FILE, "cut short"], 4),
    "empty": (content(lambda b: b""), [FILE, "cut short"], 4),
    "footer": (content(lambda b: b[:-300] + b"\xff" * 292 + b[-8:]), [FILE, "cannot be read"], 4),
    "spoilt": (content(spoil), [FILE, "cannot be read"], 4),
    "absent": (lambda folder: (folder / FILE).unlink(), [FILE, "no such file"], 4),
    "phrase": (replace("phrase", {"+1-2001": "Über"}), ["train.csv, row 6, column phrase", "'Ü'"], 1),
    "twice": (replace("sequence_id", {"2002": "2001"}), ["train.csv, row 7, column sequence_id", "earlier row"], 1),
    "no frames": (replace("sequence_id", {"2002": "77"}), ["train.csv, row 7, column sequence_id", f"no frames in {FILE}"], 1),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_input(tmp_path, whole, name):
    spoil_corpus, words, lost = BROKEN[name]
    data, out = shutil.copytree(whole.data, tmp_path / "data"), tmp_path / "out"
    spoil_corpus(data)
    started = time.monotonic()
    with pytest.raises(DataError) as caught:
        quiet(data, out)
    sentence = str(caught.value)
    assert all(word in sentence for word in [*words, str(data), "--set-aside"]) and "\n" not in sentence
    if name == "spoilt":  # the only one that shows while landmarks are read
        assert list(files_in(out)) == ["train_landmarks-0.arrow"]
    else:
        assert not out.exists() and time.monotonic() - started < 1
    report = quiet(data, out, strict=False)
    assert report["clips"] == len(Corpus(out)) == 16 - lost
    (entry,) = report["set_aside"]
    assert entry["clips"] == lost and all(word in entry["sentence"] for word in words)
    assert json.loads((out / "report.json").read_text())["set_aside"] == report["set_aside"]
    for _ in range(2):  # from scratch or resumed: the same
        assert quiet(data, tmp_path / "again", strict=False)["set_aside"] == report["set_aside"]
    assert files_in(tmp_path / "again") == files_in(out)
    with pytest.raises(DataError, match="--set-aside"):  # a shard made by setting aside does not hide the problem
        quiet(data, out)
    sound, rest = Corpus(whole.out), Corpus(out)
    kept = sound.clips.sequence_id.isin(rest.clips.sequence_id)
    for row, other in enumerate(np.flatnonzero(kept)):
        np.testing.assert_array_equal(rest.landmarks(row), sound.landmarks(other))


def test_all_broken_at_once(tmp_path):
    data = write_corpus(tmp_path / "data", files=6)
    replace("phrase", {"+1-1001": "Über", "+1-2002": "Å"})(data)
    (data / "train_landmarks/2.parquet").write_bytes(b"PAR1")
    (data / "train_landmarks/3.parquet").unlink()
    replace("sequence_id", {"5003": "5002", "6000": "9"})(data)
    report = quiet(data, tmp_path / "out", strict=False, workers=2)
    assert [(entry["file"], entry["row"], entry["clips"]) for entry in report["set_aside"]] == [
        ("train.csv", 2, 1), ("train.csv", 7, 1), ("train.csv", 20, 1),
        ("train_landmarks/2.parquet", None, 4), ("train_landmarks/3.parquet", None, 4), ("train.csv", 21, 1),
    ]  # fmt: skip
    assert report["clips"] == 28 - 12
    assert [note["file"] for note in report["notes"]] == ["train_landmarks/4.parquet", "train_landmarks/5.parquet"]


def test_frames_without_a_row_are_noted(tmp_path):
    data = write_corpus(tmp_path / "data", files=1)
    rows = pd.read_csv(data / "train.csv")
    rows[rows.sequence_id != 1001].to_csv(data / "train.csv", index=False)
    for _ in range(2):  # also when the shard is kept
        report = quiet(data, tmp_path / "out")
        assert report["clips"] == 7 and report["set_aside"] == []
        assert [note["file"] for note in report["notes"]] == ["train_landmarks/0.parquet"]
        assert "frames of 1 clips without a row" in report["notes"][0]["note"] and "1001" in report["notes"][0]["note"]


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
    for old, new, words in (('"version": 1', '"version": 0', "layout 0"), ("x_left_hand_0", "x_left", "another landmark set"),
                            ("{", "", "not JSON")):  # fmt: skip
        about.write_text(whole_about.replace(old, new, 1))
        with pytest.raises(DataError, match=words):
            Corpus(out)
    about.unlink()
    with pytest.raises(DataError, match="was not finished here; run `aslkit prepare` again"):
        Corpus(out)


# ---- splits


def clip_table(signers: list[int], supplemental: list[int] = ()) -> pd.DataFrame:
    who = [*signers, *supplemental]
    kind = ["train"] * len(signers) + ["supplemental"] * len(supplemental)
    return pd.DataFrame({"participant_id": who, "set": kind, "phrase": [f"{i}" for i in range(len(who))]})


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=7), st.floats(0.01, 0.99), st.integers(0, 5))
def test_held_out_share_is_the_nearest(counts, share, seed):
    signers = np.repeat(np.arange(len(counts)), counts).tolist()
    clips = clip_table(signers, supplemental=[0, 1, 99])
    train, held = hold_out_signers(clips, share, seed)
    check_no_leak(clips, train, held)
    assert set(clips["set"].iloc[held]) == {"train"} and "train" in set(clips["set"].iloc[train])
    others = np.setdiff1d(np.arange(len(clips)), np.r_[train, held])  # supplemental clips of held-out signers
    assert set(clips.participant_id.iloc[others]) <= set(clips.participant_id.iloc[held])
    sums = (sum(some) for n in range(1, len(counts)) for some in itertools.combinations(counts, n))
    target = share * sum(counts)
    assert abs(len(held) - target) == pytest.approx(min(abs(s - target) for s in sums))


def test_hold_out_is_decided_by_the_seed():
    clips = clip_table(list(range(40)) * 3)
    held = [tuple(hold_out_signers(clips, 0.2, seed)[1]) for seed in (0, 0, 1, 2)]
    assert held[0] == held[1] and len(set(held)) == 3
    with pytest.raises(DataError, match="1 signer"):
        hold_out_signers(clip_table([4, 4]))
    with pytest.raises(ValueError, match="share"):
        hold_out_signers(clips, share=1.0)


def test_leaks_are_found():
    clips = clip_table([1, 1, 2, 2, 3]).assign(phrase=["a", "b", "a", "c", "d"])
    check_no_leak(clips, [0, 1, 4], [2, 3])
    with pytest.raises(DataError, match="column participant_id: 1 of"):
        check_no_leak(clips, [0, 1, 2], [3])
    with pytest.raises(DataError, match="column phrase.*'a'"):
        check_no_leak(clips, [0, 1, 4], [2, 3], phrases=True)
    check_no_leak(clips, [1, 4], [2, 3], phrases=True)


# ---- batches


def stand_in(lengths: list[int], phrases: list[str]) -> SimpleNamespace:
    "What `Batches` needs of a corpus; one point, x = clip, y = frame."

    def landmarks(row):
        clip = np.zeros((lengths[row], 1, 3), np.float16)
        clip[:, 0, 0], clip[:, 0, 1] = row, np.arange(lengths[row])
        return clip

    clips = pd.DataFrame({"frames": lengths, "phrase": phrases})
    return SimpleNamespace(clips=clips, landmarks=landmarks, landmark_set=SimpleNamespace(points=("left_hand_0",)))


corpora = st.lists(st.tuples(st.integers(1, 30), st.text("ab 1", max_size=40)), min_size=1, max_size=40)
BUCKETS = (4, 9, 20)


@settings(deadline=None, max_examples=30)
@given(corpora, st.integers(1, 7), st.data())
def test_batches_for_evaluation(clips, batch_size, data):
    lengths, phrases = map(list, zip(*clips, strict=True))
    rows = data.draw(st.lists(st.sampled_from(range(len(clips))), min_size=1, unique=True))
    batches = Batches(stand_in(lengths, phrases), rows, batch_size, BUCKETS)
    longest = max(32, -(-max(map(len, phrases)) // 8) * 8)
    seen, filled, room = [], 0, 0
    for index in range(len(batches)):
        inputs, labels = batches[index]
        B, T = inputs["landmarks"].shape[:2]
        assert T in BUCKETS and B <= batch_size and labels["classes"].shape == (B, longest)
        assert [a.dtype.name for a in (inputs | labels).values()] == ["float16", "int32", "int32", "int32"]
        for b, row in enumerate(batches.rows(index)):
            clip = thin(np.arange(lengths[row]), T)
            assert inputs["frames"][b] == len(clip) and (T == BUCKETS[0] or BUCKETS[BUCKETS.index(T) - 1] < lengths[row])
            np.testing.assert_array_equal(inputs["landmarks"][b, : len(clip), 0, 1], clip)
            assert (inputs["landmarks"][b, : len(clip), 0, 0] == row).all()
            assert np.isnan(inputs["landmarks"][b, len(clip) :]).all()
            assert labels["characters"][b] == len(phrases[row]) and decode(labels["classes"][b]) == phrases[row]
            assert (labels["classes"][b, len(phrases[row]) :] == BLANK).all()
            filled += len(clip)
        seen += batches.rows(index).tolist()
        room += B * T
    assert sorted(seen) == sorted(rows)
    assert batches.padding_share == pytest.approx(1 - filled / room)


@settings(deadline=None, max_examples=30)
@given(corpora, st.integers(1, 7), st.integers(0, 3), st.integers(0, 3))
def test_batches_for_training(clips, batch_size, seed, epoch):
    lengths, phrases = map(list, zip(*clips, strict=True))
    batches = Batches(stand_in(lengths, phrases), range(len(clips)), batch_size, BUCKETS, seed)
    for _ in range(epoch):
        batches.on_epoch_end()
    resumed = Batches(stand_in(lengths, phrases), range(len(clips)), batch_size, BUCKETS, seed)
    resumed.epoch = epoch
    drawn = [batches.rows(index) for index in range(len(batches))]
    assert all((a == b).all() for a, b in zip(drawn, map(resumed.rows, range(len(resumed))), strict=True))
    assert {batches[index][0]["landmarks"].shape[0] for index in range(len(batches))} == {batch_size}
    assert len(batches) == -(-len(clips) // batch_size)  # so fewer than one batch of clips comes twice
    assert set(np.concatenate(drawn)) == set(range(len(clips)))
    for index, rows in enumerate(drawn):  # nobody is thinned who would have fitted
        assert (batches[index][0]["frames"] == np.minimum([lengths[row] for row in rows], BUCKETS[-1])).all()
    shapes = [batches[index][0]["landmarks"].shape for index in range(len(batches))]
    assert len(set(shapes)) == 1 or shapes[0] != shapes[1]


def test_shuffling_is_global_and_changes():
    bucket = np.repeat([0, 1, 2], 100)
    plans = [plan_batches(bucket, 8, np.random.default_rng([0, epoch])) for epoch in (0, 0, 1)]
    order = [[k for k, _ in plan] for plan in plans]
    assert order[0] == order[1] != order[2] and order[0] != sorted(order[0])
    together = [{frozenset(clips) for _, clips in plan} for plan in plans]
    assert together[0] == together[1] and not together[0] & together[2]


def test_batches_refuse_nonsense():
    clips = stand_in([3, 4], ["a", "b"])
    with pytest.raises(ValueError, match="`rows` is empty"):
        Batches(clips, [])
    with pytest.raises(ValueError, match="`buckets`"):
        Batches(clips, [0], buckets=(9, 4))


def test_keras_takes_the_batches_in_order():
    "Several shapes in one fit, each epoch in its own order, nothing fetched in the wrong epoch."
    import keras

    keras.utils.set_random_seed(0)
    frames = keras.Input((None, 1, 3), name="landmarks", dtype="float16")
    count = keras.Input((), name="frames", dtype="int32")
    mean = keras.ops.mean(keras.ops.nan_to_num(keras.ops.cast(frames, "float32")), axis=(1, 2))
    model = keras.Model({"landmarks": frames, "frames": count}, {"characters": keras.layers.Dense(1)(mean)})
    model.compile("sgd", loss={"characters": "mse"})
    asked = []

    class Watched(Batches):
        def __getitem__(self, index):
            asked.append((self.epoch, *self.rows(index)))
            inputs, labels = super().__getitem__(index)
            return inputs, {"characters": labels["characters"]}

    lengths = [3] * 9 + [8] * 5 + [15] * 4
    batches = Watched(stand_in(lengths, ["ab"] * 18), range(18), 2, BUCKETS, seed=1)
    number = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: setattr(batches, "epoch", epoch))
    model.fit(batches, epochs=5, initial_epoch=2, shuffle=False, verbose=0, callbacks=[number])
    expected = []
    for epoch in (2, 3, 4):
        batches.epoch = epoch
        expected += [(epoch, *batches.rows(index)) for index in range(len(batches))]
    assert asked[-len(expected) :] == expected  # before, Keras looked at one or two batches for their shapes
    assert len(asked) <= len(expected) + 2
