# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test slow lowest lint format clean help

demo: $(VENV)/installed  ## train both models on MovieLens-100K and compare them
	$(BIN)/python examples/quickstart.py --out runs/demo

# A process per core, each with one thread: threads of several processes would wait for one another.
test: $(VENV)/installed  ## run the test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

slow: $(VENV)/installed  ## run the tests on real data, too long for the suite
	$(BIN)/python -m pytest -m slow

# Those of pyparsing that came after matplotlib 3.9 warn about it, and warnings are errors.
lowest:  ## run the suite with the lowest versions that pyproject.toml allows (torch alone is 4 GB)
	$(PYTHON) -m venv build/lowest
	build/lowest/bin/pip install --quiet uv
	build/lowest/bin/uv pip install --python build/lowest --resolution lowest-direct -e ".[dev]" pyparsing==3.1.4
	OMP_NUM_THREADS=1 build/lowest/bin/python -m pytest -n auto --dist loadfile

lint: $(VENV)/installed  ## check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/installed  ## bring the code into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:  ## remove the environment and caches; runs stay
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .hypothesis

help:  ## show this
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@echo "Installing torch and the package into $(VENV) (a few minutes the first time) ..."
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $@
