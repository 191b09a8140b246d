"Recordings of one's own: from any file to a clip, to a corpus, to text; the tracker with stand-ins for MediaPipe and OpenCV."

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aslkit.competition import ASPECT, LANDMARK_COLUMNS, POINT_COUNTS, POINTS, DataError, KitError, read_metadata
from aslkit.corpus import Corpus
from aslkit.hands import read_pose, recordings
from aslkit.prepare import prepare
from aslkit.recordings import (
    RATE,
    check_recording,
    open_recording,
    resampled,
    save_corpus,
    sequence_ids,
    upright,
    write_example,
)
from aslkit.track import MEDIAPIPE_PYTHON, mediapipe_python, track_video

ROOT = Path(__file__).parent.parent
RIGHT = slice(POINTS.index("right_hand_0"), POINTS.index("right_hand_0") + 21)
LEFT = slice(POINTS.index("left_hand_0"), POINTS.index("left_hand_0") + 21)


def bones(hands):
    "Lengths (T, 20) of what lies between neighbouring points, in parts of the palm; the hand in units of one kind."
    palm = np.linalg.norm(hands[:, 9] - hands[:, 0], axis=1)
    return np.linalg.norm(np.diff(hands, axis=1), axis=2) / palm[:, None]


def films(folder, size, fps=30, irises=0):
    "An .npz and a .pose file of the same real letter in a picture of some size, and the hand (T, 21, 3) in pixels."
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

    width, height = size
    pixels = recordings()["y"][4:16] - recordings()["y"][4:5, 532:533] + [width / 2, height / 2, 0]
    parts = {"pose": pixels[:, :33], "face": pixels[:, 33 : 501 + irises], "right_hand": pixels[:, 532:553]}
    seconds = np.arange(len(pixels)) / fps
    np.savez(folder / "me.npz", **{p: v / [width, height, width] for p, v in parts.items()}, seconds=seconds, size=size)
    headers = {"POSE_LANDMARKS": "pose", "FACE_LANDMARKS": "face", "RIGHT_HAND_LANDMARKS": "right_hand"}
    components = [
        PoseHeaderComponent(h, [str(i) for i in range(parts[p].shape[1])], [], [], "XYZC") for h, p in headers.items()
    ]
    points = np.concatenate([parts[part] for part in headers.values()], 1)[:, None] / [1, 1, width]
    seen = np.isfinite(points).all(3)
    body = NumPyPoseBody(
        fps, np.ma.masked_array(np.nan_to_num(points), ~np.repeat(seen[..., None], 3, 3)), seen.astype("float32")
    )
    with open(folder / "me.pose", "wb") as file:
        Pose(PoseHeader(0.2, PoseHeaderDimensions(width, height, 0), components), body).write(file)
    return pixels[:, 532:553]


# --- geometry and pace


@settings(deadline=None, max_examples=60)
@given(st.floats(100, 4000), st.floats(100, 4000), st.integers(0, 2**32 - 1))
def test_proportions_survive_any_picture(width, height, seed):
    hand = np.random.default_rng(seed).normal(0, 60, (3, 21, 3)) + [width / 2, height / 2, 0]
    found = upright(hand / [width, height, width], width, height)
    np.testing.assert_allclose(bones(found * [1, ASPECT, 1]), bones(hand), rtol=1e-6)
    np.testing.assert_allclose(found[..., 1], hand[..., 1] / height)
    np.testing.assert_allclose(upright(np.array([0.5, 0.3, 0.0]), width, height), [0.5, 0.3, 0])


@settings(deadline=None, max_examples=60)
@given(st.floats(8, 120), st.integers(2, 90), st.integers(0, 2**32 - 1))
def test_pace_of_any_camera(fps, frames, seed):
    rng = np.random.default_rng(seed)
    seconds = np.cumsum(rng.uniform(0.7, 1.3, frames)) / fps  # a rate that wavers
    points = (seconds * 7 + 1)[:, None, None] * np.ones((1, 2, 3))
    whole = resampled(points, seconds)
    assert abs(len(whole) - 1 - (seconds[-1] - seconds[0]) * RATE) <= 0.51 or len(whole) == frames
    if len(whole) != frames:
        inside = seconds[0] + np.arange(len(whole)) / RATE <= seconds[-1]
        np.testing.assert_allclose(whole[inside, 0, 0], (seconds[0] + np.arange(len(whole)) / RATE)[inside] * 7 + 1)
    unseen = rng.random(frames) < 0.4
    points[unseen, 1] = np.nan
    gaps = resampled(points, seconds)
    np.testing.assert_array_equal(gaps[:, 0], whole[:, 0])
    away = np.abs(seconds[None] - seconds[0] - np.arange(len(whole))[:, None] / RATE)
    clear = np.diff(np.sort(away, 1)[:, :2], axis=1)[:, 0] > 1e-9  # not halfway between two
    if len(whole) != frames:
        np.testing.assert_array_equal(np.isfinite(gaps[clear, 1, 0]), ~unseen[away.argmin(1)][clear])


@pytest.mark.parametrize("size", [(1280, 720), (500, 500), (720, 1280)])
@pytest.mark.parametrize("fps", [25, 30, 60])
def test_pose_and_tracker_files_agree(tmp_path, size, fps):
    hand = films(tmp_path, size, fps, irises=10)
    pose, npz = (open_recording(tmp_path / name) for name in ("me.pose", "me.npz"))
    np.testing.assert_allclose(pose.landmarks, npz.landmarks, atol=1e-4)
    assert (pose.frames, pose.size, round(pose.fps)) == (npz.frames, npz.size, round(npz.fps)) == (12, size, fps)
    assert len(npz.landmarks) == int(11 / fps * 30 + 0.5) + 1
    found = npz.landmarks[:, RIGHT] * [1, ASPECT, 1]
    assert np.abs(bones(found[:1]) - bones(hand[:1])).max() < 1e-3
    assert not np.isfinite(npz.landmarks[:, LEFT]).any()
    assert any("wide" in doubt for doubt in check_recording(npz)) == (size[0] > size[1])


def test_reduced_pose_file(tmp_path):
    import spoken_to_signed
    from pose_format import Pose
    from pose_format.utils.generic import reduce_holistic

    whole = next(Path(spoken_to_signed.__file__).parent.glob("assets/fingerspelling_lexicon/**/*.pose"))
    with open(tmp_path / "reduced.pose", "wb") as file:
        reduce_holistic(Pose.read(whole.read_bytes())).write(file)
    a, b = open_recording(whole), open_recording(tmp_path / "reduced.pose")
    assert {part: len(names) for part, names in read_pose(tmp_path / "reduced.pose").names.items()}["POSE_LANDMARKS"] == 8
    both = np.isfinite(b.landmarks)
    np.testing.assert_array_equal(a.landmarks[both], b.landmarks[both])
    assert both[:, POINTS.index("pose_11")].all() and both[:, RIGHT].any() and not both[:, POINTS.index("pose_0")].any()


# --- into a corpus


def test_from_pose_files_to_readings(tmp_path):
    words = ["signs", "black"]
    clips = [open_recording(write_example(tmp_path / f"{word}.pose", word)) for word in words]
    folder = save_corpus(tmp_path / "mine", clips, words, signers=[5, 6])
    table = read_metadata(folder / "train.csv")
    assert table[["sequence_id", "participant_id", "phrase"]].to_numpy().tolist() == [[1, 5, "signs"], [2, 6, "black"]]
    assert sequence_ids(folder / table.path[0]) == [1, 2]
    for number, clip in enumerate(clips, 1):
        again = open_recording(folder / table.path[0], number)
        np.testing.assert_array_equal(again.landmarks, clip.landmarks)
    report = prepare(folder, tmp_path / "prepared", workers=1, progress=False, strict=True)
    assert report["clips"] == 2 and not report["set_aside"]
    corpus = Corpus(tmp_path / "prepared")
    points = [POINTS.index(point) for point in corpus.landmark_set.points]
    for row, clip in enumerate(clips):
        np.testing.assert_array_equal(corpus.landmarks(row), clip.landmarks[:, points].astype("float16"))


@pytest.mark.parametrize(
    "phrases, signers, said",
    [
        (["a"], None, "2 recordings, 1 phrases and 2 signers"),
        (["a", ""], None, "word.pose: the phrase is empty; say what was spelled"),
        (["a", "Ä"], None, "'Ä', which is not one of the 59 characters"),
        (["a", "b"], [1], "2 recordings, 2 phrases and 1 signers"),
    ],
)
def test_what_makes_no_corpus(tmp_path, phrases, signers, said):
    clip = open_recording(write_example(tmp_path / "word.pose", "a"))
    with pytest.raises(DataError, match=said):
        save_corpus(tmp_path / "mine", [clip, clip], phrases, signers)
    assert not (tmp_path / "mine").exists()


def test_no_corpus_where_there_is_none_to_be(tmp_path):
    clip = open_recording(write_example(tmp_path / "word.pose", "a"))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be made \(Not a directory\); choose another folder"):
        save_corpus(tmp_path / "file/mine", [clip], ["a"])
    with pytest.raises(DataError, match="0 recordings"):
        save_corpus(tmp_path / "mine", [], [])


# --- landmark files and bad input


@pytest.fixture(scope="module")
def hand_table():
    "One second of a right hand, in the columns of the competition's layout that belong to it."
    points = recordings()["a"][:20, 532:553] / [500, 500 * ASPECT, 500]
    columns = [column for column in LANDMARK_COLUMNS if "_right_hand_" in column]
    return pd.DataFrame(points.transpose(0, 2, 1).reshape(20, -1).astype("float32"), columns=columns)


def test_whichever_columns_are_there(tmp_path, hand_table):
    hand_table.to_parquet(tmp_path / "hand.parquet")
    clip = open_recording(tmp_path / "hand.parquet")
    assert clip.landmarks.shape == (20, 543, 3) and clip.sequence_id is None and clip.size is None
    np.testing.assert_array_equal(clip.landmarks[:, RIGHT, 1].T, hand_table.filter(like="y_").to_numpy().T)
    assert np.isfinite(clip.landmarks).any(2).sum() == 20 * 21
    hand_table.assign(sequence_id=7, other=1).to_parquet(tmp_path / "one.parquet")
    assert open_recording(tmp_path / "one.parquet").sequence_id == 7
    np.testing.assert_array_equal(open_recording(tmp_path / "one.parquet", 7).landmarks, clip.landmarks)


def table(change):
    return lambda path, hands: change(hands).to_parquet(path.with_suffix(".parquet"))


def arrays(**changed):
    "An .npz file with some arrays changed; None leaves one out."

    def write(path, hands):
        given = {"right_hand": np.full((4, 21, 3), 0.5), "seconds": np.arange(4) / 30, "size": (720, 1280)} | changed
        np.savez(path.with_suffix(".npz"), **{name: value for name, value in given.items() if value is not None})

    return write


def content(ending, data=b""):
    return lambda path, hands: path.with_suffix(ending).write_bytes(data)


def openpose(path, hands):
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

    header = PoseHeader(0.2, PoseHeaderDimensions(9, 9, 0), [PoseHeaderComponent("pose_keypoints_2d", ["a"], [], [], "XYC")])
    with open(path.with_suffix(".pose"), "wb") as file:
        Pose(header, NumPyPoseBody(25, np.zeros((3, 1, 1, 2)), np.ones((3, 1, 1)))).write(file)


BAD = {
    "ending": (content(".docx"), r"the ending '.docx' is none of a recording; give a .pose, .npz or .parquet file, or a video"),
    "broken pose": (content(".pose", b"abc"), r"me.pose: cannot be read \(\w+\); write or record it again."),
    "empty pose": (content(".pose"), r"me.pose: cannot be read"),
    "another skeleton": (openpose, r"holds no hand of MediaPipe Holistic \(pose_keypoints_2d\); make it with `video_to_pose"),
    "broken npz": (content(".npz", b"PK"), r"me.npz: cannot be read \(\w+\)"),
    "no part": (arrays(right_hand=None), r"holds none of the arrays face, left_hand, pose, right_hand"),
    "no size": (arrays(size=None), r"the array size is missing; add it: \(width, height\) of the picture"),
    "no times": (arrays(seconds=None), r"the array seconds is missing; add it: the time of each frame, or fps"),
    "wrong shape": (arrays(right_hand=np.zeros((4, 20, 3))), r"right_hand has the shape \(4, 20, 3\); give \(4, 21, 3\)"),
    "times stand still": (arrays(seconds=np.zeros(4)), r"seconds \(4,\) or size .* do not go with 4 frames"),
    "nothing but NaN": (arrays(right_hand=np.full((4, 21, 3), np.nan)), r"no hand is seen in any of 4 frames; record it with"),
    "no frame": (arrays(right_hand=np.zeros((0, 21, 3)), seconds=np.zeros(0)), r"me.npz: the recording has no frame"),
    "broken parquet": (content(".parquet", b"PAR1"), r"me.parquet: not a parquet file that can be read"),
    "no columns": (
        table(lambda t: t[["x_right_hand_0"]]),
        r"me.parquet, column x_right_hand_1: the column is missing; write all",
    ),
    "text": (
        table(lambda t: t.assign(x_right_hand_3="far")),
        r"the landmarks cannot be read \(ValueError\); write the file again",
    ),
    "table of NaN": (table(lambda t: t * np.nan), r"no hand is seen in any of 20 frames"),
    "table of nothing": (table(lambda t: t.head(0)), r"the recording has no frame"),
    "two clips": (table(lambda t: t.assign(sequence_id=[3] * 9 + [4] * 11)), r"holds 2 clips; choose one with --sequence-id"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told_in_a_sentence(tmp_path, hand_table, name):
    make, said = BAD[name]
    make(tmp_path / "me", hand_table)
    (path,) = tmp_path.iterdir()
    with pytest.raises(DataError, match=said) as caught:
        open_recording(path)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(path)) and str(caught.value).endswith(".")


def test_clips_that_are_not_there(tmp_path, hand_table):
    hand_table.assign(sequence_id=7).to_parquet(tmp_path / "one.parquet")
    with pytest.raises(DataError, match="no clip has the sequence_id 8; choose one, such as 7."):
        open_recording(tmp_path / "one.parquet", 8)
    films(tmp_path, (500, 500))
    with pytest.raises(DataError, match="no clip has the sequence_id 8; leave the number away"):
        open_recording(tmp_path / "me.pose", 8)
    for name in ("no.pose", "no.parquet", "no.mp4"):
        with pytest.raises(DataError, match=f"{name}: no such file; give a recording."):
            open_recording(tmp_path / name)


# --- the command


@pytest.fixture
def aslkit(capfd, monkeypatch, tmp_path):
    from aslkit.cli import main

    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        capfd.readouterr()
        try:
            main([str(a) for a in arguments])
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capfd.readouterr()

    return call


def test_read_takes_recordings(aslkit, tmp_path):
    write_example(tmp_path / "me.pose", "signs")
    save_corpus(tmp_path / "mine", [open_recording(tmp_path / "me.pose")], ["signs"])
    read = aslkit("read", "me.pose")
    assert read[:2] == aslkit("read", "mine/train_landmarks/0.parquet")[:2] == (0, "signs\n")
    hands = pd.read_parquet("mine/train_landmarks/0.parquet").filter(like="_hand_")
    hands.reset_index(drop=True).to_parquet("hands.parquet")
    assert aslkit("read", "hands.parquet")[:2] == (0, "signs\n")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    code, out, err = aslkit("read", "broken.parquet")
    assert (code, out) == (2, "") and "broken.parquet: not a parquet file that can be read" in err
    code, out, err = aslkit("read", "me.txt")
    assert (code, out) == (2, "") and err.startswith("me.txt: the ending '.txt' is none of a recording; give ")
    code, out, err = aslkit("read", "nobody.mp4")
    assert (code, out, err) == (2, "", "nobody.mp4: no such file; give a recording.\n")


# --- the tracker

CV2 = """
import json
import numpy as np
CAP_PROP_FPS, CAP_PROP_FRAME_COUNT, CAP_PROP_POS_MSEC, COLOR_BGR2RGB = 5, 7, 0, 4
class VideoCapture:
    def __init__(self, path):
        try:
            self.film = json.load(open(path))
        except ValueError:
            self.film = {"fps": 0, "frames": [], "msec": []}
        self.at = -1
    def get(self, what):
        return {5: self.film["fps"], 7: len(self.film["frames"]) + 3, 0: (self.film["msec"] + [0])[self.at]}[what]
    def read(self):
        self.at += 1
        if self.at == len(self.film["frames"]):
            return False, None
        picture = np.zeros((80, 60, 3), "uint8")
        picture[0, 0] = [self.at, 0, self.film["frames"][self.at]]
        return True, picture
    def release(self):
        pass
def cvtColor(picture, code):
    return picture[..., ::-1]
"""
MEDIAPIPE = """
import os
assert os.environ["MPLBACKEND"] == "agg"
from types import SimpleNamespace as N
def part(seen, points, frame):
    return N(landmark=[N(x=frame / 100, y=i / 1000, z=-0.5) for i in range(points)]) if seen else None
class Holistic:
    def __init__(self, model_complexity):
        pass
    def __enter__(self):
        return self
    def __exit__(self, *gone):
        pass
    def process(self, picture):
        seen, frame = picture[0, 0, 0], int(picture[0, 0, 2])
        counts = {"face": 478, "pose": 33, "left_hand": 21, "right_hand": 21}
        bits = {"face": 1, "pose": 2, "left_hand": 4, "right_hand": 8}
        return N(**{f"{name}_landmarks": part(seen & bits[name], n, frame) for name, n in counts.items()})
solutions = N(holistic=N(Holistic=Holistic))
"""


@pytest.fixture
def tracker(monkeypatch, tmp_path_factory):
    "A Python that takes stand-ins for MediaPipe and OpenCV, and makes films for them."
    folder = tmp_path_factory.mktemp("tracker")
    (folder / "cv2.py").write_text(CV2)
    (folder / "mediapipe.py").write_text(MEDIAPIPE)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv(MEDIAPIPE_PYTHON, str(python))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # as in a notebook
    return folder


def film(path, frames, fps=25, msec=None):
    path.write_text(json.dumps({"fps": fps, "frames": frames, "msec": msec or [40.0 * t for t in range(len(frames))]}))
    return path


def test_video_becomes_landmarks(tracker, tmp_path):
    video = film(tmp_path / "me.mp4", [3, 11, 15, 0, 11, 11])
    found = open_recording(track_video(video, tmp_path / "me.npz"))
    with np.load(tmp_path / "me.npz") as file:
        shapes = {part: (6, count, 3) for part, count in POINT_COUNTS.items()} | {"seconds": (6,), "size": (2,)}
        assert {name: file[name].shape for name in file} == shapes
        np.testing.assert_allclose(file["seconds"], np.arange(6) / 25)
        assert file["size"].tolist() == [60, 80]
        assert np.isfinite(file["right_hand"]).all((1, 2)).tolist() == [False, True, True, False, True, True]
        assert np.isfinite(file["left_hand"]).all((1, 2)).tolist() == [False, False, True, False, False, False]
        np.testing.assert_allclose(file["right_hand"][4, 3], [0.04, 0.003, -0.5], rtol=1e-6)
    assert found.size == (60, 80) and found.frames == 6 and len(found.landmarks) == 7
    direct = open_recording(video)
    np.testing.assert_array_equal(direct.landmarks, found.landmarks)
    assert replace(direct, landmarks=found.landmarks, name=found.name) == found


def test_times_that_a_file_does_not_tell(tracker, tmp_path):
    film(tmp_path / "me.mp4", [8] * 5, fps=20, msec=[0.0] * 5)
    with np.load(track_video(tmp_path / "me.mp4", tmp_path / "me.npz")) as file:
        np.testing.assert_allclose(file["seconds"], np.arange(5) / 20)


@pytest.mark.parametrize(
    "write, said",
    [
        (
            lambda path: film(path, [3] * 9),
            "no hand was found in 9 frames, though a body is seen in 9; film head, shoulders and",
        ),
        (lambda path: film(path, [0] * 9), "no hand was found in 9 frames, and no body; film head"),
        (
            lambda path: path.write_bytes(b"text"),
            r"not a video that can be decoded; convert it to .mp4 \(H.264\), or record it",
        ),
        (lambda path: film(path, []), "not a video that can be decoded"),
    ],
)
def test_videos_without_landmarks(tracker, tmp_path, write, said):
    write(tmp_path / "me.mp4")
    with pytest.raises(DataError, match=said) as caught:
        track_video(tmp_path / "me.mp4", tmp_path / "me.npz")
    assert str(caught.value).startswith(f"{tmp_path / 'me.mp4'}: ") and "\n" not in str(caught.value)
    assert not (tmp_path / "me.npz").exists()


def test_trackers_that_are_not_there(tracker, tmp_path, monkeypatch):
    video = film(tmp_path / "me.mp4", [8])
    (tracker / "mediapipe.py").write_text("raise ImportError('no', name='mediapipe')")
    with pytest.raises(DataError, match="this Python has no mediapipe; run `make .mediapipe/stamp`"):
        track_video(video, tmp_path / "me.npz")
    (tracker / "mediapipe.py").write_text("raise RuntimeError('broken library')")
    with pytest.raises(DataError, match=r"the tracker failed \(RuntimeError: broken library\); run `make"):
        track_video(video, tmp_path / "me.npz")
    with pytest.raises(DataError, match="me.txt: landmarks cannot be written there; name an .npz file"):
        track_video(video, tmp_path / "me.txt")
    monkeypatch.setenv(MEDIAPIPE_PYTHON, str(tmp_path / "none"))
    with pytest.raises(KitError, match="a video needs MediaPipe, which is not installed; run `make .mediapipe/stamp`"):
        open_recording(video)


def test_track_command(tracker, aslkit, tmp_path):
    film(tmp_path / "me.mp4", [11] * 30)
    assert aslkit("track", "me.mp4")[:2] == (0, "me.npz: 30 frames, 1.2 s; `aslkit read` takes it.\n")
    assert aslkit("read", "me.npz")[0] == 0
    film(tmp_path / "me.mp4", [0] * 3)
    code, out, err = aslkit("read", "me.mp4")
    assert (code, out) == (2, "") and err.splitlines()[-1].startswith("me.mp4: no hand was found in 3 frames")


def test_with_mediapipe_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    try:
        python = mediapipe_python()
    except KitError as error:
        pytest.skip(f"MediaPipe itself was not tried: {error}")
    code = "import cv2, numpy as n; v = cv2.VideoWriter('grey.mp4', cv2.VideoWriter_fourcc(*'mp4v'), 25, (320, 240))\n"
    code += "[v.write(n.full((240, 320, 3), 90 + 9 * t, 'uint8')) for t in range(12)]; v.release()"
    subprocess.run(
        [python, "-c", code],
        cwd=tmp_path,
        check=True,
        env={k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MPLBACKEND")},
    )
    with pytest.raises(DataError, match="grey.mp4: no hand was found in 12 frames, and no body"):
        track_video(tmp_path / "grey.mp4", tmp_path / "grey.npz")


# --- the notebook


def test_notebook_on_competition_files(stitched, executed, tmp_path, monkeypatch):
    "On a clip of a set of three files under another path, found by the environment; what was spelled stands in train.csv."
    monkeypatch.setenv("ASLKIT_DATA", str(stitched))
    monkeypatch.setenv("ASLKIT_PREPARED", str(tmp_path / "nothing here"))
    clips = read_metadata(stitched / "train.csv")
    assert clips.path.nunique() == 2 and (stitched / "supplemental_metadata.csv").exists()
    text, _ = executed("own_data", recording=str(stitched / clips.path[0]), out=str(tmp_path / "mine"))
    mine = read_metadata(tmp_path / "mine/train.csv")
    assert len(mine) == 1 and mine.phrase[0] in set(clips.phrase) and f"“{mine.phrase[0]}” was spelled" in text
    assert f"Looking at the file {Path(clips.path[0]).name}, clip " in text and "settings' competition files" in text
