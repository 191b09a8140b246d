"Parameters that cannot be misspelt."

import ast
import dataclasses
import inspect
import json
import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from aslkit.competition import ParameterError
from aslkit.model import FingerspellingReader
from aslkit.params import TrainParams, network_arguments, network_changes

KERNEL = Path(__file__).parent.parent / "kaggle_kernels/train/train.ipynb"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"lerning_rate": 1e-3}, "`learning_rate`"),
        ({"batchsize": 8}, "`batch_size`"),
        ({"epoch": 8}, "`epochs`"),
        ({"zzz": 1}, "known are prepared, run, preset"),
        ({"epochs": "many"}, "parameter `epochs` is 'many'; give a whole number"),
        ({"epochs": 2.5}, "give a whole number"),
        ({"epochs": True}, "give a whole number"),
        ({"epochs": None}, "give a whole number"),
        ({"epochs": [3]}, "give a whole number"),
        ({"epochs": float("inf")}, "give a whole number"),
        ({"learning_rate": "fast"}, "parameter `learning_rate` is 'fast'; give a number"),
        ({"learning_rate": float("nan")}, "give a number"),
        ({"clip_norm": float("inf")}, "give a number"),
        ({"learning_rate": False}, "give a number"),
        ({"preset": 3}, "parameter `preset` is 3; give text"),
        ({"run": None}, "give text"),
        ({"preset": "huge"}, "`preset` is 'huge'; choose one of tiny, base, large, seed"),
        ({"augment": "heavy"}, "choose one of none, light"),
        ({"precision": "float16"}, "choose one of float32, mixed_bfloat16, mixed_float16"),
        ({"epochs": 0}, "`epochs` is 0; give a number above 0"),
        ({"batch_size": -4}, "above 0"),
        ({"learning_rate": 0}, "above 0"),
        ({"clip_norm": 0.0}, "above 0"),
        ({"held_out": 0}, "between 0 and 1"),
        ({"held_out": 1.0}, "between 0 and 1"),
        ({"warmup": 1.5}, "between 0 and 1"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"seed": -1}, "seed"),
        ({"split": "random"}, "`split` is 'random'; choose one of signer, signer and phrase"),
        ({"supplemental": -1}, "`supplemental` is -1.0; give 0 or a number above 0"),
        ({"folds": -2}, "`folds` is -2"),
        ({"folds": 1}, "`fold` is 0 and `folds` is 1; give 2 folds or more"),
        ({"folds": 3, "fold": 3}, "`fold` is 3 and `folds` is 3"),
        ({"fold": 1}, "`fold` is 1 and `folds` is 0"),
        ({"fold": -1}, "`fold` is -1"),
        ({"optimizer": "sgd"}, "`optimizer` is 'sgd'; choose one of adamw, lion, muon, radam"),
        ({"rise": "steep"}, "choose one of linear, exponential"),
        ({"ema": 1}, "`ema` is 1.0; give 0, or a momentum below 1 such as 0.999"),
        ({"ema": -0.1}, "`ema` is -0.1"),
        ({"adversarial": -1}, "`adversarial` is -1.0; give 0 or a number above 0"),
        ({"devices": -1}, "`devices` is -1; give 0 or a number above 0"),
        ({"network": 3}, "parameter `network` is 3; give text"),
        ({"network": "drop=0.1"}, "unknown argument of the network `drop`; "),
        ({"network": "widht=64"}, "unknown argument of the network `widht`; the nearest known one is `width`"),
        ({"network": "width=wide"}, "argument of the network `width` is 'wide'; give a whole number"),
        ({"network": "dropout=much"}, "argument of the network `dropout` is 'much'; give a number"),
        ({"network": "depth=yes"}, "argument of the network `depth` is 'yes'; give true or false"),
        ({"network": "limit=0.5"}, "argument of the network `limit` is '0.5'; give a whole number or none"),
        ({"network": "width"}, "`network` says 'width'; give each argument once"),
        ({"network": "width=8,width=8"}, "`network` says 'width=8' a second time; give each argument once"),
        ({"network": "augment=none"}, "`network` names `augment`; give the parameter `augment` instead"),
        ({"network": "name=mine"}, "unknown argument of the network `name`"),
    ],
)
def test_wrong_parameter(values, says):
    with pytest.raises(ParameterError) as error:
        TrainParams.from_dict({"epochs": 1} | values)
    text = str(error.value)
    assert says in text and text.endswith(".") and "\n" not in text and text.count(". ") == 0


def test_right_parameters():
    "Papermill passes numbers as text, JSON passes whole numbers as floats."
    given = {"learning_rate": "1e-3", "epochs": 2.0, "batch_size": "8", "run": Path("runs/x"), "weight_decay": 0}
    found = TrainParams.from_dict(given)
    assert found == TrainParams(learning_rate=1e-3, epochs=2, batch_size=8, run="runs/x", weight_decay=0.0)
    assert [type(v) for v in dataclasses.asdict(found).values()] == [type(f.default) for f in dataclasses.fields(TrainParams)]
    assert TrainParams.from_dict({}) == TrainParams() == TrainParams.from_dict(dataclasses.asdict(TrainParams()))


def test_every_argument_of_the_network_can_be_named():
    "As text, with the value that it has by default."
    arguments = [a for a in inspect.signature(FingerspellingReader).parameters.values() if a.kind != a.VAR_KEYWORD]
    defaults = {a.name: a.default for a in arguments if a.name != "augment"}
    assert network_changes(", ".join(f"{name}={value}" for name, value in defaults.items())) == defaults
    assert network_arguments("seed", "limit=none,width=8") == network_arguments("seed") | {"limit": None, "width": 8}


def test_the_training_notebook_has_every_parameter():
    "With the type and, but for the epochs, the default that TrainParams gives it."
    (cell,) = [c for c in json.loads(KERNEL.read_text())["cells"] if "parameters" in c["metadata"].get("tags", [])]
    given = [(n.target.id, n.annotation.id, ast.literal_eval(n.value)) for n in ast.parse("".join(cell["source"])).body]
    fields = [(f.name, f.type.__name__, f.default) for f in dataclasses.fields(TrainParams)]
    assert [(name, kind, 10 if name == "epochs" else value) for name, kind, value in given] == fields
