"Kills at random moments leave nothing half made that passes for whole; the run after them ends in the same bytes."

import contextlib
import multiprocessing
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import broken  # noqa: E402
import kills  # noqa: E402
from landmark_files import KIT, write_corpus  # noqa: E402

from aslkit.competition import KitError  # noqa: E402
from aslkit.prepare import _processes  # noqa: E402

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds worker processes in /proc")


@needs_proc
def test_killed_at_random_moments(tmp_path):
    tally = kills.kill_often(write_corpus(tmp_path / "data", 10, 40, 6400, KIT), tmp_path, kills=12, seed=0)
    assert not tally.wrong, "\n".join(tally.wrong)
    assert tally.kills >= 12 and tally.folders >= 1


@needs_proc
def test_killed_while_it_hands_over_what_it_found():
    "Half a message in a pipe that others hold open as well would be waited for until the end of time."
    size, errors = 300_000_000, []

    def work():
        try:
            with _processes(2) as crew:
                list(crew(bytes, [size, 1]))
        except KitError as error:
            errors.append(error)

    before = multiprocessing.active_children()
    main = threading.Thread(target=work, daemon=True)
    main.start()
    while main.is_alive():
        for worker in set(multiprocessing.active_children()) - set(before):
            with contextlib.suppress(OSError):
                if any(name in Path(f"/proc/{worker.pid}/wchan").read_text() for name in ("pipe_write", "sock_alloc_send")):
                    worker.kill()  # it waits for room in the pipe
    main.join(30)
    assert not main.is_alive(), "hangs"
    if not errors:
        pytest.skip("it was quicker than the kill")
    assert "a worker process ended early" in str(errors[0])


def test_every_kind_of_bad_input(tmp_path):
    assert broken.check(tmp_path / "data", tmp_path / "out") == {}
