# The index of what one can do here: `make help`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
DFT_STAMP := $(VENV)/.installed-dft
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
APT_INSTALL := $(SUDO) apt-get update -qq && \
  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends
CAMPAIGN ?= campaigns/quickstart.yaml
STRATEGY ?= flow-matching cgan-2021

export PREFECT_SERVER_ANALYTICS_ENABLED ?= false
export DO_NOT_TRACK ?= 1
# Our matrices are small: one thread each beats two that wait for each other.
export OMP_NUM_THREADS ?= 1

.PHONY: help install install-dev dft chromium run test lint types imports server deploy worker figures base-rate kill-test clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F ':.*?## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# -- set up ------------------------------------------------------------------------------------------------

# Debian ships Python without what makes virtual environments, in a package of its own
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hea-loop needs Python 3.11 or later")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "installing python3-venv"; $(APT_INSTALL) python3-venv >/dev/null; }
	$(PYTHON) -m venv $(VENV)

# torch by itself first, so that pip takes the pinned build before anything else asks for it
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) torch
	$(PIP) -e .
	@touch $@

$(DEV_STAMP): pyproject.toml constraints.txt | $(STAMP)
	$(PIP) -e '.[dev]'
	@touch $@

install: $(STAMP) ## Install hea-loop and what it needs into .venv

install-dev: $(DEV_STAMP) ## The same, with what development and tests need

# GPAW is compiled against Debian's libxc, BLAS and MPI; ABINIT and its pseudopotentials come as packages
$(DFT_STAMP): pyproject.toml constraints.txt | $(STAMP)
	@{ command -v abinit mpicc gcc && ls /usr/share/abinit/psp/74w.6.hgh /usr/include/xc.h /usr/lib/*/libopenblas.so \
	  && $(BIN)/python -c 'import os, sysconfig; os.stat(sysconfig.get_paths()["include"] + "/Python.h")'; } >/dev/null 2>&1 \
	  || { echo "installing abinit and what GPAW is built with"; $(APT_INSTALL) abinit abinit-data libxc-dev \
	  libopenblas-dev libopenmpi-dev build-essential python3-dev >/dev/null; }
	$(PIP) -e '.[dft]'
	@touch $@

# --accept-unqualified: the packaged qualification is of ABINIT 9.6.2, and another Debian's version would count as unqualified
dft: export OMP_NUM_THREADS := 1
dft: $(DFT_STAMP) ## Install GPAW and ABINIT, and compute tungsten with both (some minutes on one core)
	$(BIN)/hea-loop dft run W --workflow elastic --calculator gpaw --preset screening --directory out/dft/W-gpaw
	$(BIN)/hea-loop dft run W --workflow equation-of-state --calculator abinit --preset screening --accept-unqualified --directory out/dft/W-abinit

chromium: ## Install Chromium where there is none (Debian): the report is tested in it
	@{ command -v chromium && ldconfig -p | grep -q libatomic.so.1; } >/dev/null || { echo "installing chromium"; \
	  $(APT_INSTALL) chromium fonts-dejavu-core libatomic1 >/dev/null; }

slurm: ## Install Slurm's daemons where there are none (Debian): the jobs are tested in a cluster of one node
	@{ command -v munged && command -v sbatch && [ -x /usr/sbin/slurmctld ] && [ -x /usr/sbin/slurmd ]; } >/dev/null || { echo "installing slurm"; \
	  $(APT_INSTALL) slurmctld slurmd slurm-client munge >/dev/null; }

# -- use ---------------------------------------------------------------------------------------------------

run: $(STAMP) ## Run a closed-loop campaign on the literature data (CAMPAIGN=campaigns/quickstart.yaml)
	$(BIN)/hea-loop run $(CAMPAIGN)

# the server of `make server`, unless another one is named: without an address Prefect starts a server for itself
PREFECT_SERVER_API_PORT ?= 4200
deploy worker: export PREFECT_API_URL ?= http://127.0.0.1:$(PREFECT_SERVER_API_PORT)/api

server: $(STAMP) ## Start a Prefect server with its page on http://127.0.0.1:4200
	$(BIN)/prefect server start

deploy: $(STAMP) ## Deploy the campaign and the relay to the Prefect server, on their schedules
	$(BIN)/prefect work-pool inspect hea-loop >/dev/null 2>&1 || $(BIN)/prefect work-pool create hea-loop --type process
	HEA_LOOP_HOME="$(CURDIR)" $(BIN)/prefect --no-prompt deploy --all --prefect-file deployments/prefect.yaml

worker: $(STAMP) ## Start a worker that runs what is due
	$(BIN)/prefect worker start --pool hea-loop --type process

# -- measure -----------------------------------------------------------------------------------------------

figures: $(STAMP) ## Draw the seed paper's figures from the packaged data, with their numbers (STRATEGY="flow-matching cgan-2021")
	$(BIN)/python -m benchmarks.seed_figures --out out/seed-figures $(STRATEGY:%=--strategy %)

base-rate: $(STAMP) ## Measure how many uniform random compositions hit the campaign's targets
	$(BIN)/python -m benchmarks.base_rate $(CAMPAIGN)

kill-test: $(STAMP) ## Kill a campaign twenty times with SIGKILL and check that nothing is lost or done twice
	$(BIN)/python -m benchmarks.kill_and_resume $(CAMPAIGN)

# -- check -------------------------------------------------------------------------------------------------

lint: $(DEV_STAMP) ## Lint and check the format (ruff)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV_STAMP) ## Check the types (mypy, strict on hea_loop, validators and db)
	$(BIN)/mypy

imports: $(DEV_STAMP) ## Check that imports run one way
	$(BIN)/lint-imports

test: $(DEV_STAMP) $(DFT_STAMP) chromium slurm lint types imports ## Install, lint, check types and imports, and run every test
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup

clean: ## Remove the environment and caches; stores and reports stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist *.egg-info
