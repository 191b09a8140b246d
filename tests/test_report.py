"A run as one page: complete, self-contained, honest about what is missing, safe with any text."

import json
import re
import shutil
from html.parser import HTMLParser

import pandas as pd
import pytest

from aslkit.cli import main
from aslkit.competition import ParameterError
from aslkit.explore import run_readings
from aslkit.report import gather, report

HOSTILE = "</td><script>alert(1)</script>"


class Outline(HTMLParser):
    "Tags, ids, links, sources, and text outside of scripts and styles."

    def __init__(self, page):
        super().__init__()
        self.tags, self.ids, self.links, self.sources, self.text, self.open = [], [], [], [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if "href" in given else []
        self.sources += [given["src"]] if "src" in given else []
        assert tag != "img" or given["alt"]
        if tag in ("script", "style"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.open.pop()

    def handle_data(self, data):
        self.text += "" if self.open else data


@pytest.fixture(scope="module")
def page(small_run, tmp_path_factory):
    return report(small_run, tmp_path_factory.mktemp("page") / "page.html", clips=2).read_text()


def test_everything_is_in_the_page(page, small_run):
    outline, metrics = Outline(page), json.loads((small_run / "metrics.json").read_text())
    sections = ["curves", "scores", "errors", "clips", "latency", "parameters", "provenance"]
    assert [one for one in outline.ids if one in sections] == sections
    assert {link.removeprefix("#") for link in outline.links} == set(sections) and all(link[0] == "#" for link in outline.links)
    assert len(outline.sources) == 4 and all(source.startswith("data:image/svg+xml;base64,") for source in outline.sources)
    assert not re.search(r"https?://|@import|url[(]", page)
    for word in (f"{metrics['score']:.3f}", metrics["corpus"], metrics["versions"]["keras"], "by signer", "learning_rate"):
        assert word in outline.text
    table = run_readings(small_run)[0]
    slips = (table.edits > 0) & (table.reading.str.strip() != "")
    assert "A stitched corpus: not competition data" in outline.text and slips.any()
    assert outline.text.count("edits in") == min(slips.sum(), 6)
    assert "nothing was read" in outline.text or not (table.reading.str.strip() == "").any()
    assert 100_000 < len(page) < 3_000_000 and 0 < page.count('class="aslkit-whole"') <= 2
    assert outline.tags.count("main") == 1 and "header" in outline.tags and "th" in outline.tags


def test_no_path_of_the_machine(page, small_run):
    assert str(small_run.parent) not in page and "/tmp" not in page


def test_the_score_is_that_of_the_run(small_run):
    found, metrics = gather(small_run, clips=1), json.loads((small_run / "metrics.json").read_text())
    assert found["summary"]["score"] == pytest.approx(metrics["score"]) and found["summary"]["clips"] == metrics["clips"]
    assert ("seed", 4, True) in found["choices"] and ("prepared", "prepared", False) in found["choices"]


def test_without_corpus_curves_and_weights(small_run, tmp_path):
    run = tmp_path / "moved"
    shutil.copytree(small_run, run, ignore=shutil.ignore_patterns("prepared", "history.csv", "model.weights.h5"))
    params = json.loads((run / "params.json").read_text()) | {"prepared": str(tmp_path / "gone")}
    (run / "params.json").write_text(json.dumps(params))
    table, corpus = run_readings(run)
    assert corpus is None and table.frames.isna().all() and table.phrase.tolist() == run_readings(small_run)[0].phrase.tolist()
    outline = Outline(report(run).read_text())
    for said in ("no clip can be shown", "The run has no history", "was not exported", "cannot tell what kind of clips"):
        assert said in outline.text
    assert "a hand in" not in outline.text and len(outline.sources) == 3


def test_text_stays_text(small_run, tmp_path):
    run = tmp_path / "a <b>run"
    shutil.copytree(small_run, run, ignore=shutil.ignore_patterns("prepared"))
    for name in ("readings.csv", "held_out.csv"):
        table = pd.read_csv(run / name)
        table.loc[0, "phrase"] = HOSTILE
        table.to_csv(run / name, index=False)
    params = json.loads((run / "params.json").read_text()) | {"prepared": "gone"}
    (run / "params.json").write_text(json.dumps(params))
    page = report(run).read_text()
    outline = Outline(page)
    assert "<script>alert" not in page and "script" not in outline.tags and "b" not in outline.tags[:12]
    assert HOSTILE in outline.text and "Run a <b>run" in outline.text


def test_the_command(small_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ASLKIT_RUNS", str(small_run.parent))
    with pytest.raises(SystemExit) as stop:
        main(["report", small_run.name, "--out", str(tmp_path / "b.html")])
    assert stop.value.code == 0 and "open it in a browser" in capsys.readouterr().out and (tmp_path / "b.html").exists()
    with pytest.raises(SystemExit) as stop:
        main(["report", "no such run"])
    assert stop.value.code == 2 and "holds no metrics.json; choose a finished run" in capsys.readouterr().err


def test_an_unfinished_run(tmp_path):
    with pytest.raises(ParameterError, match="the run holds no metrics.json"):
        report(tmp_path)
