"What holds the house together: notebooks, modules, packaging, the environment, the checks themselves."

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIBRARY = sorted(ROOT.glob("nbs/[0-9]*.ipynb"))
NOTEBOOKS = sorted(
    p for top in ("nbs", "kaggle_kernels") for p in ROOT.glob(f"{top}/**/*.ipynb") if ".ipynb_checkpoints" not in p.parts
)
MODULES = sorted(p for p in ROOT.glob("aslkit/*.py") if not p.stem.startswith("_"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def cells(path):
    "Kind, directives and lines of code of each cell."
    for cell in json.loads(path.read_text())["cells"]:
        lines = "".join(cell["source"]).splitlines()
        directives = [line.removeprefix("#|").strip() for line in lines if line.startswith("#|")]
        yield cell["cell_type"], directives, [line for line in lines if line.strip() and not line.startswith("#|")]


def module_of(path):
    found = [
        d.removeprefix("default_exp").strip() for _, directives, _ in cells(path) for d in directives if "default_exp" in d
    ]
    assert len(found) == 1, f"{path.name} names {len(found)} modules in default_exp"
    return found[0]


def tracked():
    "The files that git knows or would add."
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [ROOT / name for name in found if name and (ROOT / name).is_file()]


# --- notebooks


def test_one_module_a_notebook():
    modules = [module_of(path) for path in LIBRARY]
    assert len(set(modules)) == len(modules)
    assert sorted(modules) == [path.stem for path in MODULES]


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: p.stem)
def test_library_notebook(path):
    assert module_of(path) == re.sub(r"^\d+[a-z]?_", "", path.stem)
    kinds = list(cells(path))
    titles = [lines for kind, _, lines in kinds if kind == "markdown"]
    assert titles[0][0].startswith("# ") and titles[0][1].startswith("> ")
    assert any(kind == "markdown" and "export" in directives for kind, directives, _ in kinds), "no module docstring"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: str(p.relative_to(ROOT)))
def test_notebook(path):
    notebook = json.loads(path.read_text())
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    skipped = [lines for _, directives, lines in cells(path) if any(re.match(r"eval:\s*false", d) for d in directives)]
    assert not skipped, "cells that never run"
    assert path.stat().st_size < 200_000
    long = [lines[0] for _, _, lines in cells(path) if len(lines) > 40]
    assert not long, f"cells of more than 40 lines: {long}"
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr", "".join(output["text"])[:200]
            assert not re.search("^(WARNING|INFO):", "".join(output.get("text", [])), re.MULTILINE)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: str(p.relative_to(ROOT)))
def test_papermill_knows_every_parameter(path):
    import papermill

    tagged = [cell for cell in json.loads(path.read_text())["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    names = [line.partition(":")[0] for cell in tagged for line in cell["source"]]
    assert len(tagged) <= 1 and sorted(papermill.inspect_notebook(path)) == sorted(names)


# --- modules


def run(code, *, cwd=ROOT, **environment):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True)


BLOCKED = """
import sys
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ImportError(f"{{name}} is not a run-time dependency")
sys.meta_path.insert(0, Wall())
"""


def test_modules_import_with_run_time_packages_only():
    blocked = {"fastcore", "matplotlib", "IPython", "nbdev", "nbformat", "papermill", "pose_format", "spoken_to_signed",
               "ai_edge_litert", "jax", "kaggle", "scipy", "rapidfuzz"}  # fmt: skip
    code = BLOCKED.format(blocked=blocked) + "\n".join(f"import aslkit.{path.stem}" for path in MODULES)
    done = run(code, KERAS_BACKEND="tensorflow")
    assert done.returncode == 0, done.stderr


def test_no_star_imports():
    for path in MODULES:
        stars = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom) and n.names[0].name == "*"]
        assert not stars, path.name


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_public_definitions_are_explained(path):
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


# --- packaging


def test_license():
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert PYPROJECT["project"]["license"] == "Apache-2.0"


def test_lock():
    "Every dependency is locked once for each Python; nothing leads to a registry; torch is not in it."
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pattern = r"([a-z0-9-]+)==[\w.]+( ; .+)?"
    assert all(re.fullmatch(pattern, line) for line in lines), [line for line in lines if not re.fullmatch(pattern, line)]
    locked = {line.partition("==")[0] for line in lines}
    extras = PYPROJECT["project"]["optional-dependencies"]
    wanted = PYPROJECT["project"]["dependencies"] + [d for extra in extras.values() for d in extra]
    names = {re.match(r"[\w-]+", d)[0].lower().replace("_", "-") for d in wanted} - {"aslkit"}
    assert names <= locked
    assert not locked & {"torch", "torchvision", "mediapipe"}


@pytest.mark.slow
def test_wheel_works_outside_the_checkout(tmp_path):
    source = tmp_path / "source"
    for path in tracked():
        (source / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, source / path.relative_to(ROOT))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("aslkit-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {"aslkit", wheel.name.rpartition("-py3")[0] + ".dist-info"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        tmp_path / "site",
        wheel,
    ]
    subprocess.run(command, check=True, capture_output=True)
    code = "import aslkit.competition as c; print(c.__file__); print(c.score(['abc'], ['abd']))"
    done = run(code, cwd=tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert done.stdout.split() == [str(tmp_path / "site/aslkit/competition.py"), str(2 / 3)], done.stderr
    command = [sys.executable, tmp_path / "site/bin/aslkit", "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path / "site")}, capture_output=True)
    assert done.returncode == 0 and b"stitch" in done.stdout, done.stderr


# --- traces and checks


def test_no_paths_of_this_machine():
    needles = [f"{folder}/".encode() for folder in {ROOT, Path.home(), Path(sys.prefix)} if folder != Path("/")]
    needles += [b"/tmp/tmp", b"/home/runner"]
    found = [path.name for path in tracked() if path != Path(__file__) and any(n in path.read_bytes() for n in needles)]
    assert not found


def small_checkout(folder):
    "Enough of the project for the drift checks to be quick: one notebook, its module, the front page."
    (folder / "nbs").mkdir(parents=True)
    shutil.copytree(ROOT / "tools", folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copy(ROOT / "nbs/00_competition.ipynb", folder / "nbs")
    (folder / "aslkit").mkdir()
    (folder / "aslkit/__init__.py").write_text('__version__ = "0.1.0"\n')
    front = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# aslkit\n\n> a [link](00_competition.ipynb)"}
    hidden = {"cell_type": "code", "id": "b", "metadata": {}, "source": "#| hide\n1", "outputs": [], "execution_count": None}
    kernel = {"kernelspec": {"display_name": "python3", "language": "python", "name": "python3"}}
    index = {"cells": [front, hidden], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (folder / "nbs/index.ipynb").write_text(json.dumps(index))
    tool = Path(sys.executable).parent
    for command in (
        [tool / "nbdev-clean"],
        [tool / "nbdev-export"],
        [sys.executable, "tools/readme.py"],
        ["git", "init", "-q"],
    ):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


def drift(folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = subprocess.run([sys.executable, "tools/drift.py"], cwd=folder, capture_output=True, text=True)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return done.returncode, done.stderr


@pytest.mark.slow
def test_drift_is_noticed(tmp_path):
    folder = small_checkout(tmp_path / "checkout")
    assert drift(folder) == (0, "")
    readme = (folder / "README.md").read_text()
    assert "[link](nbs/00_competition.ipynb)" in readme and "hide" not in readme

    (folder / "README.md").write_text(readme + "edited by hand\n")
    with (folder / "aslkit/competition.py").open("a") as file:
        file.write("# edited by hand\n")
    notebook = json.loads((folder / "nbs/index.ipynb").read_text())
    notebook["cells"][1]["execution_count"] = 3
    (folder / "nbs/index.ipynb").write_text(json.dumps(notebook))
    code, text = drift(folder)
    assert code == 1
    clean, export, front = text.splitlines()
    assert clean.startswith("clean: nbs/index.ipynb: not clean: run `nbdev-clean")
    assert export.startswith("export: aslkit/competition.py: not what the notebooks export: edit the notebook")
    assert front.startswith("readme: README.md: not what nbs/index.ipynb gives: run `make readme`")
