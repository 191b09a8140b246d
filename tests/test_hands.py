"Hands taken apart and put together, rotations, banks of one's own recordings, and a sign for every character."

import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from aslkit.competition import ASPECT, CHARACTERS, POINTS, DataError, KitError
from aslkit.hands import (
    ASIDE,
    DIGITS,
    FINGER_POINTS,
    LEAST,
    LIMITS,
    LOOKALIKES,
    REST,
    STROKES,
    LetterBank,
    Poses,
    bend,
    donate,
    from_joints,
    join_pose,
    joined,
    lookalikes,
    make_person,
    multiply,
    read_bank,
    recorded_bank,
    recordings,
    rotation,
    sign_table,
    split_pose,
    to_joints,
    to_matrix,
    to_quaternion,
)
from aslkit.signers import make_signers
from aslkit.stitch import write_landmarks

LEFT, RIGHT = (slice(POINTS.index(f"{side}_hand_0"), POINTS.index(f"{side}_hand_20") + 1) for side in ("left", "right"))
seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)
quick = settings(max_examples=40, deadline=None)


def hands_of(rng, count=8):
    "Hands that no person has: any 21 points, any place, any size."
    return rng.normal(0, 1, (count, 21, 3)) * rng.uniform(0.1, 10) + rng.normal(0, 3, (count, 1, 3))


def close(a, b, share=1e-5):
    np.testing.assert_allclose(a, b, rtol=0, atol=share * max(1, np.abs(b).max()))


# --- apart and together


@quick
@given(seeds)
def test_split_and_join(rng):
    hands = hands_of(rng)
    turn, bones = split_pose(hands)
    close(join_pose(turn, bones), hands - hands[:, :1], 1e-9)
    close(turn @ turn.transpose(0, 2, 1), np.tile(np.eye(3), (8, 1, 1)), 1e-9)
    close(np.linalg.det(turn), np.ones(8), 1e-9)


@quick
@given(seeds)
def test_bones_do_not_feel_how_a_hand_is_turned_and_placed(rng):
    hands, turn = hands_of(rng), Rotation.random(rng=rng).as_matrix()
    (old, bones), (new, again) = split_pose(hands), split_pose(hands @ turn.T + rng.normal(size=3))
    close(again, bones, 1e-8)
    close(new, turn @ old, 1e-8)


@quick
@given(seeds)
def test_joints_give_back_the_bones(rng):
    bones = split_pose(hands_of(rng))[1]
    angles, lengths = to_joints(bones)
    close(from_joints(angles, lengths), bones[:, FINGER_POINTS[:, 1:]], 1e-6)
    assert (angles[..., 0] >= LEAST - 1e-9).all() and (angles[..., 0] < LEAST + 2 * np.pi + 1e-9).all()
    assert (np.abs(angles[..., 1]) <= np.pi / 2).all()


@quick
@given(seeds)
def test_bones_give_back_the_joints(rng):
    flexion = LEAST + rng.uniform(0.01, 2 * np.pi - 0.01, (8, 5, 3))
    angles = np.stack([flexion, rng.uniform(-1.5, 1.5, (8, 5, 3))], -1)
    lengths = rng.uniform(0.1, 2, (8, 5, 3))
    bones = np.zeros((8, 21, 3))
    bones[:, FINGER_POINTS[:, 1:]] = from_joints(angles, lengths)
    found = to_joints(bones)
    close(found[1], lengths)
    around = np.abs(found[0] - angles) % (2 * np.pi)
    assert np.minimum(around, 2 * np.pi - around).max() < 1e-4


@quick
@given(seeds)
def test_poses_give_back_the_hands(rng):
    hands = hands_of(rng)
    poses = Poses.of(hands)
    assert len(poses) == 8 and {part.dtype for part in vars(poses).values()} == {np.dtype("float32")}
    close(poses.points(), hands, 2e-6)
    some = rng.integers(8, size=5)
    np.testing.assert_array_equal(poses.take(some).points(), poses.points()[some])
    np.testing.assert_array_equal(joined([poses, poses.take(some)]).points()[8:], poses.points()[some])


def test_recorded_hands_come_back():
    for person in recorded_bank().people.values():
        for hands in [*person.holds.values(), *person.paths.values()]:
            close(Poses.of(hands).points(), hands, 1e-5)


# --- bending


@quick
@given(seeds, st.floats(0, 10))
def test_bend_keeps_to_the_limits(rng, strength):
    angles, lengths = to_joints(split_pose(hands_of(rng))[1])
    new = bend(angles, strength * rng.normal(size=(5, 3)), strength * rng.normal(size=(8, 5)))
    low, high = np.minimum(angles[..., 0], LIMITS[..., 0]), np.maximum(angles[..., 0], LIMITS[..., 1])
    assert (new[..., 0] >= low - 1e-5).all() and (new[..., 0] <= high + 1e-5).all()
    assert (np.abs(new[..., 1]) <= np.maximum(np.abs(angles[..., 1]), ASIDE) + 1e-5).all()
    close(np.linalg.norm(from_joints(new, lengths), axis=-1), lengths, 1e-5)  # no bone grows or shrinks


def test_bend_by_nothing_is_nothing():
    angles = recorded_bank().people["ase"].holds["r"]
    angles = Poses.of(angles).angles
    np.testing.assert_array_equal(bend(angles, np.zeros((5, 3)), np.zeros(5)), angles)


def test_bend_bends_and_spreads():
    flat = np.zeros((1, 5, 3, 2))
    tips = from_joints(flat, np.ones((1, 5, 3))).sum(2)[0, 1:]
    closed = from_joints(bend(flat, np.full((5, 3), 0.5), np.zeros(5)), np.ones((1, 5, 3))).sum(2)[0, 1:]
    spread = from_joints(bend(flat, np.zeros((5, 3)), np.full(5, 0.2)), np.ones((1, 5, 3))).sum(2)[0, 1:]
    assert (closed[:, 2] > tips[:, 2] + 1).all()  # out of the palm
    assert (spread[:, 0] > tips[:, 0] + 0.3).all()  # to the index finger's side
    fist = np.zeros((1, 5, 3, 2))
    fist[..., 0] = [1.5, 0, 0]
    moved = np.abs(bend(fist, np.zeros((5, 3)), np.full(5, 0.2)) - fist)[0, 1:, :, 1]
    assert moved.max() < 0.02


# --- rotations, against scipy


@quick
@given(seeds)
def test_quaternions(rng):
    turns = Rotation.concatenate([Rotation.random(20, rng=rng), Rotation.from_rotvec(np.pi * np.eye(3)), Rotation.identity(1)])
    wanted = turns.as_quat(scalar_first=True)
    found = to_quaternion(turns.as_matrix())
    close(np.abs((found * wanted).sum(-1)), np.ones(24), 1e-12)
    close(to_matrix(wanted), turns.as_matrix(), 1e-12)
    other = Rotation.random(24, rng=rng)
    close(to_matrix(multiply(wanted, other.as_quat(scalar_first=True))), (turns * other).as_matrix(), 1e-12)


@quick
@given(seeds, st.sampled_from([0, 1e-8, 1e-4, 0.1, 1, 3.1, 10]))
def test_rotation_vectors(rng, size):
    vectors = rng.normal(size=(20, 3))
    vectors *= size / np.linalg.norm(vectors, axis=-1, keepdims=True)
    found = rotation(vectors)
    assert found.dtype == np.float32
    close(to_matrix(found.astype("float64")), Rotation.from_rotvec(vectors).as_matrix(), 1e-6)


# --- banks of one's own: .npz


@pytest.fixture(scope="module")
def asl():
    "Letter -> (T, 21, 3) right hand of the ASL recording; depth from the first frame's wrist."
    return {letter: clip[:, 532:553] - [0, 0, 1] * clip[0, 532] for letter, clip in recordings().items()}


def write_bank(path, recorded, order=None):
    "`recorded`: (signer, character, name of the recording, hands)."
    rows = [(hand, c, who, seq, t) for who, c, seq, hands in recorded for t, hand in enumerate(hands)]
    rows = [rows[i] for i in (range(len(rows)) if order is None else order.permutation(len(rows)))]
    xyz, label, signer, seq, t = zip(*rows)
    np.savez(path, xyz=np.array(xyz), label=label, signer=signer, seq=seq, t=t)
    return path


def same_people(found, wanted):
    assert set(found) == set(wanted)
    for name, person in found.items():
        for kind in ("holds", "paths"):
            one, other = getattr(person, kind), getattr(wanted[name], kind)
            assert set(one) == set(other)
            for character in one:
                np.testing.assert_allclose(one[character], other[character], atol=1e-4)


@pytest.fixture(scope="module")
def recorded(asl):
    "Two signers; one repeats a letter, and records her digit and sign."
    return [("ada", "a", "1", asl["a"]), ("ada", "l", "2", asl["l"]), ("ada", "a", "3", asl["b"]), ("ada", "z", "4", asl["z"]),
            ("bo", "a", "1", asl["s"]), ("bo", "7", "5", asl["k"])]  # fmt: skip


@pytest.mark.parametrize("shuffle", [None, 0, 1])
def test_a_file(tmp_path, asl, recorded, shuffle):
    order = None if shuffle is None else np.random.default_rng(shuffle)
    bank = read_bank(write_bank(tmp_path / "bank.npz", recorded, order))
    ada = [("a", asl["a"]), ("a", asl["b"]), ("l", asl["l"]), ("z", asl["z"])]
    same_people(bank.people, {"ada": make_person(ada), "bo": make_person([("a", asl["s"]), ("7", asl["k"])])})
    assert bank.bodies == ()


def test_units_do_not_matter(tmp_path, recorded):
    small = [(who, c, seq, (0.003 * hands + [0.2, 0.4, 0]).astype("float32")) for who, c, seq, hands in recorded]
    one, other = (read_bank(write_bank(tmp_path / f"{i}.npz", rows)) for i, rows in enumerate((recorded, small)))
    for name, person in one.people.items():
        for character, hands in person.holds.items():
            assert len(hands) == len(other.people[name].holds[character])
            np.testing.assert_allclose(hands.mean(0), other.people[name].holds[character].mean(0), atol=0.05)


def test_a_j_or_z_that_rests_is_left_out(tmp_path, asl):
    still = np.repeat(asl["z"][5:6], 20, 0)
    rows = [("ada", "j", "1", still), ("ada", "z", "2", still), ("ada", "a", "3", asl["a"]), ("bo", "z", "4", asl["z"])]
    people = read_bank(write_bank(tmp_path / "bank.npz", rows)).people
    assert (set(people["ada"].holds), set(people["ada"].paths)) == ({"a"}, set())
    assert set(people["bo"].paths) == {"z"}


def test_recorded_digits_replace_made_up_ones(tmp_path, asl):
    "Of one's own, and the index finger of one's own 1 draws the signs; a bank of digits alone serves too."
    letters = [("ada", c, c, hands) for c, hands in asl.items() if c not in "jz"]
    own = read_bank(
        write_bank(
            tmp_path / "own.npz",
            [*letters, ("ada", "1", "d1", asl["l"]), ("ada", "7", "d7", asl["f"]), ("ada", " ", "pause", asl["y"])],
        )
    )
    digits = read_bank(write_bank(tmp_path / "digits.npz", [("bo", d, d, asl["f"]) for d in "0123456789"]))
    bank = recorded_bank() | own | digits
    table = sign_table(bank)
    ada, bo, ase = (table.names.index(name) for name in ("ada", "bo", "ase"))

    def poses(person, character):
        column = CHARACTERS.index(character)
        return table.poses.take(np.array([table.first[person, column]])).points()[0]

    for person, character, wanted in [(ada, "1", "l"), (ada, "7", "f"), (ada, " ", "y"), *[(bo, d, "f") for d in DIGITS]]:
        np.testing.assert_allclose(poses(person, character), own.people["ada"].holds[wanted][0], atol=1e-4)
    np.testing.assert_allclose(poses(ada, "-") - poses(ada, "-")[0], poses(ada, "1"), atol=1e-4)
    made = donate(own.people["ada"], *DIGITS["3"]).points()[0]
    np.testing.assert_allclose(poses(ada, "3"), made, atol=0.2)
    assert np.abs(poses(ase, "7") - poses(ada, "7")).max() > 0.1
    lent = make_signers(bank, range(200)).source[:, CHARACTERS.index("7")]
    assert {ada, bo, ase} <= set(lent)


def test_a_bank_is_added_to_another(tmp_path, recorded):
    mine = read_bank(write_bank(tmp_path / "bank.npz", recorded))
    both = recorded_bank() | mine
    assert set(both.people) == {*recorded_bank().people, "ada", "bo"}
    assert both.bodies == recorded_bank().bodies and both.palm == recorded_bank().palm
    assert "ada" not in recorded_bank().people


# --- banks of one's own: folders


def clip_of(hands, side):
    "A clip (T, 543, 3) in the competition's layout of right hands in image widths, as the hand of one side."
    clip = np.full((len(hands), 543, 3), np.nan, "float32")
    shown = hands * [-1, 1, 1] + [1, 0, 0] if side == LEFT else hands
    clip[:, side] = shown / [1, ASPECT, 1]
    return clip


def write_index(folder, text):
    (folder / "index.csv").write_text("path,character,signer\n" + text)
    return folder


def test_a_folder_of_parquet(tmp_path, asl):
    hands = {letter: asl[letter].astype("float32") / 600 for letter in "abz"}
    for letter, side in [("a", RIGHT), ("b", LEFT), ("z", LEFT)]:
        clip = clip_of(hands[letter], side)
        if letter == "b":  # the other hand shows up for a moment; some frames show nothing
            clip[3:6, RIGHT] = 0.5
            clip = np.insert(clip, 7, np.nan, axis=0)
        write_landmarks(tmp_path / f"{letter}.parquet", [(5, clip)])
    bank = read_bank(write_index(tmp_path, "a.parquet,a,ada\nb.parquet,b,ada\nz.parquet,z,bo\n"))
    wanted = {"ada": make_person([(c, hands[c]) for c in "ab"]), "bo": make_person([("z", hands["z"])])}
    same_people(bank.people, wanted)


def test_hand_columns_suffice(tmp_path, asl):
    write_landmarks(tmp_path / "whole.parquet", [(5, clip_of(asl["a"].astype("float32") / 600, RIGHT))])
    table = pd.read_parquet(tmp_path / "whole.parquet")
    table[[c for c in table if "_hand_" in c]].to_parquet(tmp_path / "hands.parquet")
    one, other = (read_bank(write_index(tmp_path, f"{name}.parquet,a,ada\n")).people for name in ("whole", "hands"))
    same_people(one, other)


def flat(hands):
    "Without depth, which has another unit in .pose files: (x, y), wrist at the origin, mean size 1."
    hands = (hands - hands[:, :1])[..., :2]
    return hands / np.linalg.norm(hands[:, 9], axis=-1).mean()


def test_a_folder_of_pose_files(tmp_path, asl):
    assets = Path(find_spec("spoken_to_signed").origin).parent / "assets/fingerspelling_lexicon"
    index = pd.read_csv(assets / "index.csv").set_index(["signed_language", "words"]).path
    for language, letter in [("ase", "A"), ("ase", "L"), ("ase", "J"), ("ise", "A")]:
        shutil.copy(assets / index[language, letter], tmp_path / f"{language}-{letter}.pose")
    people = read_bank(write_index(tmp_path, "ase-A.pose,a,ada\nase-L.pose,l,ada\nase-J.pose,j,ada\nise-A.pose,a,bo\n")).people
    whole = make_person([("a", asl["a"]), ("l", asl["l"]), ("j", asl["j"])])
    for letter in "al":
        np.testing.assert_allclose(flat(people["ada"].holds[letter]), flat(whole.holds[letter]), atol=1e-3)
    np.testing.assert_allclose(flat(people["ada"].paths["j"]), flat(whole.paths["j"]), atol=1e-3)
    left = make_person([found for found in lookalikes("ise") if found[0] == "a"])  # signed with the left hand
    np.testing.assert_allclose(flat(people["bo"].holds["a"]), flat(left.holds["a"]), atol=1e-3)


# --- mistakes


def says(path, name, problem, remedy):
    with pytest.raises(DataError) as error:
        read_bank(path)
    sentence = str(error.value)
    assert name in sentence and problem in sentence and remedy in sentence, sentence
    assert Path(error.value.file).name == name and "\n" not in sentence


def good(asl, **changes):
    n = len(asl["a"])
    arrays = {"xyz": asl["a"], "label": ["a"] * n, "signer": ["ada"] * n, "seq": ["1"] * n, "t": np.arange(n)} | changes
    return {name: array for name, array in arrays.items() if array is not None}


@pytest.mark.parametrize("name", ["xyz", "label", "signer", "seq", "t"])
def test_a_missing_array(tmp_path, asl, name):
    np.savez(tmp_path / "bank.npz", **good(asl, **{name: None}))
    says(tmp_path / "bank.npz", "bank.npz", f"the array {name} is missing", "see nbs/02b_hands for the format")


@pytest.mark.parametrize("changes", [
    {"xyz": np.zeros((25, 63))}, {"xyz": np.zeros((25, 20, 3))}, {"xyz": np.zeros((25, 21, 2))}, {"xyz": np.zeros(25)},
    {"label": ["a"]}, {"t": np.arange(3)}, {"signer": np.zeros((0,), "U3")},
])  # fmt: skip
def test_wrong_shapes(tmp_path, asl, changes):
    np.savez(tmp_path / "bank.npz", **good(asl, **changes))
    says(tmp_path / "bank.npz", "bank.npz", "xyz has the shape", "give (N, 21, 3) and N entries")


@pytest.mark.parametrize("character", ["A", "ä", "ab", "", '"', "\n"])
def test_an_unknown_character(tmp_path, asl, character):
    path = write_bank(tmp_path / "bank.npz", [("ada", "a", "1", asl["a"]), ("ada", character, "2", asl["b"])])
    says(path, "bank.npz", f"{character!r} is none of the 59 characters", "use a single lower-case character")
    write_landmarks(tmp_path / "a.parquet", [(5, clip_of(asl["a"] / 600, RIGHT))])
    if character.isalpha():
        says(write_index(tmp_path, f"a.parquet,{character},ada\n"), tmp_path.name, "is none of the 59", "lower-case")


def test_no_such_bank(tmp_path):
    says(tmp_path / "bank.npz", "bank.npz", "no such file or folder", "give a bank.npz or a folder with an index.csv")


def test_a_folder_without_index(tmp_path):
    says(tmp_path, "index.csv", "no such file", "see nbs/02b_hands for the format")


@pytest.mark.parametrize("column", ["path", "character", "signer"])
def test_a_missing_column(tmp_path, asl, column):
    write_landmarks(tmp_path / "a.parquet", [(5, clip_of(asl["a"] / 600, RIGHT))])
    row = {"path": "a.parquet", "character": "a", "signer": "ada"}
    del row[column]
    pd.DataFrame([row]).to_csv(tmp_path / "index.csv", index=False)
    says(tmp_path, "index.csv", f"the column '{column}' is missing", "see nbs/02b_hands for the format")


def test_no_whole_hand(tmp_path, asl):
    torn = asl["a"].copy()
    torn[:, 3] = np.nan
    path = write_bank(tmp_path / "bank.npz", [("ada", "a", "1", torn)])
    says(path, "bank.npz", "no frame with a whole hand", "record again with the hand in the picture")
    write_landmarks(tmp_path / "a.parquet", [(5, clip_of(torn / 600, LEFT))])
    says(write_index(tmp_path, "a.parquet,a,ada\n"), tmp_path.name, "no frame with a whole hand", "record again")
    says(write_index(tmp_path, ""), tmp_path.name, "no frame with a whole hand", "record again")


def test_no_recording_at_all(tmp_path, asl):
    np.savez(tmp_path / "bank.npz", **{name: np.array(array)[:0] for name, array in good(asl).items()})
    says(tmp_path / "bank.npz", "bank.npz", "no frame with a whole hand", "record again")


def test_a_lost_frame_costs_only_itself(tmp_path, asl):
    "As in a folder of clips."
    torn = asl["a"].copy()
    torn[0, 3] = np.nan
    people = read_bank(write_bank(tmp_path / "bank.npz", [("ada", "a", "1", torn)])).people
    same_people(people, {"ada": make_person([("a", asl["a"][1:])])})


@pytest.mark.parametrize("name", ["a.parquet", "a.pose"])
def test_a_missing_clip(tmp_path, name):
    says(write_index(tmp_path, f"{name},a,ada\n"), name, "no such file", "see nbs/02b_hands for the format")


@pytest.mark.parametrize("content", [b"no zip", b"PK\x03\x04 cut off", b""])
def test_a_damaged_file(tmp_path, content):
    (tmp_path / "bank.npz").write_bytes(content)
    says(tmp_path / "bank.npz", "bank.npz", "", "")


@pytest.mark.parametrize("name", ["a.parquet", "a.pose", "a.txt"])
def test_a_damaged_clip(tmp_path, name):
    (tmp_path / name).write_bytes(b"no clip")
    says(write_index(tmp_path, f"{name},a,ada\n"), name, "", "")


def test_a_clip_without_hand_columns(tmp_path):
    pd.DataFrame({"x_face_0": [0.5]}).to_parquet(tmp_path / "a.parquet")
    says(write_index(tmp_path, "a.parquet,a,ada\n"), "a.parquet", "left_hand", "")


def test_a_row_cut_short(tmp_path):
    (tmp_path / "index.csv").write_text("character,signer,path\na,ada\n")
    says(tmp_path, "index.csv", "path", "")


def test_the_right_hand_when_both_are_seen_in_every_frame(tmp_path, asl):
    hands = asl["a"].astype("float32") / 600
    clip = clip_of(hands, RIGHT)
    clip[:, LEFT] = clip_of(asl["b"] / 600, LEFT)[:, LEFT].mean(0)
    write_landmarks(tmp_path / "a.parquet", [(5, clip)])
    same_people(read_bank(write_index(tmp_path, "a.parquet,a,ada\n")).people, {"ada": make_person([("a", hands)])})


# --- signs


@pytest.fixture(scope="module")
def table():
    return sign_table(recorded_bank())


def sign_of(table, person, character):
    "The poses of the first variant."
    row, column = table.names.index(person), CHARACTERS.index(character)
    return table.poses.take(table.first[row, column] + np.arange(table.keys[row, column]))


def test_the_asl_signer_has_a_sign_for_every_character(table):
    row = table.names.index("ase")
    assert (table.first[row] >= 0).all() and (table.keys[row] >= 1).all() and (table.variants[row] >= 1).all()
    assert len(CHARACTERS) == REST == 59
    for person in table.names:
        has = table.first[table.names.index(person)] >= 0
        assert (table.keys[table.names.index(person)][has] >= 1).all()
    assert table.first.max() < len(table.poses) == len(table.share)


def test_nobody_has_a_q():
    people = {name: make_person(lookalikes(name)) for name in list(LOOKALIKES)[:2]}
    with pytest.raises(KitError, match="nobody in the letter bank spells 'q'; add recordings"):
        ase = recorded_bank().people["ase"]
        rest = {c: hands for c, hands in ase.holds.items() if c != "q"}
        sign_table(LetterBank(people | {"ase": type(ase)(rest, ase.paths)}))


def test_only_drawn_characters_move(table):
    for column, character in enumerate(CHARACTERS):
        assert table.moving[column] == (character in STROKES or character in "jz")
        keys = table.keys[:, column][table.first[:, column] >= 0]
        assert (keys > 1).all() if table.moving[column] else (keys == 1).all()
    assert sorted(STROKES) == sorted(c for c in CHARACTERS if not c.isalnum() and c != " ")


def test_j_and_z_move(table):
    for character, tip in (("j", 20), ("z", 8)):
        people = [name for name in table.names if table.first[table.names.index(name), CHARACTERS.index(character)] >= 0]
        assert len(people) >= 5
        for name in people:
            way = sign_of(table, name, character).points()[:, tip, :2]
            assert np.ptp(way, 0).max() > 0.4, (character, name)


def test_the_course_of_a_sign(table):
    "Shares rise from 0.2 to 0.88 along a path."
    for character in (*STROKES, *"jz"):
        for row in np.flatnonzero(table.first[:, CHARACTERS.index(character)] >= 0):
            first, keys = (array[row, CHARACTERS.index(character)] for array in (table.first, table.keys))
            share = table.share[first : first + keys]
            assert (np.diff(share) > 0).all() and np.isclose(share[[0, -1]], [0.2, 0.88]).all()


def test_signs_are_drawn_for_the_signers_own_eyes(table):
    "Seen by the camera they are mirrored: what goes to the signer's right goes to the picture's left."

    def way(character, name="ase"):
        return sign_of(table, name, character).wrist

    for name in [name for name in table.names if table.first[table.names.index(name), CHARACTERS.index("-")] >= 0]:
        dash = way("-", name)
        assert dash[0, 0] > 0.4 and dash[-1, 0] < -0.4 and np.ptp(dash[:, 1]) < 1e-6
    assert way("_")[0, 0] > way("_")[-1, 0] and way("_")[:, 1].min() > way("-")[:, 1].max()
    slash = way("/")
    assert slash[0, 0] < slash[-1, 0] and slash[0, 1] < slash[-1, 1]  # for the signer from upper right to lower left
    assert way("(")[:, 0].argmax() not in (0, len(way("(")) - 1)  # bulges to the signer's left, the picture's right
    assert way(")")[:, 0].argmin() not in (0, len(way(")")) - 1)
    assert way(",")[-1, 0] > 0 and way(".")[:, 2].min() < -0.3  # pokes go to the camera
