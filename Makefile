# make run    set up, then answer for the Qingyang backbone
# make test   set up, then every check and test
# make ryu    Ryu 4.34 in .venv-ryu, for whoever wants the controllers on it; its tests then run too
# make faucet Faucet in .venv-faucet: one of the controllers whose verdicts are tested
# make long   set up, with Ryu and Faucet, then all verdicts on controllers that others wrote
# make tools  what the emulation needs and pip does not have: Open vSwitch, Mininet, tshark ... (root)
# make bench  set up, then the benchmarks (numbers, never a verdict)
# make bench-ns3  qnet beside ns-3 (needs g++; half a gigabyte in .venv-ns3)

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$p; break; }; done)
RYU_PYTHON ?= $(shell for p in python3.11 python3.10 python3.9; do \
	$$p -c 'import ensurepip, venv' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin

.PHONY: help run test long tools ryu faucet lint warm bench bench-ns3 clean

help:
	@sed -n '1,8s/^# //p' Makefile

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

# Faucet asks for an os-ken of before 4.
.venv-faucet/ready: tests/emulate/outside/faucet.txt
	$(PYTHON) -m venv .venv-faucet
	.venv-faucet/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

faucet: .venv-faucet/ready

# Missing tools are no error: the tests that want them are skipped and say why.
TOOLS := openvswitch-switch mininet iproute2 ethtool iperf3 iputils-ping tshark
tools:
	@if (for one in ovs-vswitchd mnexec tshark iperf3 ping; do command -v $$one >/dev/null || exit 1; done); then \
		echo "the emulation's tools are here"; \
	elif ! command -v apt-get >/dev/null; then \
		echo "no apt-get: install Open vSwitch, Mininet, iperf3, ping and tshark with your own system's tool"; \
	elif [ "$$(id -u)" != 0 ]; then \
		echo "not root: sudo apt-get install $(TOOLS)"; \
	else \
		export DEBIAN_FRONTEND=noninteractive; \
		wait=-oDPkg::Lock::Timeout=300; \
		apt-get $$wait update -qq && apt-get $$wait install -y -qq --no-install-recommends $(TOOLS) >/dev/null \
			&& echo "installed: $(TOOLS)" \
			|| echo "apt-get could not install $(TOOLS): the emulation's tests will be skipped"; \
	fi

run: .venv/ready
	$(BIN)/qnet doctor || true
	$(BIN)/qnet run qingyang --out out/qingyang

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

warm: .venv/ready
	$(BIN)/python -m tests.warm

# As many processes as there are cores, four at most; of what may not run beside its like, one.
BESIDE := --numprocesses auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder
# Tests start some hundred processes: whatever the environment says, each module is compiled once.
test: export PYTHONDONTWRITEBYTECODE =
test: .venv/ready
	$(MAKE) --no-print-directory --jobs 2 warm lint
	$(BIN)/python -m pytest $(BESIDE)
	@$(BIN)/qnet doctor | grep emulate || true
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -m twin $(BESIDE)

long: .venv/ready .venv-ryu/ready .venv-faucet/ready
	$(BIN)/python -m pytest tests/emulate/outside --long

bench: .venv/ready
	$(BIN)/python -m pytest tests/bench --benchmark-enable --benchmark-only

.venv-ns3/ready:
	$(PYTHON) -m venv .venv-ns3
	.venv-ns3/bin/python -m pip install --quiet --disable-pip-version-check 'ns3==3.44.post0'
	@touch $@

bench-ns3: .venv/ready .venv-ns3/ready
	$(BIN)/python -m tests.bench.ns3_line .venv-ns3/bin/python

clean:
	rm -rf .venv .venv-ryu .venv-faucet .venv-ns3 out dist build
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
