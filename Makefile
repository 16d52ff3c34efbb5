# Every target does its own set-up; only python3 (3.11 or newer) and make are assumed.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
COMMANDS ?= 5000
PROCESSES ?= 2
SIZE ?= 1000000
REPEAT ?= 5

.PHONY: help demo test faults bench lint format up down lock clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

# The environment is complete when the stamp is newer than the lock; a half-made one is made again.
$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3 to choose one."; exit 2; }
	@$(PYTHON) -m venv --clear $(VENV) \
		|| { echo "python3 cannot make a virtual environment; install its venv module (Debian: python3-venv)."; exit 2; }
	@echo "Installing the pinned dependencies into $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(VENV)/.ready ## run real commands through the whole line and verify the result
	@$(BIN)/python -m deploy.local.demo --commands $(COMMANDS) --processes $(PROCESSES)

test: $(VENV)/.ready ## run the tests on real servers
	@$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

faults: $(VENV)/.ready ## break every part under load, 20,000 commands a fault, and audit what is left
	@$(BIN)/python -m tests.faults $(ARGS)

# The peers that the benchmarks compare with are installed for them alone.
$(VENV)/.bench: requirements-bench.lock $(VENV)/.ready
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-bench.lock
	@touch $@

bench: $(VENV)/.bench ## measure the store and the worker beside their floors, ceilings and peers (PART=store or worker)
	@SIZE=$(SIZE) REPEAT=$(REPEAT) $(BIN)/python -m tests.bench

lint: $(VENV)/.ready ## check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.ready ## put the code in its standard form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

up: $(VENV)/.ready ## start the local stack and print its addresses
	@$(BIN)/python -m deploy.local up

down: $(VENV)/.ready ## stop the local stack and remove its files
	@$(BIN)/python -m deploy.local down

lock: ## pin the dependencies anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-annotate --no-header --group dev pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-annotate --no-header --constraint requirements.lock \
		--group pyproject.toml:bench -o requirements-bench.lock

clean: ## remove what the other targets made
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .bench
