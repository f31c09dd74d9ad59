# Everything begins here: each target makes what it needs and does nothing twice.
# ARGS is handed on: make serve ARGS="--port 9000", make test ARGS="-k simulator", make bench ARGS="--help".

VENV ?= .venv
WHEELHOUSE := build/wheelhouse
WORKERS ?= -n auto --dist worksteal
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SERVABLE := $(VENV)/.servable
DEVELOPABLE := $(VENV)/.developable

.DEFAULT_GOAL := help
.PHONY: help serve test test-setup lint bench chaos soak schemas clean

help: ## Show the targets.
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 12

serve: $(SERVABLE) ## Start the host on 127.0.0.1:8317.
	@exec $(BIN)/jackfield serve $(ARGS)

test: test-setup ## Run all tests.
	$(BIN)/python -m pytest $(WORKERS) $(ARGS)

test-setup: $(DEVELOPABLE) $(WHEELHOUSE)/.filled ## Install what the tests need; the only step with a network.

lint: $(DEVELOPABLE) ## Check style and types.
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(DEVELOPABLE) ## Measure against a bare reverse proxy.
	$(BIN)/python -m tests.bench $(ARGS)

chaos: $(DEVELOPABLE) ## Let thousands of calls meet upstreams that fail in every way.
	$(BIN)/python -m tests.chaos $(ARGS)

soak: $(DEVELOPABLE) ## Call a host for a day, with hours of rest between.
	$(BIN)/python -m tests.chaos.soak $(ARGS)

schemas: $(DEVELOPABLE) ## Write the schemas anew.
	$(BIN)/jackfield schema config --write schemas/config.json
	$(BIN)/jackfield schema rpc --write schemas/v1 --reference docs/reference/wire.md
	$(BIN)/python -m tests.rpc.conversations

clean: ## Remove everything that was made here, the virtual environment too.
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A name on the path says little: it may be a shim without a Python behind it. So each is asked.
$(BIN)/pip:
	@for python in $(PYTHON) python3.13 python3.12 python3.11 python3 python; do \
	  if $$python -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    exec $$python -m venv $(VENV); \
	  fi; \
	done; \
	echo 'Jackfield needs Python 3.11 or newer with venv, and found none: install one, or name it with PYTHON=/path/to/python3' >&2; exit 1

$(SERVABLE): pyproject.toml | $(BIN)/pip
	$(PIP) install --quiet --editable .
	@touch $@

$(DEVELOPABLE): pyproject.toml | $(BIN)/pip
	$(PIP) install --quiet --editable '.[dev]'
	@touch $@ $(SERVABLE)

# What tests of packaging install from, so that they need no network. The host itself they build afresh.
$(WHEELHOUSE)/.filled: pyproject.toml | $(BIN)/pip
	$(PIP) wheel --quiet --wheel-dir $(WHEELHOUSE) '.[dev]' editables
	@rm -f $(WHEELHOUSE)/jackfield-*.whl
	@touch $@
