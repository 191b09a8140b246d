"""Pushing with the real `kaggle` command: what arrives, what is refused and how it is said, and what never leaves.

Nothing leaves the machine: the command talks to the stand-in of tests/kaggle_standin.py.
"""

import contextlib
import importlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from kaggle_project import NAMES, REPOSITORY, TEMPLATE
from kaggle_standin import KEY, USER, KaggleStandIn

from aslkit import follow as following
from aslkit import push as pushing
from aslkit import sweeps
from aslkit.cli import main
from aslkit.kernels import KernelError, build, embedded_wheel
from aslkit.prepare import prepare
from aslkit.push import NoAnswer, NoRoom, push
from aslkit.settings import Settings

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

from landmark_files import KIT, write_corpus  # noqa: E402

pytestmark = pytest.mark.usefixtures("clean_environment")
GOOD = TEMPLATE | {"id": f"{USER}/aslkit-train"}


@pytest.fixture
def kaggle(monkeypatch, tmp_path):
    "The stand-in server, with an environment in which the real command talks to it."
    with KaggleStandIn() as standin:
        for name, value in standin.environment(tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        yield standin


@pytest.fixture
def in_process(monkeypatch, kaggle):
    "Call it to run the code of the real command in this process from then on, without a second of imports for each call."
    real = subprocess.run

    def run(words, env=None, timeout=None, **options):
        if Path(words[0]).name != "kaggle":
            return real(words, env=env, timeout=timeout, **options)
        cli, out, err = importlib.import_module("kaggle.cli"), io.StringIO(), io.StringIO()
        with monkeypatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            patch.setattr(sys, "argv", words)
            try:
                code = cli.main() or 0
            except SystemExit as stop:
                code = stop.code or 0
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    return lambda: monkeypatch.setattr(subprocess, "run", run)


@pytest.fixture
def quick(in_process):
    "For tests of many calls."
    in_process()


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
        "kernelDataSources": ["ada/aslkit-prepare"],
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
def test_a_refusal_is_one_sentence_and_the_next_push_succeeds(
    project, settings, kaggle, ready_wheel, in_process, case, monkeypatch
):
    monkeypatch.setenv("VERBOSE", "true")  # with which the command would print the key
    answer, words = REFUSED[case]
    kaggle.faults["SaveKernel"] = [answer]
    with pytest.raises(KernelError, match=words) as caught:
        push("train", settings)
    assert "\n" not in str(caught.value) and KEY not in str(caught.value)
    assert len(kaggle.received("SaveKernel")) == 1, "a push is never repeated by itself"
    monkeypatch.delenv("VERBOSE")
    in_process()
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


def test_a_push_that_arrived_in_spite_of_an_error_counts(project, settings, kaggle, ready_wheel, quick):
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


def test_no_answer(project, settings, kaggle, ready_wheel, monkeypatch):
    monkeypatch.setattr(pushing, "COMMAND_SECONDS", 0.5)
    kaggle.answers["SaveKernel"] = kaggle.answers["GetKernel"] = kaggle.hang
    with pytest.raises(NoAnswer, match="no answer from Kaggle in 0.5 s; run the same command again, which looks first at"):
        push("train", settings)


def test_a_push_without_an_answer_is_looked_for_before_the_next(project, settings, kaggle, ready_wheel, quick, monkeypatch):
    run = subprocess.run

    def late(words, **options):
        run(words, **options)
        raise subprocess.TimeoutExpired(words, 1)

    kaggle.faults["GetKernel"] = [(503, {})]
    with monkeypatch.context() as patch, pytest.raises(NoAnswer, match="no answer from Kaggle in 120 s; run the same"):
        patch.setattr(subprocess, "run", late)  # Kaggle stores the push, but says so too late, and cannot be asked either
        push("train", settings)
    report = push("train", settings)
    assert (report["version"], report["before"], saved(kaggle)) == (1, True, 1), "it had arrived: not pushed again"
    assert (push("train", settings, again=False)["before"], saved(kaggle)) == (True, 1), "to follow it"
    changed = push("train", settings, parameters={"epochs": 2}, again=False)
    assert (changed["version"], changed["before"], saved(kaggle)) == (2, False, 2), "another notebook is another push"
    assert (push("train", settings, parameters={"epochs": 2})["version"], saved(kaggle)) == (3, 3), "as told"


def test_killed_while_it_pushes(project, settings, kaggle, ready_wheel, quick, monkeypatch):
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


# Following, fetching, submitting


METRICS = {"score": 0.5, "exact": 0.25, "clips": 60, "split": "by signer"}
OUTPUTS = {
    "runs/tiny/metrics.json": json.dumps(METRICS).encode(),
    "runs/tiny/model.weights.h5": b"weights" * 1000,
    "submission.zip": b"PK",
    "prepared/large.arrow": b"gigabytes",
    "__notebook__.ipynb": b'{"cells": [], "metadata": {}}',
}


def log(*lines):
    return json.dumps([{"stream_name": "stderr", "time": 1.0, "data": line + "\n"} for line in lines])


def test_from_a_push_to_a_run_to_a_submission(project, settings, kaggle, ready_wheel, monkeypatch):
    monkeypatch.setattr(following, "POLL_SECONDS", 0.001)
    kaggle.states = ["QUEUED", "RUNNING", "COMPLETE"]
    kaggle.outputs[""], kaggle.log = OUTPUTS, log("fine", f"key {KEY}")
    report = push("train", settings)
    kaggle.faults["GetKernelSessionStatus"] = [(500, {}), (429, {"code": 429, "message": "Too many requests"})]
    told = []
    settings = replace(settings, runs=project / "runs")
    run = following.collect(report, settings, lambda state, seconds: told.append(state))
    trouble = ["Kaggle has trouble of its own, asking again", "Kaggle had too many requests from you, asking again"]
    assert list(dict.fromkeys(told)) == [*trouble, "queued", "running", "complete"]
    assert run == project / "runs/aslkit-train-v1"
    names = ["aslkit-train.log", "metrics.json", "model.weights.h5", "submission.zip", "train.ipynb"]
    assert sorted(path.relative_to(run).as_posix() for path in run.rglob("*")) == names
    assert (run / "aslkit-train.log").read_text() == "fine\nkey <KAGGLE_KEY>\n"
    assert [path.name for path in (project / "runs").iterdir()] == ["aslkit-train-v1"]

    kaggle.faults["CreateCodeSubmission"] = [(403, {"code": 403, "message": "You must accept this competition's rules"})]
    with pytest.raises(KernelError, match="refuses this submission; accept the rules at kaggle.com/competitions/asl-finger"):
        following.submit(report, run, settings)
    kaggle.faults["CreateCodeSubmission"] = [kaggle.after("CreateCodeSubmission", (500, {}))]
    assert following.submit(report, run, settings) == "aslkit-train version 1", "it has arrived"
    assert following.submit(report, run, settings) == "aslkit-train version 1", "and is not handed in again"
    assert [one["description"] for one in kaggle.submissions] == ["aslkit-train version 1"]
    assert kaggle.received("CreateCodeSubmission")[-1] == {
        "competitionName": "asl-fingerspelling",
        "kernelOwner": USER,
        "kernelSlug": "aslkit-train",
        "kernelVersion": 1,
        "fileName": "submission.zip",
        "submissionDescription": "aslkit-train version 1",
    }


def test_a_run_that_fails_on_kaggle(project, settings, kaggle, ready_wheel, quick):
    settings = replace(settings, runs=project / "runs")
    kaggle.states, kaggle.failure = ["ERROR"], "it failed"
    kaggle.outputs[""] = {"runs/tiny/history.csv": b"epoch"}
    kaggle.log = log(
        "Traceback (most recent call last):", "DataError: train.csv: no clips; fetch it again.", "[NbConvertApp] x"
    )
    report = push("train", settings)
    with pytest.raises(
        KernelError, match="^ada/aslkit-train failed on Kaggle: DataError: train.csv: no clips; fetch it"
    ) as caught:
        following.collect(report, settings)
    log_file = project / "runs/aslkit-train-v1/aslkit-train.log"
    assert str(caught.value).endswith(f"fetch it again; read {log_file}, mend what it says, and push again.")
    assert (project / "runs/aslkit-train-v1/history.csv").exists()
    assert [cell["cell_type"] for cell in json.loads((log_file.parent / "train.ipynb").read_text())["cells"]][:2] == [
        "code"
    ] * 2
    report = push("train", settings, again=False)
    assert report["version"] == 2, "the run of the first has ended, so this is another"
    kaggle.states, kaggle.failure = ["CANCEL_ACKNOWLEDGED"], ""
    kaggle.faults["ListKernelSessionOutput"] = [(403, {})]
    with pytest.raises(KernelError, match="was stopped on Kaggle; look at https://www.kaggle.com/code/ada/aslkit-train/log,"):
        following.collect(report, settings)


def test_what_is_fetched_is_whole(project, settings, kaggle, ready_wheel, quick):
    settings = replace(settings, runs=project / "runs")
    report = push("train", settings)
    kaggle.outputs[""] = OUTPUTS
    kaggle.faults["blob"] = [(500, b"<html>oh no</html>")] * 4
    with pytest.raises(NoAnswer, match="came in part only; run the same command again to fetch it anew"):
        following.collect(report, settings)
    assert not (project / "runs/aslkit-train-v1").exists()
    kaggle.faults["blob"] = []
    kaggle.outputs[""] = OUTPUTS | {"runs/other/metrics.json": b"{}"}
    run = following.collect(report, settings)
    assert {"tiny", "other"} < {path.name for path in run.iterdir()}, "two runs stay apart"
    assert (run / "tiny/model.weights.h5").read_bytes() == OUTPUTS["runs/tiny/model.weights.h5"]


REFUSED_ELSEWHERE = {
    "status, 401": ("status", "GetKernelSessionStatus", (401, {}), "does not show ada/aslkit-train to you; see that the cred"),
    "status, 404": ("status", "GetKernelSessionStatus", (404, {}), "does not find ada/aslkit-train"),
    "output, 403": ("fetch", "ListKernelSessionOutput", (403, {}), "does not show ada/aslkit-train to you"),
    "submit, 401": ("submit", "CreateCodeSubmission", (401, {}), "who you are; make new credentials"),
    "submit, 404": ("submit", "CreateCodeSubmission", (404, {}), "does not find ada/aslkit-train or one of its sources"),
    "submit, 429": ("submit", "CreateCodeSubmission", (429, {}), "too many requests from you; wait some minutes"),
    "submit, full": (
        "submit",
        "CreateCodeSubmission",
        (400, {"code": 400, "message": "Your team has used its daily Submission allowance (5) today"}),
        "today's submissions are used up; wait until midnight UTC",
    ),
}


@pytest.mark.parametrize("case", REFUSED_ELSEWHERE)
def test_other_calls_are_refused_in_one_sentence_too(settings, kaggle, quick, tmp_path, case):
    what, call, answer, words = REFUSED_ELSEWHERE[case]
    (tmp_path / "build").mkdir()
    (tmp_path / "submission.zip").touch()
    report = {"metadata": GOOD, "folder": str(tmp_path / "build/train"), "version": 3, "url": "u"}
    ways = {
        "status": lambda: following.status(GOOD),
        "fetch": lambda: following.fetch(GOOD, tmp_path / "out"),
        "submit": lambda: following.submit(report, tmp_path, settings),
    }
    kaggle.faults[call] = [answer]
    with pytest.raises(KernelError, match=words) as caught:
        ways[what]()
    assert "\n" not in str(caught.value) and len(kaggle.received(call)) == 1
    if what == "submit":
        assert ways[what]() == "aslkit-train version 3" and len(kaggle.submissions) == 1, "once the cause is gone"


def test_the_command_from_push_to_submission(project, kaggle, ready_wheel, quick, monkeypatch, capfd):
    text = (REPOSITORY / "settings.ini").read_text().replace("user =", f"user = {USER}")
    (project / "settings.ini").write_text(text)
    monkeypatch.setenv("ASLKIT_SETTINGS", str(project / "settings.ini"))
    monkeypatch.setattr(following, "POLL_SECONDS", 0.001)
    kaggle.states, kaggle.outputs[""], kaggle.log = ["RUNNING", "COMPLETE"], OUTPUTS, log(f"the key is {KEY}")

    def aslkit(*words):
        with pytest.raises(SystemExit) as stop:
            main(list(words))
        out, err = capfd.readouterr()
        assert KEY not in out + err
        return stop.value.code or 0, out, err

    code, out, _ = aslkit("push", "train", "--dry-run", "--json")
    assert code == 0 and json.loads(out)["metadata"]["kernel_sources"] == ["ada/aslkit-prepare"] and not kaggle.requests
    kaggle.faults["SaveKernel"] = [(401, {})]
    code, out, err = aslkit("push", "train", "--submit")
    assert (code, out, err.count("\n")) == (2, "", 1) and err.startswith("Kaggle does not know who you are; make new")
    code, out, err = aslkit("push", "train", "--submit")
    run = project / "runs/aslkit-train-v1"
    assert (code, err) == (0, "") and f"fetched   {run}\n" in out and "submitted as 'aslkit-train version 1'" in out
    assert "running, 0:00:0" in out and "\r" not in out
    kaggle.states, kaggle.log = ["ERROR"], log("ValueError: no clips")
    code, out, err = aslkit("push", "train", "--wait")
    assert code == 2 and err == (
        f"ada/aslkit-train failed on Kaggle: ValueError: no clips; read {run.with_name('aslkit-train-v2')}/aslkit-train.log, "
        "mend what it says, and push again.\n"
    )
    places = [folder for name in ("runs", "build") for folder in [project / name]]
    found = [path for place in places for path in place.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert not found, "credentials are in nothing that is built, fetched or written down"


def test_competition_files_that_kaggle_hands_out_can_be_prepared(kaggle, tmp_path):
    write_corpus(tmp_path / "corpus", 1, 4, 40, KIT)
    kaggle.blobs["asl-fingerspelling.zip"] = Path(
        shutil.make_archive(tmp_path / "all", "zip", tmp_path / "corpus")
    ).read_bytes()
    words = ["kaggle", "competitions", "download", "asl-fingerspelling", "-p", str(tmp_path / "data")]
    done = subprocess.run([str(Path(sys.executable).with_name("kaggle")), *words[1:]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shutil.unpack_archive(tmp_path / "data/asl-fingerspelling.zip", tmp_path / "data")
    assert prepare(tmp_path / "data", tmp_path / "prepared", workers=1, progress=False)["clips"] == 4


def test_a_sweep_on_kaggle(project, settings, kaggle, ready_wheel, quick, monkeypatch):
    monkeypatch.setattr(following, "POLL_SECONDS", 0.001)
    settings = replace(settings, runs=project / "runs", prepared=project / "prepared")
    document = nbformat.read(project / "kaggle_kernels/train/train.ipynb", 4)
    document.cells[0].source = "seed: int = 0\nepochs: int = 1"
    nbformat.write(document, project / "kaggle_kernels/train/train.ipynb")
    (project / "rates.yaml").write_text("grid: {seed: [0, 1, 2]}\nparameters: {epochs: 2}")
    points = sweeps.plan(project / "rates.yaml", settings)
    (points[2].folder).mkdir(parents=True)
    (points[2].folder / "metrics.json").write_text("{}")
    report = sweeps.push_point("train", points[0], settings, dry_run=True)
    assert report["metadata"]["id"] == "ada/aslkit-train-rates-seed-0" and report["notebook"]["parameters"] == {
        "epochs": 2,
        "seed": 0,
    }

    full = (200, {"error": "Maximum batch CPU session count of 1 reached."})
    kaggle.faults["SaveKernel"] = [kaggle.save_kernel, full]
    with pytest.raises(
        NoRoom, match="^1 of 2 points are on Kaggle; too many of your notebooks are running; wait for one to end"
    ):
        sweeps.push_points("train", points, settings)
    kaggle.outputs["ada/aslkit-train-rates-seed-0"] = OUTPUTS
    kaggle.states = ["COMPLETE", "ERROR"]
    kaggle.faults["SaveKernel"] = [full]
    told = []
    failed = sweeps.push_points(
        "train", points, settings, follow=lambda title: lambda state, seconds: told.append(f"{title} {state}")
    )
    assert told == ["seed=0 complete", "seed=1 error"] and list(failed) == ["seed=1"]
    assert {name: len(versions) for name, versions in kaggle.kernels.items()} == {
        "ada/aslkit-train-rates-seed-0": 1,
        "ada/aslkit-train-rates-seed-1": 1,
    }, "what is under way or done is not pushed again"
    assert [point.done for point in sweeps.plan(project / "rates.yaml", settings)] == [True, False, True]
    assert json.loads((points[0].folder / "metrics.json").read_text()) == METRICS
    kaggle.states, kaggle.outputs[""] = ["COMPLETE"], OUTPUTS
    assert sweeps.push_points("train", points, settings, follow=lambda title: lambda state, seconds: None) == {}
    assert len(kaggle.kernels["ada/aslkit-train-rates-seed-1"]) == 2, "a failed point is pushed anew"
    assert all(point.done for point in sweeps.plan(project / "rates.yaml", settings))


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
