"The jobs that benchmarks/prepare.py times, each in a process of its own: `prepare_jobs.py JOB ...` prints a line of JSON."

import json
import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path


def landmark_files(data: str) -> list[Path]:
    return sorted(Path(data).glob("train_landmarks/*.parquet"))


def kit_columns() -> list[str]:
    from aslkit.landmarks import LANDMARK_SETS

    return LANDMARK_SETS["kit"].columns


def bare_read(path: Path, columns: list[str]) -> None:
    "The plain call, which gives a table of all the columns."
    import pyarrow.parquet as pq

    pq.read_table(path, columns=columns, use_threads=False)


def lean_read(path: Path, columns: list[str]) -> None:
    "The same columns decoded in small groups and thrown away: the least that reading can cost."
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    for first in range(0, len(columns), 10):
        for _ in file.iter_batches(16_384, columns=columns[first : first + 10], use_threads=False):
            pass


def read(how: str, data: str, workers: str) -> dict:
    work = partial({"bare": bare_read, "lean": lean_read}[how], columns=["sequence_id", "frame", *kit_columns()])
    start = time.perf_counter()
    with ProcessPoolExecutor(int(workers), multiprocessing.get_context("spawn")) as pool:
        list(pool.map(work, landmark_files(data)))
    return {"seconds": time.perf_counter() - start}


def prepare(data: str, out: str, workers: str) -> dict:
    from aslkit.prepare import prepare

    start = time.perf_counter()
    report = prepare(data, out, workers=int(workers), progress=False)
    return {"seconds": time.perf_counter() - start, "clips": report["clips"]}


def usual(data: str, out: str) -> dict:
    "As the public notebooks do it: pandas, a `.loc` for each sequence, a tf.train.Example with a list for each column."
    import pandas as pd
    import tensorflow as tf

    (path,), columns = landmark_files(data), kit_columns()
    phrases = pd.read_csv(Path(data) / "train.csv").set_index("sequence_id").phrase
    start = time.perf_counter()
    table = pd.read_parquet(path, columns=columns)
    with tf.io.TFRecordWriter(out) as writer:
        for sequence_id, phrase in phrases.items():
            clip = table.loc[sequence_id].to_numpy()
            features = {
                column: tf.train.Feature(float_list=tf.train.FloatList(value=clip[:, j])) for j, column in enumerate(columns)
            }
            features["phrase"] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[phrase.encode()]))
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return {"seconds": time.perf_counter() - start, "clips": len(phrases)}


def load(out: str, epochs: str) -> dict:
    "Clips a second from a prepared corpus, and how fast this machine copies float16 arrays, in turn."
    from aslkit.batches import Batches
    from aslkit.corpus import Corpus

    corpus = Corpus(out)
    for path in Path(out).glob("*.arrow"):
        path.read_bytes()  # warm
    batches = Batches(corpus, range(len(corpus)), batch_size=64, buckets=8, seed=0)
    rates, copies, clips, real, padded = [], [], 0, 0, 0
    for _ in range(int(epochs)):
        start = time.perf_counter()
        arrived = [(inputs["landmarks"].shape, inputs["frames"]) for inputs, _ in batches.stream(epochs=1)]
        seconds = time.perf_counter() - start
        clips = sum(shape[0] for shape, _ in arrived)
        real += sum(int(frames.sum()) for _, frames in arrived)
        padded += sum(shape[0] * shape[1] for shape, _ in arrived)
        rates.append(clips / seconds)
        copies.append([copy_rate(threads) for threads in (1, 2)])
    one, two = zip(*copies)
    found = {"rates": rates, "copy one": one, "copy two": two}
    return found | {"padding": 1 - real / padded, "frames": real / clips / int(epochs)}


def copy_rate(threads: int) -> float:  # bytes a second
    "Copy 256 MB of float16 into an array that is there already."
    import numpy as np

    source, target = np.ones((threads, 2**27 // threads), np.float16), np.zeros((threads, 2**27 // threads), np.float16)
    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        list(pool.map(np.copyto, target, source))
        return source.nbytes / (time.perf_counter() - start)


if __name__ == "__main__":
    job, *words = sys.argv[1:]
    found = {"read": read, "prepare": prepare, "usual": usual, "load": load}[job](*words)
    # ru_maxrss of a process begins with what its parent held; the kernel's high-water mark does not
    (mark,) = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    found["peak"] = int(mark) * 1024
    found["worker peak"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # the largest of them
    print(json.dumps(found))
