# make run    set up, then answer for the Qingyang backbone
# make test   set up, then every check and test
# make ryu    Ryu 4.34 in .venv-ryu, for whoever wants the controllers on it; its tests then run too
# make bench  set up, then the benchmarks (numbers, never a verdict)

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$p; break; }; done)
RYU_PYTHON ?= $(shell for p in python3.11 python3.10 python3.9; do \
	$$p -c 'import ensurepip, venv' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin

.PHONY: help run test ryu lint bench clean

help:
	@sed -n '1,4s/^# //p' Makefile

.venv/ready: pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo "qnet needs Python 3.11 or newer; none was found" >&2; exit 3; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) has no venv module; install it: apt-get install python3-venv" >&2; exit 3; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,emulate]'
	@touch $@

# Ryu asks for a setuptools from before 67, which runs up to Python 3.11 only.
.venv-ryu/ready: controllers/ryu.txt
	@[ -n "$(RYU_PYTHON)" ] || { echo "Ryu 4.34 needs Python 3.9 to 3.11; none was found" >&2; exit 3; }
	$(RYU_PYTHON) -m venv .venv-ryu
	.venv-ryu/bin/python -m pip install --quiet --disable-pip-version-check 'setuptools<67' wheel pbr
	.venv-ryu/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation \
		--requirement controllers/ryu.txt
	@touch $@

ryu: .venv-ryu/ready

run: .venv/ready
	$(BIN)/qnet doctor || true
	$(BIN)/qnet run qingyang --out out/qingyang

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -m twin

bench: .venv/ready
	$(BIN)/python -m pytest tests/bench --benchmark-enable --benchmark-only

clean:
	rm -rf .venv .venv-ryu out dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
