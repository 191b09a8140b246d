"Augmentations keep holes, padding, numbers of frames and labels right, on both backends."

import inspect
import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf

from aslkit import augment
from aslkit.augment import AUGMENTATIONS, POLICIES, Augment, Concatenate, CutMix
from aslkit.competition import ASPECT, BLANK
from aslkit.landmarks import FINGERS, LANDMARK_SETS
from aslkit.model import build_reader
from aslkit.plan import chosen_members

KIT = LANDMARK_SETS["kit"]
HANDS = np.r_[KIT.parts["left_hand"], KIT.parts["right_hand"]]
TIMED = ("cut_mix", "concatenate", "reverse", "crop", "shift", "tempo", "warp", "jitter")
LONG = 24  # T of a batch


def points_in(landmark_set):
    return len(LANDMARK_SETS[landmark_set].points)


def batch_of(frames, seed=0, landmark_set="kit", length=LONG, dtype="float32"):
    "Landmarks, frames, labels and signers; each hand is lost in stretches, rubbish lies beyond a clip's end."
    rng, chosen = np.random.default_rng(seed), LANDMARK_SETS[landmark_set]
    landmarks = rng.uniform(0.2, 0.8, (len(frames), length, len(chosen.points), 3))
    for part, share in (("left_hand", 0.9), ("right_hand", 0.3)):
        lost = np.repeat(rng.random((len(frames), -(-length // 2))) < share, 2, 1)[:, :length]
        clip, frame = np.nonzero(lost)
        landmarks[clip[:, None], frame[:, None], chosen.parts[part]] = np.nan
    landmarks[:, :, chosen.parts["pose"][rng.integers(10)]] = np.nan
    characters = rng.integers(0, 7, len(frames))
    classes = np.where(np.arange(12) < characters[:, None], rng.integers(0, BLANK, (len(frames), 12)), BLANK)
    labels = {"classes": classes.astype("int32"), "characters": characters.astype("int32")}
    signer = (np.arange(len(frames)) % 2).astype("int32")
    return landmarks.astype(dtype), np.array(frames, "int32"), labels, signer


def provenance(frames, seed=0, length=LONG):
    "A batch in which a point says where it was recorded: x the clip, y the frame, z the point."
    landmarks, frames, labels, signer = batch_of(frames, seed, length=length)
    where = np.stack(np.meshgrid(*(np.arange(n, dtype="float32") for n in landmarks.shape[:3]), indexing="ij"), -1)
    return np.where(np.isnan(landmarks), np.nan, where).astype("float32"), frames, labels, signer


def layer_of(name, **changes):
    return Augment(name, **changes) if name in POLICIES else AUGMENTATIONS[name](**changes)


def arrays(found):
    return keras.tree.map_structure(np.array, found)


def varied(layer, landmarks, frames, labels=None, signer=None):
    return arrays(layer(landmarks, frames, labels, signer, training=True))


def spelled(labels, i):
    return labels["classes"][i, : labels["characters"][i]].tolist()


FRAMES = st.lists(st.integers(0, LONG), min_size=1, max_size=5)
NAMES = [*AUGMENTATIONS, *(name for name in POLICIES if name != "none")]


def test_every_augmentation_has_a_name():
    classes = {c for c in vars(augment).values() if inspect.isclass(c) and issubclass(c, augment.Augmentation)}
    public = {c for c in classes if not c.__name__.startswith("_")} - {augment.Augmentation}
    assert public == set(AUGMENTATIONS.values())


# --- what holds for all


@pytest.mark.parametrize("name", NAMES)
def test_holes_padding_frames_and_labels(name):
    "Whatever the clips' lengths: one frame, none at all, one clip alone."
    layer = layer_of(name, seed=1)

    @settings(deadline=None, max_examples=12)
    @given(FRAMES, st.integers(0, 99))
    def check(frames, seed):
        landmarks, frames, labels, signer = batch_of(frames, seed)
        found, counts, told = varied(layer, landmarks, frames, labels, signer)
        assert found.shape == landmarks.shape and found.dtype == landmarks.dtype and not np.isinf(found).any()
        assert counts.dtype == np.int32 and ((counts > 0) == (frames > 0)).all() and (counts <= LONG).all()
        for i, n in enumerate(counts):
            assert np.isnan(found[i, n:]).all(), "padding shows something"
            ever = np.isfinite(np.concatenate([landmarks[j, : frames[j]] for j in np.flatnonzero(signer == signer[i])]))
            ever = ever.any((0, 2))  # points that this signer's clips show
            for hand in ("left_hand", "right_hand"):  # a folded point is its finger's root
                ever[KIT.parts[hand]] = ever[KIT.parts[hand]].any()
            assert not np.isfinite(found[i, :, ~(ever | ever[KIT.twins])]).any(), "something unseen is seen"
            assert (told["classes"][i, told["characters"][i] :] == BLANK).all()
            assert (told["classes"][i, : told["characters"][i]] < BLANK).all()
        assert told["classes"].shape == labels["classes"].shape and told["classes"].dtype == np.int32

    check()
    check.hypothesis.inner_test([1, 0, LONG, 1], 0)
    check.hypothesis.inner_test([0], 0)


@pytest.mark.parametrize("name", TIMED)
def test_a_frame_shows_what_a_frame_of_its_clip_showed(name):
    layer = layer_of(name, seed=2)

    @settings(deadline=None, max_examples=15)
    @given(FRAMES, st.integers(0, 99))
    def check(frames, seed):
        given_, frames, labels, signer = provenance(frames, seed)
        found, counts, told = varied(layer, given_, frames, labels, signer)
        i, t, p = np.nonzero(np.isfinite(found[..., 0]))
        clip, time, point = np.round(found[i, t, p], 4).T
        assert (clip == np.round(clip)).all() and (point == p).all()  # one clip, the same point
        clip = clip.astype(int)
        assert (signer[clip] == signer[i]).all() and (time <= frames[clip] - 1).all()
        shown = [np.isfinite(given_[clip, f(time).astype(int), p, 0]) for f in (np.floor, np.ceil)]
        assert (shown[0] | shown[1]).all()
        if name not in ("cut_mix", "concatenate"):
            assert (clip == i).all()
            if name != "reverse":
                assert all(spelled(told, k) == spelled(labels, k) for k in range(len(frames)))

    check()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("policy", ["float16", "bfloat16"])
def test_half_precision(name, policy):
    landmarks, frames, labels, signer = batch_of([24, 13, 24, 9])
    found, *_ = layer_of(name, seed=0)(tf.cast(landmarks, policy), frames, labels, signer, training=True)
    exact, *_ = layer_of(name, seed=0)(landmarks, frames, labels, signer, training=True)
    assert found.dtype == tf.as_dtype(policy)
    found, exact = tf.cast(found, "float32").numpy(), exact.numpy()
    np.testing.assert_array_equal(np.isnan(found), np.isnan(exact))
    np.testing.assert_allclose(found, exact, atol=0.02 if policy == "bfloat16" else 0.003)


@pytest.mark.parametrize("name", NAMES)
def test_compiled_for_any_length(name):
    "One graph for all shapes, as `fit` makes it."
    layer = layer_of(name, seed=0)
    spec = [tf.TensorSpec((None, None, 130, 3), tf.float16), tf.TensorSpec((None,), tf.int32)]
    spec += [{"classes": tf.TensorSpec((None, None), tf.int32), "characters": tf.TensorSpec((None,), tf.int32)}]
    graph = tf.function(lambda *given: layer(*given, training=True), input_signature=[*spec, tf.TensorSpec((None,), tf.int32)])
    for frames, length in (([20, 20, 7, 1, 0], 20), ([31], 40), ([9, 5], 9)):
        found, counts, _ = arrays(graph(*batch_of(frames, length=length, dtype="float16")))
        assert found.shape == (len(frames), length, 130, 3) and (counts <= length).all()
        assert not np.isinf(found).any()


@pytest.mark.parametrize("name", NAMES)
def test_other_landmark_set(name):
    given_ = batch_of([24, 13, 5], landmark_set="seed")
    found, *_ = varied(layer_of(name, landmark_set="seed", seed=0), *given_)
    assert found.shape == given_[0].shape


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_batch(name):
    given_ = batch_of([24, 13, 24, 9], dtype="float16")
    first, again = (layer_of(name, seed=5) for _ in range(2))
    runs = [[varied(layer, *given_) for _ in range(2)] for layer in (first, again)]
    for a, b in zip(keras.tree.flatten(runs[0]), keras.tree.flatten(runs[1]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(first.non_trainable_variables) == 1  # one generator for all that is drawn


@pytest.mark.parametrize("name", [*NAMES, "none"])
def test_does_nothing_unless_training(name):
    given_ = batch_of([24, 13])
    found = arrays(layer_of(name)(*given_))
    for a, b in zip(keras.tree.flatten(found), keras.tree.flatten(given_[:3]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(layer_of(name)(*given_[:2], training=True)) == 2  # without labels as well


@pytest.mark.parametrize("name", NAMES)
def test_config_comes_back(name):
    layer = layer_of(name, seed=3)
    again = keras.saving.deserialize_keras_object(json.loads(json.dumps(keras.saving.serialize_keras_object(layer))))
    assert type(again) is type(layer) and again.get_config() == layer.get_config()
    given_ = batch_of([24, 13, 9])
    np.testing.assert_array_equal(varied(layer, *given_)[0], varied(again, *given_)[0])


# --- two views


@pytest.mark.parametrize("policy", POLICIES)
def test_two_views_share_time_and_labels(policy):
    layer = Augment(policy, seed=4, views=2)
    assert [m.timewise for m in layer.members] == sorted([m.timewise for m in layer.members], reverse=True)

    @settings(deadline=None, max_examples=8)
    @given(FRAMES, st.integers(0, 99))
    def check(frames, seed):
        landmarks, frames, labels, signer = batch_of(frames, seed)
        found, counts, told = varied(layer, landmarks, frames, labels, signer)
        assert found.shape == (2 * len(frames), *landmarks.shape[1:])
        for both in keras.tree.flatten((counts, told)):
            np.testing.assert_array_equal(*np.split(both, 2))
        for i, n in enumerate(counts):
            assert np.isnan(found[i, n:]).all()

    check()
    landmarks, frames, labels, signer = full()
    first, second = np.split(varied(layer, landmarks, frames, labels, signer)[0], 2)
    assert np.array_equal(first, second, equal_nan=True) == (policy == "none")


def test_two_views_show_the_same_frame():
    "Time through a policy whose other members are switched off: provenance is equal, point by point."
    layer = Augment("strong", seed=4, views=2)
    for member in layer.members:
        member.probability = 1.0 if member.timewise else 0.0
    given_, frames, labels, signer = provenance([24, 24, 13, 20])
    first, second = np.split(varied(layer, given_, frames, labels, signer)[0], 2)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, given_, equal_nan=True)


# --- chances and arguments


def full(seed=0, dtype="float32"):
    "Clips that leave every augmentation something to do."
    landmarks, frames, labels, signer = batch_of([16, 17, 16, 17], seed, length=40, dtype=dtype)
    rng = np.random.default_rng(seed)
    landmarks[:, 4:13, HANDS[21:]] = rng.uniform(0.2, 0.8, (4, 9, 21, 3))
    landmarks[:, :3][:, :, HANDS] = landmarks[:, 14:][:, :, HANDS] = np.nan
    landmarks[:, 6, HANDS[:21]] = rng.uniform(0.2, 0.8, (4, 21, 3))
    labels = {"classes": np.where(np.arange(12) < 5, np.arange(48).reshape(4, 12), BLANK), "characters": np.full(4, 5, "int32")}
    return landmarks, frames, labels, signer


SURE = {"crop": {"share": 0.9}, "shift": {"share": 0.9}, "lose_points": {"low": 0.5, "high": 0.5},
        "lose_frames": {"low": 0.9, "high": 0.9}}  # fmt: skip


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_chances(name):
    landmarks, frames, labels, signer = full()
    ranges = SURE.get(name, {})
    never, always = (varied(layer_of(name, probability=p, seed=1, **ranges), landmarks, frames, labels, signer) for p in (0, 1))
    for i, n in enumerate(frames):
        np.testing.assert_allclose(never[0][i, :n], landmarks[i, :n], atol=1e-6)
        assert not np.array_equal(always[0][i], never[0][i], equal_nan=True)
    np.testing.assert_array_equal(never[1], frames)
    np.testing.assert_array_equal(never[2]["classes"], labels["classes"])


def test_wrong_chance():
    with pytest.raises(ValueError, match="`probability` must be 0 to 1, got -1"):
        layer_of("tempo", probability=-1)


OTHERS = {  # another value of each argument
    "cut_mix": {"low": 0.75, "high": 0.25, "fastest": 0.1},
    "concatenate": {"margin": 0, "fastest": 0.1},
    "crop": {"share": 0.9, "keep_hands": False},
    "shift": {"share": 1.0},
    "tempo": {"low": 0.2, "high": 2.5},
    "warp": {"amount": 0.9, "waves": 1},
    "jitter": {"amount": 0.1},
    "turn": {"turn": 0.0, "tilt": 0.0},
    "affine": {"stretch": 0.0, "shear": 0.0, "shift": 0.0},
    "lose_points": {"low": 0.9, "high": 0.9, "parts": ["left_hand"]},
    "lose_patch": {"points": 1.0, "frames": 1.0},
    "lose_frames": {"low": 0.9, "high": 0.9, "stretch": 1, "parts": ["lips"]},
    "shake": {"noise": 0.1},
}
ARGUMENTS = [(name, argument) for name, others in OTHERS.items() for argument in others]


def test_every_argument_is_listed():
    for name, kind in AUGMENTATIONS.items():
        assert set(kind().ranges) == set(OTHERS.get(name, {})), name


@pytest.mark.parametrize("name,argument", ARGUMENTS, ids=lambda x: x)
def test_argument(name, argument):
    given_ = full()
    common = {"share": 0.9} if (name, argument) == ("crop", "keep_hands") else {}
    plain, other = (
        varied(layer_of(name, seed=1, **common, **more), *given_) for more in ({}, {argument: OTHERS[name][argument]})
    )
    same = [np.array_equal(a, b, equal_nan=True) for a, b in zip(keras.tree.flatten(plain), keras.tree.flatten(other))]
    assert not all(same)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(0, 6), st.integers(0, 6), st.integers(0, 99))
def test_least_and_most(chances, least, most, seed):
    K, uniform = len(chances), np.random.default_rng(seed).random((len(chances), 50)).astype("float32")
    least, most = sorted((min(least, K), min(most, K)))
    counts = np.array(chosen_members(chances, least, most, uniform)).sum(0)
    assert counts.min() >= least and counts.max() <= most


# --- time and labels


def test_reverse_twice():
    landmarks, frames, labels, signer = batch_of([24, 7, 1, 0, 13])
    once = varied(layer_of("reverse"), landmarks, frames, labels, signer)
    assert all(spelled(once[2], i) == spelled(labels, i)[::-1] for i in range(5))
    twice = varied(layer_of("reverse"), *once, signer)
    for i, n in enumerate(frames):
        np.testing.assert_array_equal(twice[0][i, :n], landmarks[i, :n])
    np.testing.assert_array_equal(twice[2]["classes"], labels["classes"])
    alone = varied(layer_of("reverse"), landmarks, frames)
    np.testing.assert_array_equal(alone[0][0], landmarks[0])  # no phrase to reverse: nothing


@pytest.mark.parametrize("name", ["warp", "jitter", "tempo", "crop"])
def test_time_never_runs_backwards(name):
    given_, frames, labels, signer = provenance([24, 24, 13, 20])
    point = KIT.parts["lips"][0]
    layer = layer_of(name, seed=0, **({"amount": 0.99} if name == "warp" else {"amount": 0.5} if name == "jitter" else {}))
    for _ in range(5):
        found, counts = varied(layer, given_, frames)
        for i, n in enumerate(counts):
            assert (np.diff(found[i, :n, point, 1]) >= -1e-5).all()


def test_cropping_keeps_every_frame_with_a_hand():
    landmarks, frames, labels, signer = full()
    found, counts, _ = varied(layer_of("crop", share=1.0, seed=0), landmarks, frames, labels, signer)
    assert (counts < frames).all()
    for hand in HANDS[[0, 21]]:
        was = np.isfinite(landmarks[:, :, hand, 0]) & (np.arange(40) < frames[:, None])
        np.testing.assert_array_equal(np.isfinite(found[:, :, hand, 0]).sum(1), was.sum(1))


def seams(found, count):
    "Clip shown at each frame in which the lips are seen."
    return found[:count, KIT.parts["lips"][0], 0].round().astype(int).tolist()


@pytest.mark.parametrize("kind", [CutMix, Concatenate])
@settings(deadline=None, max_examples=15)
@given(frames=st.lists(st.integers(0, LONG), min_size=2, max_size=6), seed=st.integers(0, 99))
def test_joined_labels(kind, frames, seed):
    "A beginning of the clip's phrase and an end of another one's, in the order in which the clips are shown."
    given_, frames, labels, signer = provenance(frames, seed)
    layer = kind(fastest=2.0, seed=seed)
    found, counts, told = varied(layer, given_, frames, labels, signer)
    for i, count in enumerate(counts):
        shown = list(dict.fromkeys(seams(found[i], count)))
        own = spelled(labels, i)
        if shown in ([i], []):
            assert kind is CutMix or spelled(told, i) == own
            continue
        other = spelled(labels, shown[-1])
        splits = [own[:k] + other[s:] for k in range(len(own) + 1) for s in range(len(other) + 1)]
        assert spelled(told, i) in ([own + other] if kind is Concatenate else splits)
        assert shown in ([i, shown[-1]], [shown[-1]]) and signer[shown[-1]] == signer[i] and shown[-1] != i


def test_joining_needs_a_partner_room_and_a_hand():
    landmarks, frames, labels, signer = full()
    for kind in (CutMix, Concatenate):
        unchanged = [(np.arange(4), landmarks, labels)]  # nobody twice
        blind = landmarks.copy()
        blind[:, :, HANDS] = np.nan
        unchanged += [(signer, blind, labels)]
        if kind is Concatenate:
            unchanged += [
                (signer, landmarks, {k: v[:, :6] if v.ndim == 2 else v for k, v in labels.items()})
            ]  # too long a label
        for who, points, told in unchanged:
            found, counts, after = varied(kind(seed=0), points, frames, told, who)
            np.testing.assert_array_equal(after["classes"], told["classes"])
            np.testing.assert_array_equal(counts, frames)
            np.testing.assert_array_equal(found[0, :16], points[0, :16])
        for missing in ((None, signer), (labels, None)):
            found = varied(kind(seed=0), landmarks, frames, *missing)
            np.testing.assert_array_equal(found[0][0, :16], landmarks[0, :16])


def test_a_cut_leaves_a_frame():
    "The beginning of a clip of one frame and the end of another are nothing, so both stay as they are."
    given_, frames, labels, signer = provenance([1, 1, 1, 1])
    given_[:, 0, HANDS] = given_[:, 0, KIT.parts["lips"][:1]]  # a hand is seen
    characters = np.array([2, 2, 1, 1])  # so that the same share falls on one side of a frame here, on the other there
    labels = {"classes": np.where(np.arange(12) < characters[:, None], 3, BLANK), "characters": characters}
    layer = CutMix(fastest=2.0, seed=1)
    for _ in range(20):
        _, counts, _ = varied(layer, given_, frames, labels, signer)
        assert (counts >= 1).all()


def test_concatenation_shows_both_whole():
    given_, frames, labels, signer = provenance([16, 16])
    signer[:] = 1
    labels = {"classes": np.where(np.arange(12) < 5, 3, BLANK), "characters": np.full(2, 5)}
    labels["classes"] = np.tile(labels["classes"], (2, 1))
    wide = np.pad(given_, ((0, 0), (0, 40), (0, 0), (0, 0)), constant_values=np.nan)
    found, counts, told = varied(Concatenate(margin=0), wide, frames, labels, signer)
    hand = HANDS[[0, 21]]
    seen = np.isfinite(given_[:, :16, hand, 0]).sum()
    for i in range(2):
        assert np.isfinite(found[i, :, hand, 0]).sum() == seen and told["characters"][i] == 10
        assert seams(found[i], counts[i]) == sorted(seams(found[i], counts[i]), reverse=bool(i))


# --- geometry


def distances(points):
    square = points[..., HANDS[21:], :] * [1, ASPECT, 1]
    return np.linalg.norm(square[..., :, None, :] - square[..., None, :, :], axis=-1)


@settings(deadline=None, max_examples=15)
@given(st.floats(0, 3), st.floats(0, 3), st.integers(0, 99))
def test_turning_keeps_distances(turn, tilt, seed):
    landmarks, frames, *_ = full(seed)
    found, _ = varied(layer_of("turn", turn=turn, tilt=tilt, seed=seed), landmarks, frames)
    np.testing.assert_allclose(distances(found)[:, 4:13], distances(landmarks)[:, 4:13], atol=2e-5)


def test_stretching_is_the_same_everywhere_and_keeps_parallels():
    landmarks, frames, *_ = full()
    found, _ = varied(layer_of("affine", seed=0), landmarks, frames)
    for i in range(4):
        before, after = (x[i, 4:13][:, HANDS[21:]].reshape(-1, 3) for x in (landmarks, found))
        matrix, *_ = np.linalg.lstsq(np.c_[before, np.ones(len(before))], after, rcond=None)
        np.testing.assert_allclose(np.c_[before, np.ones(len(before))] @ matrix, after, atol=1e-5)
        assert (np.linalg.svd(matrix[:2, :2])[1] > 0.5).all() and abs(matrix[2, 2] - 1) < 1e-4
    shape, _ = varied(layer_of("affine", stretch=0.0, shear=0.0, seed=0), landmarks, frames)
    np.testing.assert_allclose(distances(shape)[:, 4:13], distances(landmarks)[:, 4:13], atol=2e-5)


def test_mirror_twice_is_nothing():
    landmarks, frames, *_ = batch_of([24, 13])
    once, _ = varied(layer_of("mirror"), landmarks, frames)
    np.testing.assert_array_equal(np.isnan(once[0]), np.isnan(landmarks[0][:, KIT.twins]))
    twice, _ = varied(layer_of("mirror"), once, frames)
    np.testing.assert_allclose(twice[0], landmarks[0], atol=1e-6)
    np.testing.assert_allclose(distances(twice), distances(np.where(np.isnan(twice), np.nan, landmarks)), atol=1e-5)


def test_a_fold_leaves_the_other_fingers():
    landmarks, frames, *_ = full()
    found, _ = varied(layer_of("lose_finger", seed=0), landmarks, frames)
    for i in range(4):
        moved = set(np.flatnonzero(found[i, 8, HANDS[21:], 0] != landmarks[i, 8, HANDS[21:], 0]).tolist())
        (finger,) = [points for points in FINGERS.values() if set(points[1:]) == moved]
        root = found[i, 8, HANDS[21 + finger[0]]]
        np.testing.assert_array_equal(found[i, 8, HANDS[21:]][list(finger[1:])], [root] * 3)


def test_lost_parts():
    landmarks, frames, *_ = full()
    lost = {"lose_hand": ["left_hand"], "lose_face": ["lips", "nose", "eyes"], "lose_pose": ["pose"]}
    for name, parts in lost.items():
        gone = np.isin(np.arange(130), np.concatenate([KIT.parts[part] for part in parts]))
        found, _ = varied(layer_of(name), landmarks, frames)
        assert np.isnan(found[:, :, gone]).all()
        np.testing.assert_array_equal(found[0, :16][:, ~gone], landmarks[0, :16][:, ~gone])
    left_handed = landmarks[:, :, KIT.twins]
    found, _ = varied(layer_of("lose_hand"), left_handed, frames)
    assert np.isnan(found[:, :, HANDS[21:]]).all() and np.isfinite(found[0, 8, HANDS[:21]]).all()


# --- policies


def test_policies_are_data():
    assert list(POLICIES)[:2] == ["none", "light"]
    for policy in POLICIES.values():
        assert set(policy) <= {"description", "members", "least", "most"} and policy["members"].keys() <= AUGMENTATIONS.keys()
    assert set(POLICIES["strong"]["members"]) == set(AUGMENTATIONS) - {"lose_patch"}
    with pytest.raises(ValueError, match="`policy` must be one of .*'light'.*, got 'heavy'"):
        Augment("heavy")


def test_nothing_is_nothing():
    landmarks, frames, *_ = batch_of([24, 13])
    found, counts = Augment("none")(tf.constant(landmarks), tf.constant(frames), training=True)
    np.testing.assert_array_equal(found, landmarks)
    np.testing.assert_array_equal(counts, frames)


def test_mirrored_left_hands_may_lose_the_idle_one_in_any_order():
    landmarks, frames, *_ = full()
    POLICIES["tried"] = {"description": "", "members": {"mirror": {}, "lose_hand": {}}}
    try:
        found, _ = varied(Augment("tried"), landmarks, frames)
    finally:
        del POLICIES["tried"]
    assert np.isfinite(found[:, 8][:, HANDS[:21]]).all() and np.isnan(found[:, :, HANDS[21:]]).all()


def test_a_reader_trains_with_the_strong_policy():
    keras.utils.set_random_seed(0)
    reader = build_reader("tiny", augment="strong", width=16, blocks=1, heads=2)
    reader.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    landmarks, frames, labels, _ = batch_of([24, 13, 20, 24], dtype="float16")
    for _ in range(3):
        assert np.isfinite(reader.train_on_batch({"landmarks": landmarks, "frames": frames}, labels))


# --- the other backend


ON_JAX = """
from aslkit.augment import AUGMENTATIONS, POLICIES, Augment
labels = {"classes": given["classes"], "characters": given["characters"]}
for name in given["names"].tolist():
    layer, again = (Augment(name, seed=0) if name in POLICIES else AUGMENTATIONS[name](seed=0) for _ in "ab")
    layer.built = True
    run = jax.jit(lambda state, *given: layer.stateless_call([], state, *given, training=True)[0])
    for turn, one in (("a", layer), ("b", again)):
        state = [v.value for v in one.non_trainable_variables]
        points, frames, told = run(state, given["landmarks"], given["frames"], labels, given["signer"])
        found |= {f"{name} {turn} points": points, f"{name} {turn} frames": frames, f"{name} {turn} told": told["classes"]}
"""


def test_jax(on_jax):
    "Under jit: finite, padding stays padding, one seed gives one batch; without chance the same numbers as on TensorFlow."
    landmarks, frames, labels, signer = batch_of([24, 13, 24, 1, 0], dtype="float16")
    names = ["strong", "augment_mix", "augment", "reverse", "concatenate", "mirror", "lose_hand"]  # all, most of them together
    found = on_jax(ON_JAX, names=np.array(names), landmarks=landmarks, frames=frames, signer=signer, **labels)
    for name in names:
        points, counts, told = (found[f"{name} a {what}"] for what in ("points", "frames", "told"))
        for what in ("points", "frames", "told"):
            np.testing.assert_array_equal(found[f"{name} a {what}"], found[f"{name} b {what}"])
        assert not np.isinf(points).any() and (counts <= LONG).all() and counts[4] == 0
        assert all(np.isnan(clip[n:]).all() for clip, n in zip(points, counts))
        if name in ("reverse", "mirror", "lose_hand"):
            here = varied(layer_of(name, seed=0), landmarks, frames, labels, signer)
            np.testing.assert_allclose(points, here[0], atol=1e-3)
            np.testing.assert_array_equal(told, here[2]["classes"])
