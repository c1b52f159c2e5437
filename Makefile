# make demo: see the software work.  make test: run the whole test suite.  Both make a virtual environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo
DOCS ?= docs/_build
export FASTREID_DATASETS := $(DEMO)/datasets
# Python compiles a module when it is first imported and keeps the result. pip would compile all of torch and of what it
# needs, which takes half of the install, and of which a sixth is ever imported.
PIP := -m pip install --quiet --no-compile
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all fuzz test-row test-matrix matrix-rows gpu benchmark docs wheel lint install clean

install: $(VENV)/installed

$(VENV)/installed: setup.py constraints.txt
	@echo "== virtual environment $(VENV) and the install (the first time this fetches torch)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) --upgrade pip
	$(BIN)/python $(PIP) --constraint constraints.txt --editable ".[dev]"
	$(BIN)/python $(PIP) --no-deps fastreid==1.4.0
	@touch $@

demo: install
	@echo "== synthetic people in the layout of SYSU-MM01"
	$(BIN)/python tools/make_synthetic.py SYSUMM01 --root $(DEMO)/datasets --train 160 --val 16 --test 48 --images 6
	@echo "== WRIM-Net learns to match them (a few minutes)"
	$(BIN)/python tools/train_net.py --config-file configs/demo/wrim.yml --resume OUTPUT_DIR $(DEMO)/wrim
	@echo "== rank lists"
	$(BIN)/python tools/visualize.py rank $(DEMO)/wrim --output $(DEMO)/rank_lists.png

test: install
	@echo "== the test suite"
	$(BIN)/python -m pytest

test-all: install
	@echo "== the test suite with its slow tests: whole trajectories of released code, W&B and MLflow, a few minutes more"
	$(BIN)/python $(PIP) --constraint constraints.txt ".[wandb,mlflow]"
	$(BIN)/python -m pytest -m "not gpu"

# Changed input of one kind, or of each in turn, for so many minutes: images, yaml, lists, mat, npz, checkpoints,
# galleries, commands. The suite tries a few of each.
MINUTES ?= 10
KIND ?= images yaml lists mat npz checkpoints galleries commands
fuzz: install
	@failed=; for kind in $(KIND); do \
	    OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/run.py $$kind --minutes $(MINUTES) --seed $$$$ || failed="$$failed $$kind"; \
	done; test -z "$$failed" || { echo "faults:$$failed"; exit 1; }

# The suite under another interpreter and torch, in an environment that is removed afterwards. TORCH is a version or
# newest, CONSTRAINTS a file or empty for the newest of everything.
TORCH ?= newest
CONSTRAINTS ?= constraints.txt
ROW := .venv-row
test-row:
	@echo "== $(PYTHON), torch $(TORCH)"
	@rm -rf $(ROW)
	@$(PYTHON) -m venv $(ROW)
	@grep -vE '^torch(vision)?==' $(or $(CONSTRAINTS),/dev/null) > $(ROW)/constraints.txt || true
	@trap 'rm -rf $(ROW)' EXIT; set -e; \
	    $(ROW)/bin/python $(PIP) --upgrade pip; \
	    $(ROW)/bin/python $(PIP) --constraint $(ROW)/constraints.txt \
	        torch$(if $(filter-out newest,$(TORCH)),==$(TORCH)) --editable ".[dev]"; \
	    $(ROW)/bin/python $(PIP) --no-deps fastreid==1.4.0; \
	    $(ROW)/bin/python -m pytest

# Interpreter and torch of each row; python3.10 and so on are looked for on the path.
MATRIX ?= 3.10/2.6.0 3.11/newest 3.12/newest 3.13/newest 3.13/2.6.0
test-matrix:
	@failed=; for row in $(MATRIX); do \
	    $(MAKE) --no-print-directory test-row PYTHON=python$${row%/*} TORCH=$${row#*/} || failed="$$failed $$row"; \
	done; test -z "$$failed" || { echo "not green:$$failed"; exit 1; }

# The same rows for the CI workflow.
matrix-rows:
	@rows=; for row in $(MATRIX); do \
	    rows="$$rows, {\"python\": \"$${row%/*}\", \"torch\": \"$${row#*/}\"}"; \
	done; echo "rows=[$${rows#, }]"

# What needs a CUDA device: tests/gpu, then a table of speed. Nothing is installed into GPU_PYTHON.
GPU_DEVICE ?= cuda
gpu: $(if $(GPU_PYTHON),,install)
	@$(or $(GPU_PYTHON),$(BIN)/python) tests/gpu/kit.py --device $(GPU_DEVICE)

# Measure everything again and write it into docs/speed.md: hours on two cores. SUBJECTS chooses. Rows against released
# code are measured where VIREID_RELEASED names the folder of its clones, and keep their numbers otherwise.
SUBJECTS ?= $(shell $(BIN)/python tools/benchmarks/_subjects.py)
ROUNDS ?= 3
benchmark: install
	@for subject in $(SUBJECTS); do \
	    echo "== $$subject"; \
	    $(BIN)/python tools/benchmarks/speed.py $$subject --rounds $(ROUNDS) --repeats 2 \
	        --json docs/benchmarks/$$subject-cpu.json || exit 1; \
	done
	$(BIN)/python tools/benchmarks/tables.py
	$(BIN)/python tools/benchmarks/growth.py

docs: install
	@echo "== the documentation, warnings are errors"
	$(BIN)/sphinx-build -q -W docs $(DOCS)

# Both distributions in dist/, and the wheel in an environment and a folder of its own. A TAG must name this version.
wheel: install
	@version=v$$($(BIN)/python setup.py --version); test "$(or $(TAG),$$version)" = "$$version" || \
	    { echo "tag $(TAG) names another version than setup.py: $$version"; exit 1; }
	rm -rf dist build .venv-wheel
	$(BIN)/python -m build --no-isolation
	$(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/python $(PIP) --constraint constraints.txt dist/*.whl
	.venv-wheel/bin/python $(PIP) --no-deps fastreid==1.4.0
	cd "$$(mktemp -d)" && "$(CURDIR)/.venv-wheel/bin/python" "$(CURDIR)/tests/check_wheel.py"
	rm -rf .venv-wheel

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) .venv-* $(DEMO) docs/_build build dist *.egg-info
