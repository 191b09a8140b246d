"""The whole chain of Kaggle kernels, rehearsed on a small stitched corpus: `make test-kaggle`.

prepare stops for lack of time and goes on, train is killed in its second epoch and goes on, submit exports and grades. Each
goes on from the read-only output of its own last rehearsal. Every step checks what it left; the last lines say the score.
"""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pandas as pd

from aslkit.competition import score
from aslkit.rehearse import rehearse
from aslkit.settings import read_settings
from aslkit.stitch import stitch

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "build/rehearsal"
SETTINGS = replace(read_settings(ROOT / "settings.ini"), data=PLACE / "corpus", accelerator="none")
TRAINING = {"epochs": 3, "least_hand": 0.5}
PATIENCE = 600  # seconds until the first epoch is done, on a machine that does much else


def say(words):
    print(f"\n=== {words}", flush=True)


def text_of(notebook):
    "All that an executed notebook printed."
    cells = json.loads(Path(notebook).read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", []) if output["output_type"] == "stream"]
    return "".join("".join(output["text"]) for output in outputs)


def prepare_in_two_sessions():
    say("prepare, in a session that is too short")
    report = rehearse("prepare", SETTINGS, {"hours": 1e-6, "workers": 1})
    assert "the time is up with 1 of 3 landmark files prepared" in text_of(report["notebook"])
    assert not (Path(report["output"]) / "prepared/corpus.json").exists()
    say("prepare, from its own last output")
    report = rehearse("prepare", SETTINGS, {"workers": 1}, resume=True)
    assert "1 files taken over from an earlier session" in text_of(report["notebook"])
    corpus = json.loads((Path(report["output"]) / "prepared/corpus.json").read_text())
    say(f"prepared: {corpus['clips']} clips in {len(corpus['shards'])} files")


def kill_in_mid_training():
    say("train, to be killed in its second epoch")
    code = "import kaggle_chain as chain; chain.rehearse('train', chain.SETTINGS, chain.TRAINING)"
    run = PLACE / "train/working/runs/tiny"
    (run / "history.csv").unlink(missing_ok=True)
    training = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT / "tests", start_new_session=True)
    begun = time.monotonic()
    while not (run / "history.csv").exists():
        assert training.poll() is None, f"the training ended with {training.returncode} before its first epoch did"
        assert time.monotonic() - begun < PATIENCE, "no epoch is done yet"
        time.sleep(0.2)
    os.killpg(training.pid, signal.SIGKILL)
    assert training.wait() == -signal.SIGKILL
    assert (run / "checkpoint.npz").exists() and not (run / "metrics.json").exists()
    done = len(pd.read_csv(run / "history.csv"))
    say(f"killed with SIGKILL after {done} of {TRAINING['epochs']} epochs")


def go_on_with_it():
    say("train, from its own last output")
    report = rehearse("train", SETTINGS, TRAINING, resume=True)
    run = Path(report["output"]) / "runs/tiny"
    assert "1 of 3 epochs were done before; going on." in text_of(report["notebook"])
    assert pd.read_csv(run / "history.csv").epoch.tolist() == [0, 1, 2]
    assert pd.read_csv(run / "history.csv").iloc[:1].equals(pd.read_csv(PLACE / "train/last/runs/tiny/history.csv"))
    assert not (run / "checkpoint.npz").exists() and json.loads((run / "metrics.json").read_text())["epochs"] == 3
    say("trained: 3 of 3 epochs")


def hand_in():
    say("submit")
    report = rehearse("submit", SETTINGS)
    output = Path(report["output"])
    with zipfile.ZipFile(output / "submission.zip") as archive:
        assert sorted(archive.namelist()) == ["inference_args.json", "model.tflite"]
    graded = json.loads((output / "readings_report.json").read_text())
    readings = pd.read_csv(output / "readings.csv", keep_default_na=False)
    assert graded["score"] == score(readings.phrase, readings.reading)
    assert graded["runtime"].startswith("tensorflow 2.19")
    say(f"submission.zip, {(output / 'submission.zip').stat().st_size / 1e6:.1f} MB, graded by {graded['runtime']}")
    say(f"score {graded['score']:.3f} on {graded['clips']} stitched clips of signers held out; not a leaderboard score")
    print("A training this short reads next to nothing: for most clips the file gives its constant answer.")


def main():
    begun = time.monotonic()
    say("stitch a corpus in the competition's layout")
    stitch(SETTINGS.data, clips=240, drills=60, signers=12, seed=1)
    prepare_in_two_sessions()
    kill_in_mid_training()
    go_on_with_it()
    hand_in()
    print(f"The chain took {(time.monotonic() - begun) / 60:.1f} minutes.")


if __name__ == "__main__":
    main()
