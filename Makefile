# Set-up and checks. `make quickstart` and `make test` create .venv themselves; nothing else has to be installed
# but Python 3.10 or newer and make. `make PYTHON=python3.12 ...` picks another interpreter.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
TORCH := torch==2.13.0
STAMP := $(VENV)/.installed
# Tests and commands run offline and on one thread each: the result does not depend on a hub or on the neighbours.
OFFLINE := HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 TOKENIZERS_PARALLELISM=false

.DEFAULT_GOAL := help
.PHONY: help quickstart test lint types tests readme docs format lock setup clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: setup ## Compress a real 6-layer model on real text, without any download of data
	@$(OFFLINE) $(BIN)/sublm quickstart --overwrite

test: lint types tests readme docs ## Check everything: style, types, tests, the commands of the README, the site

lint: setup
	@echo "ruff"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .

types: setup
	@echo "mypy"
	@$(BIN)/mypy

tests: setup ## Run the tests (neighbours share fixtures, so they stay in one process)
	@$(OFFLINE) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

readme: setup
	@$(OFFLINE) PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python scripts/run_readme.py README.md

docs: setup ## Build the documentation site into site/; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "Open site/index.html"

format: setup ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

setup: $(STAMP) ## Create .venv with everything in it

# torch first and by its plain version, so that a machine with a CPU build at hand keeps it.
# The lock was made on Python 3.11; where it does not fit (3.10), the bounds of pyproject.toml decide.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "SubLM needs Python 3.10 or newer; found $$($(PYTHON) --version). Give another with make PYTHON=..."; exit 1; }
	@echo "Creating $(VENV) (a few minutes the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install $(TORCH)
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; \
	 then $(PIP) install -r requirements.lock && $(PIP) install --no-deps -e .; \
	 else $(PIP) install -e '.[onnx,openvino,quickstart,dev,docs]'; fi
	@touch $@

lock: ## Make requirements.lock anew from the newest versions
	@PYTHON="$(PYTHON)" TORCH="$(TORCH)" bash scripts/lock.sh

clean: ## Remove .venv and every cache
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
