# The whole project in a few words. `make` alone lists them.
# Needs Python 3.11 or newer, make and git; everything else goes into .venv.

PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin/python
READY  := $(VENV)/.installed
READY_BROWSER := $(VENV)/.installed-browser
READY_DOCS := $(VENV)/.installed-docs

# No remark about newer pips in the middle of a run.
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup run test test-browser lab notebooks budget bench weights card docs offline screenshots lint format constraints clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target what; do printf '%-20s %s\n' "$$target" "$$what"; done

setup: $(READY) ## make the environment in .venv (minutes the first time, a second afterwards)

# The stamp goes first and comes back last: after a failed install the next call installs again.
$(READY): pyproject.toml constraints.txt tools/check_python.py
	@rm -f $(READY) $(READY_BROWSER) $(READY_DOCS)
	@$(PYTHON) tools/check_python.py
	@$(RUN) -m pip --version >/dev/null 2>&1 || { echo "Making $(VENV) ..."; $(PYTHON) -m venv --clear $(VENV); }
	@$(RUN) tools/check_python.py
	@echo "Installing devotools and what it needs (a few minutes the first time) ..."
	$(RUN) -m pip install $(if $(wildcard $(READY)),--quiet) -c constraints.txt -e ".[test]"
	@touch $(READY)
	@echo "The environment is ready: $(VENV)"

$(READY_BROWSER): $(READY)
	$(RUN) -m pip install --quiet -c constraints.txt -e ".[test,browser]"
	@touch $(READY_BROWSER)

$(READY_DOCS): $(READY)
	$(RUN) -m pip install --quiet -c constraints.txt -e ".[test,docs]"
	@touch $(READY_DOCS)

run: setup ## run every lesson on drawn embryos and write the pages to build/course
	@$(RUN) tools/run_course.py

test: setup ## all tests but the browser's: units, doctests, layers, notebooks
	$(RUN) -m pytest

test-browser: $(READY_BROWSER) $(READY_DOCS) ## the tests that look at pages in a system Chromium
	$(RUN) -m pytest -m browser tests

# In a container people are root, and JupyterLab wants to be told that this is meant.
AS_ROOT = $(if $(filter 0,$(shell id -u)),--allow-root)
lab: setup ## open JupyterLab on the first lesson
	PATH="$(CURDIR)/.venv/bin:$$PATH" $(RUN) -m jupyterlab --ServerApp.root_dir="$(CURDIR)" \
		notebooks/01_explore_the_embryo.ipynb $(AS_ROOT) $(LAB_ARGS)

notebooks: setup ## build and execute the notebooks from lessons/*.py
	$(RUN) tools/build_notebooks.py

budget: setup ## measure time, memory and download of each lesson and write them down
	$(RUN) tools/budget.py

bench: $(READY) ## measure speed, memory and time to learn beside the peers (two hours or so)
	$(RUN) -m pip install --quiet -c constraints.txt -e ".[test,bench]"
	$(RUN) benchmarks/speed.py
	$(RUN) benchmarks/growth.py
	$(RUN) benchmarks/learn.py

weights: setup ## train a model like the shipped one (less than an hour on two cores with bfloat16)
	$(RUN) tools/make_weights.py

card: setup ## measure the shipped model again and write its card
	$(RUN) tools/make_card.py

docs: $(READY_DOCS) ## build the pages into build/docs, warnings as errors
	@$(RUN) tools/build_docs.py

offline: setup ## build one archive that installs without a network (gigabytes, some minutes)
	$(RUN) tools/make_offline.py

screenshots: $(READY_BROWSER) ## take the pictures of app and annotator again (wants Chromium)
	$(RUN) tools/make_screenshots.py

lint: setup ## check style
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check --exclude lessons .

format: setup ## lay the code out as `make lint` wants it
	$(RUN) -m ruff format --exclude lessons .

constraints: $(READY_BROWSER) $(READY_DOCS) ## write the versions in .venv down in constraints.txt
	$(RUN) tools/make_constraints.py

clean: ## remove what make has built, but not .venv
	rm -rf build dist .pytest_cache .ruff_cache *.egg-info
	find devotools tests tools lessons notebooks -name __pycache__ -prune -exec rm -rf {} +
	find notebooks -name .ipynb_checkpoints -prune -exec rm -rf {} +
