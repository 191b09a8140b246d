"Kill `aslkit prepare` at random moments until it is done, over and over: nothing half made may pass for whole, ever."

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

# imports while the run before is still at work, and begins when told to
COMMAND = "import sys, aslkit.prepare; from aslkit.cli import main; sys.stdin.read(1); main()"
TARGETS = ("the main process", "a worker", "the whole group")
THROUGH, START = 1 / 8, 1 / 4  # share of runs that are let through, and of those killed before they write
PATIENCE = 120  # seconds; whatever takes longer hangs


def contents(folder: Path) -> dict[str, bytes]:
    "All that has its final name."
    paths = sorted(folder.iterdir()) if folder.exists() else []
    return {path.name: path.read_bytes() for path in paths if not path.name.endswith(".part")}


def workers_of(pid: int) -> list[int]:
    "The worker processes of a process, oldest first."
    found = []
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
    return found


def group_lives(group: int) -> bool:
    "Whether a process group has a process that is no zombie."
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, of = path.read_text().rpartition(") ")[2].split()[:3]
            if int(of) == group and state != "Z":
                return True
    return False


class Run:
    "`aslkit prepare` with two workers, in a process group of its own, waiting to begin."

    def __init__(self, data: Path, out: Path):
        self.out, self.log = out, out.with_name(f"{out.name}.log")
        words = [sys.executable, "-c", COMMAND, "prepare", "--data", data, "--out", out, "--workers", "2"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                words,
                cwd=out.parent,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                env=os.environ | {"TQDM_DISABLE": "1"},
            )

    def begin(self) -> float:  # when the first worker was there, or the run over
        self.log.write_bytes(b"")
        self.process.stdin.write(b"\n")
        self.process.stdin.close()
        while self.process.poll() is None and not workers_of(self.process.pid):
            time.sleep(0.002)
        return time.monotonic()

    def end(self) -> int:  # exit code, negative for a signal
        return self.process.wait(PATIENCE)

    def kill(self, target: str, rng: np.random.Generator) -> bool:  # whether there was somebody to kill
        workers = workers_of(self.process.pid)
        if target == "a worker" and not workers:
            return False
        pid = int(rng.choice(workers)) if target == "a worker" else self.process.pid
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if target == "the whole group" else os.kill)(pid, signal.SIGKILL)
        return True

    def clear(self) -> bool:  # whether nobody was left
        "Kill what is left of the group, which ought to be nothing a few seconds after the main process ended."
        deadline = time.monotonic() + 20
        while group_lives(self.process.pid):
            if time.monotonic() > deadline:
                os.killpg(self.process.pid, signal.SIGKILL)
                return False
            time.sleep(0.05)
        return True


@dataclass
class Tally:
    "What came of the kills."

    kills: int = 0  # that hit a run at work
    of: Counter = field(default_factory=Counter)  # target -> kills
    writing: int = 0  # kills while a file was being written
    folders: int = 0  # finished and compared
    shards: int = 0  # of an uninterrupted run
    start: float = 0  # seconds from its first worker on until it writes
    seconds: float = 0  # and until it ends
    wrong: list[str] = field(default_factory=list)  # what should not be


@contextlib.contextmanager
def _runs(data: Path, out: Path) -> Iterator:
    "`next_run()`: a run that has been importing since the one before; none outlives the block."
    runs = [Run(data, out)]

    def next_run():
        runs.append(Run(data, out))
        return runs[-2]

    try:
        yield next_run
    finally:
        for run in runs:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.process.pid, signal.SIGKILL)
            run.process.wait()


def kill_often(
    data: Path,  # corpus
    place: Path,  # an empty folder to work in
    kills: int,  # at least so many
    seed: int = 0,
    said=lambda tally: None,  # told after each folder
) -> Tally:
    "Kill runs into one folder until one gets through, compare with an uninterrupted run, begin afresh."
    rng, tally, out = np.random.default_rng(seed), Tally(), place / "killed"
    with _runs(data, place / "whole") as next_run:
        run = next_run()
        began = run.begin()
        while run.process.poll() is None and not any(run.out.glob(".*.part")):
            time.sleep(0.002)
        tally.start = time.monotonic() - began
        if run.end():
            raise RuntimeError(f"the uninterrupted run failed: {run.log.read_text()}")
        tally.seconds = time.monotonic() - began
    whole = contents(place / "whole")
    tally.shards = sum(name.endswith(".arrow") for name in whole)
    with _runs(data, out) as next_run:
        while tally.kills < kills:
            past = []
            while not (past and past[-1].process.returncode == 0):
                past.append(next_run())
                _one(past[-1], whole, rng, tally)
            if contents(out) != whole:
                tally.wrong.append(f"folder {tally.folders}: {_differences(contents(out), whole)} differ")
            if not all([run.clear() for run in past]):
                tally.wrong.append(f"folder {tally.folders}: a worker lives on without its main process")
            if left := [path.name for path in out.iterdir() if path.name.endswith(".part")]:
                tally.wrong.append(f"folder {tally.folders}: {left} left behind")
            tally.folders += 1
            shutil.rmtree(out)
            said(tally)
    return tally


def _wait_for_moment(run: Run, rng: np.random.Generator, tally: Tally) -> None:
    """Wait for a random moment, or for the end of the run.

    Moments are even over what a run does, not over seconds by the clock: so many shards and part of the time of one more.
    So as many kills hit on a busy machine."""
    before, draw = len([*run.out.glob("*.arrow")]), rng.random(2)
    began, shard = run.begin(), (tally.seconds - tally.start) / tally.shards
    if rng.random() < START:
        pause = draw[0] * tally.start
    else:
        finished, pause = before + int(draw[0] * (tally.shards - before)), draw[1] * shard
        while run.process.poll() is None and not (
            len([*run.out.glob("*.arrow")]) >= finished and (finished > before or any(run.out.glob(".*.part")))
        ):
            time.sleep(0.002)
        began = time.monotonic()
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.process.wait(max(began + pause - time.monotonic(), 0))


def _one(run: Run, whole: dict[str, bytes], rng: np.random.Generator, tally: Tally) -> None:
    "One run and its kill."
    target = str(rng.choice(TARGETS))
    if rng.random() < THROUGH:
        run.begin()
        run.end()
    else:
        _wait_for_moment(run, rng, tally)
    if run.process.poll() is not None or not run.kill(target, rng):
        if run.end():
            tally.wrong.append(f"exit code {run.process.returncode} without a kill: {run.log.read_text()}")
        return
    writing = any(path.name.endswith(".part") for path in run.out.iterdir())
    code, log = run.end(), run.log.read_text()
    if code == 0:  # all was done already
        return
    tally.kills += 1
    tally.of[target] += 1
    tally.writing += writing
    if target == "a worker" and (code != 2 or "Traceback" in log):
        tally.wrong.append(f"a killed worker gives exit code {code} and {log!r}")
    now = contents(run.out)
    if different := _differences(now, {name: whole.get(name) for name in now}):
        tally.wrong.append(f"kill {tally.kills}: {different} differ")
    for path in run.out.glob("*.arrow"):
        try:
            with pa.memory_map(str(path)) as file:
                pa.ipc.open_file(file).read_all()
        except pa.ArrowException as error:
            tally.wrong.append(f"kill {tally.kills}: {path.name} is no Arrow file ({error})")


def _differences(found: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    return sorted(name for name in found | expected if found.get(name) != expected.get(name))
