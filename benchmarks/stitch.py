"""The stitcher's speed, in clips a second a core, and its memory, for 20,000 clips against 2,000.

Every run is a process of its own; time counts from the call of `stitch` to its return, with the letter bank already read."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from common import OUT, figure, report

RUN = """
import json, resource, sys, time
from aslkit.hands import recorded_bank, sign_table
from aslkit.stitch import stitch
if __name__ == "__main__":
    out, clips, workers, prepared = sys.argv[1], *map(int, sys.argv[2:])
    sign_table(recorded_bank())
    start = time.perf_counter()
    stitch(out, clips, signers=94, workers=workers, prepared=bool(prepared))
    seconds = time.perf_counter() - start
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({"seconds": seconds, "peak": peak * 1024}))
"""


def run(clips: int, workers: int, prepared: bool) -> dict:  # seconds; peak, bytes: main process plus its largest worker
    "Stitch a corpus in a process of its own and throw it away."
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "run.py"
        script.write_text(RUN)
        command = [sys.executable, str(script), str(Path(folder) / "corpus"), str(clips), str(workers), str(int(prepared))]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(done.stdout)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=2000, help="clips of the runs that are timed; a tenth in the full layout")
    parser.add_argument("--many", type=int, default=20_000, help="clips of the run whose memory is compared")
    parser.add_argument("--out", type=Path, default=OUT)
    settings = parser.parse_args(arguments)
    cores, few = os.cpu_count() or 1, settings.clips
    one, all_cores = run(few, 1, True), run(few, cores, True)
    full, full_all = run(few // 10, 1, False), run(few // 2, cores, False)
    many = run(settings.many, cores, True)
    speed = settings.many / many["seconds"] / cores
    figures = {
        "prepared, one worker": figure(few / one["seconds"], "clips/s/core", 150),
        f"prepared, {cores} workers": figure(few / all_cores["seconds"] / cores, "clips/s/core"),
        f"prepared, {cores} workers, {settings.many:,} clips": figure(speed, "clips/s/core", 150),
        "full layout, one worker": figure(few // 10 / full["seconds"], "clips/s/core", 20),
        f"full layout, {cores} workers": figure(few // 2 / full_all["seconds"] / cores, "clips/s/core", 20),
        f"peak memory, {settings.many:,} clips against {few:,}": figure(many["peak"] / all_cores["peak"], "x", 1.3, "lower"),
        f"peak memory, {settings.many:,} clips": figure(many["peak"] / 2**30, "GiB", None, "lower"),
        f"peak memory, full layout, {few // 2:,} clips": figure(full_all["peak"] / 2**30, "GiB", None, "lower"),
    }
    report("stitch", figures, settings.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
