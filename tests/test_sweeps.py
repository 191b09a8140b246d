"Sweeps: what runs and what does not, one failing point, killed ones, the table and the picture."

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pytest

from aslkit import sweeps
from aslkit.competition import KitError, ParameterError
from aslkit.kernels import METADATA_FILE
from aslkit.running import finished
from aslkit.settings import Settings

ROOT = Path(__file__).parent.parent
METRICS = {"exact": 0.25, "clips": 60, "split": "by signer", "corpus": "c"}


def trained(folder, values):
    "What a training leaves behind."
    score = 0.5 + values.get("seed", 0) / 10
    for name, content in {"metrics": METRICS | {"score": score}, "params": {"preset": "tiny", "epochs": 1} | values}.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "history.csv").write_text(f"epoch,val_score\n0,{score / 2}\n1,{score}\n")


@pytest.fixture
def settings(tmp_path):
    return Settings(runs=tmp_path / "runs", prepared=tmp_path / "prepared")


@pytest.fixture
def started(monkeypatch):
    "In place of the notebook: the names of the points that were started; a learning rate of 1 is too high."
    names = []

    def run(kernel, folder, values):
        names.append(folder.name)
        if values["learning_rate"] == 1.0:
            raise ParameterError("the loss is not finite", "lower `learning_rate`")
        if values["learning_rate"] == 2.0:
            raise ZeroDivisionError("ours")
        trained(folder, {name: value for name, value in values.items() if name != "run"})

    monkeypatch.setattr(sweeps, "run_notebook", run)
    return names


def write(folder, text):
    (folder / "rates.yaml").write_text(text)
    return folder / "rates.yaml"


def test_what_is_done_stays_done(settings, started, tmp_path):
    grid = "grid: {learning_rate: [1e-3, 2e-3], seed: [0, 1]}\n"
    file = write(tmp_path, grid)
    assert sweeps.run_points("train", sweeps.plan(file, settings)) == {}
    assert started == [f"learning_rate={rate},seed={seed}" for rate in (0.001, 0.002) for seed in (0, 1)]
    assert sweeps.run_points("train", sweeps.plan(file, settings)) == {} and len(started) == 4
    kept = {path: path.read_bytes() for path in settings.runs.rglob("*.json")}
    file = write(
        tmp_path, "points:\n- {seed: 2, learning_rate: 3e-3}\n- {seed: 0, learning_rate: 0.001, augment: strong}\n" + grid
    )
    sweeps.run_points("train", sweeps.plan(file, settings))
    assert started[4:] == ["learning_rate=0.003,augment=light,seed=2", "learning_rate=0.001,augment=strong,seed=0"]
    sweeps.run_points("train", sweeps.plan(file, settings, {"epochs": 3}))
    assert len(started) == 12 and started[6] == "epochs=3,learning_rate=0.001,augment=light,seed=0"
    assert {path: path.read_bytes() for path in kept} == kept
    (settings.runs / "rates" / started[0] / "metrics.json").unlink()  # as a broken-off one
    sweeps.run_points("train", sweeps.plan(file, settings))
    assert started[12:] == [started[0]]
    other = replace(settings, prepared=tmp_path / "other")
    assert not any(point.done for point in sweeps.plan(file, other)), "other clips are other trainings"


def test_a_failing_point_does_not_stop_the_others(settings, started, tmp_path):
    file = write(tmp_path, "grid: {learning_rate: [1, 2, 1e-3]}")
    told = []
    failed = sweeps.run_points("train", sweeps.plan(file, settings), tell=lambda point, problem: told.append(point.folder.name))
    sentence = "the loss is not finite; lower `learning_rate`."
    assert failed == {"learning_rate=1": sentence, "learning_rate=2": "ZeroDivisionError: ours"}
    assert told == started == ["learning_rate=1", "learning_rate=2", "learning_rate=0.001"]
    sweeps.run_points("train", sweeps.plan(file, settings))
    assert started[3:] == ["learning_rate=1", "learning_rate=2"]


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("grid: {epoch: [1]}", "rates.yaml, row point 1: unknown parameter `epoch`; the nearest known one is `epochs`."),
        ("points: [{seed: 1}, {seed: many}]", "row point 2: parameter `seed` is 'many'; give a whole number."),
        ("grid: {preset: [tiny, huge]}", "row point 2: `preset` is 'huge'; choose one of"),
        ("grid: {network: ['depth=true', 'deep=3']}", "row point 2: unknown argument of the network `deep`"),
        ("grid: {seed: [0, 0]}", "point 2 is the same training as point 1; take one of them out."),
        ("grid: {run: [a]}", "the sweep names `run`; leave it out, each point has a folder of its own."),
        ("grid: {epochs: [1, 2]}", "the sweep names `epochs` and so does the command line; give it in one place only."),
        ("grid: {seed: []}", "the section grid is not as it should be; give it a list of values for each name."),
        ("points: {seed: 1}", "the section points is not as it should be; give it a list of {name: value}."),
        ("points:", "the section points is not as it should be"),
        ("seed: [0, 1]", "there is no section 'seed'; known are parameters, grid, points; write for example"),
        ("- 1", "has no sections; write for example `grid:`"),
        ("", "has no sections"),
        ("grid:\n  seed: [0", "rates.yaml, row 2: is not YAML"),
    ],
)
def test_a_wrong_file_has_its_sentence_before_anything_runs(settings, started, tmp_path, text, sentence):
    with pytest.raises(ParameterError) as caught:
        sweeps.run_points("train", sweeps.plan(write(tmp_path, text), settings, {"epochs": "2"}))
    assert sentence in str(caught.value) and "\n" not in str(caught.value)
    assert not started and not settings.runs.exists()


def test_a_sweep_runs_once_at_a_time(tmp_path):
    running, sentence = sweeps.alone(tmp_path / "s"), "this sweep is running already; wait for it"
    with sweeps.alone(tmp_path / "s"), pytest.raises(KitError, match=sentence), running:
        pass
    with sweeps.alone(tmp_path / "s"):
        pass


def test_the_picture(settings, tmp_path):
    for seed in range(3):
        for rate in (1e-4, 1e-3):
            folder = settings.runs / f"rates/{seed}{rate}"
            folder.mkdir(parents=True)
            trained(folder, {"seed": seed, "learning_rate": rate})
    runs = finished(settings.runs, "rates")
    curves, *panels = sweeps.sweep_figure(settings.runs, runs, "rates").axes
    assert [axes.get_xlabel() for axes in (curves, *panels)] == ["epoch", "seed", "learning_rate"]
    assert len(curves.lines) == 6 and curves.lines[-1].get_color() == "tab:orange"
    means, dots = panels[0].lines
    assert np.allclose(means.get_ydata(), [0.5, 0.6, 0.7]) and len(dots.get_xdata()) == 6
    assert panels[1].get_xscale() == "log" and [t.get_text() for t in panels[1].get_xticklabels()] == ["0.0001", "0.001"]
    (figure,) = {axes.figure for axes in panels}
    assert figure._suptitle.get_text() == "rates: 6 runs. Best: 20.0001, 0.700"
    alone = sweeps.sweep_figure(settings.runs, runs[:1])
    assert len(alone.axes) == 1, "one run has nothing to differ from"
    runs[1][1]["split"] = "by phrase"
    assert "not comparable" in sweeps.sweep_figure(settings.runs, runs)._suptitle.get_text()


# With processes

NOTEBOOK = """\
import json, os, time
from pathlib import Path
folder = Path(run)
(folder / f"pid-{os.getpid()}").touch()
while seed == 1 and not Path("go").exists():
    time.sleep(0.05)
metrics = {"score": 0.5 + seed / 10, "exact": 0.0, "clips": 1, "split": "by signer", "corpus": "c"}
(folder / "params.json").write_text(json.dumps({"preset": "tiny", "epochs": 1, "seed": seed}))
(folder / "metrics.json").write_text(json.dumps(metrics))
print("trained", seed)"""


@pytest.fixture
def checkout(tmp_path):
    "A checkout whose training waits for a file named go, if its seed is 1."
    kernel = tmp_path / "kaggle_kernels/train"
    kernel.mkdir(parents=True)
    (kernel / METADATA_FILE).write_text("{}")
    new = nbformat.v4.new_code_cell
    cells = [new('run: str = ""\nprepared: str = ""\nseed: int = 0', metadata={"tags": ["parameters"]}), new(NOTEBOOK)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"display_name": "python3", "language": "python", "name": "python3"}
    nbformat.write(notebook, kernel / "train.ipynb")
    (tmp_path / "settings.ini").write_text((ROOT / "settings.ini").read_text())
    write(tmp_path, "grid: {seed: [0, 1]}")
    return tmp_path


def command(folder, *words):
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        [sys.executable, *words], cwd=folder, env=os.environ | {"ASLKIT_SETTINGS": str(folder / "settings.ini")}, **streams
    )


def wait_for(what, process=None):
    for _ in range(12_000):
        if found := what():
            return found
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("nothing happens")


def is_gone(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{number}/stat").read_text().split()[2] == "Z" if Path("/proc/self").exists() else False


# As `aslkit run train --sweep rates.yaml --workers 2` does, without Keras, which takes long to import.
SWEEP = """\
from pathlib import Path
from aslkit.sweeps import Point, run_points
if __name__ == "__main__":
    points = [Point(Path(f"runs/rates/seed={seed}"), {"seed": seed}, {"seed": seed, "prepared": ""}) for seed in (0, 1)]
    print(run_points("train", points, 2))"""


def test_a_killed_sweep_leaves_no_process_and_goes_on(checkout):
    points = checkout / "runs/rates"
    (checkout / "sweep.py").write_text(SWEEP)
    process = command(checkout, "sweep.py")
    wait_for(lambda: (points / "seed=0/metrics.json").exists() and list(points.glob("seed=1/pid-*")), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (number,) = [int(path.name.removeprefix("pid-")) for path in points.glob("seed=1/pid-*")]
    wait_for(lambda: is_gone(number))
    assert not (points / "seed=1/metrics.json").exists()
    (checkout / "go").touch()
    before = (points / "seed=0/metrics.json").stat().st_mtime_ns
    process = command(checkout, "sweep.py")
    assert process.communicate() == ("{}\n", "") and process.returncode == 0
    assert (points / "seed=0/metrics.json").stat().st_mtime_ns == before and len(list(points.glob("seed=0/pid-*"))) == 1
    assert "trained 1" in (points / "seed=1/output.txt").read_text() and (points / "seed=1/train.ipynb").exists()


SLOW = ["-c", "from aslkit.cli import main; main()", *"run train --sweep rates.yaml --workers 2 --name".split()]


@pytest.mark.slow
def test_a_killed_sweep_ends_in_the_same_weights(tmp_path, stitched):
    from aslkit.prepare import prepare

    prepare(stitched, tmp_path / "prepared", workers=1, progress=False)
    (tmp_path / "settings.ini").write_text((ROOT / "settings.ini").read_text())
    (tmp_path / "kaggle_kernels").symlink_to(ROOT / "kaggle_kernels")
    write(tmp_path, "grid: {seed: [0, 1]}\nparameters: {epochs: 3, batch_size: 8, prepared: prepared}")
    whole = command(tmp_path, *SLOW, "whole")
    assert whole.communicate() and whole.returncode == 0
    broken = command(tmp_path, *SLOW, "broken")
    wait_for(lambda: (tmp_path / "runs/broken/seed=1/history.csv").exists(), broken)
    broken.kill()
    broken.communicate()
    assert not (tmp_path / "runs/broken/seed=1/metrics.json").exists(), "killed too late to show anything"
    again = command(tmp_path, *SLOW, "broken")
    out, err = again.communicate()
    assert again.returncode == 0, err
    assert "epochs were done before; going on" in (tmp_path / "runs/broken/seed=1/output.txt").read_text()
    for seed in (0, 1):
        one, other = (
            json.loads((tmp_path / f"runs/{name}/seed={seed}/metrics.json").read_text()) for name in ("whole", "broken")
        )
        assert one == other
        import h5py

        files = [h5py.File(tmp_path / f"runs/{name}/seed={seed}/model.weights.h5") for name in ("whole", "broken")]
        arrays = [{}, {}]
        for file, found in zip(files, arrays):
            file.visititems(lambda name, item, found=found: found.update({name: item[()]} if hasattr(item, "dtype") else {}))
        assert arrays[0] and all(np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0])
