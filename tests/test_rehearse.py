"""Rehearsals of built kernels, with small notebooks in place of the repository's; the whole chain is `make test-kaggle`.

The Python is that of this environment without the kit, not one with Kaggle's versions.
"""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from aslkit import kernels, rehearse, session
from aslkit.competition import KitError
from aslkit.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[1]

# They write down what they see, and try what Kaggle would not let them do.
TRAIN = """\
import json, os, pathlib, socket
import aslkit
from aslkit import session
from aslkit.settings import read_settings
session.check("train")
settings, refused = read_settings(), []
for path in (settings.data / "x", settings.prepared / "x", settings.data.parents[1] / "x"):
    try:
        path.touch()
    except OSError as error:
        refused.append(error.strerror)
try:
    socket.create_connection(("192.0.2.1", 80), timeout=2).close()
    refused.append("network")
except OSError:
    pass
carried = session.carry_runs(settings.runs / note)
(settings.runs / note).mkdir(parents=True, exist_ok=True)
(settings.runs / note / "checkpoint.npz").touch()
places = dict(data=str(settings.data), prepared=str(settings.prepared), runs=str(settings.runs), here=os.getcwd())
seen = dict(refused=refused, carried=carried, kit=aslkit.__file__, shard=(settings.prepared / "a.arrow").read_text())
pathlib.Path("seen.json").write_text(json.dumps(seen | places))
print("the kernel speaks")"""


@pytest.fixture(scope="module")
def wheel():
    return kernels.build_wheel(REPOSITORY)


@pytest.fixture
def settings(tmp_path, bare_python, wheel, monkeypatch):
    "A checkout with a small kernel, a corpus that is nearly one, and what a rehearsal of `prepare` may have left."
    for name in [name for name in os.environ if name.startswith("ASLKIT")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ASLKIT_KAGGLE_PYTHON", str(bare_python))
    monkeypatch.setattr(kernels, "build_wheel", lambda root: wheel)
    folder = tmp_path / "kaggle_kernels/train"
    folder.mkdir(parents=True)
    shutil.copy(REPOSITORY / "kaggle_kernels/train/kernel-metadata.json", folder)
    cell = nbformat.v4.new_code_cell
    cells = [cell('note: str = "first"', metadata={"tags": ["parameters"]}), cell(TRAIN)]
    kernelspec = {"name": "python3", "display_name": "python3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec}), folder / "train.ipynb")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/train.csv").touch()
    prepared = tmp_path / "build/rehearsal/prepare/working/prepared"
    prepared.mkdir(parents=True)
    (prepared / "a.arrow").write_text("a shard")
    (prepared / "corpus.json").touch()
    return replace(Settings(), file=tmp_path / "settings.ini", data=tmp_path / "corpus")


def listing(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_chain_in_kaggles_folders(settings, tmp_path, capfd):
    stage = tmp_path / "stage"
    stage.mkdir()
    full = rehearse.isolation(stage) == "full"
    prepared = tmp_path / "build/rehearsal/prepare/working"
    prepared.rename(tmp_path / "away")
    with pytest.raises(KitError, match="the output of the notebook `prepare` is not attached; run `aslkit push prepare` first"):
        rehearse.rehearse("train", settings)
    assert "NOT ATTACHED, since it is not here: notebooks/rehearsal/aslkit-prepare" in capfd.readouterr().out
    (tmp_path / "away").rename(prepared)
    before = listing(tmp_path / "corpus")
    report = rehearse.rehearse("train", settings)
    printed = capfd.readouterr().out
    assert "the kernel speaks" in printed and ("/kaggle/input is read-only, and there is no network" in printed) == full
    assert report["attached"] == ["competitions/asl-fingerspelling", "notebooks/rehearsal/aslkit-prepare"]
    seen = json.loads((Path(report["output"]) / "seen.json").read_text())
    assert "network" not in seen["refused"] and seen["shard"] == "a shard" and seen["carried"] == []
    assert listing(tmp_path / "corpus") == before
    if full:
        assert seen["refused"] == ["Read-only file system"] * 3 and seen["here"] == "/kaggle/working"
        assert seen["data"] == "/kaggle/input/competitions/asl-fingerspelling" and seen["runs"] == "/kaggle/working/runs"
        assert seen["prepared"] == "/kaggle/input/notebooks/rehearsal/aslkit-prepare/prepared"
    assert not Path(seen["kit"]).is_relative_to(REPOSITORY)
    report = rehearse.rehearse("train", settings, {"note": "second"}, resume=True)
    assert report["attached"][-1] == "notebooks/rehearsal/aslkit-train"
    assert json.loads((Path(report["output"]) / "seen.json").read_text())["carried"] == ["first"]


def test_without_namespaces_what_is_written_is_found_out(settings, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(rehearse, "isolation", lambda stage: "none")
    with pytest.raises(RuntimeError, match="the kernel wrote into what is attached, which is read-only on Kaggle: .*/corpus/x"):
        rehearse.rehearse("train", settings)
    printed = capfd.readouterr().out
    assert "THE NETWORK IS NOT CUT OFF" in printed and "NOT READ-ONLY" in printed and "the kernel speaks" in printed


def test_what_cannot_be_rehearsed(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("ASLKIT_KAGGLE_PYTHON", "/bin/false")
    with pytest.raises(KitError, match="/bin/false: this Python lacks a package .*; run `make .kaggle/stamp`"):
        rehearse.rehearse("train", settings)
    monkeypatch.delenv("ASLKIT_KAGGLE_PYTHON")
    with pytest.raises(KitError, match=r"\.kaggle/bin/python: there is no Python with Kaggle's packages; run `make"):
        rehearse.rehearse("train", settings)
    assert not (tmp_path / "build/rehearsal/train").exists()


# What is missing in a session: the sentences that a kernel begins with


@pytest.fixture(params=["notebooks/ada/{}", "{}"])
def inputs(request, tmp_path, monkeypatch):
    "Kaggle's layout, the newer and the older; `add(kernel, file)` attaches an output."
    for name in [name for name in os.environ if name.startswith("ASLKIT")]:
        monkeypatch.delenv(name)
    root = tmp_path / "kaggle"
    (root / "input").mkdir(parents=True)
    (root / "working").mkdir()
    monkeypatch.setenv("ASLKIT_KAGGLE", str(root))
    monkeypatch.setenv("ASLKIT_DATA", str(root / "input/competitions/asl-fingerspelling"))
    monkeypatch.setattr(session, "DEVICES", {"gpu": (f"{tmp_path}/nvidia*",), "tpu": (f"{tmp_path}/accel*",)})

    def add(kernel, file, content=""):
        path = root / "input" / request.param.format(kernel) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    return add


def complaint(kernel):
    with pytest.raises(KitError) as caught:
        session.check(kernel)
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text
    return text


def test_what_a_kernel_misses_is_one_sentence(inputs, tmp_path, monkeypatch):
    assert "the output of the notebook `prepare` is not attached; run `aslkit push prepare`" in complaint("train")
    inputs("aslkit-prepare", "prepared/a.arrow")
    assert "output of `prepare` is unfinished; let it go on with `aslkit push prepare --resume`" in complaint("train")
    inputs("aslkit-prepare", "prepared/corpus.json")
    session.check("train")
    for wanted, kind, device in (("gpu-t4x2", "GPU", "nvidia0"), ("tpu", "TPU", "accel0")):
        monkeypatch.setenv("ASLKIT_ACCELERATOR", wanted)
        assert f"this session has no {kind}, though {wanted} was asked for; choose it under Settings" in complaint("train")
        (tmp_path / device).touch()
        session.check("train")
        (tmp_path / device).unlink()
    assert "no output of the notebook `train` with a trained run is attached" in complaint("submit")
    inputs("aslkit-train", "runs/tiny/model.json")
    assert complaint("submit") == complaint("prepare")
    assert "the competition asl-fingerspelling are not attached; accept the rules at kaggle.com/comp" in complaint("prepare")
    data = Path(os.environ["ASLKIT_DATA"])
    data.mkdir(parents=True)
    (data / "train.csv").touch()
    session.check("prepare")
    session.check("submit")


def test_an_earlier_output_is_taken_up(inputs, tmp_path, monkeypatch):
    inputs("aslkit-train", "runs/fold0/model.json")
    inputs("aslkit-train", "runs/fold1/checkpoint.npz", "state")
    own = session.own("runs")
    with pytest.raises(KitError, match="the run fold0 is finished; give another name as `run`"):
        session.carry_runs(own / "fold0")
    assert session.carry_runs(own / "fold1") == ["fold0", "fold1"]
    assert (own / "fold1/checkpoint.npz").read_text() == "state"
    (own / "fold1/checkpoint.npz").write_text("later")
    assert session.carry_runs(own / "fold1") == [], "what is there already stays"
    assert (own / "fold1/checkpoint.npz").read_text() == "later"
    assert [run.name for run in session.find_runs()] == ["fold0"], "unfinished runs are not exported unasked"
    monkeypatch.setattr(session, "OUTPUT_BYTES_MAX", 8)
    shutil.rmtree(own)
    inputs("aslkit-train", "runs/fold2/model.weights.h5", "0123456789")
    with pytest.raises(KitError, match="an earlier output takes .* GB are free"):
        session.carry_runs(own / "fold1")
