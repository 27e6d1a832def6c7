# make reproduce   set up .venv and run the main job on the synthetic set   (PROFILE=smoke|default|full)
# make test        set up .venv and run everything that checks the project
PYTHON  ?= python3
PROFILE ?= default
RUN     ?= $(PROFILE)
PY      := .venv/bin/python
STAMP   := .venv/.installed
EXTRAS  := notebooks,dev,distributed

.DEFAULT_GOAL := help
.PHONY: help setup reproduce test lint figures bench notebooks clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 12) else "metst needs Python 3.11 or 3.12, this is %d.%d; say which with: make PYTHON=python3.12" % sys.version_info[:2])'
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $(STAMP)

reproduce: $(STAMP)
	$(PY) -m metst_core.cli reproduce --profile $(PROFILE) --name $(RUN)

test: $(STAMP) lint
	$(PY) -m pytest -n 2 --dist loadfile

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

# The figures that the README shows, redrawn from the latest run of PROFILE.
figures: $(STAMP)
	$(PY) -m metst_core.cli figures --run runs/$(RUN) --to figures

# The .ipynb files from their text form (notebooks/*.py), outputs stripped.
notebooks: $(STAMP)
	$(PY) -m jupytext --sync notebooks/*.py

bench: $(STAMP)
	for script in benchmarks/bench_*.py; do $(PY) "$$script" || exit 1; done

clean:
	rm -rf .venv build dist *.egg-info
