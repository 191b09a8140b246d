"""Say what in this checkout is not what its notebooks make of it; change nothing.

Three checks, in a copy of the checkout: clean notebooks, exported modules, README.md. One line for each that fails.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKS = {
    "clean": "not clean: run `nbdev-clean; nbdev-clean --fname kaggle_kernels`, or once and for all `nbdev-install-hooks`",
    "export": "not what the notebooks export: edit the notebook, not the module, then run `nbdev-export`",
    "readme": "not what nbs/index.ipynb gives: run `make readme`",
}


def copy(root, to):
    "The files that git knows or would add, as they are in the work tree."
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (root / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, to / name)


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def commands(check):
    tool = Path(sys.executable).parent
    if check == "clean":
        return [[tool / "nbdev-clean"], [tool / "nbdev-clean", "--fname", "kaggle_kernels"]]
    return [[tool / "nbdev-export"]] if check == "export" else [[sys.executable, "tools/readme.py"]]


def drifted(root, check):
    "The files that a check's commands would change."
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        copy(root, folder)
        before = contents(folder)
        for command in commands(check):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
        after = contents(folder)
    return sorted(str(path) for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def main():
    failed = False
    for check, message in CHECKS.items():
        if found := drifted(Path(__file__).parent.parent, check):
            print(f"{check}: {', '.join(found)}: {message}, and commit the result.", file=sys.stderr)
            failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()
