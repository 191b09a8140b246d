"A submission taken apart and timed: the kit's at every precision, other people's, damaged ones, and nbs/explore/latency."

import json
import re

import numpy as np
import pytest
import zoo
from hypothesis import given, settings
from hypothesis import strategies as st

from aslkit.anatomy import ModelFile, sizes
from aslkit.competition import SubmissionError
from aslkit.latency import budget, clip_times, delegated, operation_times, part_times
from aslkit.model import build_reader

CLIP = np.full((12, 2), 0.33, "float32")


@pytest.fixture(scope="module")
def small():
    "A narrow network of two blocks."
    import keras

    keras.utils.set_random_seed(0)
    return build_reader("tiny", width=32, blocks=2, heads=2)


def test_precisions_weigh_what_they_should(small):
    from aslkit.graph import PRECISIONS, convert

    found = {}
    for precision in PRECISIONS:
        file = ModelFile(convert(small, precision))
        table = sizes(file)
        assert table.bytes.sum() == len(file.model) and (table.bytes > 0).all()
        running = file.operations[~file.operations.folded]
        assert {"preprocess", "block_0", "block_1", "scores", "decoder"} <= set(running.part)
        assert {"attention", "feed_forward", "convolution_module"} <= set(running.layer)
        found[precision] = table[table.part.str.startswith("block")].groupby("type").bytes.sum()
    assert found["fp16"]["fp16"] == pytest.approx(found["fp32"]["fp32"] / 2, rel=0.02)
    assert found["int8"]["int8"] < found["fp16"]["fp16"] / 1.5
    assert found["fp32"].sum() > found["fp16"].sum() > found["int8"].sum()


def test_a_loop_is_one_operation_with_its_tables(small):
    from aslkit.graph import Decoding, convert
    from aslkit.ngrams import learn_ngrams

    ngrams = learn_ngrams(["www.", "the", "12-34"], 3)
    file = ModelFile(convert(small, "fp32", Decoding(decoder="ngrams", ngrams=ngrams)))
    loop = file.operations.query("type == 'WHILE'")
    assert len(loop) == 1 and loop.part.item() == "decoder"
    table = sizes(file)
    assert table.bytes[table.part == "decoder"].sum() >= 2 * 4 * ngrams.logp.size
    clip = np.random.default_rng(0).random((40, 390), "float32")
    parts, whole = part_times(file, clip, calls=1)
    assert parts.milliseconds.gt(0).all() and whole > 0
    operations, _ = operation_times(file, clip, calls=1)
    assert operations.milliseconds[loop.index].gt(0).all() and operations.milliseconds.notna().all()


@pytest.mark.parametrize("name", zoo.MODELS)
def test_anybodys_model(name):
    "Taken apart to the byte, or refused in a sentence; nothing of it is run."
    if name in ("flex", "custom"):
        with pytest.raises(SubmissionError, match="needs "):
            ModelFile(zoo.model(name))
        return
    file = ModelFile(zoo.model(name))
    assert sizes(file).bytes.sum() == len(file.model)
    if file.operations.empty:  # it answers a constant
        assert name == "babbling" and set(sizes(file).part) == {"output", "graph"}
        return
    model, reads, writes = file.cut(file.operations.index)
    assert ModelFile(model).operations.type.tolist() == file.operations.type.tolist()
    assert reads == file.graph.inputs.tolist() and set(file.graph.outputs.tolist()) <= set(writes)


def test_somebody_elses_submission(tmp_path):
    file = ModelFile(zoo.pack(tmp_path / "submission.zip", zoo.model("good")))
    assert file.columns == zoo.COLUMNS
    times = clip_times(file, [CLIP, CLIP[:1], CLIP[:0]], calls=2)
    assert times.frames.tolist() == [12, 1, 0] and 0 < budget(file, times)["share_of_size"] < 0.001
    for by in ("part", "layer"):
        table, whole = part_times(file, CLIP, by=by, calls=2)
        assert table.operations.sum() == len(file.operations) and whole > 0
        assert table.share.sum() == pytest.approx(1)
    operations, _ = operation_times(file, CLIP, calls=2)
    pieces, outside = delegated(file, CLIP)
    assert len(operations) == len(file.operations) and set(outside.index) <= set(operations.index) and pieces >= 0


def test_what_fails_is_said():
    with pytest.raises(SubmissionError, match="fails on a clip of 12 frames"):
        clip_times(ModelFile(zoo.model("ten frames only")), [CLIP])
    with pytest.raises(SubmissionError, match="fails on a clip of 12 frames"):
        part_times(ModelFile(zoo.model("ten frames only")), CLIP)
    with pytest.raises(SubmissionError, match="has 2 inputs"):
        clip_times(ModelFile(zoo.model("two inputs")), [CLIP])
    with pytest.raises(SubmissionError, match=re.escape("takes the shape [-1, 3], not a clip of (12, 2)")):
        clip_times(ModelFile(zoo.model("three columns")), [CLIP])


@pytest.mark.parametrize("change", ["buffer", "tensor", "output"])
def test_a_file_that_names_what_is_not_there(change):
    import flatbuffers

    tree = ModelFile(zoo.model("good")).tree
    graph = tree.subgraphs[0]
    if change == "buffer":
        graph.tensors[0].buffer = 999
    elif change == "tensor":
        graph.operators[0].inputs = [999]
    else:
        graph.outputs = [999]
    builder = flatbuffers.Builder(1024)
    builder.Finish(tree.Pack(builder), b"TFL3")
    with pytest.raises(SubmissionError, match="is no TFLite file, or damaged"):
        ModelFile(bytes(builder.Output()))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0), st.binary(min_size=1, max_size=4)), max_size=8), st.integers(0))
def test_random_damage(changes, end):
    whole = zoo.model("good")
    content = bytearray(whole)
    for at, new in changes:
        content[at % len(whole) : at % len(whole) + len(new)] = new
    try:
        sizes(ModelFile(bytes(content[: len(whole) - end % len(whole)])))
    except SubmissionError as error:
        assert str(error).endswith(".") and str(error).isprintable()


@pytest.mark.slow
def test_notebook_elsewhere(stitched, small, executed, tmp_path, monkeypatch):
    "Three competition files and runs under other paths; the file is that of a run, so its weights are exported again."
    from aslkit.export import export

    run = tmp_path / "my runs" / "first"
    run.mkdir(parents=True)
    small.save_weights(run / "model.weights.h5")
    about = {"preset": "tiny", "landmark_set": "kit", "network": "width=32,blocks=2,heads=2"}
    (run / "model.json").write_text(json.dumps(about))
    export(run, precision="int8", decoder="greedy")
    for name, folder in {"DATA": stitched, "PREPARED": tmp_path / "none", "RUNS": run.parent}.items():
        monkeypatch.setenv(f"ASLKIT_{name}", str(folder))
    text, pictures = executed("latency", clips=5, calls=1, threads=2)
    assert "Looking at the newest of the runs, first: " in text and "int8, decoder greedy" in text
    assert "the settings' competition files, the first three at most" in text and "Weights of the run, greedy" in text
    assert pictures == 5
