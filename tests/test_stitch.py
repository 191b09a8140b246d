"The stitched corpus: same bytes by seed, the competition's layout, all 59 characters, both hands, and how hands move."

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aslkit.clips import ALIKE, _key_poses, _lean, _move, _times, make_clip, make_clips
from aslkit.competition import (
    CHARACTERS,
    LANDMARK_COLUMNS,
    METADATA_COLUMNS,
    POINTS,
    KitError,
    ParameterError,
    check_character_map,
    read_metadata,
)
from aslkit.corpus import Corpus
from aslkit.hands import LetterBank, Person, recorded_bank, sign_table
from aslkit.phrases import WORDS, phrase
from aslkit.prepare import prepare
from aslkit.signers import CALIBRATED, Variation, make_signers
from aslkit.stitch import BLOCK, PRIME, _name, _Recipe, _table, stitch

LEFT, RIGHT = (slice(POINTS.index(f"{side}_hand_0"), POINTS.index(f"{side}_hand_20") + 1) for side in ("left", "right"))
SETTINGS = {"clips": 22, "signers": 4, "supplemental": 2, "drills": 3, "seed": 3, "clips_per_file": 18}  # more than a block
SEEN = Variation(lost=0, faults=0)


def bytes_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def seen(points):
    "Frames (T,) in which all these points (T, P, 3) are seen; a hand is seen whole or not at all."
    found = np.isfinite(points).all((1, 2))
    assert (np.isnan(points).all((1, 2)) == ~found).all()
    return found


def one_signer(left_handed=False, number=1, variation=SEEN):
    "By default a right-handed signer whom the tracker never loses, in clips that are never broken."
    return replace(make_signers(recorded_bank(), [number], variation=variation), left_handed=np.array([left_handed]))


def spelled(signer, text, seed=0):
    return make_clip(recorded_bank(), signer, text, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def steady():
    return one_signer()


# --- same seed, same bytes


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    return stitch(tmp_path_factory.mktemp("one") / "corpus", workers=1, **SETTINGS)


@pytest.fixture(scope="module")
def one_worker(layout):
    return bytes_of(layout)


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


# --- who spells what


@pytest.mark.parametrize("seed", [0, 1, 2024])
def test_ids_never_repeat(seed):
    "Of 200,000 clips in both sets, and of their files."
    for what in (0, 1):
        ids = _name(np.arange(200_000), seed, what).astype("int64")
        assert len(np.unique(ids)) == len(ids) and ids.min() >= 0 and ids.max() < PRIME < 2**31
        assert len(np.unique(np.sign(np.diff(ids)))) == 2  # nor do they count up
    recipe = _Recipe(700, 9, 120, 80, seed, 50, CALIBRATED)
    table = pd.concat([_table(recipe, *file) for file in recipe.files()])
    np.testing.assert_array_equal(table.sequence_id, _name(np.arange(900), seed, 1))
    np.testing.assert_array_equal(table.file_id.unique(), _name(np.arange(18), seed, 0))
    assert table.path.nunique() == 18 and (table.groupby("path").size() == 50).all()


def test_phrases_are_shared_as_in_the_competition():
    "46,478 of 67,208 phrases are different, 30,011 rows share theirs, about 500 sentences serve 52,958 supplemental rows."
    recipe = _Recipe(4000, 40, 2000, 0, 8, 200, CALIBRATED)
    table = pd.concat([_table(recipe, *file) for file in recipe.files()])
    train, more = table.phrase[:4000], table.phrase[4000:]
    assert train.nunique() / 4000 == pytest.approx(46_478 / 67_208, rel=0.1)
    assert train.duplicated(keep=False).mean() == pytest.approx(30_011 / 67_208, rel=0.1)
    assert 450 < more.nunique() <= 500


def test_every_signer_is_in_nearly_every_file():
    recipe = _Recipe(2000, 40, 260, 140, 5, 100, CALIBRATED)
    table = pd.concat([_table(recipe, *file).assign(set=file[0]) for file in recipe.files()])
    assert (table.groupby("path").participant_id.nunique() == 40).all()
    for _, clips in table.groupby("set"):
        counts = clips.participant_id.value_counts()
        assert len(counts) == 40 and counts.max() - counts.min() <= 1
    first = table.groupby("path").participant_id.first()
    assert first.nunique() > 10  # not in the same order everywhere


def test_a_signer_is_the_same_in_every_file():
    bank = recorded_bank()
    alone, among = make_signers(bank, [6], seed=2), make_signers(bank, [3, 6, 100], seed=2)
    for name, value in vars(alone).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value[0], getattr(among, name)[1], err_msg=name)
    other = make_signers(bank, [6], seed=3)
    assert np.abs(other.flexion - alone.flexion).max() > 0.1


@pytest.mark.parametrize("name", [field for field in vars(CALIBRATED)])
def test_without_variation(name):
    "Each ingredient can be left out, and takes numbers from 0 to 2 only."
    assert np.isfinite(spelled(one_signer(variation=replace(SEEN, **{name: 0})), "hello 1-2")[:, RIGHT]).all()
    for wrong in (-0.1, 2.1, float("nan")):
        with pytest.raises(KitError, match=f"{name} is .*choose a number from 0 to 2"):
            Variation(**{name: wrong})


def test_people_alike():
    "With `people=0` everybody has the hand of the most complete recording."
    bank = recorded_bank()
    signers = make_signers(bank, range(50), variation=Variation(people=0))
    assert (signers.source == list(bank.people).index("ase")).all()
    mixed = make_signers(bank, range(300)).source
    assert len(np.unique(mixed)) == len(bank.people)
    table = sign_table(bank)
    assert (table.first[mixed, np.arange(60)] >= 0).all()


# --- the prepared form


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    "Prepared corpora, stitched by one worker."
    folder = tmp_path_factory.mktemp("straight")
    return {name: stitch(folder / name, workers=1, prepared=True, landmark_set=name, **SETTINGS) for name in ("kit", "seed")}


@pytest.mark.parametrize("name", ["kit", "seed"])
def test_straight_is_as_by_the_detour(layout, straight, tmp_path, name):
    prepare(layout, tmp_path / "detour", landmark_set=name, workers=1, progress=False)
    one, other = Corpus(straight[name]), Corpus(tmp_path / "detour")
    assert one.landmark_set is other.landmark_set and len(one) == 27 and one.clips.file_id.nunique() == 3
    pd.testing.assert_frame_equal(one.clips, other.clips)
    for clip in range(len(one)):
        assert one.landmarks(clip).dtype == np.float16
        assert one.landmarks(clip).shape == other.landmarks(clip).shape
        assert one.landmarks(clip).tobytes() == other.landmarks(clip).tobytes()
    assert {path.name for path in straight[name].iterdir()} == {path.name for path in (tmp_path / "detour").iterdir()}


@pytest.mark.parametrize("name, workers", [("kit", 2), ("seed", 1)])
def test_straight_same_seed_same_bytes(straight, tmp_path, name, workers):
    found = bytes_of(stitch(tmp_path / "corpus", workers=workers, prepared=True, landmark_set=name, **SETTINGS))
    wanted = bytes_of(straight[name])
    assert list(found) == list(wanted) and {"corpus.json", "report.json"} < set(found)
    assert [file for file in found if found[file] != wanted[file]] == []


def renamed(bank, names):
    "The bank's people with other labels on the same hands."
    people = {
        who: Person({names.get(c, c): hands for c, hands in person.holds.items()}, person.paths)
        for who, person in bank.people.items()
    }
    return replace(bank, people=people)


def test_fingerprints(straight, tmp_path):
    "Whatever changes the clips changes the fingerprint, and nothing else does."
    few, ase = {"clips": 4, "signers": 2, "seed": 3}, recorded_bank().people["ase"]
    pia = LetterBank({"pia": Person({"a": ase.holds["a"][:3]}, {})})
    changes = {
        "none": {}, "seed": {"seed": 4}, "variation": {"variation": Variation(noise=0.5)}, "bank": {"bank": pia},
        "label": {"bank": renamed(pia, {"a": "e"})},
        "people": {"signers": 3}, "clips": {"clips": 5}, "files": {"clips_per_file": 2}, "set": {"landmark_set": "seed"},
    }  # fmt: skip
    found = {
        name: Corpus(stitch(tmp_path / name, workers=1, prepared=True, **few | change)).fingerprint
        for name, change in changes.items()
    }
    again = Corpus(stitch(tmp_path / "again", workers=1, prepared=True, **few)).fingerprint
    assert again == found["none"]
    same = [(a, b) for a in found for b in found if a < b and found[a] == found[b]]
    assert same == []


def test_no_block_repeats_another(tmp_path):
    "Ten blocks of one file differ in tempo, clip by clip."
    settings = {"clips": 10 * BLOCK, "signers": 1, "clips_per_file": 10 * BLOCK, "variation": SEEN}
    clips = Corpus(stitch(tmp_path / "corpus", workers=1, prepared=True, **settings)).clips
    pace = (clips.frames / clips.phrase.str.len()).to_numpy().reshape(10, BLOCK)
    assert pace.mean(0).std() < 0.5 * pace.std()


PEOPLE = make_signers(recorded_bank(), range(3), variation=Variation(faults=2))
PEOPLE = replace(PEOPLE, left_handed=np.array([False, True, False]))
TEXTS, WHO = ["ada l", "+1-20", "z?j", "o  o"], np.array([0, 1, 2, 1])


@pytest.fixture(scope="module")
def whole():
    return make_clips(recorded_bank(), PEOPLE, WHO, TEXTS, np.random.default_rng(8))


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(0, 542), min_size=1, max_size=200))
def test_choosing_points_changes_nothing_else(whole, chosen):
    chosen = np.array(sorted(chosen))
    points, frames = make_clips(recorded_bank(), PEOPLE, WHO, TEXTS, np.random.default_rng(8), chosen)
    np.testing.assert_array_equal(frames, whole[1])
    np.testing.assert_array_equal(points, whole[0][:, chosen])


def test_clips_of_a_block(whole):
    points, frames = whole
    assert points.dtype == np.float32 and points.shape == (frames.sum(), 543, 3) and frames.min() >= 1
    assert np.isfinite(np.delete(points, np.r_[LEFT, RIGHT], 1)).all()


# --- what is spelled


@pytest.mark.parametrize("character", CHARACTERS)
def test_every_character_can_be_spelled(steady, character):
    for n in (1, 3):
        clip = spelled(steady, character * n, n)
        assert clip.shape[1:] == (543, 3) and clip.dtype == np.float32 and len(clip) >= 3 * n
        hand = clip[:, RIGHT]
        assert seen(hand).all() and not seen(clip[:, LEFT]).any()
        assert np.abs(hand).max() < 10 and hand.std((0, 1)).min() > 1e-3


def test_characters_differ():
    "No two signs of one person are the same way through space, apart from the digits that look like letters."
    table = sign_table(recorded_bank())
    row, ways = table.names.index("ase"), {}
    for column, c in enumerate(CHARACTERS):
        keys = table.keys[row, column]
        poses = table.poses.take(table.first[row, column] + np.array([0, keys // 2, keys - 1]))
        ways[c] = poses.points() + (0 if table.moving[column] else -poses.wrist[:, None])
    pairs = [(a, b) for a in CHARACTERS for b in CHARACTERS if a < b]
    assert [a + b for a, b in pairs if np.abs(ways[a] - ways[b]).max() < 0.05] == ["0o", "2v", "6w", "9f"]


def test_longer_phrases_take_longer(steady):
    frames = [len(spelled(steady, "a" * n)) for n in (2, 8, 20)]
    assert frames[0] + 20 < frames[1] and frames[1] + 40 < frames[2]


def test_left_handed_people_spell_with_the_left_hand():
    level = replace(SEEN, camera=0)
    left, right = (one_signer(left_handed, variation=level) for left_handed in (True, False))
    for n, text in enumerate(("ada", "+1-202")):
        a, b = spelled(left, text, n), spelled(right, text, n)
        assert seen(a[:, LEFT]).all() and seen(b[:, RIGHT]).all()
        assert not seen(a[:, RIGHT]).any() and not seen(b[:, LEFT]).any()
        mirrored = a[:, LEFT] * [-1, 1, 1] + [2 * left.middle[0, 0], 0, 0]
        np.testing.assert_allclose(mirrored, b[:, RIGHT], atol=1e-5)
        np.testing.assert_allclose(a[:, POINTS.index("pose_15"), :2], a[:, LEFT][:, 0, :2], atol=0.1)  # the arm goes with it
        assert np.median(a[:, POINTS.index("pose_11"), 0] - a[:, POINTS.index("pose_12"), 0]) > 0.3  # and nobody is inside out


def test_left_handed_people_in_a_corpus(tmp_path):
    "Who is left-handed follows from number and seed, and their clips show it."
    people = make_signers(recorded_bank(), range(20), seed=7).left_handed
    assert 1 <= people.sum() <= 3
    corpus = Corpus(stitch(tmp_path / "corpus", clips=100, signers=20, seed=7, workers=1, prepared=True, variation=SEEN))
    hands = [corpus.landmark_set.parts[side][0] for side in ("left_hand", "right_hand")]
    for clip, who in enumerate(corpus.clips.participant_id):
        left, right = np.isfinite(corpus.landmarks(clip)[:, hands, 0]).all(0)
        assert (left, right) == (people[who], not people[who])


def test_signs_are_mirrored_in_clips():
    "A dash goes to the picture's left; to its right where people draw for the eyes of the other, or with the left hand."
    plain = Variation(**dict.fromkeys(vars(CALIBRATED), 0))
    for left_handed, wanted in ((False, 1), (True, -1)):
        signer = one_signer(left_handed, variation=plain)
        assert not signer.outward[0]
        hands = []
        for outward in (False, True):
            clip = spelled(replace(signer, outward=np.array([outward])), "-", 3)
            hands.append(clip[:, LEFT if left_handed else RIGHT][:, 8, 0])
        way = wanted * (hands[0] - hands[1])  # what is left is twice the dash, however the hand comes up
        assert way.argmax() < way.argmin() and way.max() > 0.1 and way.min() < -0.1


# --- how hands move


def keys_of(variation, texts, seed=0, count=3):
    signers = make_signers(recorded_bank(), range(count), seed, variation)
    rng = np.random.default_rng(seed)
    times = _times(signers, np.arange(len(texts)) % count, texts, rng)
    return signers, times, _key_poses(signers, times, rng)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.text(st.sampled_from(CHARACTERS), min_size=1, max_size=9), st.sampled_from([0, 0.08, 0.3]))
def test_no_joint_leaves_the_interval_of_its_keys(seed, text, lag):
    _, times, keys = keys_of(CALIBRATED, ["a rather long one 2024", text, "hello"], seed)
    keys = replace(keys, poses=_lean(keys, np.array([0.1, 0.3, 0])))
    moved = _move(keys, times, lag * np.random.default_rng(seed).standard_normal((3, 6)))
    assert len(moved) == times.frames.sum()
    for clip in range(3):
        mine, frames = np.flatnonzero(keys.clip == clip), times.of == clip
        a = mine[np.clip(np.searchsorted(keys.time[mine], times.t[frames], "right") - 1, 0, len(mine) - 2)]
        for name in ("angles", "wrist", "palm", "lengths"):
            value = getattr(keys.poses, name)
            low, high = np.minimum(value[a], value[a + 1]), np.maximum(value[a], value[a + 1])
            found = getattr(moved, name)[frames]
            assert (found >= low - 1e-5).all() and (found <= high + 1e-5).all(), name
    np.testing.assert_allclose(np.linalg.norm(moved.turned, axis=-1), 1, atol=1e-5)


def at(keys, time, lag=0.0):
    "The hands at one time a key pose (N,), of the key's clip."
    order = np.lexsort((time, keys.clip))
    back = np.argsort(order)
    clock = SimpleNamespace(of=keys.clip[order], t=time[order])
    return _move(keys, clock, np.full((keys.clip.max() + 1, 6), lag)).take(back)


def test_hands_stop_at_their_keys():
    "At a key that is not part of a path nothing moves, and half-way to the next key everything that will move does."
    _, _, keys = keys_of(CALIBRATED, ["hello", "a-bj", "7 99"])
    before, there, after = (at(keys, keys.time + step) for step in (-0.01, 0, 0.01))
    stops = ~keys.drawn & ~np.r_[keys.drawn[1:], False]
    for name in ("angles", "wrist", "palm", "turned"):
        middle = getattr(there, name)[stops]
        for side in (before, after):
            assert np.abs(getattr(side, name)[stops] - middle).max() / 0.01 < 2e-3, name
        np.testing.assert_allclose(np.abs(middle), np.abs(getattr(keys.poses, name)[stops]), atol=1e-5)
    drawn = keys.drawn & np.r_[keys.drawn[1:], False]
    speed = np.abs(after.wrist - there.wrist)[drawn].max(1) / 0.01
    assert drawn.sum() >= 5 and np.median(speed) > 0.02  # a path does not stop


def test_hands_rest_while_they_hold():
    _, times, keys = keys_of(replace(CALIBRATED, coarticulation=0), ["hello", "quartz"])
    hold = (keys.clip[1:] == keys.clip[:-1]) & ~keys.drawn[1:]
    hold &= (np.abs(np.diff(keys.poses.angles, axis=0)) == 0).all((1, 2, 3)) & (np.diff(keys.time) > 0.5)
    assert hold.sum() >= 10
    first = np.flatnonzero(hold)
    for share in (0.1, 0.5, 0.9):
        moved = at(keys, np.r_[keys.time[:-1] + share * np.diff(keys.time), keys.time[-1]]).take(first)
        np.testing.assert_allclose(moved.points(), keys.poses.take(first).points(), atol=1e-5)


def test_doubled_letters_move():
    "Sideways, away from the body's middle, the further the more often a letter is repeated; some bounce."
    _, times, keys = keys_of(CALIBRATED, ["mississippi", "zoo", "lll 77"] * 40, count=40)
    table = keys.poses.wrist
    inside = [np.flatnonzero(keys.clip == clip) for clip in range(2, 120, 3)]
    steps = np.array([table[mine[8]] - table[mine[2]] for mine in inside])  # from the first l to the third
    once = np.array([table[mine[4]] - table[mine[2]] for mine in inside])
    assert steps[:, 0].mean() < -0.4 < once[:, 0].mean() < -0.15 and (steps[:, 0] < 0).mean() > 0.95
    assert (np.linalg.norm(np.diff(table, axis=0)[np.concatenate([mine[2:4] for mine in inside])], axis=-1) > 0.02).mean() > 0.9
    lifted = np.array([table[mine[3], 1] - table[mine[[2, 4]], 1].mean() for mine in inside])
    assert lifted.mean() < -0.01


def test_tempo():
    "`tempo` counts frames: the higher, the slower."
    lengths = [len(spelled(replace(one_signer(), tempo=np.array([tempo])), "hello world", 4)) for tempo in (-2.0, 0.0, 2.0)]
    assert lengths[0] * 1.3 < lengths[1] and lengths[1] * 1.3 < lengths[2]
    pace = []
    for number in range(20):
        signer = make_signers(recorded_bank(), [number])
        pace.append(np.mean([len(spelled(signer, "northeast", n)) for n in range(4)]))
    tempo = make_signers(recorded_bank(), range(20)).tempo
    assert np.corrcoef(tempo, np.log(pace))[0, 1] > 0.6


# --- what the tracker sees


def cover_of(variation, clips=300, seed=0):
    "Share of frames of each clip with a hand (either, right, left, both), and the frames of each clip."
    bank, people = recorded_bank(), 60
    signers = replace(make_signers(bank, range(people), seed, variation), left_handed=np.zeros(people, bool))
    rng = np.random.default_rng(seed)
    texts, who = [phrase(rng) for _ in range(clips)], np.arange(clips) % people
    points, frames = make_clips(bank, signers, who, texts, rng, np.array([LEFT.start, RIGHT.start]))
    found = np.isfinite(points[..., 0])
    kinds = [found.any(1), found[:, 1], found[:, 0], found.all(1)]
    starts = np.cumsum(frames) - frames
    return np.stack([np.add.reduceat(kind.astype(int), starts) / frames for kind in kinds]), frames, found


@pytest.fixture(scope="module")
def covers():
    return {lost: cover_of(Variation(lost=lost, faults=0)) for lost in (0, 1, 2)}


def test_a_hand_that_is_never_lost(covers):
    (either, right, left, both), _, _ = covers[0]
    assert (right == 1).all() and (left == 0).all()


def test_lost_frames(covers):
    "As many as in the competition's clips, differing as widely, in bursts."
    (either, right, left, both), frames, found = covers[1]
    assert 0.53 < right.mean() < 0.65 and (left == 0).all()
    assert np.quantile(right, 0.25) < 0.4 and np.quantile(right, 0.75) > 0.75
    assert 20 < np.quantile(right * frames, 0.25) < 50  # a quarter keep a hand in 35 frames or fewer
    changes = np.abs(np.diff(found[:, 1].astype(int))).mean()
    share = found[:, 1].mean()
    assert changes < 0.7 * 2 * share * (1 - share)  # than if every frame were drawn by itself
    place = np.concatenate([np.arange(n) / n for n in frames])
    shown = [found[(place >= a) & (place < a + 0.05), 1].mean() for a in (0, 0.3, 0.5, 0.95)]
    assert max(shown[0], shown[3]) < 0.85 * min(shown[1:3])  # first of all where the hand is down
    seen_well = make_signers(recorded_bank(), range(60)).seen[np.arange(300) % 60]
    assert abs(np.corrcoef(seen_well, right)[0, 1] - ALIKE) < 0.15


def test_the_more_is_lost_the_less_is_seen(covers):
    one, two = covers[1], covers[2]
    assert (two[0][1] <= one[0][1]).all() and two[0][1].mean() < one[0][1].mean() - 0.15
    np.testing.assert_array_equal(one[1], two[1])
    assert not (two[2] & ~one[2]).any()


def test_faults(covers):
    "Wrong names, the idle hand, ghosts; clips of a dozen frames. None of it changes how often some hand is seen."
    (either, right, left, both), frames, _ = cover_of(Variation(lost=0, faults=1), clips=600)
    assert (either == 1).all()
    assert 0.02 < left.mean() < 0.2 and 0 < both.mean() < 0.05
    assert 0.003 < (frames <= 12).mean() < 0.03
    assert (covers[1][1] > 12).all()


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


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize("wrong", [{"clips": 0}, {"signers": 0}, {"clips": -3}])
def test_nothing_to_stitch(tmp_path, wrong, prepared):
    with pytest.raises(KitError, match="ask for at least one of each"):
        stitch(tmp_path / "corpus", workers=1, prepared=prepared, **wrong)
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize("wrong", [{"clips_per_file": 0}, {"clips_per_file": -1}, {"supplemental": -2}, {"drills": -1}])
def test_impossible_numbers(tmp_path, wrong):
    with pytest.raises(KitError, match=str(next(iter(wrong.values())))):
        stitch(tmp_path / "corpus", clips=2, signers=1, workers=1, **wrong)
    assert not (tmp_path / "corpus").exists()


def test_no_such_landmark_set(tmp_path):
    with pytest.raises(ParameterError, match="'body'.*choose one of kit, seed"):
        stitch(tmp_path / "corpus", workers=1, prepared=True, landmark_set="body")
    assert not (tmp_path / "corpus").exists()


def test_no_such_bank(tmp_path):
    with pytest.raises(KitError, match="mine.npz: no such file"):
        stitch(tmp_path / "corpus", workers=1, bank=tmp_path / "mine.npz")
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize("prepared", [False, True])
def test_a_corpus_is_not_overwritten(stitched, straight, prepared):
    for folder, file in ((stitched, "train.csv"), (straight["kit"], "corpus.json")):
        before = (folder / file).read_bytes()
        with pytest.raises(KitError, match="already holds a corpus.*choose another folder"):
            stitch(folder, clips=1, signers=1, workers=1, prepared=prepared)
        assert (folder / file).read_bytes() == before
