"Batches over many cases: padding, order, weights, stopping and going on, on two backends and on two devices."

import itertools
import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from aslkit.batches import Batches, BatchOrder, draw, plan_batches, plan_buckets, plan_epoch, thin
from aslkit.competition import BLANK, decode


def stand_in(lengths: list[int], phrases: list[str] | None = None) -> SimpleNamespace:
    "What `Batches` needs of a corpus; one point, x = clip, y = frame."

    def landmarks(row):
        clip = np.zeros((lengths[row], 1, 3), np.float16)
        clip[:, 0, 0], clip[:, 0, 1] = row, np.arange(lengths[row])
        return clip

    clips = pd.DataFrame({"frames": lengths, "phrase": phrases or ["a" * (1 + i % 5) for i in range(len(lengths))]})
    clips["participant_id"] = np.arange(len(lengths)) % 7
    return SimpleNamespace(clips=clips, landmarks=landmarks, landmark_set=SimpleNamespace(points=("left_hand_0",)))


def like_the_competition(clips: int = 67_208) -> np.ndarray:
    "Frames: mean 159.7, spread 84, at most 807."
    return np.clip(np.random.default_rng(0).gamma(3.6, 44.4, clips).astype(int), 1, 807)


def contents(batch: tuple[dict, dict]) -> tuple:
    "What two equal batches have in common."
    return tuple((name, array.shape, array.dtype.str, array.tobytes()) for part in batch for name, array in part.items())


corpora = st.lists(st.tuples(st.integers(1, 30), st.text("ab 1", max_size=40)), min_size=1, max_size=40)
BUCKETS = (4, 9, 20)
LENGTHS = [3, 8, 15, 4, 9, 12, 3, 3, 7, 16, 1, 2, 5, 30, 11, 19, 6, 2]


# ---- buckets


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(1, 5), st.sampled_from([32, 48]))
def test_planned_buckets_are_the_best(frames, count, longest):
    frames = np.array(frames)
    planned = plan_buckets(frames, count, longest)
    cut = np.minimum(frames, longest)
    last = -(-cut.max() // 8) * 8
    assert planned[-1] == last and len(planned) <= count and all(length % 8 == 0 for length in planned)
    assert list(planned) == sorted(set(planned))

    def padded(buckets):
        return np.array(buckets)[np.searchsorted(buckets, cut)].sum()

    shorter = range(8, last, 8)
    rivals = [(*some, last) for n in range(count) for some in itertools.combinations(shorter, n)]
    assert padded(planned) == min(map(padded, rivals))


def test_padding_of_lengths_like_the_competitions():
    "What the issue asks for: under 15 % by default, in whole epochs of training."
    frames = like_the_competition()
    start = time.perf_counter()
    planned = plan_buckets(frames)
    assert time.perf_counter() - start < 1
    assert len(planned) == 8 and planned[-1] == 384
    order = BatchOrder(frames, 64, 8, seed=0)
    assert order.buckets == planned and order.padding_share < 0.13
    assert BatchOrder(frames, 64, 5, seed=0).padding_share > 0.15 > BatchOrder(frames, 64, 8, seed=None).padding_share


def test_buckets_refuse_nonsense():
    for wrong in ({"count": 0}, {"longest": 100}):
        with pytest.raises(ValueError, match="`count` must be 1 or more and `longest` a multiple of 8"):
            plan_buckets(np.array([5]), **wrong)


# ---- whole epochs


@settings(deadline=None, max_examples=30)
@given(corpora, st.integers(1, 7), st.integers(1, 3), st.data())
def test_batches_for_evaluation(clips, batch_size, multiple, data):
    lengths, phrases = map(list, zip(*clips, strict=True))
    rows = data.draw(st.lists(st.sampled_from(range(len(clips))), min_size=1, unique=True))
    batches = Batches(stand_in(lengths, phrases), rows, batch_size * multiple, BUCKETS, multiple=multiple)
    longest = max(32, -(-max(map(len, phrases)) // 8) * 8)
    seen, filled, room = [], 0, 0
    for index in range(len(batches)):
        inputs, labels = batches[index]
        B, T = inputs["landmarks"].shape[:2]
        assert T in BUCKETS and B <= batch_size * multiple and labels["classes"].shape == (B, longest)
        assert B % multiple == 0 and 0 <= B - len(batches.rows(index)) < multiple
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
        room += len(batches.rows(index)) * T
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


def test_training_batches_tell_who_signs_what():
    "What joins clips needs signer, labels and room for two phrases, where it asks for them."
    corpus = stand_in(LENGTHS, ["a" * (1 + i) for i in range(18)])
    for letters, room in ((32, 32), (33, 40), (64, 64)):
        batches = Batches(corpus, range(18), 4, BUCKETS, seed=0, told=True, letters=letters)
        inputs, labels = batches[0]
        np.testing.assert_array_equal(inputs["signer"], batches.rows(0) % 7)
        assert labels["classes"].shape == (4, room)
        for name, array in labels.items():
            np.testing.assert_array_equal(inputs[name], array)
    assert set(Batches(corpus, range(18), 4, BUCKETS, seed=0)[0][0]) == {"landmarks", "frames"}


def test_shuffling_is_global_and_changes():
    bucket = np.repeat([0, 1, 2], 100)
    plans = [plan_batches(bucket, 8, np.random.default_rng([0, epoch])) for epoch in (0, 0, 1)]
    order = [[k for k, _ in plan] for plan in plans]
    assert order[0] == order[1] != order[2] and order[0] != sorted(order[0])
    together = [{frozenset(clips) for _, clips in plan} for plan in plans]
    assert together[0] == together[1] and not together[0] & together[2]


def test_short_clips_first_in_the_first_epoch_only():
    bucket = np.random.default_rng(0).integers(0, 3, 200)
    first, second = ([k for k, _ in plan_epoch(bucket, 4, 0, epoch, short_first=True)] for epoch in (0, 1))
    assert sorted(first[2:]) == first[2:] or first.count(1) and np.diff(first[2:]).clip(max=0).sum() >= -2
    assert second != sorted(second) and np.mean(first[:20]) < np.mean(second[:20])


def test_batches_refuse_nonsense():
    corpus = stand_in([3, 4])
    for says, wrong in [
        ("`rows` is empty", {"rows": []}),
        ("`buckets`", {"buckets": (9, 4)}),
        ("`buckets`", {"buckets": (0, 4)}),
        ("`batch_size` must be a multiple of 1, got 0", {"batch_size": 0}),
        ("`batch_size` must be a multiple of 2, got 3", {"batch_size": 3, "multiple": 2}),
        ("`weights` need a `seed`", {"weights": [1, 1]}),
        ("`weights` must be 2 numbers", {"weights": [1], "seed": 0}),
        ("`weights` must be 2 numbers", {"weights": [1, -1], "seed": 0}),
        ("`weights` must be 2 numbers", {"weights": [1, np.nan], "seed": 0}),
        ("one of them at least 0.01", {"weights": [0, 0], "seed": 0}),
    ]:
        with pytest.raises(ValueError, match=says):
            Batches(corpus, **{"rows": [0, 1]} | wrong)


# ---- weights


weight_lists = st.lists(st.sampled_from([0, 0.01, 0.25, 0.5, 0.66, 1, 1.5, 2]), min_size=1, max_size=40).filter(any)


@settings(deadline=None, max_examples=60)
@given(weight_lists, st.integers(0, 3), st.integers(1, 7))
@example([1.5, 0.5, 1.5, 0.5, 0.5], 0, 1)
def test_clips_come_as_often_as_their_weight_says(weights, seed, batch_size):
    "Clips of one weight to within one of each other after any epoch; in as many batches every epoch."
    weights = np.array(weights)
    counts = np.array([np.bincount(draw(weights, epoch, seed), minlength=len(weights)) for epoch in range(100)])
    for weight in set(weights):
        sums = counts[:, weights == weight].cumsum(0)
        assert (np.ptp(sums, axis=1) <= 1).all()
        due = weight * (weights == weight).sum() * np.arange(1, 101)
        assert (abs(sums.sum(1) - due) < 1 + 1e-6).all()
    assert (counts.sum(0) == np.rint(weights * 100)).all()  # a hundred epochs are exact
    bucket = np.arange(len(weights)) % 3
    plans = [plan_epoch(bucket, batch_size, seed, epoch, weights) for epoch in range(20)]
    assert len({len(plan) for plan in plans}) == 1
    for epoch, plan in enumerate(plans):
        assert {len(clips) for _, clips in plan} == {batch_size}
        extra = np.bincount(np.concatenate([clips for _, clips in plan]), minlength=len(weights)) - counts[epoch]
        assert (extra >= 0).all() and extra.sum() < batch_size + len(set(weights)) and not extra[weights == 0].any()


def test_half_of_the_clips_and_then_the_other_half():
    weights = np.repeat([1, 0.5], [10, 8])
    halves = [set(draw(weights, epoch, 3)) - set(range(10)) for epoch in range(4)]
    assert [len(half) for half in halves] == [4] * 4
    assert halves[0] | halves[1] == set(range(10, 18)) and halves[0] == halves[2] != halves[1] == halves[3]
    batches = Batches(stand_in([5] * 18), range(18), 7, (8,), seed=3, weights=weights)
    assert len(batches) == 2 and set(range(10)) | halves[0] == set(np.concatenate([batches.rows(0), batches.rows(1)]))


def test_equal_weights_are_no_weights():
    plain, equal = (Batches(stand_in(LENGTHS), range(18), 4, BUCKETS, 0, weights=w) for w in (None, [1.0] * 18))
    assert [contents(batch) for batch in plain] == [contents(batch) for batch in equal]


# ---- stopping and going on


def whole_run(make, epochs: int) -> list[tuple]:
    "The contents of every batch, made one by one without threads."
    batches, found = make(prefetch=0), []
    for epoch in range(epochs):
        batches.position = (epoch, 0)
        found += [contents(batches[index]) for index in range(len(batches))]
    return found


def make_batches(**settings) -> Batches:
    weights = np.where(np.arange(18) % 4 == 0, 0.5, 1)
    return Batches(stand_in(LENGTHS), range(18), 3, BUCKETS, **{"seed": 1, "weights": weights, "short_first": True} | settings)


@pytest.mark.parametrize("prefetch", [0, 1, 8])
@pytest.mark.parametrize("stop", range(1, 14))
def test_a_stream_goes_on_where_it_was_stopped(stop, prefetch):
    whole = whole_run(make_batches, 3)
    begun = make_batches(prefetch=prefetch)
    before = [contents(batch) for _, batch in zip(range(stop), begun.stream())]
    saved = json.loads(json.dumps(begun.position))
    resumed = make_batches(prefetch=prefetch)
    resumed.position = saved
    after = [contents(batch) for batch in resumed.stream(epochs=3 - saved[0])]
    assert before + after == whole
    assert begun.position == tuple(saved) == divmod(stop, len(whole) // 3) and resumed.position == (3, 0)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 9)), max_size=6))
def test_jumping_about_never_brings_a_wrong_batch(jumps):
    "Whatever threads have begun before."
    batches = make_batches(prefetch=4)
    for epoch, first, steps in jumps:
        batches.position = (epoch, first)
        expected = make_batches(prefetch=0)
        expected.epoch = epoch
        assert len(batches) == len(expected) - first
        for index in range(min(steps, len(batches)))[:: 1 + steps % 2]:
            batches.on_epoch_begin()
            assert contents(batches[index]) == contents(expected[first + index])
            assert (batches.rows(index) == expected.rows(first + index)).all()


def test_a_position_outside_the_epoch():
    batches = make_batches()
    whole = len(batches)
    batches.position = (2, whole)
    assert batches.position == (3, 0) and len(batches) == 0
    for wrong in ((0, whole + 1), (0, -1)):
        with pytest.raises(ValueError, match=f"outside an epoch of {whole} batches"):
            batches.position = wrong


def test_threads_make_the_next_batches():
    made, corpus = [], stand_in(LENGTHS)
    landmarks = corpus.landmarks
    corpus.landmarks = lambda row: made.append(row) or landmarks(row)
    batches = Batches(corpus, range(18), 3, BUCKETS, seed=0, prefetch=2)
    _ = batches[0], batches[3]
    assert len(made) == 6  # a look at single batches begins nothing
    _ = batches[4]
    deadline = time.monotonic() + 10
    while len(made) < 12 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert sorted(made[6:]) == sorted([*batches.rows(4), *batches.rows(5)])


def test_an_error_in_a_thread_is_raised_where_the_batch_is_asked_for():
    corpus = stand_in(LENGTHS)
    landmarks, bad = corpus.landmarks, Batches(corpus, range(18), 3, BUCKETS, seed=0).rows(4)[0]
    corpus.landmarks = lambda row: landmarks(row) if row != bad else 1 / 0
    batches, steps = Batches(corpus, range(18), 3, BUCKETS, seed=0), 0
    with pytest.raises(ZeroDivisionError):
        for _ in batches.stream():
            steps += 1
    assert steps == 4 and batches.position == (0, 4)


# ---- Keras


FIT = """
import json, sys
import numpy as np, keras
sys.path.insert(0, {tests!r})
from test_batches import Batches, BUCKETS, LENGTHS, stand_in
from aslkit.batches import KeepPosition

class Labels(Batches):
    "Batches with a label that suits a small network."
    def __getitem__(self, index):
        inputs, labels = super().__getitem__(index)
        return inputs, {{"characters": labels["characters"]}}

def model():
    keras.utils.set_random_seed(0)
    frames = keras.Input((None, 1, 3), name="landmarks", dtype="float16")
    count = keras.Input((), name="frames", dtype="int32")
    mean = keras.ops.mean(keras.ops.nan_to_num(keras.ops.cast(frames, "float32")), axis=(1, 2))
    model = keras.Model({{"landmarks": frames, "frames": count}}, {{"characters": keras.layers.Dense(1)(mean)}})
    model.compile(keras.optimizers.SGD(1e-3), loss={{"characters": "mse"}})
    return model
"""


def in_process(code: str, backend: str, **environment: str) -> dict:
    "Run code in a process of its own; it prints JSON."
    given = {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)}
    source = FIT.format(tests=os.path.dirname(__file__)) + code
    done = subprocess.run([sys.executable, "-c", source], env=os.environ | given | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


IN_ORDER = """
class Seen(keras.callbacks.Callback):
    "The position after each step."
    def on_train_batch_end(self, step, logs=None):
        steps.append(batches.position)

import threading
asked, steps, lock = [], [], threading.Lock()
class Watched(Labels):
    def __getitem__(self, index):
        with lock:
            asked.append([self.epoch, *map(int, self.rows(index))])
        return super().__getitem__(index)

batches = Watched(stand_in(LENGTHS), range(18), 3, BUCKETS, seed=1)
network = model()
network.fit(batches, epochs=5, initial_epoch=2, shuffle=False, verbose=0, callbacks=[KeepPosition(batches), Seen()])
expected = []
for epoch in (2, 3, 4):
    batches.position = (epoch, 0)
    expected += [[epoch, *map(int, batches.rows(index))] for index in range(len(batches))]
print(json.dumps([asked, expected, steps]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_keras_takes_the_batches_in_order(backend):
    "Several shapes in one fit, each epoch in its own order, nothing asked for in the wrong epoch."
    asked, expected, steps = in_process(IN_ORDER, backend)
    assert asked[-len(expected) :] == expected  # before, Keras looked at some batches for their shapes
    assert steps == [list(divmod(12 + step, 6)) for step in range(1, 19)]


RESUME = """
def new():
    return Labels(stand_in(LENGTHS), range(18), 3, BUCKETS, seed=2)

def trained(batches, *runs, network=None):
    "Weights after some runs (initial_epoch, epochs) of fit."
    network = network or model()
    for first, last in runs:
        keep = KeepPosition(batches)
        network.fit(batches, initial_epoch=first, epochs=last, shuffle=False, verbose=0, callbacks=[keep, *extra])
    return network

class Stop(keras.callbacks.Callback):
    "Leaves in the middle, as a killed process would; what is needed to go on has been saved before."
    def on_train_batch_end(self, step, logs=None):
        if batches.position == stop:
            saved.update(position=json.dumps(batches.position), weights=self.model.get_weights())
            raise KeyboardInterrupt

extra = []
whole = trained(new(), (0, 3)).get_weights()
same = []
for stop in ((0, 1), (1, 2), (2, 5)):  # at (1, 2) two batches of one length come first
    batches, saved, extra = new(), {}, [Stop()]
    try:
        trained(batches, (0, 3))
        raise SystemExit("not stopped")
    except KeyboardInterrupt:
        pass
    extra, batches, network = [], new(), model()
    network.set_weights(saved["weights"])
    batches.position = json.loads(saved["position"])
    epoch = batches.position[0]
    trained(batches, *[run for run in ((epoch, epoch + 1), (epoch + 1, 3)) if run[0] < run[1]], network=network)
    assert batches.position == (3, 0), batches.position
    same.append(all((a == b).all() for a, b in zip(whole, network.get_weights())))
print(json.dumps(same))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_fit_goes_on_where_it_was_stopped(backend):
    "The rest of the epoch, then the rest of the epochs: the same weights, bit for bit."
    assert in_process(RESUME, backend) == [True] * 3


# ---- several devices


DEVICES = """
import contextlib
devices, scope = {devices}, contextlib.nullcontext()
if keras.backend.backend() == "jax":
    assert len(keras.distribution.list_devices("cpu")) == 2
    chosen = keras.distribution.list_devices("cpu")[:devices]
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=chosen))
else:
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    if devices > 1:
        scope = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope()
with scope:
    network = model()
batches = Labels(stand_in(LENGTHS), range(17), 4, BUCKETS, seed=1)
losses = network.fit(batches, epochs=3, shuffle=False, verbose=0, callbacks=[KeepPosition(batches)]).history["loss"]
held, read = Labels(stand_in(LENGTHS), range(17), 4, BUCKETS, multiple=devices), {{}}
for index in range(len(held)):
    rows = held.rows(index)
    found = np.asarray(network.predict_on_batch(held[index][0])["characters"])[: len(rows), 0]
    read |= {{str(row): float(x) for row, x in zip(rows, found)}}
assert np.isfinite(network.evaluate(held, verbose=0))  # refused by JAX where a batch cannot be shared out
print(json.dumps([losses, read]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_learn_what_one_does(backend):
    "Data parallel on virtual devices; the smaller last batches of an evaluation are filled up."
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    (losses, read), (losses_of_two, read_of_two) = (
        in_process(DEVICES.format(devices=devices), backend, **flags) for devices in (1, 2)
    )
    np.testing.assert_allclose(losses_of_two, losses, rtol=1e-4)
    assert sorted(map(int, read)) == list(range(17)) and losses[-1] < losses[0]
    assert read_of_two == pytest.approx(read, rel=1e-3, abs=1e-5)
