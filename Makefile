# Every target sets up .venv once (a stamp file says so) and is quick the second time.
# PYTHON=python3.12 make test    uses another interpreter.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
FULL := .venv/.full
FLOOR := .venv-floor/.ready
FLOOR_TESTS := tests/vlm tests/datasets tests/explainers tests/widgets tests/cli tests/games
RESULTS ?= results
# make test PROCESSES=0    runs the tests one after another; each process has one thread and up to 1.5 GB.
PROCESSES ?= 2
SIDE_BY_SIDE := -n $(PROCESSES) --maxprocesses 4 --dist loadfile
OFFLINE := HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 HF_DATASETS_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 TOKENIZERS_PARALLELISM=false
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo test test-floor test-newest test-slow test-browser lab check bench stress mutate maps validate sanity notebooks gifs site handout badges findings fieldnotes clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

setup: $(READY) ## Make .venv with the tested set

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: PYTHON=python3.11 make ...")'
	@echo "Setting up .venv: 2 to 3 GB, once; pip is quiet for some minutes."
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt "torch==2.13.0"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[all,dev]"
	touch $(READY)

$(FULL): $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[all,dev,cluster,browser,site]"
	touch $(FULL)

$(FLOOR): pyproject.toml tests/floor.py
	test -x .venv-floor/bin/python || $(PYTHON) -m venv .venv-floor
	$(PYTHON) tests/floor.py > .venv-floor/floor.txt
	.venv-floor/bin/python -m pip install --quiet -c .venv-floor/floor.txt torch -e ".[all,dev]"
	touch $(FLOOR)

demo: $(READY) ## Evaluate the embedded models and write results/demo/report.html
	$(OFFLINE) $(BIN)/python -m toolkit benchmark demo --out $(RESULTS)/demo

test: $(READY) ## Run the tests
	$(OFFLINE) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not gpu and not browser" $(SIDE_BY_SIDE)

test-slow: $(FULL) ## Run the slow tests, those of Ray among them; MINUTES=20 skips what has not begun by then
	$(OFFLINE) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "slow and not gpu and not browser" $(SIDE_BY_SIDE) \
		$(if $(MINUTES),--minutes $(MINUTES))

test-browser: $(FULL) ## Drive the notebooks in Chromium, which has to be installed; screenshots go to results/
	$(OFFLINE) SCREENSHOTS=$(RESULTS)/screenshots $(BIN)/python -m pytest -m browser

test-floor: $(FLOOR) ## Run the tests of models, data, explainers, widgets and commands on the oldest versions that are supported
	$(OFFLINE) OMP_NUM_THREADS=1 .venv-floor/bin/python -m pytest -o filterwarnings= -m "not slow and not gpu and not browser" \
		$(SIDE_BY_SIDE) $(FLOOR_TESTS)

test-newest: $(READY) ## Run the same tests on the newest transformers, whatever the tested set says
	test -x .venv-newest/bin/python || $(PYTHON) -m venv .venv-newest
	grep -ivE '^(transformers|tokenizers|huggingface-hub|hf-xet|accelerate)==' constraints.txt > .venv-newest/constraints.txt
	.venv-newest/bin/python -m pip install --quiet -c .venv-newest/constraints.txt "torch==2.13.0"
	.venv-newest/bin/python -m pip install --quiet --upgrade -c .venv-newest/constraints.txt -e ".[all,dev]"
	$(OFFLINE) OMP_NUM_THREADS=1 .venv-newest/bin/python -m pytest -o filterwarnings= -m "not slow and not gpu and not browser" \
		$(SIDE_BY_SIDE) $(FLOOR_TESTS)

lab: $(READY) ## Open JupyterLab on the first notebook
	$(OFFLINE) $(BIN)/jupyter lab $(firstword $(sort $(wildcard notebooks/*.ipynb)))

check: $(READY) ## Lint, types, the rings and the declared dependencies
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry toolkit

bench: $(READY) ## Measure the scoring engine
	$(OFFLINE) $(BIN)/python -m tests.speed cpu --out $(RESULTS)/bench

stress: $(FULL) ## Kill runs of every executor, call everything oddly, write many records; the counts go to a page
	$(OFFLINE) $(BIN)/python -m tests.stress calls
	$(OFFLINE) $(BIN)/python -m tests.stress records
	$(OFFLINE) $(BIN)/python -m tests.stress kills

mutate: $(READY) ## Break central guarantees one by one; for each the named test must go red
	$(OFFLINE) $(BIN)/python -m tests.stress.mutate

maps: $(READY) ## Draw the maps of every explainer on the same twelve samples
	$(OFFLINE) $(BIN)/python -m toolkit maps --out $(RESULTS)/maps

validate: $(READY) ## Judge every metric by controls; the demo's report shows the panel
	$(OFFLINE) $(BIN)/python -m toolkit validate --out $(RESULTS)/validity

sanity: $(READY) ## See which maps notice that the model was destroyed; the demo's report shows it
	$(OFFLINE) $(BIN)/python -m toolkit sanity --out $(RESULTS)/sanity

notebooks: $(READY) ## Rebuild the student notebooks and their solutions from the sources
	$(OFFLINE) $(BIN)/python -m toolkit.course build

gifs: $(FULL) ## Record three widgets in Chromium for README and the site
	$(OFFLINE) PYTHONPATH=tests $(BIN)/python tests/browser/record_widgets.py notebooks/images

$(RESULTS)/demo/report.html:
	$(MAKE) demo

site: $(FULL) $(RESULTS)/demo/report.html ## Build the site in dist/site; the demo and the lessons are run once, in a quarter of an hour
	$(OFFLINE) REPORT=$(RESULTS)/demo/report.html $(BIN)/python -m sphinx -q -W --keep-going -c notebooks/site -d dist/site-cache notebooks dist/site

handout: $(READY) ## One zip for a class in dist/: lessons without solutions, and wheels; WHEELS=1 adds all that an offline machine needs
	rm -rf dist/handout
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist/handout .
	if [ -n "$(WHEELS)" ]; then for wheel in dist/handout/*.whl; do \
	  $(BIN)/python -m pip download --quiet -c constraints.txt -d dist/handout "$$wheel[all]"; done; fi
	$(BIN)/python -m toolkit.course handout --wheels dist/handout --out dist/synergy-toolkit-course.zip

badges: $(READY) ## Point the badges at a repository: make badges REPO=owner/name
	$(BIN)/python -m toolkit.course badges "$(REPO)"

findings: ## Run the scripts on others' software; each makes its own environment, which takes minutes and the network
	@for script in findings/*.sh; do start=$$(date +%s); bash $$script > /dev/null || exit 1; echo "$$script $$(( $$(date +%s) - start )) s"; done

fieldnotes: ## Measure the field notes on the installed transformers and write their page
	$(BIN)/python -m toolkit fieldnotes --out data/fieldnotes
	mv data/fieldnotes/field_notes.md notebooks/site/field_notes.md

clean: ## Remove what the targets made, .venv included
	rm -rf .venv .venv-floor .venv-newest build dist $(RESULTS)
