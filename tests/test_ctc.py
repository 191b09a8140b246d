"The CTC loss against lists of every path, float64 and other losses, on both backends; the readers against every text."

import itertools
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from aslkit.competition import BLANK, CLASSES, decode, encode
from aslkit.ctc import alignment, beam, collapse, ctc_loss, greedy, occupancy, too_long


def slope(logits, frames, classes, characters, blank=BLANK):
    "Loss (B,) and its gradient (B, T, C), both as arrays."
    logits = tf.convert_to_tensor(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = ctc_loss(logits, frames, classes, characters, blank)
    gradient = tape.gradient(loss, logits)
    assert gradient.dtype == logits.dtype and loss.dtype == tf.float32
    return loss.numpy(), tf.cast(gradient, tf.float32).numpy()


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def listed(logits, label, blank):
    "Loss and gradient (T, C) of one clip by listing every path; 0 where no path says the label."
    T, C = logits.shape
    logp = log_softmax(logits.astype("float64"))
    share, total = np.zeros((T, C)), 0.0
    for path in itertools.product(range(C), repeat=T):
        if collapse(path, blank) == label:
            probability = np.exp(logp[range(T), path].sum())
            total += probability
            share[range(T), path] += probability
    return (-np.log(total), np.exp(logp) - share / total) if total else (0.0, np.zeros((T, C)))


def in_float64(logits, label, blank):
    "Loss and gradient (N, C) of one clip by the recursion as the paper writes it, in float64."
    logp = log_softmax(logits.astype("float64"))
    states = np.array([blank] + [c for found in label for c in (found, blank)])
    scores = logp[:, states]

    def forward(states, scores):
        skip = (states != blank) & (states != np.roll(states, 2)) & (np.arange(len(states)) > 1)
        runs = [np.where(np.arange(len(states)) < 2, scores[0], -np.inf)]
        for now in scores[1:]:
            stay, go = runs[-1], np.r_[-np.inf, runs[-1]][:-1]
            leap = np.where(skip, np.r_[-np.inf, -np.inf, runs[-1]][:-2], -np.inf)
            runs.append(np.logaddexp.reduce([stay, go, leap]) + now)
        return np.array(runs)

    alpha, beta = forward(states, scores), forward(states[::-1], scores[::-1, ::-1])[::-1, ::-1]
    total = np.logaddexp.reduce(alpha[-1, -2:])
    return -total, np.exp(logp) - np.exp(alpha + beta - scores - total) @ np.eye(logp.shape[1])[states]


def random_batch(seed, B, T, C, L, spread=2.0):
    "Logits, frames, classes, characters; every label fits into its clip and has a character."
    rng = np.random.default_rng(seed)
    characters = rng.integers(1, L + 1, B)
    classes = rng.integers(0, C - 1, (B, L))
    repeats = [int((c[1:n] == c[: n - 1]).sum()) for c, n in zip(classes, characters)]
    frames = np.array([rng.integers(min(n + r, T), T + 1) for n, r in zip(characters, repeats)])
    return (spread * rng.normal(size=(B, T, C))).astype("float32"), frames, classes, characters


# --- against every path


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_every_path(data):
    C = data.draw(st.integers(2, 3), "C")
    blank = data.draw(st.integers(0, C - 1), "blank")
    letters = [c for c in range(C) if c != blank]
    label = st.lists(st.sampled_from(letters), max_size=3)
    clips = data.draw(st.lists(st.tuples(st.integers(1, 5), label), min_size=1, max_size=3), "clips")
    frames, labels = np.array([n for n, _ in clips]), [found for _, found in clips]
    T = frames.max() + data.draw(st.integers(0, 2), "padded frames")
    L = max(1, *map(len, labels)) + data.draw(st.integers(0, 2), "padded characters")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16), "seed"))
    logits = (data.draw(st.sampled_from([0.1, 2.0, 20.0]), "spread") * rng.normal(size=(len(clips), T, C))).astype("float32")
    classes = np.array([found + rng.integers(0, C, L - len(found)).tolist() for found in labels])
    loss, gradient = slope(logits, frames, classes, np.array([len(found) for found in labels]), blank)
    for i, (n, found) in enumerate(clips):
        right, right_slope = listed(logits[i, :n], found, blank)
        np.testing.assert_allclose(loss[i], right, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(gradient[i, :n], right_slope, atol=1e-3)
        assert not gradient[i, n:].any()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**16), st.integers(1, 6), st.integers(0, 3), st.sampled_from([0.5, 5.0]))
def test_finite_differences(seed, N, letters, spread):
    "The gradient is that of the float64 loss, along random directions."
    rng = np.random.default_rng(seed)
    logits = (spread * rng.normal(size=(1, N, 4))).astype("float32")
    label = rng.integers(0, 3, letters).tolist()
    _, gradient = slope(logits, [N], np.array([label + [0]]), [letters], 3)
    if np.array(too_long([N], np.array([label + [0]]), [letters]))[0]:
        assert not gradient.any()
        return
    for _ in range(3):
        direction = rng.normal(size=(N, 4))
        up, down = (in_float64(logits[0] + sign * 1e-5 * direction, label, 3)[0] for sign in (1, -1))
        np.testing.assert_allclose((gradient[0] * direction).sum(), (up - down) / 2e-5, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("N", "spread", "loss_error", "slope_error"),
    [(96, 2, 3e-4, 5e-5), (400, 0.1, 2e-3, 5e-5), (400, 2, 4e-3, 5e-4), (400, 10, 1e-2, 3e-3)],
)
def test_long_clips_against_float64(N, spread, loss_error, slope_error):
    logits, steps, classes, characters = random_batch(12, 4, N, CLASSES, 31, spread)
    steps[0], characters[0], classes[1, 3:6] = N, 31, 7
    steps[1] = N
    loss, gradient = slope(logits, steps, classes, characters)
    for i, (n, k) in enumerate(zip(steps, characters)):
        right, right_slope = in_float64(logits[i, :n], classes[i, :k].tolist(), BLANK)
        np.testing.assert_allclose(loss[i], right, atol=loss_error)
        np.testing.assert_allclose(gradient[i, :n], right_slope, atol=slope_error)
        np.testing.assert_allclose(gradient[i].sum(-1), 0, atol=1e-4)  # more of one class is less of the others


# --- against TensorFlow


@pytest.mark.parametrize(
    ("seed", "shape"), [(0, (8, 30, 60, 10)), (1, (8, 30, 5, 10)), (2, (3, 384, 60, 31)), (3, (4, 1, 4, 1)), (4, (5, 9, 3, 6))]
)
def test_tensorflows_loss(seed, shape):
    logits, frames, classes, characters = random_batch(seed, *shape)
    blank = shape[2] - 1
    ours, our_slope = slope(logits, frames, classes, characters, blank)
    x = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(x)
        theirs = tf.nn.ctc_loss(
            tf.constant(classes, tf.int32), x, tf.constant(characters, tf.int32), tf.constant(frames, tf.int32),
            logits_time_major=False, blank_index=blank,
        )  # fmt: skip
    usable = ~np.array(too_long(frames, classes, characters))
    assert usable.any()
    np.testing.assert_allclose(ours[usable], theirs.numpy()[usable], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(our_slope[usable], tape.gradient(theirs, x).numpy()[usable], atol=1e-3)


# --- corners


def test_empty_labels():
    "No character: the loss is that of saying nothing in every frame, whatever stands in the padding."
    logits, *_ = random_batch(5, 3, 7, 6, 2)
    frames = np.array([7, 4, 1])
    loss, gradient = slope(logits, frames, np.array([[1, 2], [5, 5], [0, 3]]), np.zeros(3, int), 5)
    logp = log_softmax(logits)
    for i, n in enumerate(frames):
        np.testing.assert_allclose(loss[i], -logp[i, :n, 5].sum(), rtol=1e-5)
        np.testing.assert_allclose(gradient[i, :n], np.exp(logp[i, :n]) - np.eye(6)[5], atol=1e-5)


def test_a_clip_too_short_for_its_label_teaches_nothing():
    logits, *_ = random_batch(6, 4, 5, 4, 3)
    frames, characters = np.array([2, 3, 1, 4]), np.array([3, 3, 2, 3])
    classes = np.array([[0, 1, 2], [0, 0, 1], [1, 2, 2], [0, 0, 1]])  # three letters in 2, "aab" in 3, two in 1, "aab" in 4
    loss, gradient = slope(logits, frames, classes, characters, 3)
    assert loss[:3].tolist() == [0.0] * 3 and not gradient[:3].any()
    assert loss[3] > 0 and gradient[3].any()
    assert np.array(too_long(frames, classes, characters)).tolist() == [True, True, True, False]


def test_frames_beyond_the_clip_are_ignored():
    logits, frames, classes, characters = random_batch(7, 6, 20, 10, 5)
    frames = np.minimum(frames, 15)
    loss, gradient = slope(logits, frames, classes, characters, 9)
    longer = np.concatenate([logits, np.full((6, 8, 10), 1e3, "float32")], 1)
    for i, n in enumerate(frames):
        longer[i, n:] = np.random.default_rng(i).normal(size=longer[i, n:].shape) * 50
    loss_of_longer, gradient_of_longer = slope(longer, frames, classes, characters, 9)
    np.testing.assert_allclose(loss_of_longer, loss, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gradient_of_longer[:, :20], gradient, atol=1e-5)
    assert not gradient_of_longer[:, 20:].any()


def test_no_frame_and_no_character():
    "The one path of no frames says nothing for certain."
    loss, gradient = slope(np.ones((2, 3, 4), "float32"), np.array([0, 0]), np.array([[0], [0]]), np.array([0, 1]), 3)
    assert loss.tolist() == [0.0, 0.0] and not gradient.any()
    assert np.array(too_long([0, 0, 1], np.zeros((3, 0), int), [0, 1, 1])).tolist() == [False, True, False]


def test_a_batch_of_empty_labels_without_a_column():
    loss, _ = slope(np.zeros((2, 3, 4), "float32"), np.array([3, 2]), np.zeros((2, 0), int), np.array([0, 0]), 3)
    np.testing.assert_allclose(loss, np.array([3, 2]) * np.log(4), rtol=1e-5)


def test_half_precision_scores():
    "Everything inside is float32: a bfloat16 score costs only its own rounding."
    logits, frames, classes, characters = random_batch(8, 4, 60, CLASSES, 12)
    half = tf.cast(logits, tf.bfloat16)
    loss, gradient = slope(half, frames, classes, characters)
    exact, exact_gradient = slope(tf.cast(half, tf.float32), frames, classes, characters)
    np.testing.assert_array_equal(loss, exact)
    np.testing.assert_allclose(gradient, exact_gradient, rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("spread", [0.0, 20.0, 1e3, 1e5])
def test_extreme_scores_stay_finite(spread):
    logits, frames, classes, characters = random_batch(9, 4, 50, CLASSES, 20, spread)
    loss, gradient = slope(logits, frames, classes, characters)
    assert np.isfinite(loss).all() and np.isfinite(gradient).all()
    if spread <= 20:  # adding to all scores of a frame changes nothing; beyond, losses of 1e4 nats round to 1e-3
        np.testing.assert_allclose(gradient.sum(-1), 0, atol=1e-3)


def test_length_unknown_beforehand():
    "A graph that does not know T takes another loop; it must come to the same."
    signature = [tf.TensorSpec((None, None, 8)), *[tf.TensorSpec(s, tf.int32) for s in ((None,), (None, 4), (None,))]]

    @tf.function(input_signature=signature)
    def graph(x, frames, classes, characters):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = ctc_loss(x, frames, classes, characters, 7)
        return loss, tape.gradient(loss, x)

    for seed, B, T in ((0, 3, 12), (1, 5, 1), (2, 1, 31)):
        logits, *labels = random_batch(seed, B, T, 8, 4)
        loss, gradient = graph(logits, *(tf.constant(x, tf.int32) for x in labels))
        exact, exact_gradient = slope(logits, *labels, 7)
        np.testing.assert_allclose(loss, exact, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(gradient, exact_gradient, atol=1e-5)


def test_weighted_losses():
    "The gradient follows whatever is done with each clip's loss afterwards."
    logits, frames, classes, characters = random_batch(10, 3, 12, 6, 4)
    weights = tf.constant([0.0, 1.0, -2.0])
    x = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(weights * ctc_loss(x, frames, classes, characters, 5))
    _, plain = slope(logits, frames, classes, characters, 5)
    np.testing.assert_allclose(tape.gradient(total, x), plain * weights.numpy()[:, None, None], atol=1e-5)


# --- the other backend


def test_jax_agrees(on_jax):
    logits, frames, classes, characters = random_batch(11, 6, 40, CLASSES, 10)
    frames[0], characters[1], characters[2], frames[2] = 40, 0, 10, 4  # a full, an empty, and a too short one
    code = """
from aslkit.ctc import ctc_loss
rest = [given[k] for k in ("frames", "classes", "characters")]
def both(x):
    losses = ctc_loss(x, *rest)
    return losses.sum(), losses
(_, found["loss"]), found["gradient"] = jax.jit(jax.value_and_grad(both, has_aux=True))(given["logits"])
half, slope = jax.value_and_grad(lambda x: ctc_loss(x, *rest).sum())(given["logits"].astype("bfloat16"))
found["half"], found["half_gradient"] = half, np.array(slope.astype("float32"))
"""
    found = on_jax(code, logits=logits, frames=frames, classes=classes, characters=characters)
    loss, gradient = slope(logits, frames, classes, characters)
    assert loss[2] == 0 and (np.delete(loss, 2) > 0).all()
    np.testing.assert_allclose(found["loss"], loss, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found["gradient"], gradient, atol=1e-4)
    half, half_gradient = slope(tf.cast(logits, tf.bfloat16), frames, classes, characters)
    np.testing.assert_allclose(found["half"], half.sum(), rtol=1e-5)
    np.testing.assert_allclose(found["half_gradient"], half_gradient, atol=1e-2)


def test_optax_agrees(on_jax):
    "A loss written by others; keras.ops.ctc_loss on JAX is the same recursion, so it stands in where optax is missing."
    logits, steps, classes, characters = random_batch(13, 6, 60, CLASSES, 12)
    characters[1] = 0
    code = """
steps, classes, characters = [given[k] for k in ("steps", "classes", "characters")]
def theirs(x):
    try:
        import optax
    except ImportError:
        return keras.ops.ctc_loss(classes, x, characters, steps, mask_index=59)
    padding = [(np.arange(n)[None] >= real[:, None]).astype("float32") for n, real in ((60, steps), (12, characters))]
    return optax.ctc_loss(x, padding[0], classes, padding[1], blank_id=59)
found["loss"], found["gradient"] = theirs(given["logits"]), jax.grad(lambda x: theirs(x).sum())(given["logits"])
"""
    found = on_jax(code, logits=logits, steps=steps, classes=classes, characters=characters)
    loss, gradient = slope(logits, steps, classes, characters)
    np.testing.assert_allclose(loss, found["loss"], rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(gradient, found["gradient"], atol=1e-3)


# --- when each character was said


def listed_occupancy(logits, label, blank):
    "Share of paths (N, L) that say the l-th character at step n, by listing them."
    logp = log_softmax(logits.astype("float64"))
    N, C = logp.shape
    share, total = np.zeros((N, len(label))), 0.0
    for path in itertools.product(range(C), repeat=N):
        if collapse(path, blank) == label:
            probability = np.exp(logp[range(N), path].sum())
            total += probability
            begun = np.cumsum([c != blank and (n == 0 or c != path[n - 1]) for n, c in enumerate(path)])
            for n, c in enumerate(path):
                if c != blank:
                    share[n, begun[n] - 1] += probability
    return share / total if total else share


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(0, 1), max_size=3)), min_size=1, max_size=3),
    st.integers(0, 2**16),
)
def test_occupancy_and_alignment(clips, seed):
    logits = np.random.default_rng(seed).normal(size=(len(clips), 6, 3)).astype("float32") * 2
    steps, characters = np.array([n for n, _ in clips]), np.array([len(label) for _, label in clips])
    classes = np.array([label + [1] * (4 - len(label)) for _, label in clips])
    share = np.array(occupancy(logits, steps, classes, characters, 2))
    when = alignment(logits, steps, classes, characters, 2)
    assert share.shape == (len(clips), 6, 4) and when.shape == (len(clips), 4, 3)
    for i, (n, label) in enumerate(clips):
        right = np.zeros((6, 4))
        right[:n, : len(label)] = listed_occupancy(logits[i, :n], label, 2)
        np.testing.assert_allclose(share[i], right, atol=1e-4)
        for k in range(4):
            if not right[:, k].any():
                assert when[i, k].tolist() == [-1, -1, -1]
                continue
            first, likeliest, last = when[i, k]
            assert 0 <= first <= likeliest <= last < n
            assert right[likeliest, k] >= right[:, k].max() - 1e-4
            half = right[likeliest, k] / 2
            assert right[first, k] >= half - 1e-4 and right[last, k] >= half - 1e-4
            assert (right[:first, k] < half + 1e-4).all() and (right[last + 1 :, k] < half + 1e-4).all()


# --- reading


@given(st.lists(st.integers(0, 4), max_size=12))
def test_collapse_is_group_then_drop(path):
    assert collapse(np.array(path, int), 4) == [c for c, _ in itertools.groupby(path) if c != 4]


@given(st.text("abn ~", max_size=6), st.data())
def test_greedy_reads_what_a_path_says(text, data):
    "However long each character lasts, with blanks between equal ones."
    path = []
    for i, c in enumerate(encode(text)):
        gap = data.draw(st.integers(1 if i and text[i - 1] == text[i] else 0, 2))
        path += [BLANK] * gap + [c] * data.draw(st.integers(1, 3))
    path += [BLANK] * data.draw(st.integers(0 if path else 1, 2))
    logits = np.eye(CLASSES)[None, path + [0, 1, 2]]  # what lies beyond the clip is not read
    assert greedy(logits, [len(path)]) == [text]


def every_text(logits, blank, prior=None):
    "Log probability of every text of one clip, by listing every path; a prior weighs each character."
    logp = log_softmax(logits.astype("float64"))
    N, C = logp.shape
    found = {}
    for path in itertools.product(range(C), repeat=N):
        said = tuple(collapse(path, blank))
        found[said] = np.logaddexp(found.get(said, -np.inf), logp[range(N), path].sum())
    if prior is not None:
        for said in found:
            found[said] += sum(prior(decode(list(said[:k])))[c] for k, c in enumerate(said))
    return {decode(list(said)): value for said, value in found.items()}


def toy_prior(said):
    "Depends on the whole text so far."
    return np.sin(np.arange(3) * 1.7 + len(said) + 3.1 * sum(map(ord, said)))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=3), st.integers(0, 2), st.integers(0, 2**16),
    st.sampled_from([0.3, 1.0, 3.0]), st.booleans(),
)  # fmt: skip
def test_a_wide_beam_finds_the_likeliest_text(lengths, blank, seed, spread, weighed):
    "With room for every prefix the search is exact: repeats, blanks, prefixes reached twice, clips of different length."
    logits = spread * np.random.default_rng(seed).normal(size=(len(lengths), 6, 3))
    logits[np.random.default_rng(seed).random(logits.shape) < 0.1] = -50  # classes that are all but impossible
    prior = toy_prior if weighed else None
    for i, text in enumerate(beam(logits, lengths, 64, blank, prior)):
        right = every_text(logits[i, : lengths[i]], blank, prior)
        assert right[text] >= max(right.values()) - 1e-9


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**16), st.integers(1, 4))
def test_a_narrow_beam_reads_one_of_the_texts(seed, width):
    logits = 2 * np.random.default_rng(seed).normal(size=(2, 5, 3))
    for i, text in enumerate(beam(logits, [5, 4], width, 2)):
        assert text in every_text(logits[i, : 5 - i], 2)


@given(st.text("abn ~", max_size=6))
def test_beam_reads_sure_scores_like_greedy(text):
    path = [c for i, found in enumerate(encode(text)) for c in ([BLANK] * (i > 0 and text[i - 1] == text[i]) + [found])]
    logits = 20 * np.eye(CLASSES)[None, path + [0, 1]]
    assert beam(logits, [len(path)]) == greedy(logits, [len(path)]) == [text]


def test_beam_is_likelier_than_greedy():
    "By our own loss, on scores like a network's; a narrow beam may still lose the best text now and then."
    rng = np.random.default_rng(14)
    logits = rng.normal(size=(32, 40, CLASSES)).astype("float32")
    logits[..., BLANK] += 4
    logits[np.arange(32)[:, None], rng.integers(0, 40, (32, 8)), rng.integers(0, BLANK, (32, 8))] += 6
    steps = rng.integers(20, 41, 32)

    def loss(texts):
        classes = np.array([encode(text) + [BLANK] * (40 - len(text)) for text in texts])
        return np.array(ctc_loss(logits, steps, classes, np.array(list(map(len, texts)))))

    ours, plain = beam(logits, steps), greedy(logits, steps)
    assert sum(a != b for a, b in zip(ours, plain)) > 3
    gain = loss(plain) - loss(ours)
    assert gain.mean() > 0.05 and (gain > -1e-3).mean() > 0.8
    assert (loss(plain) - loss(beam(logits, steps, 128))).mean() > gain.mean()


def test_a_beam_has_a_width():
    with pytest.raises(ValueError, match="`width` must be 1 or more, got 0"):
        beam(np.zeros((1, 2, CLASSES)), [2], 0)
