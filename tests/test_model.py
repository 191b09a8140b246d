"Layers and presets: padding is inert, configs come back, half precision runs, weights learn, and both backends agree."

import functools
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

from aslkit import layers
from aslkit.competition import BLANK, CLASSES
from aslkit.ctc import ctc_loss
from aslkit.landmarks import LANDMARK_SETS
from aslkit.layers import (
    Attention,
    ConformerBlock,
    ConvolutionModule,
    Dense,
    DropPath,
    FeedForward,
    MaskedConv,
    PartStem,
    SpellingLoss,
)
from aslkit.model import PRESETS, FingerspellingReader, build_reader
from aslkit.preprocess import STYLES, Preprocess

WIDTH = 8
LAYERS = {
    "dense": lambda **k: Dense(6, **k),
    "parts": lambda **k: PartStem([3, 4, 1], 6, kernel=4, **k),
    "parts at full rate": lambda **k: PartStem([WIDTH], 6, stride=1, **k),
    "conv": lambda **k: MaskedConv(6, 5, **k),
    "conv even kernel": lambda **k: MaskedConv(6, 4, **k),
    "conv strided": lambda **k: MaskedConv(6, 5, stride=2, **k),
    "conv stride 3": lambda **k: MaskedConv(6, 5, stride=3, **k),
    "conv causal": lambda **k: MaskedConv(6, 5, causal=True, **k),
    "depthwise": lambda **k: MaskedConv(None, 5, **k),
    "depthwise even kernel": lambda **k: MaskedConv(None, 4, use_bias=False, **k),
    "depthwise causal": lambda **k: MaskedConv(None, 3, causal=True, use_bias=False, **k),
    "attention rotary": lambda **k: Attention(2, "rotary", **k),
    "attention relative": lambda **k: Attention(2, "relative", **k),
    "drop path": lambda **k: DropPath(0.5, **k),
    "feed forward": lambda **k: FeedForward(2, **k),
    "convolution": lambda **k: ConvolutionModule(5, **k),
    "convolution as in the seed": lambda **k: ConvolutionModule(3, causal=True, norm="batch", **k),
    "block": lambda **k: ConformerBlock(2, 5, **k),
    "block as in the seed": lambda **k: ConformerBlock(2, 3, positions="relative", causal=True, norm="batch", **k),
}
PREPROCESS = {
    "hand": lambda **k: Preprocess(**k),
    "hand flat": lambda **k: Preprocess(landmark_set="seed", depth=False, **k),
    "hand thinned": lambda **k: Preprocess(limit=7, **k),
    "body": lambda **k: Preprocess(style="body", **k),
    "parts": lambda **k: Preprocess(style="parts", **k),
    "parts thinned": lambda **k: Preprocess(landmark_set="seed", style="parts", limit=6, **k),
}
SMALL = {  # a preset's architecture, small
    "tiny": {"width": 16, "blocks": 1, "heads": 2},
    "base": {"width": 16, "blocks": 2, "heads": 2, "kernel": 5, "middle": 1, "condition": True, "spelling": 0.3},
    "seed": {"width": 16, "blocks": 2, "heads": 2, "head_width": 24},
}


def small(preset, **changes):
    return build_reader(preset, **SMALL[preset] | changes)


def wake(layer):
    "Give every weight a value that follows from its place and shape; none stays at a zero or one that could hide a mistake."
    rng = np.random.default_rng(0)
    for variable in layer.weights:
        noise = rng.normal(size=variable.shape)
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(np.exp(0.1 * noise))
        else:
            variable.assign(noise * (0.1 if len(variable.shape) < 2 else np.prod(variable.shape[:-1]) ** -0.5))
    return layer


def points_of(layer):
    settings = layer.settings if isinstance(layer, FingerspellingReader) else layer.get_config()
    return len(LANDMARK_SETS[settings["landmark_set"]].points)


def inputs_for(layer, batch, length, seed=0):
    "Random inputs (B, T, ...); landmarks lose a hand here and there."
    rng = np.random.default_rng(seed)
    if not isinstance(layer, (Preprocess, FingerspellingReader)):
        return rng.normal(size=(batch, length, WIDTH)).astype("float32")
    landmarks = rng.uniform(0.2, 0.8, (batch, length, points_of(layer), 3)).astype("float32")
    for part in ("left_hand", "right_hand"):
        positions = LANDMARK_SETS["kit" if points_of(layer) == 130 else "seed"].parts[part]
        clip, frame = np.nonzero(rng.random((batch, length)) < (0.2 if part == "right_hand" else 0.5))
        landmarks[clip[:, None], frame[:, None], positions] = np.nan
    return landmarks


def apply(layer, values, frames, **kwargs):
    "Outputs (B, N, ...) and the number of real steps of each clip."
    frames = np.asarray(frames, "int32")
    if isinstance(layer, FingerspellingReader):
        found = layer({"landmarks": values, "frames": frames}, **kwargs)
        return found["logits"], np.array(found["steps"])
    if isinstance(layer, Preprocess):
        features, mask = layer(values, frames)
        return features, np.array(mask).sum(1)
    if isinstance(layer, (Dense, DropPath, FeedForward)):
        return layer(values, **kwargs), frames
    mask = np.arange(values.shape[1])[None] < frames[:, None]
    return layer(values, mask=mask, **kwargs), -(-frames // getattr(layer, "stride", 1))


def assert_padding_inert(layer, frames, padded=0, seed=0, tolerance=1e-4):
    "Each clip alone and in a batch padded with rubbish: the same number of steps and the same outputs."
    frames = np.asarray(frames)
    values = inputs_for(layer, len(frames), max(frames) + padded, seed)  # frames beyond a clip's own are as random as its own
    together, steps = apply(layer, values, frames)
    assert np.isfinite(np.array(together)).all()
    for i, n in enumerate(frames):
        alone, own_steps = apply(layer, values[i : i + 1, :n], [n])
        assert own_steps[0] == steps[i] > 0
        n = steps[i]
        np.testing.assert_allclose(np.array(alone)[0, :n], np.array(together)[i, :n], atol=tolerance, rtol=1e-4)


def assert_same(found, wanted, steps, tolerance=1e-4):
    "Equal on every clip's real steps."
    for i, n in enumerate(steps):
        np.testing.assert_allclose(np.array(found)[i, :n], np.array(wanted)[i, :n], atol=tolerance, rtol=tolerance)


def built(make, **kwargs):
    keras.utils.set_random_seed(0)
    layer = make(**kwargs)
    apply(layer, inputs_for(layer, 1, 3), [3])
    return wake(layer)


def test_every_layer_is_listed():
    classes = {c for c in vars(layers).values() if inspect.isclass(c) and c.__module__ == layers.__name__}
    assert classes == {SpellingLoss} | {type(make()) for make in LAYERS.values()}


# --- padding


LENGTHS = st.lists(st.integers(1, 17), min_size=1, max_size=4)


@pytest.mark.parametrize("make", (LAYERS | PREPROCESS).values(), ids=(LAYERS | PREPROCESS).keys())
def test_padding_is_inert(make):
    layer = built(make)

    @settings(deadline=None, max_examples=5)
    @given(LENGTHS, st.integers(0, 6), st.integers(0, 99))
    def check(frames, padded, seed):
        assert_padding_inert(layer, frames, padded, seed)

    check()
    assert_padding_inert(layer, [1, 2, 7, 8, 16], 3)


@pytest.mark.parametrize("preset", PRESETS)
def test_padding_is_inert_in_a_whole_preset(preset):
    reader = build_reader(preset)
    assert reader.count_params() == PRESETS[preset]["parameters"]
    assert_padding_inert(reader, [5, 8, 33, 1], 4)
    if limit := reader.settings["limit"]:
        assert_padding_inert(reader, [limit - 1, limit + 37], 2)


@pytest.mark.parametrize("preset", SMALL)
@pytest.mark.parametrize("changes", [{"stride": 1}, {"stride": 3, "norm": "batch", "causal": True, "positions": "relative"}])
def test_padding_is_inert_in_a_reader(preset, changes):
    assert_padding_inert(wake(small(preset, **changes)), [1, 2, 9, 14], 5)


@pytest.mark.parametrize("preset", SMALL)
def test_more_padding_changes_nothing_while_training(preset):
    "Nor the running statistics of batch norms: they count real frames only."
    off = {"limit": None, "dropout": 0.0, "drop_feed": 0.0, "drop_mix": 0.0, "stem_dropout": 0.0, "head_dropout": 0.0}
    reader = wake(small(preset, **off))
    start = reader.get_weights()
    values, frames = inputs_for(reader, 3, 12), np.array([12, 5, 8])
    labels = {"classes": np.array([[3, 4, BLANK], [5, 5, 6], [7, BLANK, BLANK]]), "characters": np.array([2, 3, 1])}
    found = []
    for extra in (0, 9):
        reader.set_weights(start)
        longer = np.pad(values, ((0, 0), (0, extra), (0, 0), (0, 0)), constant_values=np.nan)
        told = reader({"landmarks": longer, "frames": frames}, training=True)
        logits, steps = told["logits"], np.array(told["steps"])
        loss = np.array(reader.compute_loss(y=labels, y_pred=told))
        found.append([loss, *(np.array(logits)[i, :n] for i, n in enumerate(steps)), *reader.get_weights()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    assert any((a != b).any() for a, b in zip(start, reader.get_weights())) == (preset == "seed")


# --- configs


@pytest.mark.parametrize("make", (LAYERS | PREPROCESS).values(), ids=(LAYERS | PREPROCESS).keys())
def test_config_comes_back(make):
    layer = built(make)
    written = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    again = keras.saving.deserialize_keras_object(written)
    assert type(again) is type(layer) and again.get_config() == layer.get_config()
    values = inputs_for(layer, 2, 9)
    apply(again, values, [9, 4])
    again.set_weights(layer.get_weights())
    for a, b in zip(apply(layer, values, [9, 4]), apply(again, values, [9, 4])):
        np.testing.assert_array_equal(np.array(a), np.array(b))


@pytest.mark.parametrize("preset", SMALL)
def test_config_of_a_reader_comes_back(preset):
    reader = wake(small(preset))
    config = json.loads(json.dumps(reader.get_config()))
    again = FingerspellingReader.from_config(config)
    values = inputs_for(reader, 2, 9)
    apply(again, values, [9, 4])
    again.set_weights(reader.get_weights())
    assert again.settings == reader.settings and again.name == reader.name
    np.testing.assert_array_equal(apply(again, values, [9, 4])[0], apply(reader, values, [9, 4])[0])


def test_weights_come_back_from_a_file(tmp_path):
    reader, other = wake(small("seed")), small("seed")
    reader.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    for a, b in zip(reader.get_weights(), other.get_weights(), strict=True):
        assert a.tobytes() == b.tobytes()


# --- half precision


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
def test_bfloat16_layer(make):
    exact, half = built(make), built(make, dtype="mixed_bfloat16")
    half.set_weights(exact.get_weights())
    assert {v.dtype for v in half.trainable_variables} <= {"float32"}
    values = inputs_for(exact, 3, 12)
    wanted, steps = apply(exact, values, [12, 5, 8])
    found, _ = apply(half, values, [12, 5, 8])
    assert found.dtype == tf.bfloat16
    assert_same(tf.cast(found, "float32"), wanted, steps, 0.1)


@pytest.mark.parametrize("preset", SMALL)
def test_bfloat16_reader(preset):
    "Landmarks are prepared and scores are given in float32 whatever the policy."
    exact = wake(small(preset))
    keras.config.set_dtype_policy("mixed_bfloat16")
    half = small(preset)
    half.set_weights(exact.get_weights())
    assert half.blocks[0].compute_dtype == "bfloat16" and half.preprocess.compute_dtype == "float32"
    values = inputs_for(exact, 2, 20)
    (found, _), (wanted, steps) = apply(half, values, [20, 13]), apply(exact, values, [20, 13])
    assert found.dtype == tf.float32
    assert_same(found, wanted, steps, 0.1)


@pytest.mark.parametrize("style", STYLES)
def test_preprocess_keeps_float32(style):
    layer = Preprocess(style=style, dtype="mixed_bfloat16")
    values = inputs_for(layer, 2, 9)
    plain = Preprocess(style=style)
    np.testing.assert_array_equal(apply(layer, values, [9, 4])[0], apply(plain, values, [9, 4])[0])
    assert apply(plain, values.astype("float16"), [9, 4])[0].dtype == tf.float32


# --- gradients


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
def test_gradients_are_finite(make, dtype):
    layer = built(make, dtype=dtype)
    values = tf.Variable(inputs_for(layer, 3, 12))
    with tf.GradientTape() as tape:
        found = tf.cast(apply(layer, values, [12, 5, 8], training=True)[0], "float32")
        loss = tf.reduce_sum(found * np.random.default_rng(1).normal(size=found.shape))
    variables = [values, *(v.value for v in layer.trainable_variables)]
    for variable, gradient in zip(variables, tape.gradient(loss, variables)):
        assert np.isfinite(gradient.numpy()).all(), variable.name
        assert gradient.numpy().any() or isinstance(layer, DropPath), variable.name


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
def test_gradients_in_half_precision(make, dtype):
    "As in float32, also where they are sums over thousands of steps, which half precision cannot count."
    found, weights = {}, []
    for policy in ("float32", dtype):
        layer = built(make, dtype=policy)
        weights = weights or layer.get_weights()
        layer.set_weights(weights)
        values = tf.Variable(inputs_for(layer, 64, 100))
        with tf.GradientTape() as tape:
            told = tf.cast(apply(layer, values, [100] * 64, training=True)[0], "float32")
            loss = tf.reduce_sum(told * (1 + 0.01 * np.random.default_rng(1).normal(size=told.shape))) / 1000
        found[policy] = tape.gradient(loss, [values, *(v.value for v in layer.trainable_variables)])
    least = 0.02 * max(np.linalg.norm(gradient) for gradient in found["float32"])
    for wanted, gradient in zip(found["float32"], found[dtype], strict=True):
        assert np.linalg.norm(gradient - wanted) < 0.1 * max(np.linalg.norm(wanted), least)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_depthwise_gradient_counts_every_step(dtype):
    values, kernel = tf.ones((64, 104, 3), dtype), tf.ones((5, 3), dtype)
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        loss = tf.reduce_sum(tf.cast(layers.depthwise(values, kernel), "float32"))
    assert (tape.gradient(loss, kernel).numpy() == 6400).all()


@pytest.mark.parametrize("style", STYLES)
def test_preprocess_has_a_finite_gradient_where_nothing_is_seen(style):
    layer = Preprocess(style=style)
    values = inputs_for(layer, 3, 8)
    values[0], values[1, 2:] = np.nan, 0.5  # nothing seen; every point in one place
    values = tf.Variable(values)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(apply(layer, values, [8, 8, 4])[0])
    assert np.isfinite(tape.gradient(loss, values).numpy()).all()


@pytest.mark.parametrize("style", STYLES)
def test_one_missing_point_leaves_finite_features(style):
    "Trackers give hands whole or not at all, but an infinity or another tracker does not."
    layer = Preprocess(style=style)
    values = np.nan_to_num(inputs_for(layer, 1, 8), nan=0.5)
    values[0, 3, LANDMARK_SETS["kit"].parts["right_hand"][8], 1] = np.inf
    features, _ = apply(layer, values, [8])
    assert np.isfinite(np.array(features)).all()


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("preset", SMALL)
def test_training_step(preset, precision):
    "One clip shows nothing, one has infinities, one is too short for its label; every weight still gets a finite gradient."
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(0)
    reader = wake(small(preset, augment="light", drop_feed=0.0, drop_mix=0.0))  # or a branch may rest in all four clips
    values = inputs_for(reader, 4, 24).astype("float16")
    values[0], values[1, 3, 5] = np.nan, np.inf
    inputs = {"landmarks": values, "frames": np.array([24, 20, 3, 24], "int32")}
    labels = {"classes": np.tile(np.arange(6), (4, 1)), "characters": np.array([4, 0, 6, 5])}
    with tf.GradientTape() as tape:
        loss = reader.compute_loss(inputs, labels, reader(inputs, training=True))
    variables = [v.value for v in reader.trainable_variables]
    for variable, gradient in zip(reader.trainable_variables, tape.gradient(loss, variables)):
        assert gradient is not None and np.isfinite(gradient.numpy()).all(), variable.path
    start = reader.get_weights()
    reader.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    assert np.isfinite(reader.train_on_batch(inputs, labels))
    assert all(np.isfinite(w).all() for w in reader.get_weights())
    assert all((a != b).any() for a, b in zip(start, reader.get_weights()))


# --- every argument means something


ARGUMENTS = {  # argument: another value, and what it changes
    "landmark_set": ("seed", "parameters"),
    "style": ("hand", "parameters"),
    "depth": (False, "parameters of style hand"),
    "limit": (6, "output"),
    "width": (24, "parameters"),
    "blocks": (1, "parameters"),
    "heads": (4, "output"),
    "kernel": (3, "parameters"),
    "positions": ("relative", "parameters"),
    "causal": (True, "output"),
    "expansion": (2, "parameters"),
    "norm": ("batch", "parameters"),
    "dropout": (0.5, "training"),
    "drop_feed": (0.5, "training"),
    "drop_mix": (0.5, "training"),
    "gain": (0.1, "start"),
    "stride": (2, "parameters"),
    "stem_dropout": (0.5, "training"),
    "head_width": (12, "parameters"),
    "head_dropout": (0.5, "training"),
    "augment": ("light", "training"),
    "middle": (1, "loss"),
    "middle_weight": (0.6, "loss with middle"),
    "condition": (True, "parameters with middle"),
    "smoothing": (0.1, "loss"),
    "consistency": (0.2, "loss with views"),
    "spelling": (0.3, "parameters"),
}


@functools.cache
def behaviour(**changes):
    "Parameters, logits, logits while training and loss of a reader whose weights follow from their order and shape alone."
    keras.utils.set_random_seed(0)
    reader = FingerspellingReader(**({"style": "parts", "width": 16, "blocks": 2, "heads": 2, "kernel": 5} | changes))
    values, frames = inputs_for(reader, 4, 12), np.array([12, 9, 12, 4])
    apply(reader, values, frames)
    wake(reader)
    labels = {"classes": np.tile(np.arange(3), (4, 1)), "characters": np.array([3, 2, 3, 1])}
    trained = reader({"landmarks": values, "frames": frames}, training=True)
    loss = float(reader.compute_loss(y=labels, y_pred=trained))
    return reader.count_params(), np.array(apply(reader, values, frames)[0]), np.array(trained["logits"]), loss


def size_at_the_start(gain):
    "Of what ends the four branches of a fresh block."
    block = FingerspellingReader(style="parts", width=64, blocks=1, gain=gain).blocks[0]
    block.build((None, None, 64))
    ends = [*(feed.narrow for feed in block.feeds), block.attention.out, block.convolution.dense]
    return np.array([np.std(end.kernel) for end in ends])


def test_every_argument_is_listed():
    assert set(ARGUMENTS) == set(inspect.signature(FingerspellingReader).parameters) - {"kwargs"}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_argument(name):
    value, what = ARGUMENTS[name]
    if what == "start":
        np.testing.assert_allclose(size_at_the_start(value) / size_at_the_start(1.0), value, rtol=0.1)
        return
    what, _, common = what.partition(" with ") if " with " in what else what.partition(" of ")
    common = {"style hand": {"style": "hand"}, "middle": {"middle": 1}, "views": {"augment": "light"}, "": {}}[common]
    count, plain, trained, loss = behaviour(**common)
    new_count, new_plain, new_trained, new_loss = behaviour(**common, **{name: value})
    if "augment" not in common:
        np.testing.assert_array_equal(plain, trained)  # nothing is dropped by default
    if what == "parameters":
        assert new_count != count
        return
    assert new_count == count
    if what == "output":
        assert new_plain.shape != plain.shape or np.abs(new_plain - plain).max() > 1e-3
        return
    np.testing.assert_array_equal(new_plain, plain)
    if what == "training":
        assert np.abs(new_trained - plain).max() > 1e-3
    else:
        assert abs(new_loss - loss) > 1e-3


@pytest.mark.parametrize(
    "arguments",
    [{"positions": "absolute"}, {"style": "hands"}, {"landmark_set": "all"}, {"augment": "heavy"}, {"norm": "group"}],
)
@pytest.mark.filterwarnings("ignore:.*build")
def test_wrong_argument_is_named(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments.values()))):
        behaviour(**arguments)


def test_unknown_preset():
    with pytest.raises(ValueError, match=r"one of \['base', 'large', 'seed', 'tiny'\], got 'small'"):
        build_reader("small")


def test_the_seeds_parameters():
    "The count that its authors published."
    reader = build_reader("seed")
    assert reader.count_params() == PRESETS["seed"]["parameters"] == 19_208_764
    assert sum(int(np.prod(v.shape)) for v in reader.trainable_variables) == 19_202_620


def test_steps_are_frames_over_stride():
    for stride in (1, 2, 3):
        reader = small("tiny", stride=stride)
        logits, steps = apply(reader, inputs_for(reader, 4, 10), [10, 9, 2, 1])
        assert logits.shape == (4, -(-10 // stride), CLASSES)
        assert steps.tolist() == [-(-n // stride) for n in (10, 9, 2, 1)]


# --- the other backend


READ_AND_TRAIN = """
import json
from aslkit.model import build_reader
found = {}
for name, changes in json.loads(str(given["small"])).items():
    reader = build_reader(name, **changes)
    reader.load_weights(str(given[f"{name}_weights"]))
    inputs = {"landmarks": given[f"{name}_landmarks"], "frames": given["frames"]}
    read = reader.predict_on_batch(inputs)
    found[f"{name}_logits"], found[f"{name}_steps"] = read["logits"], read["steps"]
    if name == "seed":
        continue
    keras.utils.set_random_seed(0)
    reader.compile(keras.optimizers.Adam(1e-2))
    labels = {"classes": given["classes"], "characters": given["characters"]}
    told = inputs | labels | {"signer": given["signer"]}
    found[f"{name}_losses"] = np.array([reader.train_on_batch(told, labels) for _ in range(15)])
    reader.save_weights(str(given[f"{name}_trained"]))
    found[f"{name}_after"] = reader.predict_on_batch(inputs)["logits"]
"""
TRAINED = SMALL | {
    "tiny": SMALL["tiny"] | {"augment": "light"},
    "base": SMALL["base"] | {"consistency": 0.2, "smoothing": 0.01},
}
FRAMES, LABELS = (
    np.array([20, 13, 1, 8], "int32"),
    {"classes": np.tile(np.arange(3), (4, 1)), "characters": np.array([3, 3, 0, 2])},
)
SIGNER = np.array([1, 1, 2, 2], "int32")


def test_jax_reads_and_trains(on_jax, tmp_path):
    "Weights written by either backend give the other's logits; on JAX the loss falls as well."
    readers = {preset: wake(small(preset)) for preset in SMALL}
    given = {"frames": FRAMES, "signer": SIGNER, "small": json.dumps(TRAINED)} | LABELS
    for name, reader in readers.items():
        given[f"{name}_weights"], given[f"{name}_trained"] = (str(tmp_path / f"{name}{i}.weights.h5") for i in range(2))
        given[f"{name}_landmarks"] = inputs_for(reader, 4, 20)
        reader.save_weights(given[f"{name}_weights"])
    found = on_jax(READ_AND_TRAIN, **given)
    for name, reader in readers.items():
        assert_same(found[f"{name}_logits"], *apply(reader, given[f"{name}_landmarks"], FRAMES))
        assert found[f"{name}_logits"].std() > 0.1
        if name == "seed":
            continue
        losses = found[f"{name}_losses"]
        assert np.isfinite(losses).all() and losses[-3:].mean() < 0.8 * losses[:3].mean()
        reader.load_weights(given[f"{name}_trained"])
        assert_same(found[f"{name}_after"], *apply(reader, given[f"{name}_landmarks"], FRAMES))


@pytest.mark.parametrize("preset,adversarial,eager", [("tiny", 0.0, False), ("base", 0.02, True), ("seed", 0.0, True)])
def test_tensorflow_trains(preset, adversarial, eager):
    keras.utils.set_random_seed(0)
    reader = small(preset, **TRAINED[preset])
    reader.adversarial = adversarial
    reader.compile(keras.optimizers.Adam(1e-2), jit_compile=False, run_eagerly=eager)
    inputs = {"landmarks": inputs_for(reader, 4, 20), "frames": FRAMES, "signer": SIGNER} | LABELS
    losses = np.array([reader.train_on_batch(inputs, LABELS) for _ in range(15)])
    assert np.isfinite(losses).all() and losses[-3:].mean() < 0.8 * losses[:3].mean()


PUSHED = """
import numpy as np, keras
from aslkit.losses import CTCModel

class Toy(CTCModel):
    def __init__(self):
        super().__init__()
        self.scores = keras.layers.Dense(60)

    def call(self, inputs, training=False):
        return {"logits": self.scores(inputs["features"]), "steps": inputs["frames"]}

toy = Toy()
toy.adversarial = 0.1
inputs = {"features": given["features"], "frames": given["frames"]}
toy(inputs)
toy.set_weights([given["kernel"], np.zeros(60)])
toy.compile(keras.optimizers.SGD(1.0), jit_compile=False)
labels = {"classes": given["classes"], "characters": given["characters"]}
found = {"loss": toy.train_on_batch(inputs, labels), "kernel": toy.get_weights()[0], "bias": toy.get_weights()[1]}
"""


def test_adversarial_step(on_jax):
    "The gradient is that of the pushed weights, on both backends."
    rng = np.random.default_rng(0)
    given = {"frames": FRAMES, "features": rng.normal(size=(4, 20, 8)).astype("float32")} | LABELS
    given["kernel"] = rng.normal(size=(8, 60)).astype("float32")

    def loss_and_gradient(kernel):
        kernel, bias = tf.Variable(kernel), tf.Variable(tf.zeros(60))
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(ctc_loss(given["features"] @ kernel + bias, FRAMES, *LABELS.values()))
        return float(loss), *(g.numpy() for g in tape.gradient(loss, [kernel, bias]))

    _, gradient, _ = loss_and_gradient(given["kernel"])
    push = 0.1 * np.linalg.norm(given["kernel"]) / np.linalg.norm(gradient) * gradient
    loss, gradient, shift = loss_and_gradient(given["kernel"] + push)
    here = {"given": given}
    exec(PUSHED, here)
    for found in (here["found"], on_jax(PUSHED, **given)):
        np.testing.assert_allclose(found["loss"], loss, rtol=1e-5)
        np.testing.assert_allclose(found["kernel"], given["kernel"] - gradient, atol=1e-4)
        np.testing.assert_allclose(found["bias"], -shift, atol=1e-4)


@pytest.mark.parametrize("changes", [{}, {"consistency": 0.2}])
def test_labels_that_augmentation_changed_are_learnt(changes):
    "Reversed clips bring reversed phrases; two views bring them twice."
    reader = wake(small("tiny", augment="strong", **changes))
    for member in reader.augment.members:
        member.probability = float(type(member).__name__ == "Reverse")
    inputs = {"landmarks": inputs_for(reader, 4, 20), "frames": FRAMES, "signer": SIGNER} | LABELS
    found, views = reader(inputs, training=True), 1 + bool(changes)
    np.testing.assert_array_equal(found["classes"], np.tile([[2, 1, 0], [2, 1, 0], [0, 1, 2], [1, 0, 2]], (views, 1)))
    np.testing.assert_array_equal(found["characters"], np.tile(LABELS["characters"], views))
    assert found["logits"].shape[0] == 4 * views
    told = float(reader.compute_loss(y=LABELS, y_pred=found))
    kept = {name: array for name, array in found.items() if name not in LABELS}
    assert abs(told - float(reader.compute_loss(y=LABELS, y_pred=kept))) > 1e-3
    assert set(reader(inputs)) == {"logits", "steps"}


def test_spelling_alone_and_padded():
    "More steps, more characters: the same loss; no end sign is missed."
    spelling = wake_built(SpellingLoss(2))
    values, steps = inputs_for(spelling, 3, 9), np.array([9, 4, 1])
    classes, characters = np.array([[3, 4, 5], [6, BLANK, BLANK], [BLANK] * 3]), np.array([3, 1, 0])
    together = np.array(spelling(values, np.arange(9)[None] < steps[:, None], classes, characters))
    for i, (n, k) in enumerate(zip(steps, characters)):
        alone = spelling(values[i : i + 1, :n], np.ones((1, n), bool), classes[i : i + 1, :k], characters[i : i + 1])
        np.testing.assert_allclose(np.array(alone)[0], together[i], rtol=1e-4)
        assert together[i] > 0


def wake_built(layer):
    layer.build((None, None, WIDTH))
    return wake(layer)
