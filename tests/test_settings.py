"settings.ini: which file counts, and what is said where it cannot be read."

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aslkit.competition import SettingsError
from aslkit.settings import SECTIONS, Settings, find_settings, read_settings

REPOSITORY = Path(__file__).resolve().parents[1]
TEXT = """
[competition]
slug = asl-fingerspelling

[folders]
data = data/asl-fingerspelling
prepared = data/prepared
runs = runs

[kaggle]
user =
prepare_kernel = aslkit-prepare
train_kernel = aslkit-train
submit_kernel = aslkit-submit
accelerator = gpu-t4x2
"""
FOLDERS = SECTIONS["folders"]


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("ASLKIT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def project(tmp_path, monkeypatch):
    "A folder with a settings.ini of the built-in values, which is also the working directory."
    (tmp_path / "settings.ini").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaint(project, text):
    (project / "settings.ini").write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    message = str(caught.value)
    assert message.startswith(str(project / "settings.ini")) and message.count("\n") == 0 and message.endswith(".")
    return message


def test_the_file_in_the_repository_is_readable():
    assert read_settings(REPOSITORY / "settings.ini").root == REPOSITORY


def test_built_in_values(project):
    file = project / "settings.ini"
    assert read_settings() == Settings(file=file, **{key: project / getattr(Settings, key) for key in FOLDERS})


def test_every_key_is_read_from_the_file(project):
    edited = {
        "slug": "another-one",
        "data": "/far/away",
        "prepared": "p",
        "runs": "../r",
        "user": "ada",
        "prepare_kernel": "my-files",
        "train_kernel": "my-reader",
        "submit_kernel": "my-entry",
        "accelerator": "tpu",
    }
    lines = [f"{key} = {edited[key]}" if (key := line.split(" =")[0]) in edited else line for line in TEXT.splitlines()]
    (project / "settings.ini").write_text("\n".join(lines))
    settings = read_settings()
    folders = {key: project / edited[key] for key in FOLDERS}
    assert settings == Settings(file=project / "settings.ini", **{**edited, **folders})
    assert settings.root == project


def test_order_of_the_files(project, monkeypatch):
    deep = project / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert find_settings() == project / "settings.ini"
    (project / "a" / "settings.ini").write_text(TEXT)
    assert find_settings() == project / "a" / "settings.ini"
    monkeypatch.setenv("ASLKIT_SETTINGS", str(project / "settings.ini"))
    assert find_settings() == project / "settings.ini"
    assert find_settings("mine.ini") == deep / "mine.ini"


def test_environment_wins_and_is_seen_from_the_working_directory(project, monkeypatch):
    monkeypatch.chdir(project / "..")
    monkeypatch.setenv("ASLKIT_RUNS", "r")
    monkeypatch.setenv("ASLKIT_DATA", "/kaggle/input/asl-fingerspelling")
    monkeypatch.setenv("ASLKIT_PREPARED", "")
    settings = read_settings(project / "settings.ini")
    assert settings.runs == project.parent / "r"
    assert settings.data == Path("/kaggle/input/asl-fingerspelling")
    assert settings.prepared == project / "data/prepared"


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("slug =", "slog =", "no key 'slog'; write slug"),
        ("train_kernel =", "trainkernel =", "no key 'trainkernel'; write train_kernel"),
        (
            "user =",
            "user =\nzebra = 1",
            "no key 'zebra'; remove it; known are user, prepare_kernel, train_kernel, submit_kernel, accelerator",
        ),
        ("runs = runs", "", "the key 'runs' is missing; add `runs = ...` under [folders]"),
        ("[folders]", "[folder]", "no section 'folder'; write folders"),
        ("[kaggle]", "[kaggle]\n[kernels]", "no section 'kernels'"),
        ("runs = runs", "runs =", "'runs' is ''; write the path of a folder"),
        ("asl-fingerspelling\n", "https://kaggle.com/x\n", "'slug' is 'https://kaggle.com/x'; write lower-case"),
        ("user =", "user = ada@example.org", "'user' is 'ada@example.org'; write the name in your profile's address"),
        ("= aslkit-train", "= asl", "'train_kernel' is 'asl'; write 5 to 50 characters long"),
        ("= gpu-t4x2", "= gpu-t4", "'accelerator' is 'gpu-t4'; write one of none, gpu-t4x2, gpu-p100, tpu"),
        ("[competition]", "slug = x", "row 2: 'slug = x' is neither a [section]"),
        ("user =", "ada", "row 11: 'ada' is neither a [section] nor a `key = value`"),
        ("runs = runs", "runs = runs\nruns = r", "row 9: runs is there a second time"),
        ("[kaggle]", "[folders]", "row 10: [folders] is there a second time"),
    ],
)
def test_a_mistake_is_named_with_its_cure(project, old, new, words):
    assert old in TEXT
    assert words in complaint(project, TEXT.replace(old, new))


def test_unreadable_files(project, monkeypatch):
    (project / "settings.ini").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="UTF-8"):
        read_settings()
    with pytest.raises(SettingsError, match="No such file.*unset ASLKIT_SETTINGS"):
        read_settings("nowhere.ini")
    with pytest.raises(SettingsError, match="Is a directory"):
        read_settings(project)


def test_without_a_file_the_built_in_values_count(tmp_path):
    code = "from aslkit.settings import *; s = read_settings(); print(s.slug, s.file, s.runs)"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["asl-fingerspelling", "None", str(tmp_path.resolve() / "runs")], done.stderr
