"The explore notebooks as files: what a reader of the repository gets."

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "nbs/explore"


@pytest.mark.parametrize("name", ["player", "errors", "training", "latency"])
def test_notebook(name):
    path = FOLDER / f"{name}.ipynb"
    cells = json.loads(path.read_text())["cells"]
    assert path.stat().st_size < 200_000
    assert max(len([line for line in cell["source"] if line.strip()]) for cell in cells) <= 40
    first, parameters = cells[0], [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    assert first["source"][0].startswith("# ") and first["source"][2].startswith("> ")
    assert "**What it shows:**" in "".join(first["source"]) and "data" in "".join(first["source"])
    assert len(parameters) == 1 and cells.index(parameters[0]) == 1
    assert all(": " in line and " = " in line and "  # " in line for line in parameters[0]["source"])
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    said = "".join("".join(output.get("data", {}).get("text/markdown", "")) for output in outputs)
    assert "not competition data" in said and "Looking at" in said
