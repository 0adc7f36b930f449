# Nextchar: `make run` serves, `make test` checks, `make install` only sets up. Everything lives in .venv.
.DEFAULT_GOAL := help
.PHONY: help install run test lint lock clean

# The first Python of 3.10 – 3.12 that starts; `make PYTHON=/path/to/python install` chooses another.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.10 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INSTALLED := .venv/.installed

help:
	@sed -n '1s/^# //p' Makefile

install: $(INSTALLED)

$(INSTALLED): requirements/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Nextchar needs Python 3.10, 3.11 or 3.12; none was found. Name one: make PYTHON=/path/to/python3.11 install"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	$(BIN)/python -m model.training
	@touch $@

run: $(INSTALLED)
	@$(BIN)/python scripts/train.py --preset quick --out checkpoints/lyrics --prefix 分开 --prefix 不分开 --if-missing
	@$(BIN)/python -m app

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Resolves pyproject.toml anew into hash-locked files that name no index.
LOCK := uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-annotate --no-header
lock:
	$(LOCK) pyproject.toml -o requirements/runtime.txt
	$(LOCK) -c requirements/runtime.txt --extra dev pyproject.toml -o requirements/dev.txt
	$(LOCK) -c requirements/runtime.txt --extra cuda11 --excludes requirements/replaced-by-cuda11.in pyproject.toml -o requirements/cuda11.txt
	$(LOCK) -c requirements/runtime.txt --extra cuda --excludes requirements/replaced-by-cuda.in pyproject.toml -o requirements/cuda.txt
	$(LOCK) -c requirements/dev.txt requirements/build.in -o requirements/build.txt

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
