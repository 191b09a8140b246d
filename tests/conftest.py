"What several files of tests share: a stitched corpus, a second backend, a Python without the kit, a clean dtype policy."

import contextlib
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from kaggle_project import REPOSITORY, make_project
from kaggle_standin import USER
from made_up import write_hands

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
EXPLORE = REPOSITORY / "nbs/explore"


@pytest.fixture(scope="session")
def stitched(tmp_path_factory):
    "A corpus of 40 clips, 6 sentences and 8 drills of 9 people, seed 7; nobody changes it."
    from aslkit.stitch import stitch

    folder = tmp_path_factory.mktemp("stitched") / "corpus"
    return stitch(folder, clips=40, signers=9, supplemental=6, drills=8, seed=7, workers=1, clips_per_file=20)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory):
    "A run folder without a training: the ready weights read held-out people, the history is made up; nobody changes it."
    from aslkit.corpus import Corpus
    from aslkit.params import TrainParams
    from aslkit.stitch import stitch
    from aslkit.training import batches, finish, load_reader, split

    folder = tmp_path_factory.mktemp("runs") / "a run"
    stitch(folder / "prepared", clips=24, signers=8, seed=3, workers=1, prepared=True)
    chosen = {"preset": "tiny", "epochs": 3, "held_out": 0.5, "batch_size": 8, "seed": 4}
    params = TrainParams(prepared=str(folder / "prepared"), run=str(folder), **chosen)
    corpus = Corpus(params.prepared)
    finish(params, corpus, load_reader(), batches(params, corpus, split(params, corpus)[1], shuffle=False))
    history = {"epoch": range(3), "loss": [40, 25, 18.0], "val_loss": [45, 30, 24.0], "val_score": [0.1, 0.4, 0.6]}
    pd.DataFrame(history).assign(learning_rate=1e-3).to_csv(folder / "history.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def made_hands(tmp_path_factory):
    "letters.npz and phrases.csv of made-up hands; nobody changes them."
    return write_hands(tmp_path_factory.mktemp("made"))


@pytest.fixture
def executed(tmp_path):
    "`executed(name, **parameters)`: run nbs/explore/NAME with papermill in `tmp_path`; text of its outputs, and pictures."
    import papermill

    def run(name, **parameters):
        path, options = tmp_path / f"{name}.ipynb", {"kernel_name": "python3", "progress_bar": False, "log_output": False}
        papermill.execute_notebook(EXPLORE / f"{name}.ipynb", path, parameters, cwd=tmp_path, **options)
        outputs = [output for cell in json.loads(path.read_text())["cells"] for output in cell.get("outputs", [])]
        assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
        data = [output.get("data", {}) for output in outputs]
        text = "".join("".join(found) for one in data for kind, found in one.items() if kind.startswith("text/"))
        text += "".join("".join(output.get("text", "")) for output in outputs)
        for machine in (tmp_path, REPOSITORY, Path(tempfile.gettempdir()), Path(sys.prefix)):
            assert f"{machine}/" not in text
        return text, sum("image/png" in one for one in data)

    return run


@pytest.fixture
def no_process_left():
    "Every process that the test starts has ended when it ends; what earlier tests started is not its business."
    before = psutil.Process().children()
    yield
    assert set(psutil.Process().children()) <= set(before)


@pytest.fixture(autouse=True)
def float32():
    "No test leaves its dtype policy to the next."
    yield
    with contextlib.suppress(KeyError):
        sys.modules["keras"].config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def on_jax(tmp_path_factory):
    "`on_jax(code, **arrays)`: run code in a process with JAX as backend; `given` holds the arrays, `found` the answers."

    def run(code, **arrays):
        folder = tmp_path_factory.mktemp("jax")
        np.savez(folder / "given.npz", **arrays)
        lines = [
            "import numpy as np, keras, jax",
            "assert keras.backend.backend() == 'jax'",
            "given, found = np.load('given.npz'), {}",
            code,
            "np.savez('found.npz', **found)",
        ]
        environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", "\n".join(lines)]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        with np.load(folder / "found.npz") as found:
            return dict(found)

    return run


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory):
    "A Python with the packages of this environment, the kit excepted."
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    for place in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(place).iterdir():
            if not entry.name.startswith(("aslkit", "__editable__")) and entry.suffix not in (".pth", ".egg-link"):
                (site / entry.name).symlink_to(entry)
    python = folder / "bin/python"
    kernel = folder / "jupyter/kernels/python3"
    kernel.mkdir(parents=True)
    spec = {"argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"], "display_name": "bare"}
    (kernel / "kernel.json").write_text(json.dumps(spec | {"language": "python"}))
    tried = subprocess.run([python, "-I", "-c", "import aslkit"], cwd=folder, capture_output=True, text=True)
    assert "No module named 'aslkit'" in tried.stderr
    return python


@pytest.fixture
def clean_environment(monkeypatch, tmp_path):
    "Nothing of this machine's Kaggle account or settings."
    for name in [name for name in os.environ if name.startswith(("KAGGLE", "ASLKIT", "VERBOSE"))]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path / "project")


@pytest.fixture
def settings(project):
    from dataclasses import replace

    from aslkit.settings import Settings

    return replace(Settings(), user=USER, file=project / "settings.ini")


@pytest.fixture(scope="session")
def wheel():
    from aslkit.kernels import build_wheel

    return build_wheel(REPOSITORY)


@pytest.fixture
def ready_wheel(monkeypatch, wheel):
    "The wheel built once, for tests that are about something else."
    monkeypatch.setattr("aslkit.kernels.build_wheel", lambda root: wheel)
