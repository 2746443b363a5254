# make run    set up, then answer for the Qingyang backbone
# make test   set up, then every check and test
# make bench  set up, then the benchmarks (numbers, never a verdict)
# make bench-ns3  qnet beside ns-3 (needs g++; half a gigabyte in .venv-ns3)

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$p; break; }; done)
BIN := .venv/bin

.PHONY: help run test lint bench bench-ns3 clean

help:
	@sed -n '1,4s/^# //p' Makefile

.venv/ready: pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo "qnet needs Python 3.11 or newer; none was found" >&2; exit 3; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) has no venv module; install it: apt-get install python3-venv" >&2; exit 3; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

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

.venv-ns3/ready:
	$(PYTHON) -m venv .venv-ns3
	.venv-ns3/bin/python -m pip install --quiet --disable-pip-version-check 'ns3==3.44.post0'
	@touch $@

bench-ns3: .venv/ready .venv-ns3/ready
	$(BIN)/python -m tests.bench.ns3_line .venv-ns3/bin/python

clean:
	rm -rf .venv .venv-ns3 out dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
