"The stitched corpus: same bytes by seed, the competition's layout, all 59 characters, both hands."

import dataclasses
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import aslkit.stitch as stitch_module
from aslkit.competition import (
    CHARACTERS,
    LANDMARK_COLUMNS,
    METADATA_COLUMNS,
    POINTS,
    KitError,
    check_character_map,
    read_metadata,
)
from aslkit.hands import recorded_bank
from aslkit.phrases import WORDS, phrase
from aslkit.stitch import make_clip, make_signer, stitch

LEFT, RIGHT = (slice(POINTS.index(f"{side}_hand_0"), POINTS.index(f"{side}_hand_20") + 1) for side in ("left", "right"))
SETTINGS = {"clips": 10, "signers": 4, "supplemental": 2, "drills": 3, "seed": 3, "clips_per_file": 4}


def bytes_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def seen(points):
    "Frames (T,) in which all these points (T, P, 3) are seen; a hand is seen whole or not at all."
    found = np.isfinite(points).all((1, 2))
    assert (np.isnan(points).all((1, 2)) == ~found).all()
    return found


@pytest.fixture
def steady(monkeypatch):
    "A right-handed signer whom the tracker never loses, in clips that are never broken."
    monkeypatch.setattr(stitch_module, "BROKEN", 0)
    return dataclasses.replace(make_signer(recorded_bank(), 1), left_handed=False, lost=0.0)


# --- same seed, same bytes


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory):
    return bytes_of(stitch(tmp_path_factory.mktemp("one") / "corpus", workers=1, **SETTINGS))


def test_two_workers_write_the_same_bytes(one_worker, tmp_path):
    found = bytes_of(stitch(tmp_path / "corpus", workers=2, **SETTINGS))
    assert list(found) == list(one_worker)
    assert [name for name in found if found[name] != one_worker[name]] == []


def test_another_seed_writes_other_bytes(one_worker, tmp_path):
    found = bytes_of(stitch(tmp_path / "corpus", workers=1, **SETTINGS | {"seed": 4}))
    same = [name for name in found if found[name] == one_worker.get(name)]
    assert same == ["character_to_prediction_index.json"]


def test_nothing_half_written_is_left(one_worker):
    assert {name.rsplit(".", 1)[1] for name in one_worker} == {"csv", "json", "parquet"}


# --- layout


def test_tables(stitched):
    train, more = read_metadata(stitched / "train.csv"), read_metadata(stitched / "supplemental_metadata.csv")
    assert (len(train), len(more)) == (40, 14)
    for table, kind in ((train, "train"), (more, "supplemental")):
        assert (table.path == [f"{kind}_landmarks/{number}.parquet" for number in table.file_id]).all()
        assert set(table.phrase.str.cat()) <= set(CHARACTERS)
        assert sorted(set(table.path)) == sorted(
            f"{kind}_landmarks/{p.name}" for p in (stitched / f"{kind}_landmarks").iterdir()
        )
    for name in ("train.csv", "supplemental_metadata.csv"):
        assert (stitched / name).read_text().splitlines()[0] == ",".join(METADATA_COLUMNS)
    both = pd.concat([train, more])
    assert both.sequence_id.is_unique and both.groupby("path").file_id.nunique().eq(1).all()
    assert set(train.participant_id) == set(range(9))
    check_character_map(stitched)
    assert json.loads((stitched / "character_to_prediction_index.json").read_text())["~"] == 58


def test_landmark_files(stitched):
    "1,630 columns and the index of pandas, as in the competition's files; frames count from 0 without a gap."
    for name in ("train.csv", "supplemental_metadata.csv"):
        for path, clips in read_metadata(stitched / name).groupby("path"):
            schema = pq.read_schema(stitched / path)
            assert schema.names == ["frame", *LANDMARK_COLUMNS, "sequence_id"]
            assert schema.types == [pa.int16(), *[pa.float32()] * 1629, pa.int64()]
            table = pd.read_parquet(stitched / path)
            assert (table.index.name, str(table.index.dtype), table.shape[1]) == ("sequence_id", "int64", 1630)
            assert set(table.index) == set(clips.sequence_id)
            for _, frames in table.groupby(level=0).frame:
                assert (frames.to_numpy() == np.arange(len(frames))).all()
            assert (np.diff(table.index.to_numpy()) != 0).sum() == len(clips) - 1  # each clip in one piece


@pytest.fixture(scope="module")
def points(stitched):
    "All frames (N, 543, 3) of the first landmark file."
    table = pd.read_parquet(stitched / read_metadata(stitched / "train.csv").path[0])
    return table[LANDMARK_COLUMNS].to_numpy().reshape(-1, 3, 543).transpose(0, 2, 1)


def test_hands_come_and_go_near_the_picture(points):
    for hand in (LEFT, RIGHT):
        assert 0 < seen(points[:, hand]).mean() < 1
    x, y = np.nanmedian(points[:, RIGHT, :2], (0, 1))
    assert 0 < x < 1 and 0 < y < 1
    assert np.nanmax(np.abs(points)) < 10


def test_the_body_is_always_there(points):
    missing = np.isnan(np.delete(points, np.r_[LEFT, RIGHT], 1)).any((0, 2))
    assert [point for point, lost in zip([p for p in POINTS if "hand" not in p], missing) if lost] == []


def test_files_are_split_evenly(tmp_path):
    folder = stitch(tmp_path / "corpus", clips=5, signers=2, workers=1, clips_per_file=2)
    counts = read_metadata(folder / "train.csv").path.value_counts()
    assert sorted(counts) == [1, 2, 2]
    assert len(read_metadata(folder / "supplemental_metadata.csv")) == 0


# --- what is spelled


@pytest.mark.parametrize("character", CHARACTERS)
def test_every_character_can_be_spelled(steady, character):
    clips = [make_clip(recorded_bank(), steady, character * n, np.random.default_rng(n)) for n in (1, 3)]
    for n, clip in zip((1, 3), clips):
        assert clip.shape[1:] == (543, 3) and clip.dtype == np.float32
        assert seen(clip[:, RIGHT]).sum() >= 3 * n
        hand = clip[seen(clip[:, RIGHT]), RIGHT]
        assert np.abs(hand).max() < 10 and hand.std((0, 1)).min() > 1e-3


def test_characters_differ():
    "No two signs of one person are the same way through space."
    table = make_signer(recorded_bank(), 0).signs
    assert list(table) == list(CHARACTERS)
    ways = {
        c: np.concatenate([sign.bones[0, [0, -1]].ravel(), sign.offsets[[0, len(sign.offsets) // 2, -1]].ravel()])
        for c, sign in table.items()
    }
    for a in CHARACTERS:
        for b in CHARACTERS:
            assert a == b or np.abs(ways[a] - ways[b]).max() > 0.05, (a, b)


def test_longer_phrases_take_longer(steady):
    frames = [len(make_clip(recorded_bank(), steady, "a" * n, np.random.default_rng(0))) for n in (2, 8, 20)]
    assert frames[0] + 20 < frames[1] and frames[1] + 40 < frames[2]


def test_left_handed_people_spell_with_the_left_hand(steady):
    left = dataclasses.replace(steady, left_handed=True)
    for n, text in enumerate(("ada", "+1-202")):
        clip, right = (make_clip(recorded_bank(), who, text, np.random.default_rng(n)) for who in (left, steady))
        assert (
            seen(clip[:, LEFT]).sum() > seen(clip[:, RIGHT]).sum() and seen(right[:, RIGHT]).sum() > seen(right[:, LEFT]).sum()
        )
        a, b = clip[:, LEFT] * [-1, 1, 1] + [2 * left.middle[0], 0, 0], right[:, RIGHT]
        np.testing.assert_allclose(a, b, atol=1e-5)  # the mirror image, NaN at the same places
        arm = clip[seen(clip[:, LEFT]), POINTS.index("pose_15"), :2]  # the left arm goes with it
        np.testing.assert_allclose(arm, clip[seen(clip[:, LEFT]), LEFT][:, 0, :2], atol=0.1)


def test_left_handed_people_in_a_corpus(stitched):
    "Who is left-handed follows from number and seed, and their clips show it."
    people = [make_signer(recorded_bank(), n, seed=7).left_handed for n in range(9)]
    assert 0 < sum(people) < 9
    train = read_metadata(stitched / "train.csv")
    columns = ["x_left_hand_0", "x_right_hand_0"]
    counts = (
        pd.concat([pd.read_parquet(stitched / p, columns=columns) for p in train.path.unique()]).notna().groupby(level=0).sum()
    )
    counts = counts.loc[train.sequence_id].groupby(train.participant_id.to_numpy()).sum()
    assert (counts.x_left_hand_0 > counts.x_right_hand_0).tolist() == people


def test_a_broken_clip_has_no_hands(steady, monkeypatch):
    monkeypatch.setattr(stitch_module, "BROKEN", 1)
    clips = [make_clip(recorded_bank(), steady, "hello", np.random.default_rng(n)) for n in range(6)]
    assert not any(seen(clip[:, hand]).any() for clip in clips for hand in (LEFT, RIGHT))
    assert min(map(len, clips)) < 12 <= max(map(len, clips))


def test_a_tracker_that_often_loses_the_hand(steady):
    half = dataclasses.replace(steady, lost=0.5)
    lost = [
        1 - seen(make_clip(recorded_bank(), half, "meadow lane", np.random.default_rng(n))[:, RIGHT]).mean() for n in range(8)
    ]
    kept = [
        1 - seen(make_clip(recorded_bank(), steady, "meadow lane", np.random.default_rng(n))[:, RIGHT]).mean() for n in range(8)
    ]
    assert np.mean(lost) > 0.3 + np.mean(kept) and min(lost) < max(lost)


def test_supplemental_sentences_and_drills(stitched):
    phrases = read_metadata(stitched / "supplemental_metadata.csv").phrase
    sentences, drills = phrases[:6], phrases[6:]
    assert all(3 <= len(s.split()) <= 7 and set(s.split()) <= set(WORDS) for s in sentences)
    assert all(1 <= len(d) <= 4 and d.strip() for d in drills)


def test_phrases_are_of_the_competitions_size():
    rng = np.random.default_rng(0)
    lengths = [len(phrase(rng)) for _ in range(1000)]
    assert min(lengths) >= 3 and max(lengths) <= 31 and 14 < np.mean(lengths) < 20


# --- refusals


@pytest.mark.parametrize("wrong", [{"clips": 0}, {"signers": 0}, {"clips": -3}])
def test_nothing_to_stitch(tmp_path, wrong):
    with pytest.raises(KitError, match="ask for at least one of each"):
        stitch(tmp_path / "corpus", workers=1, **wrong)
    assert not (tmp_path / "corpus").exists()


def test_a_corpus_is_not_overwritten(stitched):
    before = (stitched / "train.csv").read_bytes()
    with pytest.raises(KitError, match="already holds a corpus.*choose another folder"):
        stitch(stitched, clips=1, signers=1, workers=1)
    assert (stitched / "train.csv").read_bytes() == before
