"""Pushing with the real `kaggle` command: what arrives, what is refused and how it is said, and what never leaves.

Nothing leaves the machine: the command talks to the stand-in of tests/kaggle_standin.py.
"""

import io
import json
import os
import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from kaggle_standin import KEY, USER, KaggleStandIn

from aslkit import kernels
from aslkit import push as pushing
from aslkit.kernels import KernelError, build, embedded_wheel
from aslkit.push import push
from aslkit.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[1]
NAMES = sorted(path.parent.name for path in REPOSITORY.glob("kaggle_kernels/*/kernel-metadata.json"))
TEMPLATE = json.loads((REPOSITORY / "kaggle_kernels/train/kernel-metadata.json").read_text())
GOOD = TEMPLATE | {"id": f"{USER}/aslkit-train"}

# A small notebook in place of kaggle_kernels/train/train.ipynb.
PARAMETERS = 'epochs: int = 1\nnote: str = "none"'


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith(("KAGGLE", "ASLKIT", "VERBOSE"))]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def project(tmp_path):
    "A checkout with the kit and one small kernel."
    root = tmp_path / "project"
    shutil.copytree(REPOSITORY / "aslkit", root / "aslkit", ignore=shutil.ignore_patterns("__pycache__"))
    for path in [REPOSITORY / "pyproject.toml", *REPOSITORY.glob("LICENSE*")]:
        shutil.copy(path, root)
    kernel = root / "kaggle_kernels/train"
    kernel.mkdir(parents=True)
    (kernel / "kernel-metadata.json").write_text(json.dumps(TEMPLATE))
    new = nbformat.v4.new_code_cell
    cells = [
        new(PARAMETERS, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_markdown_cell("# Small"),
        new("print(epochs, note)"),
    ]
    cells[-1]["outputs"] = [nbformat.v4.new_output("stream", text="an output of some earlier run\n")]
    kernelspec = {"name": "python3", "display_name": "python3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec}), kernel / "train.ipynb")
    return root


@pytest.fixture
def settings(project):
    return replace(Settings(), user=USER, file=project / "settings.ini")


@pytest.fixture(scope="session")
def wheel():
    return kernels.build_wheel(REPOSITORY)


@pytest.fixture
def ready_wheel(monkeypatch, wheel):
    "The wheel built once, for tests that are about something else."
    monkeypatch.setattr(kernels, "build_wheel", lambda root: wheel)


@pytest.fixture
def kaggle(monkeypatch, tmp_path):
    "The stand-in server, with an environment in which the real command talks to it."
    with KaggleStandIn() as standin:
        for name, value in standin.environment(tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        yield standin


def sources(notebook):
    return ["".join(cell["source"]) for cell in notebook["cells"]]


# Pushing, with the real command


def test_what_arrives(project, settings, kaggle):
    report = push("train", settings, parameters={"epochs": 3})
    assert [request["call"] for request in kaggle.requests] == ["SaveKernel"]
    body = kaggle.received("SaveKernel")[0]
    expected = {
        "slug": "ada/aslkit-train",
        "newTitle": "aslkit train",
        "language": "python",
        "kernelType": "notebook",
        "isPrivate": True,
        "enableInternet": False,
        "enableGpu": True,
        "enableTpu": False,
        "machineShape": "NvidiaTeslaT4",
        "competitionDataSources": ["asl-fingerspelling"],
    }
    notebook = json.loads(body.pop("text"))
    assert body == expected
    assert sources(notebook) == sources(json.loads((project / "build/kernels/train/train.ipynb").read_text()))
    assert "aslkit/kernels.py" in zipfile.ZipFile(io.BytesIO(embedded_wheel(notebook))).namelist()
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert (report["pushed"], report["version"], report["url"]) == (True, 1, "https://www.kaggle.com/code/ada/aslkit-train")
    assert KEY not in json.dumps(kaggle.requests) + json.dumps(report)


def test_a_dry_run_sends_nothing_and_tells_all(project, settings, kaggle):
    report = push("train", settings, parameters={"epochs": 3}, dry_run=True)
    assert kaggle.requests == [] and report["pushed"] is False
    folder = Path(report["folder"])
    assert report["metadata"] == json.loads((folder / "kernel-metadata.json").read_text())
    assert report["notebook"]["parameters"] == {"epochs": 3} and report["notebook"]["cells"] == 5
    pushed = push("train", settings, parameters={"epochs": 3})
    assert pushed["notebook"] == report["notebook"], "the same bytes as in the dry run"


REFUSED = {
    "401": ((401, {"code": 401, "message": "Unauthenticated"}), "who you are; make new credentials .* refused: KAGGLE_KEY"),
    "403": ((403, {}), "refuses this push; accept the rules at kaggle.com/competitions/asl-fingerspelling/rules"),
    "404": ((404, {}), "does not find ada/aslkit-train or one of its sources; see that `user`, `train_kernel` and `slug`"),
    "409": ((409, {"code": 409, "message": "The title is already in use"}), "another notebook of this title; delete or rename"),
    "429": ((429, {}), "too many requests from you; wait some minutes"),
    "500": ((500, {}), "trouble of its own; wait a while, then look at kaggle.com/code/ada/aslkit-train whether a new version"),
    "quota": ((200, {"error": "Maximum weekly GPU quota of 30.00 hours reached."}), "weekly quota .* `accelerator = none`"),
    "no rules": (
        (200, {"versionNumber": 1, "url": "u", "invalidCompetitionSources": ["asl-fingerspelling"]}),
        r"took the notebook but not its competition \['asl-fingerspelling'\]; join the competition",
    ),
    "unheard of": ((418, {"code": 418, "message": f"A teapot, {KEY}"}), "said 'A teapot, <KAGGLE_KEY>'; look at kaggle.com"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_one_sentence(project, settings, kaggle, ready_wheel, case, monkeypatch):
    monkeypatch.setenv("VERBOSE", "true")  # with which the command would print the key
    answer, words = REFUSED[case]
    taken = kaggle.answers["SaveKernel"]
    kaggle.answers["SaveKernel"] = answer
    with pytest.raises(KernelError, match=words) as caught:
        push("train", settings)
    assert "\n" not in str(caught.value) and KEY not in str(caught.value)
    assert len(kaggle.received("SaveKernel")) == 1, "a push is never repeated by itself"
    if case == "429":
        kaggle.answers["SaveKernel"] = taken
        assert push("train", settings)["pushed"], "and once the cause is gone it succeeds"


@pytest.mark.parametrize(
    "said, words",
    [
        ("Permission 'kernels.update' was denied", "refuses this push"),
        ("You must accept this competition's rules", "refuses this push"),
        ("409 Client Error: Conflict for url: http://localhost", "another notebook of this title"),
        ("Kernel push error: Notebook not found", "does not find ada/aslkit-train"),
        ("503 Server Error: Service Unavailable for url", "trouble of its own"),
        ("Kernel push error: Maximum batch GPU session count of 2 reached.", "too many of your notebooks are running"),
        ("ModuleNotFoundError: No module named 'six'", "not installed whole; run `pip install 'aslkit\\[kaggle\\]'`"),
        ("", "said 'nothing'"),
    ],
)
def test_the_same_in_other_words(said, words):
    with pytest.raises(KernelError, match=words):
        raise pushing.explain(said, GOOD)


def test_no_answer(project, settings, kaggle, ready_wheel, monkeypatch):
    monkeypatch.setattr(pushing, "PUSH_SECONDS", 2)
    kaggle.answers["SaveKernel"] = kaggle.hang
    with pytest.raises(KernelError, match="no answer from Kaggle in 2 s; look at kaggle.com/code/ada/aslkit-train"):
        push("train", settings)


def test_no_connection(project, settings, kaggle, ready_wheel, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(KernelError, match="cannot be reached; check the internet connection"):
        push("train", settings)


def test_no_command(project, settings, ready_wheel, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(KernelError, match="no `kaggle` command; run `pip install 'aslkit\\[kaggle\\]'`"):
        push("train", settings)


def test_no_credentials(project, settings, kaggle, ready_wheel, monkeypatch):
    monkeypatch.delenv("KAGGLE_KEY")
    with pytest.raises(KernelError, match="who you are; run `kaggle auth login`"):
        push("train", settings)
    assert kaggle.requests == []


# Credentials


def write_credentials(place, home, monkeypatch):
    if place in ("KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.setenv(place, KEY)
        return
    folder = home / (".config/kaggle" if place == "config" else ".kaggle")
    folder.mkdir(parents=True, exist_ok=True)
    if place == "token file":
        (home / "token").write_text(KEY + "\n")
        monkeypatch.setenv("KAGGLE_API_TOKEN", str(home / "token"))
    elif place == "access_token":
        (folder / place).write_text(KEY + "\n")
    elif place == "credentials.json":
        (folder / place).write_text(json.dumps({"username": USER, "refresh_token": KEY, "scopes": ["a"]}))
    else:
        (folder / "kaggle.json").write_text(json.dumps({"username": USER, "key": KEY}))


PLACES = ["KAGGLE_KEY", "KAGGLE_API_TOKEN", "token file", "access_token", "credentials.json", "kaggle.json", "config"]


def append(notebook, text):
    document = nbformat.read(notebook, 4)
    document.cells[1].source += f"\n{text}"
    nbformat.write(document, notebook)


@pytest.mark.parametrize("place", PLACES)
def test_a_credential_of_this_machine_is_never_pushed(project, settings, ready_wheel, tmp_path, monkeypatch, place):
    write_credentials(place, tmp_path / "home", monkeypatch)
    append(project / "kaggle_kernels/train/train.ipynb", f"x{KEY}")
    with pytest.raises(KernelError, match="train.ipynb: it holds the credential of ") as caught:
        push("train", settings, dry_run=True)
    assert KEY not in str(caught.value)
    assert not (project / "build/kernels/train").exists()


def test_nor_inside_the_wheel(project, settings, kaggle):
    hidden = project / "aslkit/settings.py"
    hidden.write_text(hidden.read_text() + f"\nKEPT = '{KEY}'\n")
    with pytest.raises(
        KernelError, match="train.ipynb, in the wheel aslkit/settings.py: it holds the credential of KAGGLE_KEY"
    ):
        push("train", settings)
    assert kaggle.requests == []


@pytest.mark.parametrize("text", [f'{{"username":"eve","key":"{KEY}"}}', "KGAT_0123456789abcdef0123"])
def test_nor_what_looks_like_one(project, settings, ready_wheel, text):
    append(project / "kaggle_kernels/train/train.ipynb", text)
    with pytest.raises(KernelError, match="train.ipynb: it holds what looks like a Kaggle credential"):
        push("train", settings)


def test_what_the_repository_would_push_is_clean(tmp_path, wheel, ready_wheel, monkeypatch):
    monkeypatch.setenv("KAGGLE_KEY", KEY)
    for name in NAMES:
        if (REPOSITORY / f"kaggle_kernels/{name}/{name}.ipynb").exists():
            folder = build(name, replace(Settings(), user=USER, file=REPOSITORY / "settings.ini"), out=tmp_path / name)
            pushing.check_secrets(folder)
