"The explore notebooks in JupyterLab and the report of a run, as people with a browser meet them; see runs/browser."

import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from devtools import CHROMIUM, Browser, wait

from aslkit.report import report

ROOT = Path(__file__).parent.parent.parent
PICTURES = ROOT / "runs" / "browser"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not CHROMIUM, reason="NO CHROMIUM ON THIS MACHINE: NOT ONE BROWSER TEST RAN; install the package `chromium`"
    ),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    "JupyterLab on copies of the notebooks, outputs cleared, parameters as papermill would inject them; its address."
    from papermill.iorw import load_notebook_node, write_ipynb
    from papermill.parameterize import parameterize_notebook

    folder = tmp_path_factory.mktemp("lab")
    for name, parameters in {"player": {"clips": 12}, "errors": {"clips": 24, "shown": 2}}.items():
        notebook = load_notebook_node(str(ROOT / f"nbs/explore/{name}.ipynb"))
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        write_ipynb(parameterize_notebook(notebook, parameters), str(folder / f"{name}.ipynb"))
    settings = folder / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "spaces", "JUPYTER_CONFIG_DIR": "config"}
    places |= {"JUPYTER_RUNTIME_DIR": "runtime", "ASLKIT_DATA": "no", "ASLKIT_PREPARED": "no", "ASLKIT_RUNS": "no"}
    environment = os.environ | {name: str(folder / place) for name, place in places.items()} | {"PYTHONPATH": str(ROOT)}
    options = ["--no-browser", "--allow-root", f"--port={port}", "--IdentityProvider.token=", "--expose-app-in-browser"]
    command = [sys.executable, "-m", "jupyterlab", *options, f"--ServerApp.root_dir={folder}"]
    with open(folder / "lab.log", "w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    wait(lambda: answers(f"{address}/api"), 60, "JupyterLab did not start")
    yield address
    server.terminate()
    server.wait(30)


def answers(address):
    try:
        return urllib.request.urlopen(address).status == 200
    except OSError:
        return False


CELLS = "jupyterapp.shell.currentWidget.content.widgets.filter(c => c.model.type === 'code' && c.model.sharedModel.source)"


def run_all(browser, lab, name):
    "Open a notebook in JupyterLab, run all its cells, and see that none failed."
    browser.go(f"{lab}/doc/tree/{name}.ipynb")
    browser.until("!!document.querySelector('.jp-Notebook .jp-Cell')")
    browser.click(".jp-Notebook .jp-Cell")
    browser.until("jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'")
    browser.js("void jupyterapp.commands.execute('notebook:run-all-cells')")
    ended = f"{CELLS}.some(c => c.model.outputs.toJSON().some(o => o.output_type === 'error'))"
    browser.until(f"{ended} || {CELLS}.every(c => c.model.executionCount)", 120)
    outputs = json.loads(browser.js(f"JSON.stringify({CELLS}.flatMap(c => c.model.outputs.toJSON()))"))
    assert not [o["evalue"] for o in outputs if o["output_type"] == "error"]
    assert not [o["text"] for o in outputs if o.get("name") == "stderr"]
    return outputs


STATE = (
    "({text: document.querySelector('.aslkit-frame').textContent, pixels: [...document.querySelectorAll('canvas')].slice(0, 3)"
)
STATE += ".map(c => c.toDataURL())})"


def move_the_slider(browser, picture):
    "Bring the first player before the eyes, click into the slider, go on by the arrow key, and see the pictures change."
    browser.until("!!document.querySelector('.aslkit-slider')")
    browser.js("document.querySelector('.aslkit-whole').scrollIntoView({block: 'center'})")
    browser.until("getComputedStyle(document.querySelector('.aslkit-panel')).display === 'flex'")
    states = [browser.js(STATE)]
    browser.click(".aslkit-slider")  # the middle of the clip
    states.append(browser.js(STATE))
    browser.press("ArrowRight", 6)
    states.append(browser.js(STATE))
    browser.picture(PICTURES / picture)
    first, middle, later = ([int(n) for n in re.findall(r"\d+", state["text"])[:2]] for state in states)
    assert first[0] < middle[0] and later == [middle[0] + 6, middle[1]]
    whole, close, strip = zip(*(state["pixels"] for state in states))
    assert len(set(whole)) == len(set(strip)) == 3 and len(set(close)) > 1  # a hand may be lost in a frame, arms are not


def test_player_in_jupyterlab(browser, lab):
    outputs = run_all(browser, lab, "player")
    said = "".join("".join(o.get("data", {}).get("text/markdown", "")) for o in outputs)
    assert "A stitched corpus: not competition data" in said and "12 clips" in said
    move_the_slider(browser, "player.png")
    read = browser.js("document.querySelector('.aslkit-caption').textContent")
    assert read  # in the middle of the clip something has been read


def test_errors_in_jupyterlab(browser, lab):
    outputs = run_all(browser, lab, "errors")
    said = "".join("".join(o.get("data", {}).get("text/markdown", "")) for o in outputs)
    assert "A stitched corpus: not competition data" in said
    assert sum("image/png" in o.get("data", {}) for o in outputs) >= 4
    move_the_slider(browser, "errors_player.png")
    browser.js("document.querySelector('.aslkit-slips').scrollIntoView()")
    browser.picture(PICTURES / "errors.png")
    signs = browser.js("document.querySelector('.aslkit-slips').textContent")
    assert set(signs) & set("≠−+")  # a slip has a sign and not only a colour


def test_report_from_the_disk(browser, small_run, tmp_path):
    path = report(small_run, tmp_path / "a page.html", clips=2)
    browser.go("about:blank")
    browser.go(path.as_uri())
    assert [address for address in browser.asked if not address.startswith("data:")] == [path.as_uri()]
    browser.picture(PICTURES / "report.png")
    seen = browser.js("[...document.images].map(i => i.naturalWidth)")
    assert len(seen) == 4 and all(seen)
    assert browser.js("document.documentElement.scrollWidth") <= 1280
    move_the_slider(browser, "report_player.png")
