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
from aslkit.push import NoAnswer, push
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


# What Kaggle answers to each call when it does not do what was asked: name -> (answer, the sentence).
REFUSED = {
    "401": ((401, {"code": 401, "message": "Unauthenticated"}), "who you are; make new credentials .* refused: KAGGLE_KEY"),
    "403": ((403, {}), "refuses this push; accept the rules at kaggle.com/competitions/asl-fingerspelling/rules"),
    "404": ((404, {}), "does not find ada/aslkit-train or one of its sources; see that `user`, `slug` and the names"),
    "409": ((409, {"code": 409, "message": "The title is already in use"}), "another notebook of this title; delete or rename"),
    "429": ((429, {}), "too many requests from you; wait some minutes, then run the same command again"),
    "500": (
        (500, {}),
        "trouble of its own; wait a while, then run the same command again, which looks first at Kaggle whether",
    ),
    "quota": ((200, {"error": "Maximum weekly GPU quota of 30.00 hours reached."}), "weekly quota .* `accelerator = none`"),
    "no rules": (
        (200, {"versionNumber": 1, "url": "u", "invalidCompetitionSources": ["asl-fingerspelling"]}),
        r"took the notebook but not its competition \['asl-fingerspelling'\]; join the competition",
    ),
    "unheard of": ((418, {"code": 418, "message": f"A teapot, {KEY}"}), "said 'A teapot, <KAGGLE_KEY>'; run the same command"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_one_sentence_and_the_next_push_succeeds(project, settings, kaggle, ready_wheel, case, monkeypatch):
    monkeypatch.setenv("VERBOSE", "true")  # with which the command would print the key
    answer, words = REFUSED[case]
    kaggle.faults["SaveKernel"] = [answer]
    with pytest.raises(KernelError, match=words) as caught:
        push("train", settings)
    assert "\n" not in str(caught.value) and KEY not in str(caught.value)
    assert len(kaggle.received("SaveKernel")) == 1, "a push is never repeated by itself"
    report = push("train", settings)
    assert (report["pushed"], report["version"], report["before"]) == (True, 1, False), "once the cause is gone"
    assert len(kaggle.kernels["ada/aslkit-train"]) == 1


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
        ("Cannot access kernel 'ada/x' (Permission 'kernels.get' was denied).", "does not show ada/aslkit-train to you"),
        ("Your team has used its daily Submission allowance (5) today", "today's submissions are used up; wait until midnight"),
        ("", "said 'nothing'"),
    ],
)
def test_the_same_in_other_words(said, words):
    with pytest.raises(KernelError, match=words):
        raise pushing.explain(said, GOOD)


def saved(kaggle):
    return len(kaggle.received("SaveKernel"))


def test_a_push_that_arrived_in_spite_of_an_error_counts(project, settings, kaggle, ready_wheel):
    kaggle.faults["SaveKernel"] = [kaggle.after("SaveKernel", (500, {}))]
    report = push("train", settings)
    assert (report["pushed"], report["version"], saved(kaggle)) == (True, 1, 1)
    kaggle.faults["SaveKernel"] = [kaggle.after("SaveKernel", (502, {}))]  # the same notebook on purpose: version 2
    assert (push("train", settings)["version"], saved(kaggle)) == (2, 2)
    kaggle.faults["SaveKernel"] = [(500, {})]  # and once more, which does not arrive
    with pytest.raises(NoAnswer, match="trouble of its own"):
        push("train", settings)
    report = push("train", settings)
    assert (report["version"], report["before"], saved(kaggle)) == (3, False, 4)
    assert len(kaggle.kernels["ada/aslkit-train"]) == 3


def test_a_push_that_hangs_is_looked_for_before_the_next(project, settings, kaggle, ready_wheel, monkeypatch):
    monkeypatch.setattr(pushing, "COMMAND_SECONDS", 2.0)
    kaggle.faults["SaveKernel"] = [kaggle.after("SaveKernel", kaggle.hang)]
    kaggle.faults["GetKernel"] = [(503, {})]  # Kaggle cannot be asked at once
    with pytest.raises(NoAnswer, match="no answer from Kaggle in 2 s; run the same command again, which looks first"):
        push("train", settings)
    monkeypatch.setattr(pushing, "COMMAND_SECONDS", 60.0)
    report = push("train", settings)
    assert (report["version"], report["before"], saved(kaggle)) == (1, True, 1), "it had arrived: not pushed again"
    assert (push("train", settings, again=False)["before"], saved(kaggle)) == (True, 1), "to follow it"
    changed = push("train", settings, parameters={"epochs": 2}, again=False)
    assert (changed["version"], changed["before"], saved(kaggle)) == (2, False, 2), "another notebook is another push"
    assert (push("train", settings, parameters={"epochs": 2})["version"], saved(kaggle)) == (3, 3), "as told"


def test_killed_while_it_pushes(project, settings, kaggle, ready_wheel, monkeypatch):
    def killed(*words, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pushing.subprocess, "run", killed)
        with pytest.raises(KeyboardInterrupt):
            push("train", settings)
    kaggle.faults["GetKernel"] = [(503, {})]
    with pytest.raises(NoAnswer, match="trouble of its own; wait a while, then run the same command again."):
        push("train", settings)
    assert saved(kaggle) == 0, "as long as Kaggle does not say whether it has the last one, nothing is sent"
    assert (push("train", settings)["version"], saved(kaggle)) == (1, 1)


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
