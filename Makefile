# make help lists the targets. Every target sets up what it needs in .venv, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint format bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv with everything installed at the tested versions

demo: $(STAMP) ## generate recordings, pretrain SkeletonCLR, evaluate it, print the table
	$(BIN)/python experiments/run.py skeletonclr synthetic

test: $(STAMP) ## the tests without the slow ones
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(STAMP) ## the slow tests
	$(BIN)/python -m pytest -m slow

lint: $(STAMP) ## ruff (rules and format) and mypy
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

format: $(STAMP) ## rewrite the sources as lint wants them
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

bench: $(STAMP) ## measure speed, and say what moved from the stored ratios
	$(BIN)/python benchmarks/regression.py

clean: ## remove caches and build output (keeps .venv and SKELRAY_HOME)
	rm -rf build dist .pytest_cache .ruff_cache .mypy_cache
	find . -path ./$(VENV) -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +

# pip exists in .venv only once `venv` came to its end, so an interrupted one is done again.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/pip \
		|| $(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { \
		echo "make: '$(PYTHON)' is not Python 3.11 or later with the venv module." \
			"Install it (on Debian and Ubuntu: python3-venv) or name another: make PYTHON=python3.12"; \
		exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e '.[video,sweep,dev]'
	touch $@
