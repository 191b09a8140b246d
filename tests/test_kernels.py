"Kernels for Kaggle: what is built, what is refused, and that a built notebook runs."

import base64
import inspect
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from kaggle_project import NAMES, REPOSITORY, TEMPLATE
from kaggle_standin import USER

from aslkit import kernels
from aslkit.competition import ParameterError, SettingsError
from aslkit.kernels import KernelError, build, check_metadata, embedded_wheel, fill_metadata
from aslkit.settings import Settings

pytestmark = pytest.mark.usefixtures("clean_environment")
GOOD = TEMPLATE | {"id": f"{USER}/aslkit-train", "kernel_sources": [f"{USER}/aslkit-prepare"]}


def sources(notebook):
    return ["".join(cell["source"]) for cell in notebook["cells"]]


# Building


VALUES = {"prepare": {"workers": 2}, "train": {"epochs": 3}, "submit": {"clips": 40}}


@pytest.mark.parametrize("name", VALUES)
def test_only_the_embedded_kit_and_the_parameters_differ(name, tmp_path, ready_wheel):
    "What papermill runs on a laptop is what Kaggle runs, cell by cell."
    source = REPOSITORY / f"kaggle_kernels/{name}/{name}.ipynb"
    original = json.loads(source.read_text())
    settings = replace(Settings(), user=USER, file=REPOSITORY / "settings.ini")
    folder = build(name, settings, out=tmp_path, parameters=VALUES[name])
    built = json.loads((folder / f"{name}.ipynb").read_text())
    added = {"aslkit-wheel", "injected-parameters"}
    rest = [cell for cell in built["cells"] if not added & set(cell["metadata"].get("tags", []))]
    assert len(rest) == len(built["cells"]) - 2 and built["metadata"] == original["metadata"]
    for was, now in zip(original["cells"], rest, strict=True):
        now["source"] = "".join(now["source"])
        assert now == was | {"source": "".join(was["source"])} | ({"outputs": []} if was["cell_type"] == "code" else {})
    assert built["cells"][0]["metadata"]["tags"] == ["aslkit-wheel"]
    tags = [cell["metadata"].get("tags") for cell in built["cells"]]
    ((key, value),) = VALUES[name].items()
    assert sources(built)[tags.index(["parameters"]) + 1] == f"# Parameters\n{key} = {value}\n"
    nbformat.validate(nbformat.from_dict(built))


def test_building_leaves_nothing_in_the_checkout(project, settings):
    before = sorted(project.rglob("*"))
    build("train", settings, out=project.parent / "out", parameters={"epochs": 3})
    assert sorted(project.rglob("*")) == before


def test_the_wheel_holds_the_sources_and_nothing_else(project, settings):
    folder = build("train", settings)
    assert folder == project / "build/kernels/train"
    text = (folder / "train.ipynb").read_bytes()
    assert len(text) < 1_000_000
    members = zipfile.ZipFile(io.BytesIO(embedded_wheel(json.loads(text))))
    modules = {name for name in members.namelist() if ".dist-info/" not in name}
    assert modules == {path.relative_to(project).as_posix() for path in project.glob("aslkit/**/*.py")}
    assert all(members.read(name) == (project / name).read_bytes() for name in modules)
    (project / "README.md").write_text("another")
    (project / "aslkit/__init__.py").touch()
    assert (build("train", settings, parameters={"note": "x"}) / "train.ipynb").read_bytes() != text
    assert (build("train", settings) / "train.ipynb").read_bytes() == text, "same sources, same bytes"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("accelerator", kernels.MACHINES)
def test_templates_of_the_repository_are_filled_and_pass(name, accelerator, tmp_path):
    template = json.loads((REPOSITORY / f"kaggle_kernels/{name}/kernel-metadata.json").read_text())
    settings = replace(Settings(), user=USER, slug="another-one", train_kernel="my-own-reader", accelerator=accelerator)
    metadata = fill_metadata(template, name, settings)
    (tmp_path / metadata["code_file"]).touch()
    check_metadata(metadata, tmp_path)
    assert metadata["id"].startswith(f"{USER}/") and metadata["is_private"] and not metadata["enable_internet"]
    assert metadata["competition_sources"] in ([], ["another-one"])
    reads = {"prepare": [], "train": ["aslkit-prepare"], "submit": ["aslkit-prepare", "my-own-reader"]}
    assert metadata["kernel_sources"] == [f"{USER}/{source}" for source in reads[name]]
    again = fill_metadata(template, name, settings, resume=True)
    assert again["kernel_sources"] == metadata["kernel_sources"] + [metadata["id"]]
    if name == "train":
        assert (metadata["id"], metadata["title"]) == (f"{USER}/my-own-reader", "my own reader")
        assert {key: metadata[key] for key in kernels.MACHINES[accelerator]} == kernels.MACHINES[accelerator]


def test_what_cannot_be_built(project, settings, tmp_path, ready_wheel, monkeypatch):
    with pytest.raises(SettingsError, match="settings.ini: the key 'user' is empty; write your Kaggle user name"):
        build("train", replace(settings, user=""))
    with pytest.raises(KernelError, match="no kernel 'tran'; write train"):
        build("tran", settings)
    with pytest.raises(ParameterError, match="train.ipynb: there is no parameter 'epoch'; write epochs"):
        build("train", settings, parameters={"epoch": 3})
    notebook = project / "kaggle_kernels/train/train.ipynb"
    good = notebook.read_text()
    large = json.loads(good)
    large["cells"][1]["source"] = "x" * 1_000_000
    notebook.write_text(json.dumps(large))
    with pytest.raises(KernelError, match="train.ipynb: the built notebook has .* bytes, more than 1,000,000"):
        build("train", settings)
    notebook.write_text(good[:100])
    with pytest.raises(KernelError, match="train.ipynb: not JSON .*; restore the file"):
        build("train", settings)
    notebook.unlink()
    with pytest.raises(KernelError, match="code_file 'train.ipynb' is no file of the folder"):
        build("train", settings)
    assert not (project / "build").exists(), "nothing half-written"
    monkeypatch.setattr(inspect, "getfile", lambda thing: str(tmp_path / "site-packages/aslkit/competition.py"))
    with pytest.raises(KernelError, match="no folder kaggle_kernels; run the command inside a checkout"):
        build("train", replace(settings, file=tmp_path / "settings.ini"))


def test_a_wheel_that_cannot_be_built(project):
    (project / "pyproject.toml").write_text("[build-system]\nrequires = []\n[project]\nname = 1\n")
    with pytest.raises(KernelError, match="pyproject.toml: the wheel cannot be built .*; run `pip install 'setuptools>=77'`"):
        kernels.build_wheel(project)


# Metadata


@pytest.mark.parametrize(
    "change, words",
    [
        ({"enable_internt": False}, "there is no field enable_internt (did you mean enable_internet?)"),
        ({"zzz": 1}, "there is no field zzz"),
        ({"enable_internet": None}, "enable_internet is missing"),
        ({"enable_internet": True}, "enable_internet must be false"),
        ({"is_private": "true"}, 'is_private must be true or false, without quotes, not "true"'),
        ({"enable_gpu": 1}, "enable_gpu must be true or false, without quotes, not 1"),
        ({"title": 12345}, "title must be a text, not 12345"),
        ({"competition_sources": "asl"}, 'competition_sources must be a list, not "asl"'),
        ({"id": "USER/aslkit-train"}, "id USER/aslkit-train lacks your Kaggle user name"),
        ({"id": "aslkit-train"}, "id aslkit-train is not of the form user/notebook"),
        ({"id": "ada/asl kit"}, "id ada/asl kit is not of the form user/notebook"),
        ({"title": "asl"}, "title 'asl' must have 5 to 50 characters"),
        ({"title": "ASL reader"}, "title 'ASL reader' makes the address asl-reader, not aslkit-train"),
        ({"code_file": "other.ipynb"}, "code_file 'other.ipynb' is no file of the folder"),
        ({"code_file": "../train.ipynb"}, "code_file '../train.ipynb' is no file of the folder"),
        ({"language": "julia"}, "language must be python, r or rmarkdown"),
        ({"kernel_type": "book"}, "kernel_type must be notebook or script"),
        ({"dataset_sources": ["mine"]}, "dataset_sources has 'mine', not user/dataset"),
        ({"competition_sources": ["a/b"]}, "competition_sources has 'a/b', not a competition's slug"),
        ({"kernel_sources": [3]}, "kernel_sources has 3, not user/notebook"),
        ({"model_sources": ["a/b/c/d"]}, "model_sources has 'a/b/c/d', not user/model/framework/variation/version"),
        ({"enable_tpu": True}, "enable_gpu and enable_tpu are both true"),
        ({"enable_gpu": False}, "machine_shape NvidiaTeslaT4 needs enable_gpu to be true"),
        ({"machine_shape": "TpuV5E8"}, "machine_shape TpuV5E8 needs enable_tpu to be true"),
        ({"machine_shape": "T4 x2"}, "machine_shape T4 x2 is neither a GPU nor a TPU (known are NvidiaTeslaT4"),
    ],
)
def test_metadata_that_kaggle_would_misunderstand(tmp_path, change, words):
    (tmp_path / "train.ipynb").touch()
    (tmp_path.parent / "train.ipynb").touch()
    check_metadata(GOOD, tmp_path)
    changed = {field: value for field, value in (GOOD | change).items() if value is not None}
    with pytest.raises(KernelError) as caught:
        check_metadata(changed, tmp_path)
    assert words in str(caught.value) and str(caught.value).startswith(str(tmp_path / "kernel-metadata.json: "))


def test_all_problems_in_one_sentence(tmp_path):
    with pytest.raises(KernelError) as caught:
        check_metadata(GOOD | {"title": "asl", "enable_internet": True, "machine_shape": ""}, tmp_path)
    assert all(words in str(caught.value) for words in ("title", "internet", "code_file")) and "\n" not in str(caught.value)


# Running what was built


# In a network namespace of its own a process has no network at all, not even the loopback that Jupyter needs: raise that.
NAMESPACE = ["unshare", "--user", "--map-root-user", "--net"]
LOOPBACK = """
import fcntl, os, socket, struct, sys
with socket.socket() as s:
    fcntl.ioctl(s, 0x8914, struct.pack("16sh22x", b"lo", 1))
os.execv(sys.argv[1], sys.argv[1:])"""


def execute(python, notebook, kaggle_root, tmp_path):
    "Run a built notebook as Kaggle does: by papermill, in /kaggle/working, without a network."
    (tmp_path / "tmp").mkdir()
    closed = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "LANG") if name in os.environ}
    jupyter = {"JUPYTER_PATH": str(python.parents[1] / "jupyter"), "JUPYTER_PLATFORM_DIRS": "1"}
    places = {"HOME": os.environ["HOME"], "TMPDIR": str(tmp_path / "tmp"), "ASLKIT_KAGGLE": str(kaggle_root)}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "MPLBACKEND": "agg"}
    command = [str(python), "-m", "papermill", "--no-progress-bar", str(notebook), str(kaggle_root / "working/out.ipynb")]
    separate = shutil.which("unshare") and not subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode
    if separate:
        command = [*NAMESPACE, str(python), "-c", LOOPBACK, *command]
    environment = kept | closed | jupyter | places | quiet
    done = subprocess.run(command, cwd=kaggle_root / "working", env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads((kaggle_root / "working/out.ipynb").read_text())


def listing(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("layout", ["competitions/asl-fingerspelling", "asl-fingerspelling"])
def test_the_built_notebook_runs_where_there_is_no_kit_and_no_network(project, settings, bare_python, tmp_path, layout):
    root = tmp_path / "kaggle"
    data = root / "input" / layout
    data.mkdir(parents=True)
    (root / "working").mkdir()
    (data / "train.csv").write_text("path,file_id,sequence_id,participant_id,phrase\na.parquet,1,2,3,hi\n")
    prepared = root / "working/prepared"
    if layout == "asl-fingerspelling":  # with the output of another notebook attached
        prepared = root / "input/notebooks/ada/aslkit-prepare/prepared"
        prepared.mkdir(parents=True)
    before = listing(root / "input")
    folder = build("train", settings, parameters={"epochs": 3, "note": 'a "quoted" word'})
    out = execute(bare_python, folder / "train.ipynb", root, tmp_path)
    seen = json.loads((root / "working/runs/seen.json").read_text())
    assert Path(seen["file"]).is_relative_to(tmp_path / "tmp") and seen["child"] == seen["file"]
    assert (seen["epochs"], seen["note"], seen["clips"]) == (3, 'a "quoted" word', 1)
    assert (seen["data"], seen["prepared"]) == (str(data), str(prepared))
    assert not seen["network"]
    assert listing(root / "input") == before, "/kaggle/input is read-only there"
    assert "done\n" in "".join(out["cells"][-1]["outputs"][0]["text"])


# Here the small notebook is replaced by the real one.
TRAIN = REPOSITORY / "kaggle_kernels/train/train.ipynb"


@pytest.mark.slow
@pytest.mark.skipif(not TRAIN.exists(), reason="kaggle_kernels/train/train.ipynb is not written yet")
def test_the_training_notebook_of_the_repository_runs_on_kaggle(bare_python, tmp_path):
    from aslkit.prepare import prepare
    from aslkit.stitch import stitch

    root = tmp_path / "kaggle"
    (root / "working").mkdir(parents=True)
    data = stitch(root / "input/competitions/asl-fingerspelling", clips=60, signers=8, seed=1, workers=1)
    prepare(data, root / "input/notebooks/ada/aslkit-prepare/prepared", workers=1, progress=False)
    before = listing(root / "input")
    settings = replace(Settings(), user=USER, accelerator="none", file=REPOSITORY / "settings.ini")
    folder = build("train", settings, out=tmp_path / "built")
    execute(bare_python, folder / "train.ipynb", root, tmp_path)
    assert list((root / "working/runs").glob("*/params.json")), "a run folder where Kaggle keeps the output"
    assert listing(root / "input") == before


def test_the_kit_stays_out_of_kaggle_folders_on_other_machines(tmp_path, wheel, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    kernels.unpack_kit(base64.b64encode(wheel).decode(), "asl-fingerspelling", str(tmp_path / "kaggle"))
    assert not [name for name in os.environ if name.startswith("ASLKIT")]
    assert Path(sys.path[0]).is_relative_to(tmp_path) and (Path(sys.path[0]) / "aslkit/__init__.py").exists()
    assert os.environ["PYTHONPATH"] == f"{sys.path[0]}{os.pathsep}/somewhere"


def test_variables_that_are_set_stay(tmp_path, wheel, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "")
    for word in ("DATA", "PREPARED", "RUNS"):
        monkeypatch.setenv(f"ASLKIT_{word}", word)
    (tmp_path / "kaggle/input").mkdir(parents=True)
    kernels.unpack_kit(base64.b64encode(wheel).decode(), "asl-fingerspelling", str(tmp_path / "kaggle"))
    assert [os.environ[f"ASLKIT_{word}"] for word in ("DATA", "PREPARED", "RUNS")] == ["DATA", "PREPARED", "RUNS"]
    shutil.rmtree(sys.path[0])
