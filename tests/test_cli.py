"The command line: what it hands on, what it prints, how it leaves."

import html
import json
import re
import subprocess
import sys
import types
from pathlib import Path

import nbformat
import pytest

from aslkit.competition import read_metadata
from aslkit.corpus import Corpus
from aslkit.kernels import METADATA_FILE

COMMANDS = ["stitch", "prepare", "run", "runs", "export", "grade", "track", "read", "push"]
ROOT = Path(__file__).parent.parent


def process(*arguments, cwd, code="from aslkit.cli import main; main()"):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.fixture
def aslkit(capfd, monkeypatch, tmp_path):
    "Run a command line in this process, in an empty folder: exit code, output, error output."
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASLKIT_SETTINGS", str(tmp_path / "settings.ini"))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    (tmp_path / "settings.ini").write_text((ROOT / "settings.ini").read_text())

    def call(*arguments):
        from aslkit.cli import main

        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(a) for a in arguments])
        return stop.value.code or 0, *capfd.readouterr()

    return call


@pytest.fixture
def calls(monkeypatch):
    "Put a stand-in for one function of a module; the list fills with the calls that it got."

    def replace(module, name, result):
        found = []
        stand_in = types.ModuleType(f"aslkit.{module}")
        setattr(stand_in, name, lambda *args, **kwargs: found.append((args, kwargs)) or result)
        monkeypatch.setitem(sys.modules, f"aslkit.{module}", stand_in)
        return found

    return replace


# --- start


@pytest.mark.parametrize("words", [[], *([c] for c in COMMANDS)], ids=lambda w: " ".join(w) or "aslkit")
def test_help_imports_nothing_heavy(words, tmp_path):
    code = """
import sys
from aslkit.cli import main
try:
    main()
finally:
    heavy = {"keras", "tensorflow", "jax", "numpy", "pandas", "pyarrow", "papermill", "tqdm", "aslkit.competition"}
    print("heavy:", *(heavy & set(sys.modules)))
"""
    done = process(*words, "--help", cwd=tmp_path, code=code)
    assert done.returncode == 0 and "Usage: aslkit" in done.stdout and done.stdout.endswith("heavy:\n")
    assert not done.stderr


def test_every_command_is_listed_and_explained(aslkit):
    code, text, _ = aslkit("--help")
    assert code == 0
    for command in COMMANDS:
        (line,) = [line for line in text.splitlines() if line.strip().startswith(command + " ")]
        assert line.endswith("."), "a help line too long for 80 columns"


# --- how it leaves


def test_what_the_user_can_mend(tmp_path):
    done = process("grade", "nowhere.zip", "--data", "nowhere", cwd=tmp_path)
    sentence = "nowhere.zip: no such file; export a run first: `aslkit export RUN`.\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words", [["grad"], ["grade"], ["grade", "a.zip", "--worker", "2"], ["grade", "a.zip", "--workers", "0"]]
)
def test_misspelt_command_lines(aslkit, words):
    code, out, err = aslkit(*words)
    assert code == 2 and not out and "Error: " in err and "Traceback" not in err


def test_a_defect_keeps_its_traceback(tmp_path):
    code = """
import aslkit.grading
def broken(*args, **kwargs): raise ZeroDivisionError("ours")
aslkit.grading.grade = broken
from aslkit.cli import main
main()
"""
    done = process("grade", "a.zip", "--data", "b", cwd=tmp_path, code=code)
    assert done.returncode == 1 and "Traceback" in done.stderr and "ZeroDivisionError: ours" in done.stderr


def test_a_broken_settings_file(aslkit, tmp_path):
    (tmp_path / "settings.ini").write_text("[folders]\ndatta = x\n")
    code, out, err = aslkit("runs")
    assert code == 2 and not out and "settings.ini" in err and err.count("\n") == 1


# --- what it hands on


def test_stitch(aslkit, calls, tmp_path):
    found = calls("stitch", "stitch", tmp_path)
    code, out, _ = aslkit(*"stitch --out c --clips 7 --signers 3 --supplemental 2 --drills 1 --seed 5 --workers 2".split())
    assert code == 0 and "7 stitched clips of 3 synthetic signers" in out and "not competition data" in out
    counts = {"clips": 7, "signers": 3, "supplemental": 2, "drills": 1}
    plain = counts | {"seed": 5, "workers": 2, "bank": None, "prepared": False}
    assert found == [((Path("c"),), plain)]
    assert aslkit("stitch", "--out", "c", "--bank", "mine.npz", "--prepared")[0] == 0
    assert (found[1][1]["bank"], found[1][1]["prepared"]) == (Path("mine.npz"), True)


def test_stitch_training_data_at_once(aslkit, tmp_path):
    code, _, _ = aslkit(*"stitch --out c --clips 5 --signers 2 --workers 1 --prepared --preview look.html".split())
    clips = Corpus(tmp_path / "c").clips
    assert code == 0 and len(clips) == 5
    page = (tmp_path / "look.html").read_text()
    assert re.findall(r'pre-wrap">(.*?)</div>', page) == [html.escape(phrase) for phrase in clips.phrase]


def test_stitch_with_a_bank_that_is_not_there(aslkit):
    code, out, err = aslkit("stitch", "--out", "c", "--clips", "1", "--bank", "mine.npz")
    assert (code, out) == (2, "") and err.startswith("mine.npz: no such file or folder") and err.count("\n") == 1


@pytest.mark.parametrize("name", ["look.html", "look.gif"])
def test_stitch_draws_what_it_wrote(aslkit, tmp_path, name):
    code, out, _ = aslkit(*f"stitch --out c --clips 9 --signers 3 --seed 5 --workers 1 --preview {name}".split())
    shown = 8 if name == "look.html" else 4
    assert code == 0 and out.splitlines()[1:] == [f"{name}: the first {shown} of them, to watch."]
    phrases = read_metadata(tmp_path / "c/train.csv").phrase[:8]
    if name == "look.html":
        page = (tmp_path / name).read_text()
        assert re.findall(r'pre-wrap">(.*?)</div>', page) == [html.escape(phrase) for phrase in phrases]
    else:
        assert (tmp_path / name).read_bytes().startswith(b"GIF89a")


def test_stitch_refuses_a_preview_before_it_starts(aslkit, calls, tmp_path):
    found = calls("stitch", "stitch", tmp_path)
    code, out, err = aslkit("stitch", "--out", "c", "--preview", "look.mp4")
    sentence = "look.mp4: clips are not drawn into such a file; choose a name that ends in .html or .gif.\n"
    assert (code, out, err, found) == (2, "", sentence, [])


def test_prepare(aslkit, calls, tmp_path):
    aside = {"sentence": "train.csv, row 6: no frames; fetch it again.", "kind": "clip without frames", "clips": 1}
    rebuilt = {"a.parquet": "its landmark file has changed"}
    report = {"clips": 1234, "frames": 50, "fingerprint": "f", "why": {"clip without frames": 1}, "set_aside": [aside]}
    found = calls("prepare", "prepare", report | {"files": {"rebuilt": rebuilt}})
    words = "prepare --data d --out o --landmark-set seed --workers 2 --strict --scheduler tcp://a:1".split()
    code, out, _ = aslkit(*words)
    assert code == 0 and out.splitlines() == [
        "a.parquet is made anew: its landmark file has changed",
        "what                 clips  where and why",
        "kept                  1234  50 frames",
        "clip without frames      1  train.csv, row 6: no frames; fetch it again.",
        "Prepared in o; report.json there lists all that was set aside.",
    ]
    assert found == [((Path("d"), Path("o"), "seed", 2, True, "tcp://a:1"), {})]
    code, out, _ = aslkit("prepare", "--json")
    assert json.loads(out) == report | {"files": {"rebuilt": rebuilt}}
    assert found[1] == ((tmp_path / "data/asl-fingerspelling", tmp_path / "data/prepared", "kit", None, False, None), {})


def test_export(aslkit, calls, tmp_path, monkeypatch):
    found = calls("export", "export", tmp_path / "submission.zip")
    monkeypatch.setattr(sys.modules["aslkit.export"], "exported_text", lambda path: f"{path}: told", raising=False)
    code, out, _ = aslkit("export", "demo", "other", "--out", "o", "--precision", "fp32", "--decoder", "beam", "--constant", "")
    assert code == 0 and out == f"{tmp_path / 'submission.zip'}: told\n"
    (tmp_path / "elsewhere").mkdir()
    aslkit("export", "elsewhere")
    several = {"out": Path("o"), "precision": "fp32", "decoder": "beam", "constant": ""}
    assert found == [
        (([tmp_path / "runs/demo", tmp_path / "runs/other"],), several),
        (([Path("elsewhere")],), {"out": None, "precision": "fp16", "decoder": None, "constant": None}),
    ]


REPORT = {
    "score": 0.71234,
    "clips": 1060,
    "exact": 0.255,
    "characters": 900,
    "empty": 0,
    "commonest": {"reading": "2 a-e -aroe", "clips": 7},
    "latency_ms_p50": 3.21,
    "latency_ms_p95": 5.67,
    "low": 0.66,
    "high": 0.75,
    "over": "signers",
    "hours_one_core": 0.431,
    "hours_four_cores": 0.108,
    "by_kind": {"phone": {"score": 0.8, "low": 0.7, "high": 0.9, "over": "clips", "clips": 20}},
    "by_length": {"under 10": {"score": 0.5, "low": 0.4, "high": 0.6, "over": "clips", "clips": 31}},
    "by_speed": {"under 4": {"score": None, "low": None, "high": None, "over": None, "clips": 2}},
    "by_hand": {},
    "slips": [{"meant": " ", "read": "", "count": 77, "share": 0.25}],
    "runtime": "ai_edge_litert 9.8.7",
    "by_signer": {"3": {"score": 0.66, "clips": 30}, "8": {"score": 0.77, "clips": 30}},
    "set_aside": [{"path": "a.parquet", "sequence_id": 3, "problem": "a.parquet: cut short; fetch it again."}],
    "size_bytes": 1_900_000,
}


def test_grade(aslkit, calls, tmp_path):
    found = calls("grading", "grade", REPORT)
    words = [
        "grade",
        "s.zip",
        "--data",
        "d",
        "--rows",
        "r.csv",
        "--out",
        "o.csv",
        "--workers",
        3,
        "--timeout",
        9,
        "--memory",
        4,
        "--set-aside",
        "--strict-runtime",
    ]
    code, out, _ = aslkit(*words)
    assert code == 0
    for text in ["d\n", "r.csv", "1,060 clips", "2 signers", "0.712", "25.5%", "0.660 to 0.770", "3.2 ms", "5.7 ms", "1.9 MB",
                 "phone", "1 clips", "a.parquet: cut short",
                 "0.660 to 0.750, 95 %, by drawing signers", "0.43 h", "0.11 h on four", "litert 9.8.7", "under 10 characters",
                 "space  nothing     77", "not a leaderboard score"]:  # fmt: skip
        assert text in out, text
    code, out, _ = aslkit("grade", "s.zip", "--json")
    assert json.loads(out) == REPORT
    assert found[0][0] == (Path("s.zip"), Path("d"))
    options = {"rows": Path("r.csv"), "workers": 3, "timeout": 9.0, "memory_gb": 4, "strict": False, "out": Path("o.csv")}
    assert found[0][1] == options | {"strict_runtime": True}
    assert "frames a character" not in out  # a group without a score
    assert found[1][0] == (Path("s.zip"), tmp_path / "data/asl-fingerspelling")
    options = {"rows": None, "workers": 1, "timeout": 60.0, "memory_gb": 8.0, "strict": True, "out": None}
    assert found[1][1] == options | {"strict_runtime": False}


def test_read(aslkit, calls):
    found = calls("recordings", "read_recording", "12 elm st")
    assert aslkit("read", "s.zip", "c.parquet", "--sequence-id", 12, "--timeout", 5) == (0, "12 elm st\n", "")
    aslkit("read", "s.zip", "c.parquet")
    assert found == [((Path("s.zip"), Path("c.parquet"), 12, 5.0), {}), ((Path("s.zip"), Path("c.parquet"), None, 60.0), {})]
    assert aslkit("read", "c.parquet") == (0, "12 elm st\n", "")
    assert found[2] == ((None, Path("c.parquet"), None, 60.0), {})
    code, out, err = aslkit("read", "a.zip", "b.parquet", "c.parquet")
    assert code == 2 and not out and "c.parquet is one too many" in err and len(found) == 3
    calls("recordings", "read_recording", "")
    said = "Nothing was read in c.parquet; nbs/explore/own_data.ipynb looks for the reason.\n"
    assert aslkit("read", "c.parquet") == (0, "\n", said)


PUSHED = {
    "folder": "build/kernels/toy",
    "command": "kaggle kernels push -p build/kernels/toy",
    "metadata": {"id": "ada/toy", "is_private": True, "competition_sources": ["asl-fingerspelling"], "kernel_sources": []},
    "notebook": {"file": "toy.ipynb", "bytes": 654_321, "sha256": "ab" * 32, "cells": 12, "parameters": {"epochs": "3"}},
    "pushed": False,
}


def test_push(aslkit, calls):
    found = calls("push", "push", PUSHED)
    code, out, _ = aslkit("push", "prepare", "--dry-run", "-p", "workers", "3")
    assert code == 0
    for words in ["toy.ipynb, 0.65 MB, 12 cells", "ab" * 32, "epochs=3", "ada/toy", "is_private           True",
                  "asl-fingerspelling", "kaggle kernels push -p build/kernels/toy", "no, this was a dry run"]:  # fmt: skip
        assert words in out, words
    assert "kernel_sources" not in out  # there are none
    code, out, _ = aslkit("push", "prepare", "--json", "--resume")
    assert json.loads(out) == PUSHED
    plain = {"parameters": {}, "dry_run": False, "resume": False, "again": True}
    assert [one[1] for one in found] == [plain | {"parameters": {"workers": 3}, "dry_run": True}, plain | {"resume": True}]
    assert found[0][0][0] == "prepare" and found[0][0][1].slug == "asl-fingerspelling"


def test_push_waits_fetches_and_submits(aslkit, calls, monkeypatch, tmp_path):
    run = tmp_path / "runs/toy-v3"
    run.mkdir(parents=True)
    (run / "metrics.json").write_text("{}")
    found = calls("push", "push", PUSHED | {"pushed": True, "version": 3, "url": "https://u", "before": False})
    follow = types.ModuleType("aslkit.follow")

    def collect(report, settings, tell):
        for second, state in enumerate(["queued", "running", "running", "complete"]):
            tell(state, 1800.0 * second)
        return run

    follow.collect, follow.submit = collect, lambda report, run, settings: "toy version 3"
    monkeypatch.setitem(sys.modules, "aslkit.follow", follow)
    monkeypatch.setattr("aslkit.follow", follow, raising=False)
    code, out, err = aslkit("push", "prepare", "--submit")
    assert (code, err) == (0, "") and "\r" not in out
    assert out.splitlines()[-7:] == [
        "pushed      version 3, https://u",
        "ada/toy version 3: queued, 0:00:00",
        "ada/toy version 3: running, 0:30:00",
        "ada/toy version 3: complete, 1:30:00",
        f"fetched   {run}",
        "next      `aslkit runs`, `aslkit export toy-v3`",
        "submitted as 'toy version 3'; the score appears under Submissions on the competition's page",
    ]
    assert found[0][1]["again"] is False, "a run that is under way is followed, not pushed again"
    code, out, err = aslkit("push", "prepare", "--wait", "--json")
    assert json.loads(out)["run"] == str(run) and "submitted" not in json.loads(out) and err == ""
    (run / "checkpoint.npz").touch()
    assert "its time was up; `aslkit push train --resume --wait` goes on" in aslkit("push", "prepare", "--wait")[1]

    def interrupted(report, settings, tell):
        raise KeyboardInterrupt

    follow.collect = interrupted
    code, out, err = aslkit("push", "prepare", "--wait")
    assert code == 130 and "runs on at https://u; the same command follows it again" in err


def test_push_rehearses(aslkit, calls):
    found = calls("rehearse", "rehearse", {"notebook": "n.ipynb", "output": "o"})
    code, out, _ = aslkit("push", "prepare", "--rehearse", "--resume", "-p", "workers", "1")
    assert code == 0 and out == "executed  n.ipynb\noutput    o\n"
    assert found[0][0][0] == "prepare" and found[0][1] == {"parameters": {"workers": 1}, "resume": True}


@pytest.mark.parametrize(
    "words, said",
    [
        ("toy --dry-run --wait", "--dry-run and --wait"),
        ("toy --rehearse --submit", "--rehearse and --wait"),
        ("toy --sweep s.yaml", "a sweep of trainings, not of toy"),
        ("train --sweep s.yaml --submit", "knows only --dry-run, --wait and parameters"),
    ],
)
def test_push_refuses(aslkit, words, said):
    code, out, err = aslkit("push", *words.split())
    assert code == 2 and not out and said in err


# --- running a notebook


@pytest.fixture
def toy(tmp_path):
    "A checkout with one kernel whose notebook adds, or fails as it is told."
    folder = tmp_path / "kaggle_kernels/toy"
    folder.mkdir(parents=True)
    (folder / METADATA_FILE).write_text("{}")
    parameters = nbformat.v4.new_code_cell('a: int = 1\nfail: str = ""', metadata={"tags": ["parameters"]})
    work = """
from aslkit.competition import DataError
print("a is", repr(a))
if fail == "kit":
    raise DataError("no frames; none at all", "fetch the file again", "train.csv", row=3)
if fail == "ours":
    raise ZeroDivisionError("ours")
"""
    notebook = nbformat.v4.new_notebook(cells=[parameters, nbformat.v4.new_code_cell(work)])
    notebook.metadata["kernelspec"] = {"display_name": "python3", "language": "python", "name": "python3"}
    nbformat.write(notebook, folder / "toy.ipynb")
    return tmp_path


def test_run(aslkit, toy):
    code, out, err = aslkit("run", "toy", "--name", "one", "-p", "a", "7")
    assert code == 0, err
    assert "a is '7'" in out  # text, since only `train` says what its parameters are
    executed = nbformat.read(toy / "runs/one/toy.ipynb", 4)
    assert executed.metadata.papermill.parameters == {"a": "7"}


def test_an_error_of_the_user_inside_a_notebook(aslkit, toy):
    code, out, err = aslkit("run", "toy", "--name", "one", "-p", "fail", "kit")
    assert (code, err) == (2, "train.csv, row 3: no frames; none at all; fetch the file again.\n")
    assert "a is 1" in out and (toy / "runs/one/toy.ipynb").exists()


def test_a_defect_inside_a_notebook(aslkit, toy):
    from papermill.exceptions import PapermillExecutionError

    from aslkit.cli import main

    with pytest.raises(PapermillExecutionError, match="(?s)Traceback.*ZeroDivisionError: ours"):
        main(["run", "toy", "--name", "one", "-p", "fail", "ours"])


def test_run_refuses(aslkit, toy):
    code, _, err = aslkit("run", "toy", "--name", "../one")
    assert code == 2 and "give a name, not a path" in err
    code, _, err = aslkit("run", "toi", "--name", "one")
    assert code == 2 and "write toy" in err and err.count("\n") == 1
    code, _, err = aslkit("run", "toy", "--name", "one", "-p", "a")
    assert code == 2 and "-p NAME VALUE" in err
    code, _, err = aslkit("run", "toy")
    assert code == 2 and "give the run a name" in err
    code, _, err = aslkit("run", "toy", "--name", "one", "--workers", "2")
    assert code == 2 and "only a sweep has points" in err
    assert not (toy / "runs").exists()


def test_train_parameters_are_checked_before_anything_is_made(aslkit, toy):
    pytest.importorskip("aslkit.training")
    (toy / "kaggle_kernels/toy").rename(toy / "kaggle_kernels/train")
    (toy / "kaggle_kernels/train/toy.ipynb").rename(toy / "kaggle_kernels/train/train.ipynb")
    for name, value, expected in [
        ("epoch", "3", "epochs"),
        ("epochs", "many", "epochs"),
        ("learning_rate", "1e", "learning_rate"),
    ]:
        code, out, err = aslkit("run", "train", "--name", "one", "-p", name, value)
        assert code == 2 and expected in err and err.count("\n") == 1, err
    assert not (toy / "runs").exists()
    code, _, err = aslkit("run", "train", "--name", "one", "-p", "learning_rate", "1e-3", "-p", "epochs", "3")
    assert code == 0, err
    given = nbformat.read(toy / "runs/one/train.ipynb", 4).metadata.papermill.parameters
    assert given["learning_rate"] == 0.001 and given["epochs"] == 3 and given["run"] == str(toy / "runs/one")
    assert given["prepared"] == str(toy / "data/prepared")


def test_runs(aslkit, tmp_path):
    code, out, _ = aslkit("runs")
    assert code == 0 and "no finished run" in out
    for name, score in {"first": 0.5, "second": 0.75}.items():
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        metrics = {"score": score, "exact": 0.25, "clips": 60, "split": "by signer"}
        (folder / "metrics.json").write_text(json.dumps(metrics))
        (folder / "params.json").write_text(json.dumps({"preset": "tiny", "epochs": 5, "seed": 0}))
    (tmp_path / "runs/unfinished").mkdir()
    code, out, _ = aslkit("runs")
    assert [line.split()[0] for line in out.splitlines()] == ["run", "second", "first"]
    code, out, _ = aslkit("runs", "--json")
    assert [row["score"] for row in json.loads(out)] == [0.75, 0.5]


def test_a_sweep(aslkit, tmp_path, monkeypatch):
    from aslkit import sweeps
    from aslkit.competition import ParameterError

    def run(kernel, folder, values):
        if values["learning_rate"] == 1.0:
            raise ParameterError("the loss is not finite", "lower `learning_rate`")
        metrics = {"score": 0.5 + values["seed"] / 10, "exact": 0.25, "clips": 60, "split": "by signer", "corpus": "c"}
        for name, content in {"metrics": metrics, "params": {"preset": "tiny", "epochs": 1} | values}.items():
            (folder / f"{name}.json").write_text(json.dumps(content))

    monkeypatch.setattr(sweeps, "run_notebook", run)
    (tmp_path / "rates.yaml").write_text("grid: {learning_rate: [1e-3, 1], seed: [0, 1]}")
    code, out, err = aslkit("run", "train", "--sweep", "rates.yaml", "-p", "epochs", "3")
    assert code == 2 and err.count("\n") == 1
    sentence = "the loss is not finite; lower `learning_rate`"
    assert err == (
        f"2 of 4 points failed: learning_rate=1,seed=0: {sentence}; learning_rate=1,seed=1: {sentence}; "
        "run the same command again for these only.\n"
    )
    assert out.splitlines()[:5] == [
        f"{tmp_path}/runs/rates: 4 points, 0 of them done before",
        "1/4 learning_rate=0.001,seed=0: done",
        "2/4 learning_rate=0.001,seed=1: done",
        f"3/4 learning_rate=1,seed=0: {sentence}.",
        f"4/4 learning_rate=1,seed=1: {sentence}.",
    ]
    assert [line.split() for line in out.splitlines()[6:]] == [
        ["rates/learning_rate=0.001,seed=1", "0.600", "0.250", "60", "1"],
        ["rates/learning_rate=0.001,seed=0", "0.500", "0.250", "60", "0"],
    ]
    code, out, _ = aslkit("runs", "--sweep", "rates", "--plot", "rates.png")
    assert code == 0 and out.splitlines()[-1] == "rates.png: drawn." and "seed" in out
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")
    assert [row["run"][-1] for row in json.loads(aslkit("runs", "--json", "--plot", "rates.svg")[1])] == ["1", "0"]
    for words, said in {
        "--sweep rats": "runs/rats: there is no such sweep; start one with `aslkit run train --sweep FILE`.",
        "--plot rates.txt": "rates.txt: no picture is drawn into such a file; choose a name that ends in .png, .svg or .pdf.",
    }.items():
        code, out, err = aslkit("runs", *words.split())
        assert (code, out) == (2, "") and err.endswith(f"{said}\n")
    (tmp_path / "rates.yaml").write_text("grid: {learning_rte: [1]}")
    code, out, err = aslkit("run", "train", "--sweep", "rates.yaml")
    assert (code, out) == (2, "") and "row point 1: unknown parameter `learning_rte`" in err and err.count("\n") == 1


# --- the real thing


@pytest.mark.slow
def test_a_real_submission(tmp_path):
    "Grade and read through the command line, down to the process that runs the model."
    import pandas as pd
    from zoo import clip_rows, convert, pack, read_first

    from aslkit.competition import METADATA_COLUMNS

    def aslkit(*arguments):
        done = process(*arguments, cwd=tmp_path)
        return done.returncode, done.stdout, done.stderr

    pack(tmp_path / "submission.zip", convert(read_first))
    (tmp_path / "corpus").mkdir()
    clip_rows("12 elm st", 5).to_parquet(tmp_path / "corpus/a.parquet")
    rows = pd.DataFrame([("a.parquet", 0, 5, 1, "12 elm st."), ("a.parquet", 0, 6, 1, "gone")], columns=METADATA_COLUMNS)
    rows.to_csv(tmp_path / "corpus/train.csv", index=False)

    code, out, err = aslkit("grade", "submission.zip", "--data", "corpus", "--set-aside", "--json")
    report = json.loads(out)
    assert (code, err, report["score"], report["clips"]) == (0, "", 0.9, 1)
    assert report.keys() >= {"score", "exact", "clips", "latency_ms_p50", "latency_ms_p95", "size_bytes"}
    assert aslkit("read", "submission.zip", "corpus/a.parquet") == (0, "12 elm st\n", "")
    sentence = "corpus/a.parquet: no frames of sequence_id 6; fetch the file again, or remove the row from the CSV.\n"
    assert aslkit("grade", "submission.zip", "--data", "corpus") == (2, "", sentence)
