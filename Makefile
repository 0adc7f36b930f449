# Nextchar: `make run` serves, `make test` checks, `make test-deps` gets what its tests need, `make install` only sets up.
.DEFAULT_GOAL := help
.PHONY: help install run test test-slow test-deps test-peers lint docs chapter mutants lock clean

# The first Python of 3.10 – 3.14 that starts, those that MXNet exists for before others; `make PYTHON=/path/to/python
# install` chooses another.
PYTHON ?= $(shell for p in python3.12 python3.11 python3.10 python3.13 python3.14 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 15))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# What running needs, what checking needs besides, what comparing with PyTorch and what mutation testing needs besides that.
INSTALLED := .venv/.installed
INSTALLED_DEV := .venv/.installed-dev
INSTALLED_BENCH := .venv/.installed-bench
INSTALLED_MUTATION := .venv/.installed-mutation

help:
	@sed -n '1s/^# //p' Makefile

install: $(INSTALLED)

$(INSTALLED): requirements/runtime.txt requirements/build.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Nextchar needs Python 3.10, 3.11, 3.12, 3.13 or 3.14; none was found. Name one: make PYTHON=/path/to/python3.11 install"; exit 1; }
	$(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	$(PIP) --no-build-isolation --no-deps -e .
	$(BIN)/python -m model.training
	@touch $@

$(INSTALLED_DEV): $(INSTALLED) requirements/dev.txt
	$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

# A slow machine takes longer and makes the same model: its epochs end the training, not the clock.
run: $(INSTALLED)
	@$(BIN)/python scripts/train.py --preset quick --time-budget 600 --out checkpoints/lyrics --prefix 分开 --prefix 不分开 --if-missing
	@$(BIN)/python -m app

$(INSTALLED_MUTATION): $(INSTALLED_DEV) requirements/mutation.txt
	$(PIP) --require-hashes -r requirements/mutation.txt
	@touch $@

lint: $(INSTALLED_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Many tests wait for a process that they started.
WORKERS ?= 3
# A test run starts Python a hundred times: what is compiled once is kept, whatever the environment says.
test test-slow test-peers: export PYTHONDONTWRITEBYTECODE :=

# Counting the lines that tests run costs next to nothing from Python 3.12 on. Before, tests take 1.3 times as long with it.
COVERAGE ?= $(shell $(BIN)/python -c 'import sys; print("yes" if sys.version_info >= (3, 12) else "")')

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not slow and not peers" \
		$(if $(COVERAGE),--cov --cov-report= --cov-fail-under=0)
	@$(if $(COVERAGE),$(BIN)/python -m tests.floor,echo "Lines that tests run: counted from Python 3.12 on, or by make test COVERAGE=yes.")

# What takes many seconds each and stands beside a faster test of the same thing: streams across kill -9, a page whose
# server is stopped, damaged results of Numba, the other format of the log.
test-slow: $(INSTALLED_DEV)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m slow

# The programs that tests need beyond Python; without one, the tests that need it are skipped.
test-deps: $(INSTALLED_DEV)
	@$(BIN)/python -m tests.programs

# The service against other people's programs, which this installs: with apt, and into .peers. `make test` leaves it out.
test-peers: $(INSTALLED_DEV)
	$(BIN)/python -m tests.peers.downloads
	$(BIN)/python -m pytest -m peers tests/peers tests/clients

$(INSTALLED_BENCH): $(INSTALLED_DEV) requirements/bench.txt
	$(PIP) --require-hashes -r requirements/bench.txt
	@touch $@

# Runs docs/chapter.ipynb in full and keeps what it shows. PyTorch, which its results are compared with, is large.
chapter: $(INSTALLED_BENCH)
	$(BIN)/python -m scripts.chapter

# The documents as a site, from Python 3.11 on. A link that leads nowhere fails it.
docs: $(INSTALLED_DEV)
	$(BIN)/python -m sphinx -b html -W -q docs build/docs
	@echo "Open build/docs/index.html."

# Changes the code in one place at a time and sees whether a test fails: docs/development.md.
mutants: $(INSTALLED_MUTATION)
	@$(BIN)/python -m scripts.mutants $(if $(SAMPLE),--sample $(SAMPLE)) $(MODULES)

# Resolves pyproject.toml anew into hash-locked files that name no index.
LOCK := uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-annotate --no-header
lock:
	$(LOCK) pyproject.toml -o requirements/runtime.txt
	$(LOCK) -c requirements/runtime.txt --extra dev pyproject.toml -o requirements/dev.txt
	$(LOCK) -c requirements/dev.txt --extra bench pyproject.toml -o requirements/bench.txt
	$(LOCK) -c requirements/runtime.txt --extra cuda11 --excludes requirements/replaced-by-cuda11.in pyproject.toml -o requirements/cuda11.txt
	$(LOCK) -c requirements/runtime.txt --extra cuda --excludes requirements/replaced-by-cuda.in pyproject.toml -o requirements/cuda.txt
	$(LOCK) -c requirements/dev.txt requirements/build.in -o requirements/build.txt
	$(LOCK) -c requirements/dev.txt requirements/peers.in -o requirements/peers.txt
	$(LOCK) requirements/clients.in -o requirements/clients.txt
	$(LOCK) -c requirements/dev.txt --extra mutation pyproject.toml -o requirements/mutation.txt

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .mutants .peers .coverage .coverage.*
	find app model nextchar scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/nextchar"
