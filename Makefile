# Every target makes .venv and installs what it needs by itself.
#
#   make demo    real rows to tuned models and a table, offline        make test    the tests
#   make lint    ruff, mypy, pyright, import contracts                 make bench   the benchmarks
#   make chaos   random faults, kills and restarts; counts duplicates  make clean   caches and builds
#
# PYTHON       the interpreter for .venv; the first one from 3.11 on that runs
# TORCH_INDEX  where torch comes from. Empty: PyPI, which on Linux brings the CUDA build (about 3 GB).
#              TORCH_INDEX=https://download.pytorch.org/whl/cpu brings the CPU build (about 200 MB).
# EXTRAS       what is installed beside the core
# PYTEST       further arguments for pytest; in their own order the long files come first, which fills both processes

SHELL := bash
TORCH_INDEX ?=
EXTRAS ?= local,similarity,ifeval,server,postgres,plots,parquet,hub,dev
PYTEST ?= -n 2 --dist loadfile --no-loadscope-reorder
TORCH := torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RUNS := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c '$(RUNS)' >/dev/null 2>&1 && { echo $$p; break; }; done)

.PHONY: install demo test lint bench chaos constraints clean distclean

install: $(STAMP)

# torch goes first and alone: from an index of CPU builds, and so that no other package pulls its CUDA build.
$(STAMP): pyproject.toml setup.py constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

demo: $(STAMP)
	$(BIN)/broker demo

test: $(STAMP)
	$(BIN)/python -m pytest $(PYTEST)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: $(STAMP)
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

chaos: $(STAMP)
	$(BIN)/python benchmarks/chaos.py $(CHAOS)

# Write down what is installed and tested now. The local part of torch's version (+cpu, +cu130) is the index's choice.
constraints: $(STAMP)
	@{ echo "# The versions that were tested together (Python 3.11, Linux). Written by 'make constraints'."; \
	   $(BIN)/python -m pip freeze --all --exclude-editable --exclude pip | sed 's/^\(torch==[^+]*\)+.*/\1/'; } > constraints.new
	@mv constraints.new constraints.txt && touch $(STAMP)

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage .bench .demo
	find broker providers jobs tests examples benchmarks -name __pycache__ -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
