"""`aslkit prepare` and the loader on landmark files of real size: against bare reading, the usual way, kills and bad input.

Every timed run is a process of its own; time counts from the start of its workers to their end, imports in workers included."""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from broken import TROUBLE, check
from common import OUT, figure, report
from kills import TARGETS, Tally, kill_often
from landmark_files import KIT, write_corpus

GB, CLIP = 1e9, 160 * 130 * 3 * 2  # bytes; CLIP: of a mean clip in half precision
CLIPS, ROWS = 1000, 160_000  # of a landmark file


def said(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def job(*words) -> dict:  # what the job prints
    "Run a job of prepare_jobs.py; it and its workers are gone afterwards, whatever happens."
    command = [sys.executable, str(Path(__file__).with_name("prepare_jobs.py")), *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        printed, errors = process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{errors}")
    return json.loads(printed.splitlines()[-1])


class Place:
    "Folders: of the corpora, each made when it is first asked for, and of all that goes at the end."

    def __init__(self, made: Path, work: Path, settings: argparse.Namespace):
        self.made, self.work, self.settings = made, work, settings

    def fresh(self, name: str) -> Path:  # a path with nothing there
        shutil.rmtree(self.work / name, ignore_errors=True)
        return self.work / name

    def real(self) -> Path:
        "Landmark files of real size, in the page cache."
        data = write_corpus(self.made / "real", self.settings.files, CLIPS, ROWS, said=lambda file: said(f"making {file}"))
        for path in data.glob("train_landmarks/*.parquet"):
            with open(path, "rb") as file:
                while file.read(2**24):
                    pass
        return data

    def one(self) -> Path:
        "The first of them, alone."
        landmarks = self.made / "one" / "train_landmarks"
        landmarks.mkdir(parents=True, exist_ok=True)
        if not (landmarks / "0.parquet").exists():
            (landmarks / "0.parquet").hardlink_to(self.real() / "train_landmarks/0.parquet")
        return write_corpus(self.made / "one", 1, CLIPS, ROWS)

    def long(self) -> Path:
        "One file with many times the rows in one row group, the columns of the landmark set only."
        times, making = self.settings.times, lambda file: said("making the long file")
        return write_corpus(self.made / f"long{times}", 1, CLIPS * times, ROWS * times, KIT, making)


def measure_read(place: Place) -> dict[str, dict]:
    data, workers, seconds = place.real(), place.settings.workers, {"bare": [], "lean": [], "prepare": []}
    peaks = []
    for _ in range(place.settings.repeats):
        for how in ("bare", "lean"):
            seconds[how].append(job("read", how, data, workers)["seconds"])
        found = job("prepare", data, place.fresh("prepared"), workers)
        seconds["prepare"].append(found["seconds"])
        peaks.append(found["worker peak"] if workers > 1 else found["peak"])
        said("  ".join(f"{how} {values[-1]:.2f} s" for how, values in seconds.items()))
    bare, lean, prepare = (median(values) for values in seconds.values())
    return {
        "prepare against the bare read": figure(prepare / bare, "x", 2.0, "lower"),
        "prepare against the leanest read": figure(prepare / lean, "x", None, "lower"),
        "prepare, a file and worker": figure(prepare * workers / place.settings.files, "s", None, "lower"),
        "peak memory of a worker": figure(max(peaks) / GB, "GB", 1.5, "lower"),
    }


def measure_usual(place: Place) -> dict[str, dict]:
    data, seconds = place.one(), []
    for _ in range(place.settings.repeats):
        seconds.append(job("prepare", data, place.fresh("prepared-one"), 1)["seconds"])
    usual = job("usual", data, place.work / "one.tfrecord")["seconds"]
    said(f"prepare {median(seconds):.2f} s  the usual way {usual:.2f} s")
    return {"the usual way against prepare, one file, one process": figure(usual / median(seconds), "x", 10)}


def measure_memory(place: Place) -> dict[str, dict]:
    found = job("prepare", place.long(), place.fresh("prepared-long"), 1)
    place.fresh("prepared-long")
    name = f"peak memory, {place.settings.times} times the rows in one row group"
    return {name: figure(found["peak"] / GB, "GB", 1.5, "lower")}


def measure_loader(place: Place) -> dict[str, dict]:
    out = place.fresh("prepared")
    job("prepare", place.real(), out, place.settings.workers)
    found = job("load", out, place.settings.epochs)
    first, *rates = found["rates"]
    copy = median(found["copy two"])
    bound = copy / CLIP
    wanted = min(20_000, bound)
    said(f"the loader's bound is {'20,000 clips/s' if wanted == 20_000 else 'the copy bandwidth'}, the lower of the two")
    return {
        "loader": figure(median(rates), "clips/s", wanted),
        "loader, first epoch": figure(first, "clips/s"),
        "copy, one thread": figure(median(found["copy one"]) / GB, "GB/s"),
        "copy, two threads": figure(copy / GB, "GB/s"),
        "clips that two copying threads could copy": figure(bound, "clips/s"),
        "padding": figure(found["padding"], "share", 0.15, "lower"),
        "mean clip": figure(found["frames"], "frames"),
    }


def measure_kills(place: Place) -> dict[str, dict]:
    data = write_corpus(place.made / "small", 16, 100, 20_000, KIT)
    work = place.fresh("kills")
    work.mkdir()

    def progress(tally: Tally) -> None:
        said(f"{tally.kills} kills, {tally.folders} folders, {len(tally.wrong)} wrong")

    tally = kill_often(data, work, place.settings.kills, place.settings.seed, progress)
    place.fresh("kills")
    for wrong in tally.wrong:
        said(wrong)
    return {
        "kills": figure(tally.kills, "kills", place.settings.kills),
        **{f"kills of {target}": figure(tally.of[target], "kills") for target in TARGETS},
        "kills while a file was written": figure(tally.writing, "kills"),
        "folders finished and compared": figure(tally.folders, "folders"),
        "differences after kills": figure(len(tally.wrong), "folders", 0, "lower"),
    }


def measure_broken(place: Place) -> dict[str, dict]:
    wrong = check(place.fresh("broken"), place.fresh("mended"))
    for kind, what in wrong.items():
        said(f"{kind}: {what}")
    return {
        "kinds of bad input reported right": figure(len(TROUBLE) - len(wrong.keys() - {"the rest"}), "kinds", len(TROUBLE)),
        "everything else kept": figure("the rest" not in wrong, "yes", 1),
    }


PARTS = {
    "read": measure_read,
    "usual": measure_usual,
    "memory": measure_memory,
    "loader": measure_loader,
    "kills": measure_kills,
    "broken": measure_broken,
}


def needed(parts: Sequence[str], settings: argparse.Namespace) -> float:  # bytes
    "Disk space for what the parts make: files of 1.5 GB and their shards, a long file and its shard."
    big = settings.files * 1.65 * GB if {"read", "usual", "loader"} & {*parts} else 0
    return big + ("usual" in parts) * 0.5 * GB + ("memory" in parts) * settings.times * 0.4 * GB + ("kills" in parts) * 1.2 * GB


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", type=lambda text: text.split(","), default=[*PARTS], help=f"some of {','.join(PARTS)}")
    parser.add_argument("--folder", type=Path, help="keep the made files here and use them again")
    parser.add_argument("--files", type=int, default=4, help="landmark files of 1.5 GB; all must fit into free memory")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each way of reading, in turn")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--times", type=int, default=10, help="times the rows, in the file with the long row group")
    parser.add_argument("--epochs", type=int, default=15, help="of the loader")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the kills")
    parser.add_argument("--out", type=Path, default=OUT)
    settings = parser.parse_args(arguments)
    if unknown := {*settings.only} - PARTS.keys():
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the temporary folder goes
    if settings.folder:
        settings.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.folder) as work:
        made = settings.folder or Path(work)
        there = sum(path.stat().st_size for path in made.rglob("*.parquet"))
        free, wanted = shutil.disk_usage(work).free, needed(settings.only, settings) - there
        if free < wanted:
            sys.exit(f"{made}: {wanted / GB:.1f} GB are needed, {free / GB:.1f} GB are free; try --files 1 --times 2.")
        figures = {}
        for name in settings.only:
            said(f"-- {name}")
            figures |= PARTS[name](Place(made, Path(work), settings))
    report("prepare", figures, settings.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
