# Two commands for a fresh machine: `make demo` and `make test`. Needs Python 3.11+, make and git.
PYTHON ?= python3
# How many tests run at once: three for each processor, for many of them wait for other processes. Or what you say.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(3 * (os.cpu_count() or 1))')
BIN := .venv/bin
# Tests start hundreds of processes: let them keep what they compiled, also where the environment forbids it.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: setup demo demo-channels test test-matrices mutants check bench eval lock clean

setup: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Goes on with a demo that was stopped; `make demo DEMO=--again` begins anew.
demo: setup
	@$(BIN)/bot demo $(DEMO)

# The same by Slack and by mail, without any account: both are servers for tests, on loopback.
demo-channels: setup
	@$(BIN)/python -m tests.demo_channels

# Of each matrix of tests (tests/matrices.py) a sample, and the same inputs each time.
test: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# Every point of every matrix, and inputs that are new each time. Only what `make test` plays a sample of.
test-matrices: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --matrices

# Changes one decision in the code at a time and says which changes no test notices (tests/mutants).
# Under an hour on two processors; `make mutants MUTANTS="--seed 2 --faults 50 store"` for less.
mutants: setup
	$(BIN)/python -m tests.mutants $(MUTANTS)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m tests.benchmarks

# The cases of deploybot against the model of OPENAI_BASE_URL, on a copy of the demo's site; `make eval EVAL="rollback --runs 3"`.
eval: setup
	$(BIN)/bot eval $(EVAL)

# Resolves again for every platform and Python that pyproject.toml allows. Needs uv.
lock:
	uv pip compile --quiet --universal --no-strip-extras --generate-hashes --no-annotate --no-header --all-extras --group dev pyproject.toml -o requirements.lock

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
