# make demo   the whole road on a laptop: stitch, prepare, train, export, grade
# make lab    JupyterLab on the landing notebook
# make test   everything that is checked before a change is taken
# make test-notebooks  every notebook top to bottom, without data and with landmark files under other paths, and how long each takes
# make test-browser  JupyterLab and a report in Chromium; pictures in runs/browser (part of make test as well)
# make test-kaggle   the Kaggle kernels, rehearsed in a chain with Kaggle's versions, folders and no network
# make .mediapipe/stamp  MediaPipe in an environment of its own, so that `aslkit track me.mp4` makes landmarks of a video
# make docs   the documentation site in _docs/: notebooks and reference, every link checked
# make readme README.md from nbs/index.ipynb
# make bench  what is measured: stitching, preparing, training steps, the exported file, and the demo's reader on real hands
#             where recordings lie in ../shared/data

# Python 3.11 to 3.13, for example `make demo PYTHON=python3.12`
PYTHON ?= python3

# the demo: clips, very short clips and people of the corpus, passes over it, and the seed of everything drawn at random
DEMO_CLIPS ?= 2800
DEMO_DRILLS ?= 2800
DEMO_SIGNERS ?= 60
DEMO_EPOCHS ?= 8
DEMO_SEED ?= 0

# Python of the rehearsals: 3.12 as on Kaggle, else 3.11
KAGGLE_PYTHON ?= $(shell for p in python3.12 python3.11; do $$p -c 'import ensurepip, venv' 2>/dev/null && echo $$p && break; done)

# Python of MediaPipe, which reads landmarks off videos: 3.12 or 3.11 as well
MEDIAPIPE_PYTHON ?= $(KAGGLE_PYTHON)

# recordings of real hands, and phrases to spell with them; no part of the project
LETTERS ?= ../shared/data/letters_dev.npz
PHRASES ?= ../shared/data/phrases_dev.csv

BIN := .venv/bin
ELSEWHERE := $(CURDIR)/runs/other paths
DEMO := runs/demo
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo lab test test-notebooks test-browser test-kaggle docs readme bench bench-stitch bench-prepare bench-train bench-export bench-real
.DELETE_ON_ERROR:

demo: .venv/demo.stamp
	rm -rf $(DEMO)
	$(BIN)/aslkit stitch --out $(DEMO)/corpus --clips $(DEMO_CLIPS) --drills $(DEMO_DRILLS) --signers $(DEMO_SIGNERS) --seed $(DEMO_SEED)
	$(BIN)/aslkit prepare --data $(DEMO)/corpus --out $(DEMO)/prepared
	$(BIN)/aslkit run train --name demo -p prepared $(DEMO)/prepared \
		-p preset tiny -p epochs $(DEMO_EPOCHS) -p seed $(DEMO_SEED) -p least_hand 2.5
	$(BIN)/aslkit export demo
	$(BIN)/aslkit grade $(DEMO)/submission.zip --data $(DEMO)/corpus --rows $(DEMO)/held_out.csv

lab: .venv/dev.stamp
	$(BIN)/jupyter lab nbs/index.ipynb $(LAB_ARGS)

test: .venv/dev.stamp
	$(BIN)/python tools/drift.py
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/nbdev-test --n-workers 2 --timing
	$(BIN)/pytest -n 2 --dist loadfile

test-notebooks: .venv/dev.stamp
	$(BIN)/nbdev-test --n-workers 1 --timing
	rm -rf '$(ELSEWHERE)'
	$(BIN)/python -c "from aslkit.stitch import stitch; stitch('$(ELSEWHERE)/three files', clips=90, signers=12, clips_per_file=30)"
	ASLKIT_DATA='$(ELSEWHERE)/three files' ASLKIT_PREPARED='$(ELSEWHERE)/prepared' ASLKIT_RUNS='$(ELSEWHERE)/runs' \
		$(BIN)/nbdev-test --n-workers 1 --timing

test-browser: .venv/dev.stamp
	$(BIN)/pytest tests/browser

test-kaggle: .venv/demo.stamp .kaggle/stamp
	$(BIN)/python tests/kaggle_chain.py

docs: .venv/docs.stamp
	$(BIN)/python tools/docs.py

readme: .venv/dev.stamp
	$(BIN)/python tools/readme.py

bench: bench-stitch bench-prepare bench-train bench-export $(if $(and $(wildcard $(DEMO)/submission.zip),$(wildcard $(LETTERS)),$(wildcard $(PHRASES))),bench-real)

bench-stitch: .venv/dev.stamp
	$(BIN)/python benchmarks/stitch.py

bench-prepare: .venv/dev.stamp
	$(BIN)/python benchmarks/prepare.py $(PREPARE_ARGS)

bench-export: .venv/dev.stamp
	$(BIN)/python benchmarks/export.py $(if $(wildcard $(DEMO)/readings.csv),--run $(DEMO)) $(EXPORT_ARGS)

bench-train: .venv/dev.stamp
	$(BIN)/python benchmarks/train.py $(TRAIN_ARGS)

bench-real: .venv/dev.stamp
	$(BIN)/python benchmarks/real_hands.py $(DEMO)/submission.zip --letters $(LETTERS) --phrases $(PHRASES)

# The environment: exactly the versions of requirements.lock, installed anew when they or pyproject.toml change.
# setuptools comes first and from the lock as well, so that building aslkit fetches nothing else.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "aslkit needs Python 3.11, 3.12 or 3.13; choose one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "Python's venv is missing; install it with: sudo apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/demo.stamp: pyproject.toml requirements.lock | .venv/bin/python
	$(INSTALL) setuptools wheel
	$(INSTALL) --no-build-isolation --editable '.[demo]'
	@touch $@

.venv/dev.stamp: pyproject.toml requirements.lock | .venv/bin/python
	$(INSTALL) setuptools wheel
	$(INSTALL) --no-build-isolation --editable '.[dev]'
	@touch .venv/demo.stamp $@

.venv/docs.stamp: pyproject.toml requirements.lock | .venv/bin/python
	$(INSTALL) setuptools wheel
	$(INSTALL) --no-build-isolation --editable '.[docs]'
	@touch $@

# what the Kaggle kernels are rehearsed with: Kaggle's versions of what matters, and no aslkit
.kaggle/stamp: requirements-kaggle.lock
	@test -n '$(KAGGLE_PYTHON)' || { echo "rehearsals need Python 3.12 or 3.11 with venv; name it: make KAGGLE_PYTHON=..." >&2; exit 1; }
	$(KAGGLE_PYTHON) -m venv --clear .kaggle
	.kaggle/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-kaggle.lock
	@touch $@

# MediaPipe, for `aslkit track`: it wants NumPy 1, so it gets an environment of its own, of about 1 GB
# (requirements-mediapipe.lock: what `uv pip compile --python-version 3.11` makes of mediapipe==0.10.21 and numpy<2)
.mediapipe/stamp: requirements-mediapipe.lock
	@test -n '$(MEDIAPIPE_PYTHON)' || { echo "MediaPipe 0.10.21 needs Python 3.11 or 3.12 with venv; name it: make MEDIAPIPE_PYTHON=..." >&2; exit 1; }
	$(MEDIAPIPE_PYTHON) -m venv --clear .mediapipe
	.mediapipe/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-mediapipe.lock
	@touch $@
