# rl-slt: `make demo` and `make test` work from a fresh clone with nothing but Python and make.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] < (3,15))' 2>/dev/null \
	&& { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt
OUT ?= demo

.PHONY: help demo test test-slow test-faults docs site venv clean

help:
	@echo "make demo       install, run the demo study (two arms) into ./$(OUT), print the report's path"
	@echo "make test       install with the test tools, then ruff, mypy and pytest"
	@echo "make test-slow  the tests that need minutes"
	@echo "make test-faults  50 kills at random moments, resumed and compared (up to 20 minutes)"
	@echo "make docs       builds the site of docs/, strictly, and opens it (http://127.0.0.1:8000)"
	@echo "make site       builds it into ./site (pages open without a server)"
	@echo "make clean      remove .venv and caches (runs stay)"

demo: $(VENV)/.installed
	$(BIN)/rl-slt run --preset demo --out $(OUT) --resume

test: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE MALLOC_ARENA_MAX=1 $(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m slow

test-faults: $(VENV)/.installed-test
	$(BIN)/python benchmarks/pipeline_faults.py --kills 50 --minutes 20 --out benchmarks/results/faults.md

docs: $(VENV)/.installed-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --strict --open

site: $(VENV)/.installed-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

venv: $(VENV)/.installed-test

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "rl-slt needs Python 3.11 to 3.13 on the PATH (or make PYTHON=/path/to/python); none was found." >&2; exit 1; }
	@echo "== making $(VENV) with $(PYTHON) =="
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) could not make a virtual environment (on Debian: apt install python3-venv)." >&2; rm -rf $(VENV); exit 1; }

# torch comes first and pinned: a later resolver run must not replace it by another build.
$(VENV)/.torch: pyproject.toml constraints.txt | $(BIN)/python
	@echo "== installing torch and procgen from constraints.txt =="
	@$(PIP) --only-binary torch,procgen-mirror,procgen-gym torch \
		"procgen-mirror; python_version < '3.13'" "procgen-gym; python_version >= '3.13'" \
		|| { echo "No ready wheel of torch or procgen for this machine: needs Linux on x86-64, Python 3.11 to 3.13." >&2; exit 1; }
	@touch $@

$(VENV)/.installed: $(VENV)/.torch
	@echo "== installing rl-slt from constraints.txt =="
	@$(PIP) -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.torch
	@echo "== installing rl-slt[test,docs] from constraints.txt =="
	@$(PIP) -e '.[test,docs]'
	@touch $(VENV)/.installed $@

clean:
	rm -rf $(VENV) .venv-newest site .mypy_cache .ruff_cache .pytest_cache build *.egg-info
