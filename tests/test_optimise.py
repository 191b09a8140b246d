"Learning rates, optimisers on both backends and in every precision, and averaged weights."

import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from aslkit.model import build_reader
from aslkit.optimise import RISES, WarmupCosine, averaged, build_optimizer, hidden_matrices


@pytest.mark.parametrize("rise", RISES)
def test_learning_rate(rise):
    rate = WarmupCosine(2.0, 10, 100, rise)
    values = np.array([float(rate(step)) for step in range(100)])
    assert values.max() == pytest.approx(2.0, rel=1e-3) and values.argmax() in (9, 10)
    assert (np.diff(values[:10]) > 0).all() and (np.diff(values[10:]) < 0).all() and values[0] > 0 and values[-1] < 0.01
    assert WarmupCosine.from_config(rate.get_config()).get_config() == rate.get_config()


def test_muon_turns_the_matrices_of_the_blocks_and_nothing_else():
    "Not filters, not a table of positions' biases, not the scores."
    for preset in ("tiny", "seed"):
        reader = build_reader(preset, blocks=1)
        names = [v.path for v in hidden_matrices(reader)]
        assert names and not [n for n in names if "conv/" in n or "masked_conv" in n or "scores" in n]
        optimizer = build_optimizer("muon", reader, 1e-3)
        optimizer.build(reader.trainable_variables)
        by_muon = [v.path for v in reader.trainable_variables if not optimizer._should_use_adamw(v)]
        assert by_muon == names
        assert sum(np.prod(v.shape) for v in hidden_matrices(reader)) > 0.7 * reader.count_params() / (
            2 if preset == "tiny" else 1
        )


STEPS = """
import keras, numpy as np
from keras import ops
from aslkit.optimise import OPTIMIZERS, averaged, build_optimizer

RUNS = [(name, "float32") for name in OPTIMIZERS]
RUNS += [("muon", "mixed_float16"), ("radam", "mixed_float16"), ("adamw", "mixed_bfloat16")]
rng = np.random.default_rng(0)
x, y = rng.normal(size=(32, 16)).astype("float32"), rng.integers(0, 60, 32)

class Net(keras.Sequential):
    "A loss whose gradients may be made too large for half precision."
    factor = 1.0
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.factor * ops.mean(keras.losses.sparse_categorical_crossentropy(y, y_pred, from_logits=True))

def net(name, precision, ema=0.0, factor=1.0):
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(precision)
    shapes = np.random.default_rng(1)
    hidden = [keras.layers.Dense(32, "tanh") for _ in range(2)]
    made = Net([keras.Input((16,)), *hidden, keras.layers.Dense(60, dtype="float32")])
    made.set_weights([shapes.normal(size=w.shape) / 4 for w in made.get_weights()])
    made.factor = factor
    made.compile(build_optimizer(name, made, 0.01, weight_decay=0.1, ema=ema), jit_compile=keras.backend.backend() == "jax")
    made.optimizer.build(made.trainable_variables)
    return made

def weights(made):
    return np.concatenate([np.ravel(np.asarray(v, "float64")) for v in made.trainable_variables])

for name, precision in RUNS:
    made = net(name, precision, ema=0.9)
    losses = [made.train_on_batch(x, y) for _ in range(12)]
    found[f"{name} {precision} loss"] = np.array(losses, "float64")
    with averaged(made):
        found[f"{name} {precision} averaged"] = weights(made)

made = net("adamw", "mixed_float16", factor=1e4)  # times the loss scale of 2 ** 15: no float16
before = weights(made)
losses = [made.train_on_batch(x, y) for _ in range(3)]
found["overflow"] = np.array([*losses, np.abs(weights(made) - before).max(), float(made.optimizer.dynamic_scale)])
for _ in range(30):
    made.train_on_batch(x, y)
found["after overflow"] = np.array([np.abs(weights(made) - before).max(), float(made.optimizer.dynamic_scale)])
"""


def test_both_backends_take_the_same_steps(on_jax):
    "Every optimiser learns in every precision, also where the first gradients overflow."
    found = {}
    try:
        exec(STEPS, {"found": found})
    finally:
        keras.config.set_dtype_policy("float32")
    others = on_jax(STEPS)
    assert set(found) == set(others)
    for name in (key.removesuffix(" loss") for key in found if key.endswith(" loss")):
        losses, furthest = found[f"{name} loss"], 1e-2 if "mixed" in name else 1e-4
        assert np.isfinite(losses).all() and losses[-1] < losses[0], name
        for key in (f"{name} loss", f"{name} averaged"):  # Adam turns a rounding error near 0 into a whole step
            assert np.abs(found[key] - others[key]).mean() < furthest, key
    for overflow, after in ((f["overflow"], f["after overflow"]) for f in (found, others)):
        assert (
            np.isfinite(overflow).all() and overflow[3] == 0 and overflow[4] == 2.0**12
        )  # nothing learnt, scale halved thrice
        assert np.isfinite(after).all() and after[0] > 0 and 0 < after[1] < 2.0**12


def test_average_follows_its_formula():
    "It starts with the first step's weights, and its momentum is the smaller of (1 + t) / (10 + t) and what was asked for."
    variable, path = keras.Variable([1.0, -2.0]), []
    kind = type(build_optimizer("adamw", build_reader("tiny", blocks=1), 0.1))
    optimizer = kind(0.1, weight_decay=0.0, use_ema=True, ema_momentum=0.6)
    for t in range(30):
        optimizer.apply([keras.ops.convert_to_tensor([0.5 * t, 1.0], "float32")], [variable])
        path.append(keras.ops.convert_to_numpy(variable).copy())
    mean = path[0]
    for t, weights in enumerate(path[1:], 1):
        momentum = min(0.6, (1 + t) / (10 + t))
        mean = momentum * mean + (1 - momentum) * weights
    optimizer.finalize_variable_values([variable])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), mean, rtol=1e-5)
    assert optimizer.get_config()["ema_momentum"] == 0.6


def test_averaged_gives_the_weights_back_after_an_error():
    reader = build_reader("tiny", blocks=1, width=16, heads=2)
    reader.compile(build_optimizer("adamw", reader, 0.1, ema=0.5))
    reader.optimizer.build(reader.trainable_variables)
    before = reader.get_weights()
    with pytest.raises(KeyboardInterrupt), averaged(reader):
        assert not any(w.any() for w in [v.numpy() for v in reader.trainable_variables])  # no step, no average
        raise KeyboardInterrupt
    assert all((a == b).all() for a, b in zip(before, reader.get_weights(), strict=True))
