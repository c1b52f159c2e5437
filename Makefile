# make demo: see the software work.  make test: run the whole test suite.  Both make a virtual environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo
export FASTREID_DATASETS := $(DEMO)/datasets

.PHONY: demo test test-all test-matrix docs lint install clean

install: $(VENV)/installed

$(VENV)/installed: setup.py constraints.txt
	@echo "== virtual environment $(VENV) and the install (the first time this fetches torch)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	$(BIN)/python -m pip install --quiet --no-deps fastreid==1.4.0
	@touch $@

demo: install
	@echo "== synthetic people in the layout of SYSU-MM01"
	$(BIN)/python tools/make_synthetic.py SYSUMM01 --root $(DEMO)/datasets --train 160 --val 16 --test 48 --images 6
	@echo "== WRIM-Net learns to match them (a few minutes)"
	$(BIN)/python tools/train_net.py --config-file configs/demo/wrim.yml --resume OUTPUT_DIR $(DEMO)/wrim
	@echo "== rank lists"
	$(BIN)/python tools/visualize.py rank --config-file configs/demo/wrim.yml --output $(DEMO)/rank_lists.png OUTPUT_DIR $(DEMO)/wrim

test: install
	@echo "== the test suite"
	$(BIN)/python -m pytest

test-all: install
	@echo "== the test suite with its slow tests: whole trajectories of released code, a few minutes more"
	$(BIN)/python -m pytest -m "slow or not slow"

# The whole suite on the oldest and the newest torch that are supported, each in an environment of its own.
MATRIX ?= 2.6.0/0.21.0 2.14.1/0.29.1
test-matrix:
	@set -e; for pair in $(MATRIX); do \
	    torch=$${pair%/*}; env=.venv-$$torch; \
	    echo "== torch $$torch, torchvision $${pair#*/}"; \
	    test -f $$env/installed || { \
	        $(PYTHON) -m venv $$env; \
	        grep -vE '^torch(vision)?==' constraints.txt > $$env/constraints.txt; \
	        $$env/bin/python -m pip install --quiet torch==$$torch torchvision==$${pair#*/}; \
	        $$env/bin/python -m pip install --quiet --constraint $$env/constraints.txt --editable ".[dev]"; \
	        $$env/bin/python -m pip install --quiet --no-deps fastreid==1.4.0; \
	        touch $$env/installed; }; \
	    $$env/bin/python -m pytest; \
	done

docs: install
	@echo "== the documentation, warnings are errors"
	$(BIN)/sphinx-build -q -W docs docs/_build

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) .venv-* $(DEMO) docs/_build build dist *.egg-info
