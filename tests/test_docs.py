"The documentation site, without building it: what is in it, where its links lead, what the check of a built site notices."

import ast
import json
import re
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import docs  # noqa: E402


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "source"
    return folder, docs.lay_out(ROOT, folder)


def test_every_notebook_is_in_the_contents_once():
    listed = [name for names in docs.contents(ROOT).values() for name in names]
    assert len(set(listed)) == len(listed)
    notebooks = {path.relative_to(ROOT / "nbs").with_suffix("").as_posix() for path in ROOT.glob("nbs/**/*.ipynb")}
    notebooks = {name for name in notebooks if ".ipynb_checkpoints" not in name} - {"index"}
    assert notebooks <= set(listed), "give the new number a part in tools/docs.py"
    road = [name for name in listed if name[0].isdigit()]
    assert road == sorted(road)
    assert {f"kaggle_kernels/{path.parent.name}" for path in ROOT.glob("kaggle_kernels/*/kernel-metadata.json")} <= set(listed)


def test_links_lead_to_pages(laid_out):
    folder, broken = laid_out
    assert not broken
    for name in (name for names in docs.contents(ROOT).values() for name in names):
        assert (folder / f"{name}.ipynb").exists() or (folder / f"{name}.md").exists(), name


def test_pages_show_what_readers_are_to_see(laid_out):
    folder, _ = laid_out
    for path in folder.rglob("*.ipynb"):
        for cell in json.loads(path.read_text())["cells"]:
            source = "".join(cell["source"])
            assert not re.search(r"^#\|", source, flags=re.M) and "nbdev_export" not in source, path.name
            assert not any("widget-view" in kind for output in cell.get("outputs", []) for kind in output.get("data", {}))
    page = json.loads((folder / "index.ipynb").read_text())
    (picture,) = [cell for cell in page["cells"] if "mystnb" in cell["metadata"]]
    assert picture["metadata"]["tags"] == ["remove-input"] and "hand" in picture["metadata"]["mystnb"]["image"]["alt"]


def test_everything_exported_is_in_the_reference(laid_out):
    folder, _ = laid_out
    homes = docs.exporters(ROOT)
    assert len(homes) > 400
    for name, modules in homes.items():
        for module in modules:
            assert re.search(rf"^`+{{py:\w+}} {name}\b", (folder / f"api/{module}.md").read_text(), flags=re.M), (module, name)
    assert "{py:obj}`~aslkit.competition.DataError`" in (folder / "api/competition.md").read_text()
    commands = (folder / "commands.md").read_text()
    assert "## `aslkit stitch`" in commands and "..." not in re.search(r"\*\*Commands\*\*(.*?)##", commands, flags=re.S)[1]


SOURCE = """
def read(
    frames: dict[str, list],  # (T, P) `NaN` is $0 * x_1$
    width: int = 8,  # kept
    *,
    key=lambda x: x,
    **rest: int,  # the others
) -> "Reader":  # what was read
    "Read <one> clip."


class Reader:
    "Reads."

    def __init__(self, path: str):  # a file
        ...

    @property
    def text(self) -> str:  # so far
        "The text."

    @text.setter
    def text(self, value): ...


@dataclass(frozen=True)
class Found:
    "What was found."

    rows: list  # of the table
    said: str = ""  # noqa: E1


LIMIT = {"a": [1, 2]}  # clips  # fmt: skip
TABLE = (
    "a row that is long enough for the value not to fit into a line of the reference",
)
"""


def test_comments_become_the_reference():
    read, reader, found, limit, table = ast.parse(SOURCE).body
    comments = docs.comments_of(SOURCE)
    assert docs.function(read, comments).splitlines() == [
        "````{py:function} read(frames: dict[str, list], width: int=8, *, key=lambda x: x, **rest: int) -> Reader",
        "",
        r"Read \<one> clip.",
        "",
        r":param frames: (T, P) `NaN` is \$0 \* x\_1\$",
        ":param width: kept",
        ":param rest: the others",
        ":returns: what was read",
        "````",
    ]
    text = docs.class_(reader, comments)
    assert "{py:class} Reader(path: str)" in text and ":param path: a file" in text
    assert text.count("{py:property} text") == 1 and '\n:type: "str"\n' in text and "so far" in text
    text = docs.class_(found, comments)
    assert "{py:class} Found(rows: list, said: str = '')" in text and ":param rows: of the table" in text and "noqa" not in text
    (text,) = docs.constant(limit, ["LIMIT"], comments, SOURCE)
    assert text.splitlines() == ["````{py:data} LIMIT", """:value: "{'a': [1, 2]}\"""", "", "clips", "````"]
    (text,) = docs.constant(table, ["TABLE"], comments, SOURCE)
    assert "```python\nTABLE = (\n" in text and ":value:" not in text


def test_links_of_a_page():
    known = {"nbs/a.ipynb": "a.ipynb", "nbs/explore/b.ipynb": "explore/b.ipynb", "LICENSE": "license.md"}
    broken = []
    text = "[a](../a.ipynb#top) [l](../../LICENSE) [o](https://example.org) [here](#x) [no](../c.ipynb)"
    shown = docs.relinked(text, "nbs/explore/b.ipynb", "explore/b.ipynb", known, broken)
    assert shown == "[a](../a.ipynb#top) [l](../license.md) [o](https://example.org) [here](#x) [no](../c.ipynb)"
    assert broken == ["nbs/explore/b.ipynb: ../c.ipynb"]


def test_names_of_code_lead_to_the_reference():
    names = {"ctc_loss": ["ctc"], "beam": ["ctc"], "finish": ["reader", "training"]}
    text = "`ctc_loss` and `beam`, `finish`, `ctc_loss(x)`, [`ctc_loss`](a.md)\n```\n`ctc_loss`\n```"
    elsewhere = "{py:obj}`~aslkit.ctc.ctc_loss` and `beam`, `finish`, `ctc_loss(x)`, [`ctc_loss`](a.md)\n```\n`ctc_loss`\n```"
    assert docs.referred(text, None, names) == elsewhere
    assert "{py:obj}`~aslkit.ctc.beam`" in docs.referred(text, "ctc", names)
    assert "{py:obj}`~aslkit.reader.finish`" in docs.referred(text, "reader", names)


@pytest.mark.parametrize("source", ["#| hide\n1", "#| default_exp a", "#| export\n"])
def test_cells_left_out(source):
    assert docs.visible(nbformat.v4.new_code_cell(source)) is None


def test_a_built_site_is_checked(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text(
        '<a href="sub/#here">1</a><a href="#top" id="top">2</a><a href="https://example.org/">3</a>'
    )
    (tmp_path / "sub/index.html").write_text(
        '<p id="here"><img src="data:image/png;base64,AA=="><a href="../index.html?q=1#top">4</a>'
    )
    assert docs.check(tmp_path) == ([], {"https://example.org/": "index.html"})
    (tmp_path / "sub/index.html").write_text(
        '<a href="gone.html">1</a><a href="../index.html#gone">2</a><script src="https://cdn.example.org/x.js"></script>'
        '<link href="//fonts.example.org/f.css" rel="stylesheet">'
    )
    (tmp_path / "a.css").write_text("@font-face { src: url('https://fonts.example.org/f.woff2') } b { background: url(b.png) }")
    mistakes, _ = docs.check(tmp_path)
    assert [re.sub("^sub/index.html ", "", one) for one in sorted(mistakes)] == [
        "a.css loads https://fonts.example.org/f.woff2",
        "index.html links to sub/#here: there is no such place in that page",
        "links to ../index.html#gone: there is no such place in that page",
        "links to gone.html: there is no such file",
        "loads //fonts.example.org/f.css",
        "loads https://cdn.example.org/x.js",
    ]


def test_workflow_is_pinned_and_may_do_little():
    text = (ROOT / ".github/workflows/docs.yml").read_text()
    used = re.findall(r"uses: (.+)", text)
    assert used and all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one) for one in used), used
    assert re.search(r"^permissions: \{\}$", text, flags=re.M)
    assert re.findall(r"(\S+): write", text) == ["pages", "id-token"]
