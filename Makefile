# `make train` and `make test` install what they need into .venv, from pinned versions, and touch nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PRESET ?= grasp_cube
RUN ?= runs/$(PRESET)
FLAGS ?=

.PHONY: help train test lint format install doctor benchmark clean

help:
	@echo "make train [PRESET=grasp_cube] [RUN=runs/...] [FLAGS='--seed 1']   train, judge, and say how it went"
	@echo "make test       every test            make lint       ruff and pyright"
	@echo "make doctor     what this machine can do, and what is missing for what"
	@echo "make benchmark  measure this machine  make clean      remove .venv"

train: $(VENV)/installed
	@echo "== training $(PRESET) into $(RUN); Ctrl-C commits a checkpoint, the same command resumes"
	$(BIN)/robo-rl train $(PRESET) --run $(RUN) $(FLAGS)

test: $(VENV)/installed-dev
	@echo "== every test (the slow ones too), a file at a time on each core"
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(VENV)/installed-dev
	$(BIN)/ruff check robo_rl tests docs
	$(BIN)/ruff format --check robo_rl tests docs
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix robo_rl tests docs
	$(BIN)/ruff format robo_rl tests docs

doctor: $(VENV)/installed
	$(BIN)/robo-rl doctor

benchmark: $(VENV)/installed
	for script in tests/benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

install: $(VENV)/installed-dev

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || \
		{ echo "robo_rl needs Python 3.11 or 3.12; say which with: make PYTHON=python3.12 ..."; exit 1; }
	@echo "== making a virtual environment in $(VENV)"
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "== installing robo_rl and what it needs into $(VENV) (about half a minute)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "== installing robo_rl, what it needs and what its tests need into $(VENV) (about a minute)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV)
