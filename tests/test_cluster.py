"`prepare` on a Dask cluster of real processes: the same bytes, also when workers die; one sentence when it cannot be."

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

distributed = pytest.importorskip("distributed")
sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

from landmark_files import KIT, write_corpus  # noqa: E402

import aslkit  # noqa: E402
from aslkit.competition import KitError  # noqa: E402
from aslkit.prepare import prepare  # noqa: E402

PATIENCE = 60  # seconds, on a busy machine
SINGLE = ("--nthreads", "1", "--no-dashboard")  # threads of a worker would write at the same time


def until(true, what):
    "The first true value of `true()`."
    deadline = time.monotonic() + PATIENCE
    while not (found := true()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.001)
    return found


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    "A corpus of six files, and what one process makes of it."
    folder = tmp_path_factory.mktemp("whole")
    data = write_corpus(folder / "data", 6, 60, 9600, KIT)
    prepare(data, folder / "out", workers=1, progress=False)
    return data, contents(folder / "out")


class Cluster:
    "A scheduler and workers, each a process group of its own."

    def __init__(self, folder, **environment):
        self.folder, self.workers = folder, []
        file = folder / "scheduler.json"
        words = ("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file)
        self.scheduler = self._start(*words, **environment)
        self.address = json.loads(until(lambda: file.exists() and file.read_text(), "the scheduler"))["address"]

    def _start(self, role, *words, **environment):
        command = [sys.executable, "-m", f"distributed.cli.dask_{role}", *map(str, words)]
        with open(self.folder / f"{role}.log", "ab") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=os.environ | environment, stdout=log, stderr=log, start_new_session=True
            )

    def start(self, count, *options, preload="", wait=True):
        "Start workers that run `preload` first; wait until the scheduler knows them."
        file = self.folder / f"preload{len(self.workers)}.py"
        file.write_text(preload)
        options = (*SINGLE, "--local-directory", self.folder, "--preload", file, *options)
        self.workers += [self._start("worker", self.address, *options) for _ in range(count)]
        if wait:
            self.wait_for(len(self.workers))

    def wait_for(self, count):
        with distributed.Client(self.address, timeout=PATIENCE) as client:
            until(lambda: len(client.scheduler_info(n_workers=-1)["workers"]) == count, f"{count} workers")

    def stop(self, *processes):
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def clear(self):
        "Stop the workers."
        self.stop(*self.workers)
        self.workers.clear()
        if self.scheduler.poll() is None:
            self.wait_for(0)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.stop(*cluster.workers, cluster.scheduler)


@pytest.fixture
def cluster(shared):
    "A scheduler without workers."
    yield shared
    shared.clear()


class Command:
    "`aslkit prepare --scheduler ADDRESS`, begun; `before` runs first in its process."

    def __init__(self, data, out, address, before="pass"):
        code = f"{before}\nfrom aslkit.cli import main\nmain()"
        words = [sys.executable, "-c", code, "prepare", "--data", data, "--out", out, "--scheduler", address]
        self.out = out
        self.process = subprocess.Popen(words, cwd=out.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(self):
        try:
            printed, errors = self.process.communicate(timeout=PATIENCE)
        finally:
            self.process.kill()
        assert "Traceback" not in errors and "distributed." not in errors, errors
        return self.process.returncode, errors

    def sentence(self):
        "What it says when it cannot go on."
        code, errors = self.end()
        assert code == 2, errors
        return errors.splitlines()[-1]


@pytest.fixture(scope="module", autouse=True)
def unanswered(whole, tmp_path_factory):
    "A command that waits in vain, for ten seconds, while the other tests run."
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        command = Command(whole[0], tmp_path_factory.mktemp("unanswered") / "out", address)
        yield address, command
        command.process.kill()


def stop_in_write(out):
    "The id of a worker process that is stopped while it writes a shard."

    def stopped():
        for part in out.glob(".*.part"):
            worker = int(part.name.split(".")[-2])
            os.kill(worker, signal.SIGSTOP)
            if part.exists():
                return worker
            os.kill(worker, signal.SIGCONT)

    return until(stopped, "a worker that writes")


# ---- the same bytes


def test_same_bytes_as_one_process(whole, cluster, tmp_path):
    data, expected = whole
    cluster.start(2, "--no-nanny")
    code, _ = Command(data, tmp_path / "out", cluster.address).end()
    assert code == 0
    assert contents(tmp_path / "out") == expected


@pytest.mark.parametrize("workers, nanny", [(2, "--no-nanny"), (1, "--nanny")], ids=["another takes over", "it comes back"])
def test_a_worker_killed_while_it_writes(whole, cluster, tmp_path, workers, nanny):
    data, expected = whole
    cluster.start(workers, nanny)
    command = Command(data, tmp_path / "out", cluster.address)
    os.kill(stop_in_write(tmp_path / "out"), signal.SIGKILL)
    code, errors = command.end()
    assert code == 0, errors
    assert contents(tmp_path / "out") == expected


def test_goes_on_where_processes_of_this_machine_stopped(whole, cluster, tmp_path):
    data, expected = whole
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "out").mkdir()
    for name in list(expected)[-4:]:
        (tmp_path / "out" / name).write_bytes(expected[name])
    cluster.start(1, "--no-nanny")
    report = prepare(tmp_path / "data", tmp_path / "out", scheduler=cluster.address, progress=False)
    assert (len(report["files"]["kept"]), len(report["files"]["done"])) == (4, 2)
    assert contents(tmp_path / "out") == expected


# ---- what the user can mend


def test_nobody_at_the_address(unanswered):
    address, command = unanswered
    found = command.sentence()
    assert found.startswith(f"no Dask scheduler answers at {address}") and found.endswith("`dask scheduler`.")
    assert not command.out.exists()


def test_no_address(whole, tmp_path):
    assert Command(whole[0], tmp_path / "out", "over there").sentence().startswith("no Dask scheduler answers at over there")


def test_dask_is_not_installed(whole, tmp_path):
    before = "import sys; sys.modules['distributed'] = None"
    found = Command(whole[0], tmp_path / "out", "tcp://127.0.0.1:1", before).sentence()
    assert found == "Dask is not installed; install it with: pip install 'aslkit[cluster]'."


def test_no_workers(whole, cluster, tmp_path):
    found = Command(whole[0], tmp_path / "out", cluster.address).sentence()
    assert found == "the Dask scheduler has no workers; start some with `dask worker ADDRESS`."


BLIND = """
import pathlib
pathlib.Path.is_dir = lambda path, seen=pathlib.Path.is_dir: path.name != "out" and seen(path)
"""
OLD = "import aslkit; aslkit.__version__ = '0.0.1'"
NONE = "import sys; sys.modules['aslkit'] = None"


def test_workers_that_cannot_help(whole, cluster, tmp_path):
    for preload in (BLIND, OLD, NONE):
        cluster.start(1, "--no-nanny", preload=preload, wait=False)
    cluster.wait_for(3)
    found = set()
    while len(found) < 3:
        with pytest.raises(KitError, match="the Dask worker at tcp") as error:
            prepare(whole[0], tmp_path / "out", scheduler=cluster.address, progress=False)
        assert error.value.remedy == f"give every worker aslkit {aslkit.__version__} and both folders under the same names"
        address, problem = re.fullmatch(r"the Dask worker at (\S+) (.*)", error.value.problem, re.DOTALL).groups()
        found.add(problem.partition(" (")[0])
        with distributed.Client(cluster.address, timeout=PATIENCE) as client:
            client.retire_workers([address])
    assert found == {f"does not see the folder {tmp_path / 'out'}", "has aslkit 0.0.1", "has no aslkit"}


def test_no_worker_is_left(whole, cluster, tmp_path):
    data, expected = whole
    cluster.start(1, "--no-nanny")
    command = Command(data, tmp_path / "out", cluster.address, "import aslkit.prepare; aslkit.prepare.PATIENCE = 2")
    os.kill(stop_in_write(tmp_path / "out"), signal.SIGKILL)
    assert command.sentence().startswith("no Dask worker is left; start some")
    prepare(data, tmp_path / "out", workers=1, progress=False)
    assert contents(tmp_path / "out") == expected


def test_a_file_that_kills_workers_and_a_scheduler_that_goes(whole, tmp_path):
    data, expected = whole
    cluster = Cluster(tmp_path, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
    try:
        cluster.start(1, "--nanny")
        command = Command(data, tmp_path / "out", cluster.address)
        os.kill(stop_in_write(tmp_path / "out"), signal.SIGKILL)
        assert command.sentence().startswith("several Dask workers died over one file")
        cluster.wait_for(1)
        command = Command(data, tmp_path / "out", cluster.address)
        stop_in_write(tmp_path / "out")
        cluster.stop(cluster.scheduler)
        assert command.sentence().startswith("the connection to the Dask scheduler is lost")
    finally:
        cluster.stop(*cluster.workers, cluster.scheduler)
    prepare(data, tmp_path / "out", workers=1, progress=False)
    assert contents(tmp_path / "out") == expected
