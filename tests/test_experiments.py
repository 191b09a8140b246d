"The table of experiments: every row of every plan is a training of its own that can be run, and is run once."

import os
import sys
from pathlib import Path

import pandas as pd
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import experiments  # noqa: E402

from aslkit.augment import POLICIES  # noqa: E402
from aslkit.params import TrainParams, network_arguments  # noqa: E402


@pytest.mark.parametrize("plan", experiments.PLANS)
def test_rows_can_be_trained_and_differ(plan):
    found = {}
    for row, changes in experiments.PLANS[plan].items():
        chosen = experiments.parameters(changes, experiments.options([plan]))
        masks = chosen.pop("masks")
        params = TrainParams.from_dict(chosen | {"prepared": "corpus", "run": "run"})
        members = POLICIES[params.augment]["members"]
        found[row] = vars(params) | {
            "network": network_arguments(params.preset, params.network),
            "augment": members,
            "masks": masks,
        }
    assert [row for row in found if list(found.values()).count(found[row]) > 1] == []


def test_a_row_is_trained_and_judged_once(made_hands, tmp_path, capsys, monkeypatch):
    letters, phrases = map(str, made_hands)
    small = "--clips 16 --signers 6 --drills 0.5 --seen 24 --judged 4 --batch-size 8".split()
    wanted = ["tiny", "--only", "tiny", "without masks", *small, "--letters", letters, "--phrases", phrases]
    wanted += [
        "--work",
        str(tmp_path / "work"),
        "--out",
        str(tmp_path / "out"),
        "--save",
        "--set",
        "network=blocks=1, width=16",
    ]
    assert experiments.main(wanted) == 0
    table = pd.read_csv(tmp_path / "out/experiments.csv")
    assert table.row.tolist() == ["tiny", "without masks"] and table["clips seen"].between(16, 48).all()
    assert table[["stitched", "real hands"]].le(1).all(axis=None)
    assert (tmp_path / "out/without masks.weights.h5").exists() and "real hands, without masks" in capsys.readouterr().out
    monkeypatch.setattr(experiments, "train", lambda *given: pytest.fail("trained a second time"))
    assert experiments.main(wanted) == 0
