"Clips of real hands: their frames are real, their characters complete, their figures right; without recordings a sentence."

import json
import os
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import common  # noqa: E402
import real_hands  # noqa: E402
from made_up import PHRASES  # noqa: E402

from aslkit.competition import ASPECT, CHARACTERS, FALLBACK, LANDMARK_COLUMNS, POINTS, DataError, encode, score  # noqa: E402
from aslkit.landmarks import LANDMARK_SETS  # noqa: E402

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
needs_recordings = pytest.mark.skipif(
    not (real_hands.LETTERS.exists() and real_hands.PHRASES.exists()), reason="no recordings in ../shared/data"
)
PARTS = {
    part: slice(POINTS.index(f"{part}_0"), POINTS.index(f"{part}_0") + n)
    for part, n in {"face": 468, "left_hand": 21, "pose": 33, "right_hand": 21}.items()
}


def one_hand(clip):
    "(T, 21, 3) of the hand that spells, right-handed and with square pixels."
    left = np.isfinite(clip[:, PARTS["left_hand"]]).any()
    hand = clip[:, PARTS["left_hand" if left else "right_hand"]] * [-1 if left else 1, ASPECT, 1]
    return hand


def misfit(real, filmed):
    "How far a filmed hand is from a real one, moved, turned, and scaled as well as can be; a share of its size."
    (a, b), (u, v) = ((h[:, 0] + 1j * h[:, 1] - h[0, 0] - 1j * h[0, 1] for h in (real, filmed)), (real[:, 2], filmed[:, 2]))
    by = np.vdot(a, b) / np.vdot(a, a)
    return max(np.abs(b - by * a).max(), np.abs(v - abs(by) * u).max()) / np.abs(b).max()


def check_real_frames(hands, phrases, seed):
    "Every clip shows rows of the recordings, unbent, and these spell its phrase."
    label = {row: name for (_, name), takes in hands.takes.items() for take in takes for row in take}
    clips = real_hands.each_clip(hands, phrases, seed)
    for who, signer in enumerate(hands.spellers):
        for number, phrase in enumerate(phrases):
            _, seen, rows = real_hands.spell(hands, signer, phrase, np.random.default_rng([seed, who, number]))
            hand = one_hand(next(clips)[2])
            before = int(np.isfinite(hand[:, 0, 0]).argmax() - seen.argmax())
            hand = hand[before : before + len(rows)]
            assert (np.isfinite(hand[:, 0, 0]) == seen).all()
            worst = max(misfit(hands.points[row], hand[i]) for i, row in enumerate(rows) if row >= 0 and seen[i])
            assert worst < 1e-4, phrase
            shown = "".join(label[row] for row in rows if row >= 0)
            wanted = "".join("[1d]+" if c in real_hands.WRITTEN else f"{c}+" for c in phrase if c != " ")
            assert re.fullmatch(wanted, shown), (phrase, shown)


def test_held_frames_are_real(made_hands):
    check_real_frames(real_hands.read_hands(made_hands[0]), PHRASES, seed=3)


def test_same_seed_same_clips(made_hands):
    first, again, other = (real_hands.real_clips(*made_hands, seed=seed) for seed in (1, 1, 2))
    assert [(s, p) for s, p, _ in first] == [(s, p) for s in ("s0", "s1") for p in PHRASES]
    for (_, _, a), (_, _, b), (_, _, c) in zip(first, again, other):
        assert a.dtype == np.float32 and a.shape[1:] == (543, 3)
        np.testing.assert_array_equal(a, b)
        assert a.shape != c.shape or not np.array_equal(a, c, equal_nan=True)


def test_a_hand_is_whole_or_not_there(made_hands):
    for _, phrase, clip in real_hands.real_clips(*made_hands, seed=4):
        assert np.isnan(clip[:, PARTS["face"]]).all() and np.isnan(clip[:, PARTS["pose"]]).all()
        there = []
        for part in ("left_hand", "right_hand"):
            finite = np.isfinite(clip[:, PARTS[part]])
            assert (finite.all((1, 2)) == finite.any((1, 2))).all()
            there.append(finite.any())
        assert sum(there) == 1, phrase


def test_short_has_characters_alone_and_short_words(made_hands):
    table = real_hands.read_phrases(made_hands[1], "short")
    words = table.phrase[table.kind == "two to four"].tolist()
    assert words == ["202", "4683", "5557", "90", "aa", "fox", "gift", "hub", "jazz", "lazy", "org", "sign", "www", "zoe"]
    alone = table.phrase[table.kind == "one character"]
    assert sorted(set(alone)) == sorted("abcdefghijklmnopqrstuvwxyz0123456789") and (alone.value_counts() == 4).all()
    assert len(table) == len(words) + len(alone)


def test_plain_has_no_signs_and_keeps_other_clips(made_hands):
    table = real_hands.read_phrases(made_hands[1], "plain")
    assert list(table.phrase) == ["zoe 7 jazz", "12025557", "wwwsignorgaab", "quick brown fox jumped", "lazy gift hub 4683 90"]
    assert list(table.kind) == ["address", "phone", "url", "other", "address"]
    whole, plain = (real_hands.real_clips(*made_hands, mode=mode) for mode in ("all", "plain"))
    np.testing.assert_array_equal(whole[0][2], plain[0][2])
    with pytest.raises(ValueError, match="`mode` must be one of"):
        real_hands.read_phrases(made_hands[1], "signs")


def test_every_character_can_be_shown():
    assert sorted(CHARACTERS) == sorted([*real_hands.WRITTEN, *"abcdefghijklmnopqrstuvwxyz0123456789 "])


def test_doubled_letters_slide_outwards(made_hands):
    hands = real_hands.read_hands(made_hands[0])
    for seed in range(5):
        points, _, rows = real_hands.spell(hands, "s1", "aab", np.random.default_rng(seed))
        first, second = [np.flatnonzero(rows >= 0)[i] for i in (0, -1)]
        between = points[first : second + 1, 0, 0]
        assert between.min() < between[0] - 0.2
    assert (real_hands._places(np.random.default_rng(0), "7777")[1:, 0] < 0).all()


def test_signs_are_written_as_the_writer_sees_them(made_hands):
    hands = real_hands.read_hands(made_hands[0])
    hand = real_hands._held(hands, np.random.default_rng(0), "s0", "d", 9)
    way = real_hands._written("/", hand, 2.0).points[:, 0, :2]
    np.testing.assert_allclose(way[[0, -1]], [[-0.8, -1], [0.8, 1]], atol=1e-6)
    assert np.ptp(np.linalg.norm(np.diff(way, axis=0), axis=1)) < 1e-5


def test_digits_come_from_one_person_where_possible(made_hands):
    hands = real_hands.read_hands(made_hands[0])
    for seed in range(8):
        cast = real_hands._cast(hands, np.random.default_rng(seed), "s0", "0-7 a")
        assert cast["a"] == ("s0", "a") and cast["0"][0] == cast["7"][0] in ("p0", "p1")
        assert cast["-"] in (("s0", "d"), (cast["0"][0], "1"))
    takes = {key: take for key, take in hands.takes.items() if key not in (("p0", "0"), ("p1", "7"))}
    mixed = real_hands._cast(real_hands.Hands(hands.points, hands.step, takes), np.random.default_rng(0), "s0", "07")
    assert mixed["0"][0] == "p1" and mixed["7"][0] in ("p0", "p2")


def test_one_clip_in_ten_is_left_handed():
    points, seen = np.random.default_rng(0).normal(size=(2, 21, 3)), np.ones(2, bool)
    clips = [real_hands.film(points, seen, np.random.default_rng([9, i])) for i in range(600)]
    share = np.mean([np.isfinite(clip[:, PARTS["left_hand"]]).any() for clip in clips])
    assert 0.07 < share < 0.13


def test_arrays_for_a_reader_without_files(made_hands):
    names = LANDMARK_SETS["kit"].points
    table, clips = real_hands.real_arrays(*made_hands, points=names)
    whole = real_hands.real_clips(*made_hands)
    assert list(zip(table.signer, table.phrase)) == [(signer, phrase) for signer, phrase, _ in whole]
    np.testing.assert_array_equal(clips[3], whole[3][2][:, [POINTS.index(name) for name in names]])
    found = real_hands.scores(table.assign(reading=table.phrase))
    assert set(found) == {"", "s0", "s1", "address", "phone", "url", "other", "exact", "constant"}
    assert found.pop("constant") == score(PHRASES, [FALLBACK] * len(PHRASES)) and set(found.values()) == {1.0}


def test_characters_counts_what_was_read_for_what():
    found = real_hands.characters(pd.DataFrame({"phrase": ["aba", "ab"], "reading": ["aca", "xb-"]}))
    assert sorted(found["confusions"]) == [["", "-", 1], ["a", "x", 1], ["b", "c", 1]]
    assert found["recall"] == {"a": 2 / 3, "b": 1 / 2} and found["written"] == {"a": 3, "b": 2}


def constant_submission(path):
    import tensorflow as tf

    module = tf.Module()
    answer = tf.one_hot(encode(FALLBACK), 60)
    spec = tf.TensorSpec([None, 2], tf.float32, name="inputs")
    module.read = tf.function(lambda frames: {"outputs": answer + 0 * tf.cast(tf.size(frames), tf.float32)}, [spec])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.read.get_concrete_function()], module)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.tflite", converter.convert())
        archive.writestr("inference_args.json", json.dumps({"selected_columns": LANDMARK_COLUMNS[:2]}))


def test_a_constant_submission_scores_as_its_answer(made_hands, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    constant_submission(tmp_path / "run" / "submission.zip")
    wanted = ["--letters", str(made_hands[0]), "--phrases", str(made_hands[1]), "--out", str(tmp_path / "bench")]
    assert real_hands.main([str(tmp_path / "run"), *wanted]) == 0
    figures = json.loads((tmp_path / "bench" / "real_hands.json").read_text())
    expected = score(PHRASES, [FALLBACK] * len(PHRASES))
    for name in ("all", "all, s0", "all, s1", "all, constant"):
        assert figures[name]["value"] == expected
    assert figures["plain"]["value"] == figures["plain, constant"]["value"]
    assert figures["all"] == {"value": expected, "unit": "score", "limit": 0.55, "better": "higher"}
    assert set(json.loads((tmp_path / "bench" / "real_hands_characters.json").read_text())) == set(real_hands.MODES)
    printed = capsys.readouterr().out
    assert re.search(r"^all +-?[\d.]+ +score +at least 0.55 +missed$", printed, re.M) and "most frequent confusions" in printed


def test_without_recordings_a_sentence(made_hands, tmp_path, capsys):
    for wanted in (["--letters", "no.npz"], ["--letters", str(made_hands[0]), "--phrases", "no.csv"]):
        assert real_hands.main([str(tmp_path / "submission.zip"), *wanted]) == 2
        said = capsys.readouterr().err
        assert re.fullmatch(r"no\.(npz|csv): no such file; the real hands are not part of the project: .*\.\n", said)
    np.savez(tmp_path / "short.npz", xyz=np.zeros((1, 21, 3)))
    with pytest.raises(DataError, match="the array 'label' is missing"):
        real_hands.read_hands(tmp_path / "short.npz")
    hands = real_hands.read_hands(made_hands[0])
    without = {key: take for key, take in hands.takes.items() if key[1] != "q"}
    with pytest.raises(DataError, match="s0 has no recording of 'q'"):
        rng = np.random.default_rng(0)
        real_hands.spell(real_hands.Hands(hands.points, hands.step, without), "s0", "quick", rng)


def test_no_submission_is_a_sentence(made_hands, tmp_path, capsys):
    wanted = ["--letters", str(made_hands[0]), "--phrases", str(made_hands[1]), "--out", str(tmp_path)]
    assert real_hands.main([str(tmp_path / "none.zip"), *wanted]) == 2
    assert "none.zip" in capsys.readouterr().err


# --- the recordings themselves


@needs_recordings
def test_recorded_frames_are_real():
    phrases = real_hands.read_phrases().phrase.tolist()
    check_real_frames(real_hands.read_hands(), phrases[::12], seed=0)


@needs_recordings
def test_clips_of_the_recordings():
    hands, phrases = real_hands.read_hands(), real_hands.read_phrases()
    pace, seen, signers = [], [], []
    for signer, phrase, clip in real_hands.each_clip(hands, phrases.phrase):
        hand = one_hand(clip)[:, 0, 0]
        pace.append(len(clip) / len(phrase))
        seen.append(np.isfinite(hand).mean())
        signers.append(signer)
    assert signers == ["boris"] * 316 + ["kevin"] * 316
    assert 7.5 < np.mean(pace) < 9.5 and min(pace) > 4 and max(pace) < 16
    assert 0.8 < np.mean(seen) < 0.95 and min(seen) > 0.4


@needs_recordings
def test_the_constant_answer_on_the_recordings():
    table = real_hands.read_phrases()
    found = real_hands.scores(table.assign(signer="anybody", reading=FALLBACK))
    assert found[""] == found["constant"] == pytest.approx(0.161, abs=0.0005)  # 0.157 on the competition's own phrases


# --- figures


def test_figures_have_verdicts(tmp_path, capsys):
    figures = {
        "faster": common.figure(1.8, "x", 2.0, "lower"),
        "score": common.figure(0.5, "score", 0.55),
        "even": common.figure(2, "x", 2),
        "free": common.figure(3, "s"),
    }
    assert [common.verdict(found) for found in figures.values()] == ["held", "missed", "held", ""]
    path = common.report("name", figures, tmp_path / "bench")
    assert json.loads(path.read_text())["faster"] == {"value": 1.8, "unit": "x", "limit": 2.0, "better": "lower"}
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["figure", "value", "unit", "limit", "verdict"],
        ["faster", "1.8", "x", "at", "most", "2", "held"],
    ]
    with pytest.raises(ValueError, match="`better` must be"):
        common.figure(1, "x", 1, "more")
