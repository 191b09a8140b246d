"nbs/explore/eda on other corpora: competition files under other paths, stitched and not, with clips that cannot be used."

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aslkit.corpus import Corpus
from aslkit.prepare import prepare


def tracked(source, target):
    "A copy of a corpus as a tracker would have seen it, in no steps at all, and with rows that cannot be used."
    rng = np.random.default_rng(3)
    for path in source.glob("*_landmarks/*.parquet"):
        table = pq.read_table(path)
        columns = [
            pa.array(column.to_numpy() + rng.normal(0, 1e-5, len(column)).astype("float32"))
            if column.type == pa.float32()
            else column
            for column in table.columns
        ]
        (target / path.parent.name).mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns, schema=table.schema), target / path.parent.name / path.name)
    for path in [*source.glob("*.csv"), *source.glob("*.json")]:
        (target / path.name).write_bytes(path.read_bytes())
    clips = pd.read_csv(target / "train.csv")
    clips.loc[3, "phrase"] = "No Capitals"
    clips.loc[len(clips)] = clips.loc[5]
    clips.to_csv(target / "train.csv", index=False)
    return target


@pytest.mark.parametrize("stitcher", [True, False], ids=["stitched", "tracked"])
def test_competition_files_elsewhere(stitched, executed, tmp_path, stitcher):
    data = stitched if stitcher else tracked(stitched, tmp_path / "my disk" / "asl")
    report = prepare(data, tmp_path / "made ready", workers=1, progress=False)
    text, pictures = executed("eda", prepared="made ready", sample=30)
    train = len(Corpus(tmp_path / "made ready").clips.query("set == 'train'"))
    said = f"> Looking at the folder given as `prepared`: {report['clips']:,} clips of "
    assert said in text and pictures >= 10
    if stitcher:
        assert "not competition data" in text and not report["set_aside"]
    else:
        assert f"**Not stitched**: {train:,} of the competition's 67,208 train clips" in text
        assert "not competition data" not in text
        assert report["why"] and all(kind in text for kind in report["why"])


def test_says_what_is_wrong_with_the_folder(executed):
    from papermill.exceptions import PapermillExecutionError

    with pytest.raises(PapermillExecutionError, match=re.escape("no prepared corpus; run `aslkit prepare`")):
        executed("eda", prepared="nowhere")
