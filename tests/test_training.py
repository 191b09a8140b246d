"Runs that repeat byte by byte and go on where they stopped, and the whole road from stitching to grading."

import copy
import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

import aslkit.losses
import aslkit.model
import aslkit.training as training
from aslkit.competition import FALLBACK, METADATA_COLUMNS, DataError, ParameterError, encode, read_metadata, score
from aslkit.corpus import Corpus
from aslkit.ctc import greedy
from aslkit.export import export
from aslkit.grading import grade
from aslkit.params import TrainParams
from aslkit.prepare import prepare
from aslkit.training import compiled_reader, finish, fit, load_reader, read_all, split, too_short

# --- runs


@pytest.fixture(scope="module", autouse=True)
def small():
    "The preset `tiny`, smaller, and two lengths of batches only."
    with pytest.MonkeyPatch.context() as patch:
        presets = copy.deepcopy(aslkit.model.PRESETS)
        presets["tiny"]["arguments"] |= {"width": 32, "blocks": 1, "heads": 2, "dropout": 0.1}
        patch.setattr(aslkit.model, "PRESETS", presets)
        patch.setattr(training, "LENGTHS", 2)
        patch.setattr(training, "LONGEST", 192)
        yield


@pytest.fixture(scope="module")
def corpus(stitched, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared")
    prepare(stitched, out, workers=1, progress=False)
    return Corpus(out)


def train(corpus, run, **changes):
    "The steps that the training notebook takes."
    given = {"prepared": str(corpus.path) if hasattr(corpus, "path") else "", "run": str(run), "epochs": 2, "batch_size": 8}
    params = TrainParams.from_dict(given | changes)
    train_rows, held_rows = split(params, corpus)
    clips, held = training.batches(params, corpus, train_rows, True), training.batches(params, corpus, held_rows, False)
    reader = compiled_reader(params, len(clips))
    history = fit(params, reader, clips, held)
    metrics = finish(params, corpus, reader, held)
    return SimpleNamespace(
        params=params,
        reader=reader,
        history=history,
        metrics=metrics,
        run=Path(run),
        held=held,
        rows=(train_rows, held_rows),
    )


def test_clips_that_show_too_little_are_not_trained_on(corpus):
    clips = corpus.clips
    every, held = split(TrainParams(least_hand=0.0), corpus)
    some, same = split(TrainParams(least_hand=3.0), corpus)
    shown = clips.hand_frames / clips.phrase.str.len()
    assert set(some) == {row for row in every if shown[row] >= 3} and 0 < len(some) < len(every)
    assert list(same) == list(held)  # what is read is not chosen
    with pytest.raises(ParameterError, match="no clip shows a hand in 1000.0 frames a character; lower `least_hand`"):
        split(TrainParams(least_hand=1000.0), corpus)


def test_every_fold_is_held_out_once(corpus):
    clips, sides = corpus.clips, []
    for fold in range(3):
        params = TrainParams.from_dict({"folds": 3, "fold": fold, "least_hand": 0})
        train_rows, held = split(params, corpus)
        assert not set(clips.participant_id.iloc[train_rows]) & set(clips.participant_id.iloc[held])
        assert training._split_name(params) == f"by signer, fold {fold} of 3, counted from 0"
        sides += held.tolist()
    assert sorted(sides) == np.flatnonzero(clips["set"] == "train").tolist()
    with pytest.raises(DataError, match="9 signers are too few for 12 folds"):
        split(TrainParams(folds=12), corpus)


def test_split_by_phrase_too(corpus):
    "Every second clip says what another signer's clip says."
    clips = corpus.clips.assign(phrase=[corpus.clips.phrase[row // 2] for row in corpus.clips.index])
    shared = SimpleNamespace(clips=clips)
    loose, strict = (split(TrainParams(split=name, least_hand=0.0), shared) for name in ("signer", "signer and phrase"))
    assert list(loose[1]) == list(strict[1]) and set(strict[0]) < set(loose[0])
    assert not set(clips.phrase.iloc[strict[0]]) & set(clips.phrase.iloc[strict[1]])
    assert training._split_name(TrainParams(split="signer and phrase")) == "by signer and phrase"


def test_a_split_that_leaks_is_refused(corpus, monkeypatch):
    monkeypatch.setattr(training, "hold_out_signers", lambda clips, *_: (np.arange(len(clips)), np.arange(3)))
    with pytest.raises(DataError, match="3 held-out clips are trained on as well"):
        split(TrainParams(), corpus)


def test_supplemental_clips_come_by_weight(corpus):
    sets = corpus.clips["set"].to_numpy()
    for weight in (0.0, 0.5, 1.0, 2.0):
        params = TrainParams(supplemental=weight, least_hand=0.0, batch_size=1)
        rows, _ = split(params, corpus)
        assert ("supplemental" in sets[rows]) == (weight > 0)
        clips = training.batches(params, corpus, rows, True)
        seen = np.zeros(len(sets))
        for epoch in range(2):
            clips.position = (epoch, 0)
            np.add.at(seen, np.concatenate([clips.rows(i) for i in range(len(clips))]), 1)
        assert (seen[rows] >= 2 * np.where(sets[rows] == "train", 1, weight)).all()
        assert seen.sum() <= 2 * (np.where(sets[rows] == "train", 1, weight).sum() + 1)


def test_one_set_of_lengths_for_all(corpus):
    rows = split(TrainParams(), corpus)
    trained, read = (training.batches(TrainParams(), corpus, some, shuffle) for some, shuffle in zip(rows, (True, False)))
    assert trained.buckets == read.buckets and trained.buckets[-1] == min(192, -(-corpus.clips.frames.max() // 8) * 8)


@pytest.fixture(scope="module")
def done(corpus, tmp_path_factory):
    return train(corpus, tmp_path_factory.mktemp("run"))


def test_files_of_a_run(done):
    names = {path.name for path in done.run.iterdir()}
    made = {"history.csv", "model.weights.h5", "model.json", "params.json", "metrics.json", "held_out.csv", "readings.csv"}
    assert names == made | {"tensorboard"}
    history = pd.read_csv(done.run / "history.csv")
    assert len(history) == 2 and {"epoch", "loss", "val_loss", "val_score", "learning_rate"} <= set(history)
    assert history.learning_rate[0] > history.learning_rate[1] >= 0
    assert np.isfinite(history.to_numpy(float)).all()
    np.testing.assert_allclose(history.val_loss, done.history["val_loss"], rtol=1e-6)
    assert [p for p in (done.run / "tensorboard").rglob("events.out.tfevents.*") if p.stat().st_size > 100]
    assert json.loads((done.run / "params.json").read_text()) == dataclasses.asdict(done.params)
    assert json.loads((done.run / "model.json").read_text()) == {"preset": "tiny", "network": "", "landmark_set": "kit"}
    assert json.loads((done.run / "metrics.json").read_text()) == json.loads(json.dumps(done.metrics))


def test_metrics(done, corpus):
    readings = pd.read_csv(done.run / "readings.csv", keep_default_na=False, dtype=str)
    assert score(readings.phrase, readings.reading) == pytest.approx(done.metrics["score"])
    assert done.metrics["clips"] == len(readings) == sum(kind["clips"] for kind in done.metrics["by_kind"].values())
    assert done.metrics["split"] == "by signer" and done.metrics["corpus"] == corpus.fingerprint
    assert done.metrics["parameters"] == done.reader.count_params()
    last = done.history.iloc[-1]  # the last epoch's network is the one kept
    assert done.metrics["score"] == pytest.approx(last.val_score)
    assert done.metrics["loss"] == pytest.approx(last.val_loss, rel=1e-5)


def test_held_out_people_are_not_trained_on(done, corpus, stitched):
    rows, held = done.rows
    people = corpus.clips.participant_id
    assert not set(people.iloc[rows]) & set(people.iloc[held])
    assert set(corpus.clips["set"].iloc[held]) == {"train"} and "supplemental" in set(corpus.clips["set"].iloc[rows])
    table = read_metadata(done.run / "held_out.csv")
    assert list(table.columns) == METADATA_COLUMNS
    train_csv = read_metadata(stitched / "train.csv").set_index("sequence_id")
    pd.testing.assert_frame_equal(train_csv.loc[table.sequence_id].reset_index()[METADATA_COLUMNS], table, check_dtype=False)


STOPPED = """
import json, os, signal, sys
import keras
import numpy as np
import aslkit.model
import aslkit.training as training
from aslkit.corpus import Corpus

prepared, run, kill_epoch, kill_batch = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
aslkit.model.PRESETS["tiny"]["arguments"] |= {"width": 16, "blocks": 1, "heads": 2, "dropout": 0.1}
training.LENGTHS, training.LONGEST = 1, 96

class Kill(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (kill_epoch, kill_batch):
            os.kill(os.getpid(), signal.SIGKILL)

plain = training.callbacks
training.callbacks = lambda *given: [*plain(*given), Kill()]
params = training.TrainParams.from_dict({"run": run, "epochs": 2, "batch_size": 8, **json.loads(sys.argv[5])})
corpus = Corpus(prepared)
rows, held = training.split(params, corpus)
clips, held = training.batches(params, corpus, rows, True), training.batches(params, corpus, held, False)
reader = training.compiled_reader(params, len(clips))
training.fit(params, reader, clips, held)
np.savez(os.path.join(run, "state.npz"), *[np.asarray(v) for v in training._state(reader)])
"""


@pytest.mark.parametrize(
    ("backend", "how"),
    [
        ("tensorflow", {"optimizer": "radam", "precision": "mixed_float16", "ema": 0.9}),
        ("jax", {"optimizer": "muon", "precision": "mixed_bfloat16", "ema": 0.9, "rise": "exponential"}),
    ],
)
def test_killed_and_resumed(corpus, tmp_path, backend, how):
    "Killed in the middle of epoch 2: weights, optimiser, random states and history are as if it had never stopped."
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "jax"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    environment = os.environ | {"KERAS_BACKEND": backend} | cache

    def run(name, epoch, batch=1):
        command = [
            sys.executable,
            "-c",
            STOPPED,
            str(corpus.folder),
            str(tmp_path / name),
            str(epoch),
            str(batch),
            json.dumps(how),
        ]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    whole = run("whole", -1)
    assert whole.returncode == 0, whole.stderr[-2000:]
    assert run("stopped", 1).returncode == -signal.SIGKILL
    last = run("stopped", -1)
    assert last.returncode == 0 and last.stdout.startswith("1 of 2 epochs were done before; going on.")
    with np.load(tmp_path / "whole/state.npz") as whole, np.load(tmp_path / "stopped/state.npz") as stopped:
        assert len(whole) == len(stopped) > 30
        for name in whole:
            assert whole[name].tobytes() == stopped[name].tobytes()
    assert (tmp_path / "whole/history.csv").read_bytes() == (tmp_path / "stopped/history.csv").read_bytes()


def test_stopped_in_time_and_resumed(corpus, done, tmp_path, capsys):
    "Without time for a second epoch: what is there is read and kept, and the rest follows as if nothing had happened."
    first = train(corpus, tmp_path, hours=1e-9)
    assert "Stopped after epoch 1 of 2" in capsys.readouterr().out
    assert len(first.history) == 1 == first.metrics["epochs"] and (tmp_path / "checkpoint.npz").exists()
    assert first.metrics["score"] == read_score(load_reader(tmp_path), first.held)
    last = train(corpus, tmp_path)
    assert len(last.history) == 2 == last.metrics["epochs"] and not (tmp_path / "checkpoint.npz").exists()
    for one, other in zip(last.reader.get_weights(), done.reader.get_weights(), strict=True):
        assert one.tobytes() == other.tobytes()


def read_score(reader, clips):
    table, _ = read_all(reader, clips)
    return score(table.phrase, table.reading)


def stop_after(monkeypatch, epochs):
    "Break training off at the end of so many epochs."
    plain = training.callbacks

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch + 1 == epochs:
                raise KeyboardInterrupt

    monkeypatch.setattr(training, "callbacks", lambda *given: [*plain(*given), Stop()])


def test_another_training_does_not_go_on(corpus, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, 1)
        train(corpus, tmp_path)
    assert (tmp_path / "checkpoint.npz").exists()
    with pytest.raises(ParameterError, match="checkpoint.npz: an unfinished run lies here with `batch_size` 8, not 4; give"):
        train(corpus, tmp_path, batch_size=4)
    assert len(train(corpus, tmp_path).history) == 2
    assert not (tmp_path / "checkpoint.npz").exists()


@pytest.mark.parametrize("what", ["a clip", "the whole"])
def test_a_loss_that_is_not_finite_is_named(corpus, tmp_path, monkeypatch, what):
    if what == "the whole":
        words = {"learning_rate": 1e30, "clip_norm": 1e30}
        says = (
            "at step . of epoch 1 the loss is not finite, though each clip's is at the epoch's beginning; lower `learning_rate`"
        )
    else:
        words, culprit = {}, corpus.clips.sequence_id[split(TrainParams(), corpus)[0][5]]
        phrase = corpus.clips.phrase[split(TrainParams(), corpus)[0][5]]
        says = rf"at step \d+ of epoch 1 the loss is not finite, because of clip {culprit}; look at it"
        plain, label = training.ctc_loss, keras.ops.convert_to_tensor(encode(phrase))

        def poisoned(logits, steps, classes, characters):
            "Not a number for one phrase."
            losses = plain(logits, steps, classes, characters)
            same = keras.ops.all(keras.ops.cast(classes[:, : len(phrase)], "int32") == keras.ops.cast(label, "int32"), 1)
            here = keras.ops.logical_and(same, keras.ops.cast(characters, "int32") == len(phrase))
            return keras.ops.where(here, float("nan"), losses)

        for module in (training, aslkit.losses):
            monkeypatch.setattr(module, "ctc_loss", poisoned)
    with pytest.raises(ParameterError, match=says):
        train(corpus, tmp_path, **words)


def test_load_reader(done):
    again = load_reader(done.run)
    for a, b in zip(again.get_weights(), done.reader.get_weights(), strict=True):
        assert a.tobytes() == b.tobytes()
    table, loss = read_all(again, done.held)
    assert score(table.phrase, table.reading) == done.metrics["score"] and loss == pytest.approx(done.metrics["loss"], rel=1e-5)
    assert again.settings["augment"] == "none"


def test_read_all_keeps_the_order_of_rows(done, corpus, monkeypatch):
    "However the clips were sorted into batches."
    rows = np.arange(len(corpus.clips))[::3]
    monkeypatch.setattr(training, "LENGTHS", 3)
    clips = training.batches(done.params, corpus, rows, False)
    read = np.concatenate([clips.rows(i) for i in range(len(clips))])
    assert read.tolist() != sorted(read)
    table, _ = read_all(done.reader, clips)
    assert table.row.tolist() == rows.tolist()
    assert table.phrase.tolist() == corpus.clips.phrase.iloc[rows].tolist()
    for row, reading in zip(table.row[:4], table.reading[:4]):
        clip = corpus.landmarks(row)[None]
        if clip.shape[1] <= 192:
            alone = done.reader({"landmarks": clip, "frames": np.array([clip.shape[1]], "int32")})
            assert greedy(alone["logits"], alone["steps"]) == [reading]


def test_same_seed_same_bytes(done, corpus, tmp_path):
    "Weights, history and readings; another seed gives others."
    again = train(corpus, tmp_path / "again")
    for a, b in zip(again.reader.get_weights(), done.reader.get_weights(), strict=True):
        assert a.tobytes() == b.tobytes()
    for name in ("history.csv", "readings.csv", "held_out.csv", "metrics.json"):
        assert (again.run / name).read_bytes() == (done.run / name).read_bytes(), name
    other = train(corpus, tmp_path / "other", seed=1, epochs=1)
    assert any((a != b).any() for a, b in zip(other.reader.get_weights(), done.reader.get_weights()))
    start = compiled_reader(done.params, 5).get_weights()
    assert all((a != b).any() for a, b in zip(start, done.reader.get_weights()))  # every weight has learnt


def test_the_average_is_read_and_kept(corpus, tmp_path, monkeypatch):
    "Training goes on with the weights themselves; what comes of it is the average."
    own, plain = [], training.callbacks

    class Watch(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            own.append(self.model.get_weights())

        def on_epoch_end(self, epoch, logs=None):
            own.append(self.model.get_weights())

    monkeypatch.setattr(training, "callbacks", lambda *given: [*plain(*given), Watch()])
    averaged, without = (train(corpus, tmp_path / str(ema), ema=ema) for ema in (0.9, 0.0))
    for a, b in zip(own[:3], own[3:], strict=True):  # the average changes nothing in what is learnt
        assert all(x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))
    assert averaged.history.loss.tolist() == without.history.loss.tolist()
    assert averaged.history.val_loss.tolist() != without.history.val_loss.tolist()
    assert averaged.metrics["loss"] == pytest.approx(averaged.history.val_loss.iloc[-1], rel=1e-5)
    kept = load_reader(averaged.run).get_weights()
    assert any((a != b).any() for a, b in zip(kept, own[2], strict=True))


def test_changes_of_the_network(corpus, tmp_path):
    "They are trained, kept and brought back; a run of before, which could not have any, still loads."
    run = train(corpus, tmp_path / "run", network="stride=1, depth=true, width=16, heads=2", epochs=1)
    again = load_reader(run.run)
    for name, value in {"stride": 1, "depth": True, "width": 16}.items():
        assert again.settings[name] == run.reader.settings[name] == value
    assert read_all(again, run.held)[1] == pytest.approx(run.metrics["loss"], rel=1e-5)
    train(corpus, tmp_path / "old", epochs=1)
    about = json.loads((tmp_path / "old/model.json").read_text())
    del about["network"]
    (tmp_path / "old/model.json").write_text(json.dumps(about))
    assert load_reader(tmp_path / "old").settings["stride"] == 2


def test_clips_too_short_for_their_labels_are_counted(corpus):
    rows = np.arange(len(corpus.clips))
    for stride in (1, 2, 8, 64):
        reader = SimpleNamespace(settings={"stride": stride, "limit": None})
        short = 0
        for frames, phrase in zip(corpus.clips.frames, corpus.clips.phrase, strict=True):
            needed = len(phrase) + sum(a == b for a, b in zip(phrase, phrase[1:]))
            short += -(-min(frames, training.LONGEST) // stride) < needed
        assert too_short(reader, corpus, rows) == short
    assert len(rows) > short > len(rows) / 2
    limited = SimpleNamespace(settings={"stride": 1, "limit": 1})
    assert too_short(limited, corpus, rows) == (corpus.clips.phrase.str.len() > 1).sum()


def test_half_precision_run(corpus, tmp_path):
    half = train(corpus, tmp_path / "half", precision="mixed_bfloat16", epochs=1)
    assert half.reader.blocks[0].compute_dtype == "bfloat16"
    assert np.isfinite(half.history["loss"]).all() and np.isfinite(half.metrics["loss"])
    assert load_reader(half.run).blocks[0].compute_dtype == "float32"


def test_training_learns(corpus, tmp_path):
    "On a handful of clips the loss falls far below that of saying nothing."
    params = TrainParams(run=str(tmp_path), epochs=9, batch_size=8, augment="none", learning_rate=5e-3)
    clips = training.batches(params, corpus, range(16), True)
    reader = compiled_reader(params, len(clips))
    loss = reader.fit(clips, epochs=9, shuffle=False, verbose=0).history["loss"]
    assert loss[-1] < 0.75 * loss[0] and np.isfinite(loss).all()


@pytest.mark.parametrize("missing", ["model.json", "model.weights.h5"])
def test_a_run_that_is_not_complete(tmp_path, missing):
    for name in {"model.json", "model.weights.h5"} - {missing}:
        (tmp_path / name).write_text("{}")
    with pytest.raises(ParameterError, match=f"holds no {missing}.*train first"):
        load_reader(tmp_path)


# --- the whole road


def test_stitch_prepare_train_export_grade(done, stitched):
    "The exported file reads as the network does, but for clips that get the constant answer."
    submission = export(done.run, decoder="greedy")
    assert submission == done.run / "submission.zip"
    report = grade(submission, stitched, done.run / "held_out.csv", out=done.run / "graded.csv")
    assert report["clips"] == done.metrics["clips"] and report["size_bytes"] < 1_000_000
    own = pd.read_csv(done.run / "readings.csv", keep_default_na=False, dtype={"reading": str}).set_index("sequence_id")
    graded = pd.read_csv(done.run / "graded.csv", keep_default_na=False, dtype={"reading": str}).set_index("sequence_id")
    wanted = own.reading.where(own.reading != "", FALLBACK).loc[graded.index]
    assert (graded.phrase == own.phrase.loc[graded.index]).all()
    assert score(list(wanted), list(graded.reading)) >= 0.8  # not 1: prepared clips are float16, and longer ones thinned
    assert report["commonest"]["clips"] == (graded.reading == report["commonest"]["reading"]).sum()
