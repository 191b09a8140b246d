"One batch on several devices and in several processes: the same loss, the same weights, and a training that goes on."

import json
import os
import shutil
import socket
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from aslkit.competition import ParameterError
from aslkit.corpus import Corpus
from aslkit.devices import OwnShare, choose_devices, connect
from aslkit.prepare import prepare

# Trains a small network as the training notebook does; argv: prepared, then one JSON list of runs to make one after another.
TRAIN = """
import json, os, shutil, sys
import keras
import numpy as np
import aslkit.model, aslkit.training as training
from aslkit.corpus import Corpus
from aslkit.devices import connect, processes

connect()
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
aslkit.model.PRESETS["tiny"]["arguments"] |= {"width": 16, "blocks": 1, "heads": 2}
training.LENGTHS, training.LONGEST = 1, 64

class Stop(keras.callbacks.Callback):
    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs
    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 == self.epochs:
            raise KeyboardInterrupt

plain, corpus = training.callbacks, Corpus(sys.argv[1])
for one in json.loads(sys.argv[2]):
    if "copy" in one:
        shutil.copytree(one["copy"], one["run"])
    training.callbacks = lambda *given: [*plain(*given), Stop(one["stop"])]
    params = training.TrainParams(
        run=one["run"], devices=one["devices"], epochs=3, batch_size=8, augment="none", ema=0.9, weight_decay=0.1
    )
    rows, held = training.split(params, corpus)
    clips, held = training.batches(params, corpus, rows[:24], True), training.batches(params, corpus, held[:8], False)
    reader = training.compiled_reader(params, len(clips))
    try:
        training.fit(params, reader, clips, held)
    except KeyboardInterrupt:
        continue
    finally:
        if processes()[0] == 0:
            np.savez(os.path.join(one["run"], "state.npz"), *[np.asarray(v) for v in training._state(reader)])
    training.finish(params, corpus, reader, held)
"""


# Two processors of one, and JAX compiles each program once.
SPLIT = {
    "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    "JAX_PLATFORMS": "cpu",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


@pytest.fixture(scope="module")
def corpus(stitched, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared")
    prepare(stitched, out, workers=1, progress=False)
    return Corpus(out)


def begin(corpus, runs, **environment):
    command = [sys.executable, "-c", TRAIN, str(corpus.folder), json.dumps(runs)]
    return subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process):
    out, error = process.communicate()
    assert process.returncode == 0, error[-3000:]
    return out


def result(run):
    history = pd.read_csv(run / "history.csv")
    with np.load(run / "state.npz") as state:
        return history, [state[name] for name in state]


def same(one, other):
    "Up to the order in which float32 numbers are added, over nine steps."
    np.testing.assert_allclose(one[0].loss, other[0].loss, rtol=1e-5)
    np.testing.assert_allclose(one[0].val_loss, other[0].val_loss, rtol=1e-4)
    for a, b in zip(one[1], other[1], strict=True):
        np.testing.assert_allclose(a.astype(float), b.astype(float), rtol=1e-2, atol=1e-3)


@pytest.fixture(scope="module")
def on_devices(corpus, tmp_path_factory):
    "What one and two devices make of the same training, on either backend."
    made = {}

    def folder(backend):
        if backend not in made:
            made[backend] = tmp = tmp_path_factory.mktemp(backend)
            runs = [
                {"run": "one", "devices": 1, "stop": -1},
                {"run": "begun", "devices": 1, "stop": 1},
                {"copy": "begun", "run": "whole", "devices": 2, "stop": -1},
                {"copy": "begun", "run": "two", "devices": 2, "stop": 2},
                {"run": "two", "devices": 2, "stop": -1},
            ]
            runs = [{k: str(tmp / v) if k in ("run", "copy") else v for k, v in run.items()} for run in runs]
            (tmp / "out.txt").write_text(
                end(begin(corpus, runs, KERAS_BACKEND=backend, JAX_COMPILATION_CACHE_DIR=str(tmp / "jax"), **SPLIT))
            )
        return made[backend]

    return folder


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices(on_devices, backend):
    "The same as one; a training begun on one goes on with two; and stopped there, it repeats bit for bit."
    folder = on_devices(backend)
    assert [line for line in (folder / "out.txt").read_text().splitlines() if "going on" in line] == [
        f"{done} of 3 epochs were done before; going on." for done in (1, 1, 2)
    ]
    one, two, whole = (result(folder / name) for name in ("one", "two", "whole"))
    same(one, two)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(two[1], whole[1], strict=True))
    assert (folder / "two/history.csv").read_bytes() == (folder / "whole/history.csv").read_bytes()
    read = [pd.read_csv(folder / name / "readings.csv", keep_default_na=False) for name in ("one", "two")]
    assert read[0].sequence_id.tolist() == read[1].sequence_id.tolist()


@pytest.mark.slow
def test_two_processes(corpus, on_devices, tmp_path):
    "On JAX, each with a device of its own, they go on with what one process began; process 0 writes."
    shutil.copytree(on_devices("jax") / "begun", tmp_path / "two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        environment = {
            "KERAS_BACKEND": "jax",
            "JAX_PLATFORMS": "cpu",
            "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{free.getsockname()[1]}",
            "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
        }
    runs = [{"run": str(tmp_path / "two"), "devices": 0, "stop": -1}]
    both = [begin(corpus, runs, KERAS_DISTRIBUTION_PROCESS_ID=str(number), **environment) for number in range(2)]
    first, second = (end(process) for process in both)
    assert "1 of 3 epochs were done before; going on." in first and "epoch 3" in first and "epoch" not in second
    same(result(on_devices("jax") / "one"), result(tmp_path / "two"))
    assert json.loads((tmp_path / "two/metrics.json").read_text())["clips"] > 0


def test_what_cannot_be_shared_is_refused(monkeypatch):
    monkeypatch.setattr("keras.distribution.list_devices", lambda: ["gpu:0", "gpu:1", "gpu:2"])
    assert choose_devices(0, 6) == ["gpu:0", "gpu:1", "gpu:2"] and choose_devices(2, 6) == ["gpu:0", "gpu:1"]
    with pytest.raises(
        ParameterError, match="`batch_size` is 16, and 3 devices share each batch; give a multiple of 3, or set"
    ):
        choose_devices(0, 16)
    with pytest.raises(
        ParameterError, match="`devices` is 4, and there are only gpu:0, gpu:1, gpu:2; lower it, or set it to 0"
    ):
        choose_devices(4, 16)
    monkeypatch.setattr("aslkit.devices.processes", lambda: (1, 3))
    with pytest.raises(ParameterError, match="`devices` is 1, and 3 processes have 3 together; set it to 0"):
        choose_devices(1, 6)
    monkeypatch.setattr("keras.distribution.list_devices", lambda: ["cpu:0", "cpu:2048", "cpu:4096"])
    assert len(choose_devices(0, 6)) == 3
    monkeypatch.setattr("aslkit.devices.processes", lambda: (0, 1))
    assert choose_devices(0, 7) == ["cpu:0"]


def test_several_processes_on_tensorflow_are_refused(monkeypatch):
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "2")
    with pytest.raises(ParameterError, match="several processes train together on JAX only; set KERAS_BACKEND=jax"):
        connect()


def test_own_share(monkeypatch):
    batches = [({"frames": np.arange(6)}, {"classes": np.arange(12).reshape(6, 2)})]
    parts = []
    for number in range(3):
        monkeypatch.setattr("aslkit.devices.processes", lambda number=number: (number, 3))
        parts.append(OwnShare(batches)[0])
    assert len(OwnShare(batches)) == 1
    assert np.concatenate([inputs["frames"] for inputs, _ in parts]).tolist() == list(range(6))
    assert np.concatenate([labels["classes"] for _, labels in parts]).tolist() == batches[0][1]["classes"].tolist()
