PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

export TF_CPP_MIN_LOG_LEVEL ?= 3
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION ?= false

.DEFAULT_GOAL := help
.PHONY: help setup train test check fuzz lint type sweep bench ui clean

help: ## list these targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-6s %s\n", $$1, $$2}'

# The stamp is written last, so an interrupted installation starts again.
$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer must be on PATH; or name one: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[dev]'
	@touch $@

setup: $(STAMP) ## create .venv and install pruneplug with its development tools

train: setup ## train and prune the default model on digits
	$(BIN)/python -m pruneplug.train schedule=polynomial

sweep: setup ## the same at three sparsities, comparable in MLflow
	$(BIN)/python -m pruneplug.train -m schedule=polynomial sparsity=0.5,0.8,0.9

test: setup ## run all tests
	@command -v chromium > /dev/null || echo "No browser, so one test is skipped: apt-get install chromium chromium-driver"
	$(BIN)/python -m pytest -n 2

check: setup lint type ## what takes three minutes: style, types, and the tests that are not slow
	$(BIN)/python -m pytest -n 2 -m "not slow"

fuzz: setup ## train in random ways for MINUTES=10, and hold the law of what is left
	PYTHONPATH=tests $(BIN)/python -m law --minutes $(or $(MINUTES),10)

lint: setup ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: setup ## check types
	$(BIN)/mypy

bench: setup ## measure speed and memory against TFMOT and plain Keras; half an hour, nothing beside it
	$(BIN)/python -m experiments.benchmarks --full

ui: setup ## open MLflow's pages on this folder's runs
	$(BIN)/mlflow ui --workers 1 --backend-store-uri sqlite:///$(CURDIR)/mlflow.db

clean: ## remove build files and caches; runs and .venv stay
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov
	find pruneplug conf tests -name __pycache__ -type d -prune -exec rm -rf {} +
