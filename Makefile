# make reproduce   set up .venv and run the main job on the synthetic set   (PROFILE=smoke|default|full)
# make test        set up .venv and run everything that checks the project
# make quick       the tests of less than a minute: the gate while one works
# make soak        hours of damaged files, killed processes and mixed batches (not part of CI)
# The newest Python that fits and can make an environment; another with: make PYTHON=...
PYTHON  ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
PROFILE ?= default
RUN     ?= $(PROFILE)
PY      := .venv/bin/python
STAMP   := .venv/.installed
FIGURES := 01b_rois 01d_traces 02a_score 02b_state 04d_comparison 05a_together
EXTRAS  := notebooks,dev,distributed,browser,book

.DEFAULT_GOAL := help
.PHONY: help setup reproduce test quick test-browser lint figures bench soak notebooks exercises book clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -x $(PY) || test -n "$(PYTHON)" || { echo "metst needs Python 3.11 to 3.14 with venv; install one (Debian, Ubuntu: apt-get install python3-venv; macOS: brew install python; Windows: python.org), or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[$(EXTRAS)]'
	$(PY) -m metst_core.flow
	$(PY) -m metst_core.cli fetch
	@touch $(STAMP)

reproduce: $(STAMP)
	$(PY) -m metst_core.cli reproduce --profile $(PROFILE) --name $(RUN)

test: $(STAMP) lint
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile  # two processes, so one thread each

quick: $(STAMP)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile -m quick

# The widgets in JupyterLab and Voila, in a real browser (part of `make test` where Chromium is installed).
test-browser: $(STAMP)
	command -v chromium chromium-browser google-chrome >/dev/null || { apt-get update -q && apt-get install -y -q chromium; }
	$(PY) -m pytest tests/widgets/test_browser.py tests/widgets/test_camera.py

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

# The figures, the answer and the claims that the README shows: those of the latest run of PROFILE (`make reproduce` redraws
# them), and of data/claims.
figures:
	cp $(foreach f,$(FIGURES),"runs/$(RUN)/figures/$(f).png") figures/
	$(PY) -m metst_core.experiment.answer "runs/$(RUN)" README.md
	$(PY) -m metst_core.experiment.kept_claims README.md

# The .ipynb files from their text form (notebooks/*.py), outputs stripped.
notebooks: $(STAMP)
	$(PY) -m jupytext --sync notebooks/*.py

# make book        the course as a static site, to be read offline, in build/book (from the run of PROFILE, where it is there)
book: $(STAMP)
	$(PY) book/build.py $(wildcard runs/$(RUN)) --out build/book

# make exercises   the notebooks with stubs to fill in, and their solutions, in build/exercises
exercises: $(STAMP)
	$(PY) -m metst_core.experiment.exercises notebooks build/exercises

# All but bench_hour.py, which takes about half an hour by itself; then one page: work, peer, floor, ours, ratio.
bench: $(STAMP)
	for script in $(filter-out benchmarks/bench_hour.py,$(wildcard benchmarks/bench_*.py)); do $(PY) "$$script" || exit 1; done
	$(PY) benchmarks/estimate.py  # what the licensed sets would take, in their cards
	@$(PY) benchmarks/common.py

# Three hours of damaged files, killed processes and mixed batches (SOAK="--minutes 6 --seed 1" for less); not part of CI.
soak: $(STAMP)
	OMP_NUM_THREADS=1 nice -n 15 $(PY) benchmarks/soak.py $(SOAK)

clean:
	rm -rf .venv build dist *.egg-info
