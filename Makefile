# Every target works in a fresh clone: it sets up .venv first, once.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

# One thread per process: they share the cores, and small models gain nothing from more.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4

.PHONY: help demo test test-slow check notebook docs package format
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{ printf "make %-10s %s\n", $$1, $$2 }'

demo: $(READY)  ## set up, then train, evaluate, explain and export a first model (about 10 minutes)
	$(BIN)/clearsight demo

test: $(READY)  ## set up, then run the tests (about 10 minutes on two cores) and show their coverage
	$(PYTEST) -m "not slow" --cov=clearsight --cov-report=
	@echo "coverage of clearsight: $$($(BIN)/coverage report --format=total) % of its lines"

test-slow: $(READY)  ## the tests that really train or need CIFAR-10, and the examples
	$(PYTEST) -m slow

check: $(READY)  ## check format, lint, types, layers and documents
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/ty check --python .venv src tests benchmarks tools
	$(BIN)/python -m pytest tests/test_layering.py
	$(BIN)/python -m tools.docs check

notebook: $(READY)  ## run the notebook from top to bottom and keep its outputs (some minutes)
	$(BIN)/jupytext --update --to ipynb notebooks/cifar10_classification.py
	$(BIN)/jupyter execute --inplace notebooks/cifar10_classification.ipynb

docs: $(READY)  ## build the site of docs/ into site/, warnings as errors
	$(BIN)/zensical build --strict --clean

package: $(READY)  ## build wheel and sdist into dist/, install the wheel elsewhere and try it
	bash .ci/package

format: $(READY)  ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $(PYTHON) is missing or older than Python 3.11; name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv || { rm -rf .venv; \
	  echo "error: $(PYTHON) -m venv .venv failed; on Debian and Ubuntu install python3-venv, then try again" >&2; exit 1; }
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	@touch $@
