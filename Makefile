# The index of what one can do here: `make help`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

export PREFECT_SERVER_ANALYTICS_ENABLED ?= false
export DO_NOT_TRACK ?= 1

.PHONY: help run test lint types imports clean install install-dev schema

help: ## Show this list
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F ':.*?## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(DEV_STAMP): pyproject.toml constraints.txt | $(STAMP)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

install: $(STAMP) ## Install hea-loop and what it needs into .venv

install-dev: $(DEV_STAMP) ## The same, with what development and tests need

lint: $(DEV_STAMP) ## Lint and check the format (ruff)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV_STAMP) ## Check the types (mypy, strict on hea_loop, validators and db)
	$(BIN)/mypy

imports: $(DEV_STAMP) ## Check that imports run one way
	$(BIN)/lint-imports

test: $(DEV_STAMP) lint types imports ## Install, lint, check types and imports, and run every test
	$(BIN)/python -m pytest -q

clean: ## Remove the environment and caches; stores and reports stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist *.egg-info
