"A corpus with every kind of broken input at once, and whether `prepare` reported each and kept the rest."

from pathlib import Path

import numpy as np
import pandas as pd
from landmark_files import KIT, write_corpus

from aslkit.corpus import Corpus
from aslkit.prepare import prepare

CLIPS = 4  # in each file

# what prepare calls it -> what the issue calls it; file k of the corpus has trouble number k
TROUBLE = {
    "unreadable file": "truncated parquet",
    "missing column": "missing column",
    "wrong type": "wrong dtype",
    "nothing seen": "NaN-only clip",
    "file without rows": "zero frames",
    "frames out of order": "unsorted rows",
    "split clip": "split rows",
    "repeated sequence_id": "duplicate sequence_id",
    "unknown character": "phrase outside the alphabet",
    "clip without frames": "csv row without frames",
    "frames without a row": "frames without row",
}


def spoil(data: Path) -> dict[str, list[int]]:  # kind -> sequence_id of each row that cannot be kept, or of the stranger
    "A corpus of 12 files, trouble number k in file k, the last one sound."
    write_corpus(data, len(TROUBLE) + 1, CLIPS, 160 * CLIPS, KIT)
    paths = [data / f"train_landmarks/{k}.parquet" for k in range(len(TROUBLE))]
    frames, rows = [pd.read_parquet(path) for path in paths], pd.read_csv(data / "train.csv")
    ids = [table.index.unique().tolist() for table in frames]
    frames[1] = frames[1].drop(columns=KIT[7])
    frames[2][KIT[5]] = "far"
    frames[3].loc[ids[3][1], KIT] = np.nan
    frames[4] = frames[4][:0]
    frames[5] = frames[5].iloc[np.r_[1, 0, 2 : len(frames[5])]]
    frames[6] = pd.concat([frames[6][5:], frames[6][:5]])
    frames[7] = frames[7].drop(index=ids[7][1])
    frames[9] = frames[9].drop(index=ids[9][1])
    for path, table in zip(paths, frames):
        table.to_parquet(path)
    whole = paths[0].read_bytes()
    paths[0].write_bytes(whole[: len(whole) // 2])
    rows.loc[rows.sequence_id == ids[7][1], "sequence_id"] = ids[7][2]
    rows.loc[rows.sequence_id == ids[8][1], "phrase"] = "über"
    rows[rows.sequence_id != ids[10][1]].to_csv(data / "train.csv", index=False)
    one = [[ids[k][1]] for k in range(len(TROUBLE))]
    lost = [*ids[:3], one[3], ids[4], ids[5][:1], ids[6][:1], [ids[7][2]] * 2, *one[8:]]
    return dict(zip(TROUBLE, lost))


def check(
    data: Path,  # folder for the spoiled corpus
    out: Path,  # folder for what can be prepared of it
) -> dict[str, str]:  # kind, or "the rest" -> what is wrong; nothing where all is right
    "Prepare a spoiled corpus and look at report and clips."
    lost, wrong = spoil(data), {}
    report = prepare(data, out, workers=1, progress=False)
    for k, (kind, clips) in enumerate(lost.items()):
        entries = [entry for entry in report["set_aside"] if entry["kind"] == kind]
        named = [entry["sequence_id"] for entry in entries if entry["sequence_id"] is not None]
        place = "train.csv" if k in (7, 8, 9) else f"train_landmarks/{k}.parquet"  # a row, or a file
        if report["why"].get(kind) != len(clips) or {entry["file"] for entry in entries} != {place}:
            wrong[kind] = f"{len(clips)} clips of {place} are lost, the report says {entries}"
        elif named and named != clips:
            wrong[kind] = f"{clips} are lost, the report says {named}"
    if more := report["why"].keys() - lost.keys():
        wrong["the rest"] = f"also reported: {more}"
    elif problem := _not_kept(data, out, {i for clips in lost.values() for i in clips}):
        wrong["the rest"] = problem
    return wrong


def _not_kept(data: Path, out: Path, lost: set[int]) -> str:
    "Which of the other clips is missing or has other landmarks than its file, if any."
    rows, corpus = pd.read_csv(data / "train.csv"), Corpus(out)
    expected = rows[~rows.sequence_id.isin(lost)].set_index("sequence_id")
    if set(corpus.clips.sequence_id) != set(expected.index) or len(corpus) != len(expected):
        return f"kept are {sorted(corpus.clips.sequence_id)}, not {sorted(expected.index)}"
    for path, ids in expected.groupby("path").groups.items():
        table = pd.read_parquet(data / path)[corpus.landmark_set.columns]
        for row in np.flatnonzero(corpus.clips.sequence_id.isin(ids)):
            clip = table.loc[corpus.clips.sequence_id[row]].to_numpy(np.float32).astype(np.float16)
            if not np.array_equal(corpus.landmarks(row).reshape(clip.shape), clip, equal_nan=True):
                return f"clip {corpus.clips.sequence_id[row]} has other landmarks than {path}"
    return ""
