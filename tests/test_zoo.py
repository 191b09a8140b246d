"Each hostile submission and corpus ends in one sentence and exit code 2, and leaves nothing behind."

import os
import tempfile
from functools import partial

import pytest
import zoo
from hypothesis import given, settings
from hypothesis import strategies as st

from aslkit import sandbox
from aslkit.competition import SubmissionError
from aslkit.submission import Submission, custom_operations


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return zoo.write_corpus(tmp_path_factory.mktemp("zoo") / "corpus")


def everything(folder):
    "What lies in a folder, and when it was last changed."
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.usefixtures("no_process_left")
@pytest.mark.parametrize("animal", zoo.ANIMALS, ids=lambda animal: animal.name)
def test_one_sentence(animal, corpus, tmp_path, monkeypatch, capfd):
    "`aslkit grade` in this process; the model runs in one of its own. `python tests/zoo.py` starts the command itself."
    from aslkit.cli import main

    arguments = animal.cage(tmp_path / "cage", corpus)
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(tmp_path / "cage")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(sandbox, "tqdm", partial(sandbox.tqdm, disable=True))  # the variable counts only before tqdm's import
    before = everything(tmp_path)
    capfd.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    out, sentence = capfd.readouterr()
    assert (stop.value.code, out) == (2, "")
    assert sentence.endswith(".\n") and not sentence.endswith("..\n") and sentence.count("\n") == 1, sentence
    assert animal.expected in sentence and len(sentence) < 600 and sentence.strip().isprintable()
    assert everything(tmp_path) == before


def test_names_are_not_repeated():
    assert len({animal.name for animal in zoo.ANIMALS}) == len(zoo.ANIMALS)


def test_a_good_one_is_graded(corpus, tmp_path, monkeypatch, capfd):
    "Or else all the refusals prove nothing."
    from aslkit.cli import main

    monkeypatch.chdir(tmp_path)
    good = zoo.Animal("good", "").cage(tmp_path / "cage", corpus)
    os.chdir(tmp_path / "cage")
    with pytest.raises(SystemExit) as stop:
        main(good)
    assert not stop.value.code and "1.000 of the characters right" in capfd.readouterr().out


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0), st.binary(min_size=1, max_size=4)), max_size=8), st.integers(0))
def test_random_damage(tmp_path_factory, changes, end):
    "Bytes overwritten anywhere, the end cut off: a sentence, or a submission that can be run."
    for whole, check in ((zoo.model("flex"), custom_operations), (zoo.zipped("good"), open_zip(tmp_path_factory))):
        content = bytearray(whole)
        for at, new in changes:
            content[at % len(whole) : at % len(whole) + len(new)] = new
        try:
            check(bytes(content[: len(whole) - end % len(whole)]))
        except SubmissionError as error:
            assert str(error).endswith(".") and str(error).isprintable()


def open_zip(tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "damaged.zip"
    return lambda content: path.write_bytes(content) and Submission(path)
