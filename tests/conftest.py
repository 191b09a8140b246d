"What several files of tests share: a stitched corpus, a second backend, a Python without the kit, a clean dtype policy."

import contextlib
import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="session")
def stitched(tmp_path_factory):
    "A corpus of 40 clips, 6 sentences and 8 drills of 9 people, seed 7; nobody changes it."
    from aslkit.stitch import stitch

    folder = tmp_path_factory.mktemp("stitched") / "corpus"
    return stitch(folder, clips=40, signers=9, supplemental=6, drills=8, seed=7, workers=1, clips_per_file=20)


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
