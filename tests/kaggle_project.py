"A small checkout that fixtures build kernels from, and what its notebook holds."

import json
import shutil
from pathlib import Path

import nbformat

REPOSITORY = Path(__file__).resolve().parents[1]
NAMES = sorted(path.parent.name for path in REPOSITORY.glob("kaggle_kernels/*/kernel-metadata.json"))
TEMPLATE = json.loads((REPOSITORY / "kaggle_kernels/train/kernel-metadata.json").read_text())

# A notebook in place of kaggle_kernels/train/train.ipynb: it writes down what it sees.
PARAMETERS = 'epochs: int = 1\nnote: str = "none"'
WITNESS = """\
import json, socket, subprocess, sys
import aslkit
from aslkit.competition import read_metadata
from aslkit.settings import read_settings

settings = read_settings()
try:
    socket.create_connection(("192.0.2.1", 80), timeout=2).close()
    network = True
except OSError:
    network = False
child = subprocess.run([sys.executable, "-c", "import aslkit; print(aslkit.__file__)"], capture_output=True, text=True)
settings.runs.mkdir(parents=True)
seen = dict(file=aslkit.__file__, child=child.stdout.strip(), epochs=epochs, note=note, network=network)
seen |= dict(data=str(settings.data), prepared=str(settings.prepared), clips=len(read_metadata(settings.data / "train.csv")))
(settings.runs / "seen.json").write_text(json.dumps(seen))
print("done")"""


def make_project(root):
    "A checkout with the kit and one small kernel."
    shutil.copytree(REPOSITORY / "aslkit", root / "aslkit", ignore=shutil.ignore_patterns("__pycache__"))
    for path in [REPOSITORY / "pyproject.toml", *REPOSITORY.glob("LICENSE*")]:
        shutil.copy(path, root)
    kernel = root / "kaggle_kernels/train"
    kernel.mkdir(parents=True)
    (kernel / "kernel-metadata.json").write_text(json.dumps(TEMPLATE))
    new = nbformat.v4.new_code_cell
    cells = [new(PARAMETERS, metadata={"tags": ["parameters"]}), nbformat.v4.new_markdown_cell("# A witness"), new(WITNESS)]
    cells[-1]["outputs"] = [nbformat.v4.new_output("stream", text="an output of some earlier run\n")]
    kernelspec = {"name": "python3", "display_name": "python3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec}), kernel / "train.ipynb")
    return root
