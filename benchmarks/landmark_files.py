"Landmark files of the competition's size and shape, full of noise: for what is measured or broken, never for training."

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from aslkit.competition import LANDMARK_COLUMNS, METADATA_COLUMNS, write_character_map
from aslkit.landmarks import LANDMARK_SETS

KIT = LANDMARK_SETS["kit"].columns
LONGEST = 807  # frames of the longest clip of the competition


def clip_lengths(
    rng: np.random.Generator,
    clips: int,
    rows: int,  # frames of all clips together, exactly
) -> np.ndarray:  # (clips,) frames
    "Lengths spread as in the competition: around a mean of 160 frames, give or take 84."
    lengths = np.clip((rng.gamma(3.63, rows / clips / 3.63, clips)).round(), 1, LONGEST).astype(int)
    while gap := rows - lengths.sum():
        np.add.at(lengths, rng.integers(clips, size=abs(gap)), np.sign(gap))
        lengths = lengths.clip(1, LONGEST)
    return lengths


def write_landmarks(
    path: Path,  # parquet file to write
    ids: Sequence[int],  # (clips,) sequence_id of each clip
    lengths: np.ndarray,  # (clips,) frames
    columns: Sequence[str] = LANDMARK_COLUMNS,
    seed: int = 0,
) -> None:
    "One landmark file as pandas writes it: one row group, null for NaN; a hand is missing in 41 % of frames, the other in all."
    rng, rows = np.random.default_rng(seed), int(lengths.sum())
    lost, right = rng.random(rows) < 0.41, np.repeat(rng.random(len(lengths)) < 0.8, lengths)
    time = np.arange(rows, dtype=np.float32) / 100
    arrays = {"frame": np.concatenate([np.arange(n) for n in lengths]).astype(np.int16)}
    for j, column in enumerate(columns):
        values = 0.5 + 0.2 * np.sin(time + np.float32(j)) + 0.01 * rng.standard_normal(rows, np.float32)
        if "_hand_" in column:
            values[lost | (right != ("right" in column))] = np.nan
        arrays[column] = pa.array(values, pa.float32(), from_pandas=True)
    table = pa.table(arrays | {"sequence_id": np.repeat(ids, lengths)})
    frame = table.slice(0, 1).to_pandas().set_index("sequence_id")
    table = table.replace_schema_metadata(pa.Schema.from_pandas(frame).metadata)
    part = path.with_name(path.name + ".part")
    try:
        pq.write_table(table, part, row_group_size=rows)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_corpus(
    folder: Path,  # in the competition's layout; files that are there are kept
    files: int,
    clips: int = 1000,  # in each file
    rows: int = 160_000,  # of each file
    columns: Sequence[str] = LANDMARK_COLUMNS,
    said: Callable[[str], None] = lambda text: None,  # told of each file
) -> Path:  # folder
    "A corpus of landmark files; the same arguments give the same corpus."
    (folder / "train_landmarks").mkdir(parents=True, exist_ok=True)
    tables = []
    for k in range(files):
        rng, source = np.random.default_rng([k, clips, rows]), f"train_landmarks/{k}.parquet"
        ids, lengths = 10_000_000 * (k + 1) + 7 * rng.permutation(clips), clip_lengths(rng, clips, rows)
        if not (folder / source).exists():
            said(source)
            write_landmarks(folder / source, ids, lengths, columns, seed=k)
        phrases = [f"{i % 1000:03d}-{i % 9973}" for i in ids]
        table = pd.DataFrame(dict(zip(METADATA_COLUMNS, (source, k, ids, ids % 94, phrases))))
        tables.append(table.sample(frac=1, random_state=k))
    write_character_map(folder)
    pd.concat(tables).to_csv(folder / "train.csv", index=False)
    return folder
