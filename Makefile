# Every target does its own set-up; only python3 (3.11 or newer) and make are assumed.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
COMMANDS ?= 5000
PROCESSES ?= 2
SCENARIO ?= hot-book
SIZE ?= 1000000

.PHONY: help demo example load test unit coverage faults bench conformance lint format up down dist image sbom audit docs \
	api release-check lock dashboards clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

# The environment is complete when the stamp is newer than the lock; a half-made one is made again. What a link leads to
# is another clone's, and would be emptied.
$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3 to choose one."; exit 2; }
	@if test -L $(VENV); then rm $(VENV); fi
	@$(PYTHON) -m venv --clear $(VENV) \
		|| { echo "python3 cannot make a virtual environment; install its venv module (Debian: python3-venv)."; exit 2; }
	@echo "Installing the pinned dependencies into $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(VENV)/.ready ## run real commands through the whole line and verify the result
	@$(BIN)/python -m deploy.local.demo --commands $(COMMANDS) --processes $(PROCESSES)

example: $(VENV)/.ready ## open a library in the browser, on servers and workers of its own, until Ctrl-C (ARGS="--port 8001")
	@$(BIN)/python -m deploy.local.example $(ARGS)

load: $(VENV)/.ready ## run a load scenario on servers and workers of its own, and have every answer verified
	@$(BIN)/python -m deploy.local.load $(SCENARIO) $(ARGS)

# What Python made of a module, and pytest of a test module, is kept, also where the surroundings say otherwise.
test unit: export PYTHONDONTWRITEBYTECODE :=

test: $(VENV)/.ready ## run the tests on real servers
	@$(BIN)/python -m pytest -n 4 --dist loadgroup $(ARGS)

unit: $(VENV)/.ready ## run the tests that need no server
	@$(BIN)/python -m pytest -n 4 --dist loadgroup tests/unit $(ARGS)

# Processes that tests start are counted as well; what was counted before is forgotten.
coverage: $(VENV)/.ready ## run the tests that need no server, and report the lines that nothing reaches (ARGS="tests/contract" for others)
	@mkdir -p .coverage && $(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -n 2 --dist loadgroup $(or $(ARGS),tests/unit)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

faults: $(VENV)/.ready ## break every part under load, 20,000 commands a fault, and audit what is left
	@$(BIN)/python -m tests.faults $(ARGS)

# The peers that the benchmarks compare with are installed for them alone.
$(VENV)/.bench: requirements-bench.lock $(VENV)/.ready
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-bench.lock
	@touch $@

bench: $(VENV)/.bench ## measure the store and the worker beside their floors, ceilings and peers (PART=store, worker, histories, oracle, bloat, reading or archive)
	@SIZE=$(SIZE) $(if $(REPEAT),REPEAT=$(REPEAT)) $(BIN)/python -m tests.bench

conformance: $(VENV)/.bench ## hold the store to the rules of DCB, and to the tests that eventsourcing publishes for it
	@$(BIN)/python -m pytest -q -rA -o python_functions='check_* test_*' tests/contract/test_dcb.py tests/conformance/check_*.py $(ARGS)

lint: $(VENV)/.ready ## check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.ready ## put the code in its standard form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

up: $(VENV)/.ready ## start the local stack and print its addresses
	@$(BIN)/python -m deploy.local up

down: $(VENV)/.ready ## stop the local stack and remove its files, with what was fetched for it
	@$(BIN)/python -m deploy.local down

dist: $(VENV)/.ready ## build the wheel and the source distribution into dist/
	@rm -rf dist
	@$(BIN)/python -m hatchling build --target sdist --target wheel

# An image that is built from changed files says so in its revision.
image: ## build the worker's image, and label it with its version and revision (needs Docker)
	@docker build --tag dynamic-streams-worker \
		--build-arg VERSION="$$(sed -n 's/^__version__ = "\(.*\)"$$/\1/p' worker/__init__.py)" \
		--build-arg REVISION="$$(git describe --always --dirty --abbrev=40 --exclude='*')" \
		--build-arg SOURCE="$$(git remote get-url origin 2>/dev/null | grep '^https://')" .

# What lists and examines dependencies is installed for that alone.
$(VENV)/.audit: requirements-audit.lock $(VENV)/.ready
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-audit.lock
	@touch $@

sbom: $(VENV)/.audit ## list what the image installs, with versions, licences and who needs what, in dist/sbom.cdx.json (CycloneDX)
	@$(BIN)/python -m deploy.dependencies.sbom

audit: $(VENV)/.audit ## look for known vulnerabilities of what the image installs (needs the OSV service)
	@$(BIN)/python -m deploy.dependencies.audit

release-check: dist $(VENV)/.audit ## install each extra alone in a new environment, follow the tutorial line by line, and fetch servers as any user
	@$(BIN)/python -m pytest -q -rN -s -o python_functions='check_*' --timeout=1800 tests/release/check_*.py $(ARGS)

# What makes the site is installed for that alone.
$(VENV)/.docs: requirements-docs.lock $(VENV)/.ready
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-docs.lock
	@touch $@

api: $(VENV)/.ready ## write the pages of the Python API from the docstrings
	@$(BIN)/python -m deploy.site.api

docs: $(VENV)/.docs ## make the pages a site in .site/; warnings are fatal
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-annotate --no-header

# All others are parts of the first, at its versions: what the benchmarks add, what the image runs, what builds it.
lock: ## pin the dependencies anew (needs uv)
	$(COMPILE) --group dev --all-extras pyproject.toml -o requirements.lock
	$(COMPILE) --constraint requirements.lock --group pyproject.toml:bench -o requirements-bench.lock
	$(COMPILE) --constraint requirements.lock --group pyproject.toml:docs -o requirements-docs.lock
	$(COMPILE) --constraint requirements.lock --group pyproject.toml:audit -o requirements-audit.lock
	$(COMPILE) --constraint requirements.lock --extra worker --extra erasure --extra console pyproject.toml -o requirements-runtime.lock
	echo hatchling | $(COMPILE) --constraint requirements.lock - -o requirements-build.lock

# Of the vendors of RabbitMQ and of PostgreSQL's exporter, at the versions in compose.yaml. They are not copied here.
VENDORS := deploy/grafana/dashboards/vendors
RABBITMQ_DASHBOARD := https://raw.githubusercontent.com/rabbitmq/rabbitmq-server/v4.3.5/deps/rabbitmq_prometheus/docker/grafana/dashboards/RabbitMQ-Overview.json
POSTGRES_DASHBOARD := https://raw.githubusercontent.com/prometheus-community/postgres_exporter/v0.19.1/postgres_mixin/dashboards/postgres-overview.json

dashboards: ## fetch the vendors' dashboards of RabbitMQ and PostgreSQL for Grafana
	@mkdir -p $(VENDORS)
	@curl --fail --silent --show-error --location $(RABBITMQ_DASHBOARD) --output $(VENDORS)/rabbitmq.json
	@curl --fail --silent --show-error --location $(POSTGRES_DASHBOARD) --output $(VENDORS)/postgres.json
	@# Files are not imported, so nobody is asked which datasource they mean.
	@sed -i 's/$${DS_PROMETHEUS}/prometheus/g' $(VENDORS)/*.json
	@echo "Grafana shows them within half a minute, in the folder vendors."

# The local stack first: without its folder, nobody knows what to stop.
clean: ## stop the local stack, and remove what the other targets made
	@if test -e .stack; then $(MAKE) --no-print-directory down; fi
	rm -rf $(VENDORS) $(VENV) .packages dist .site .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis .bench
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
