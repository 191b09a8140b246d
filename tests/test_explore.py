"The explore notebooks as files: what a reader of the repository gets."

import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "nbs/explore").glob("*.ipynb"))
RECORDS = ("experiments", "real_hands", "realism")  # of what was tried, whatever data there are


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_first_screen(path):
    first = "".join(json.loads(path.read_text())["cells"][0]["source"])
    second = "".join(json.loads(path.read_text())["cells"][1]["source"])
    assert first.startswith(f"# {path.stem}\n\n> ")
    assert "**What it shows:**" in first + second and "**Which data " in first + second


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem not in RECORDS], ids=lambda path: path.stem)
def test_notebook_of_any_data(path):
    cells = json.loads(path.read_text())["cells"]
    parameters = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    assert len(parameters) == 1 and cells.index(parameters[0]) == 1
    assert all(": " in line and " = " in line and "  # " in line for line in parameters[0]["source"])
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    said = "".join("".join(output.get("data", {}).get("text/markdown", "")) for output in outputs)
    assert "not competition data" in said and "Looking at" in said
