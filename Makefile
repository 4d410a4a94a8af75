# Needs Python 3.11 or later and make; everything else is installed into VENV.

PYTHON ?= python3
VENV   ?= .venv
HOST   ?= 127.0.0.1
PORT   ?= 8000
ARGS   ?=

# To make, a space ends a name.
ifneq ($(words $(VENV)),1)
$(error VENV must be a path without spaces, got "$(VENV)"; name another: make VENV=...)
endif

BIN  := $(VENV)/bin
# Only directories with Python files: mypy refuses the others.
CODE := $(strip $(foreach place,src bench examples tests tools,$(if $(wildcard $(place)/*.py $(place)/*/*.py),$(place))) $(wildcard setup.py))

# A Python that the user names must be the one in VENV. Without a name, any Python in VENV will do.
ASKED := $(if $(filter file default,$(origin PYTHON)),no,yes)

# The tests for other builds: core, gateways and transport alone, and the whole server. Without those of
# several processes: they take minutes, and a worker is the same process in each build.
PARTS := tests/test_terms.py tests/test_message.py tests/policy tests/http1 tests/gateway tests/websocket tests/transport
WHOLE := $(filter-out %/test_workers.py %/test_worker_balance.py %/test_reload.py %/test_preload.py,$(wildcard tests/scenarios/test_*.py))

# The tests start hundreds of processes: without compiled code at hand each takes twice as long.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# One target at a time, with -j too, since all share VENV.
.NOTPARALLEL:
.SUFFIXES:

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  variables: PYTHON=$(PYTHON) VENV=$(VENV) HOST=$(HOST) PORT=$(PORT) ARGS=$(ARGS)"

.PHONY: serve
serve: $(VENV)/.installed-examples ## serve the example application on HOST:PORT
	$(BIN)/bide serve app:app --app-dir examples --host $(HOST) --port $(PORT) $(ARGS)

.PHONY: test
test: $(VENV)/.installed-test ## run all tests, and some in another build; ARGS: only these, once
	@sh tools/system-packages
	$(BIN)/python $(if $(ARGS),-m pytest $(ARGS),tools/test-both-ways.py $(PARTS) $(WHOLE))

.PHONY: matrix
matrix: $(VENV)/.installed-test ## run all tests, and some in every other build
	@sh tools/system-packages
	$(BIN)/python tools/test-both-ways.py --each $(PARTS) $(WHOLE)

.PHONY: coverage
coverage: $(VENV)/.installed-test ## run all tests and list the lines they miss
	@sh tools/system-packages
	$(BIN)/python -m pytest --cov --cov-report=term-missing $(ARGS)

.PHONY: coverage-core
coverage-core: $(VENV)/.installed-test ## check that each module's own test covers its branches
	$(BIN)/python tools/coverage-by-file

.PHONY: lint
lint: $(VENV)/.installed-dev ## run ruff and mypy, changing nothing
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy --python-version 3.11 $(CODE)
	$(BIN)/mypy --python-version 3.14 $(CODE)

.PHONY: format
format: $(VENV)/.installed-dev ## repair what ruff can repair
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

.PHONY: docs
docs: $(VENV)/.installed-examples ## write the parts of the pages that tables in the code give
	$(BIN)/python tools/generate.py $(ARGS)

# The measurements make their own environments, one for each Python and build.
.PHONY: bench
bench: $(VENV)/.python ## measure bide and other servers; ARGS go to bench
	@sh tools/system-packages wrk nginx
	$(BIN)/python -m bench $(ARGS)

.PHONY: bench-quick
bench-quick: $(VENV)/.python ## measure the most important figures, in a few minutes
	@sh tools/system-packages wrk nginx
	$(BIN)/python -m bench --quick $(ARGS)

.PHONY: bench-micro
bench-micro: $(VENV)/.installed-test ## time parts of bide in one process, without a socket
	$(BIN)/python -m bench.micro

.PHONY: bench-limits
bench-limits: $(VENV)/.installed-test ## hold timed figures to their limits, on a machine that does nothing else
	$(BIN)/python -m bench.limits $(ARGS)

.PHONY: clean
clean: ## remove VENV and all generated files
	@sh tools/environment remove "$(VENV)"
	rm -rf .venv-matrix bench/.venv bench/results/local build dist htmlcov .coverage .coverage.* coverage.xml .hypothesis .mypy_cache .pytest_cache .ruff_cache src/*.egg-info
	@find src bench examples tests tools -type d '(' -name __pycache__ -o -name '.*_cache' ')' -prune -exec rm -rf {} +
	@find src -name '*.so' -exec rm -f {} +

# The environment: made once, and installed into again only if its sources change.

.PHONY: force
force:

$(VENV)/.python: force
	@sh tools/environment make "$(VENV)" "$(PYTHON)" $(ASKED)

$(VENV)/.installed-%: pyproject.toml $(wildcard setup.py) $(VENV)/.python
	@sh tools/environment install "$(VENV)" $*
