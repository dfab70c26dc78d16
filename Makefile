# Every target makes the virtual environment and installs when needed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
WORKDIR ?= runs/demo
# Processes that share the test files; each holds some 3 GiB.
JOBS ?= 2

.PHONY: install install-test demo test test-all bench lint clean

install: $(VENV)/.installed

install-test: $(VENV)/.installed-test

$(VENV)/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[build]'
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) -e '.[build,test,dev]'
	@touch $@

demo: install
	$(BIN)/fgclep demo --workdir $(WORKDIR)

test: install-test
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

test-all: install-test
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m ""

bench: install-test
	for name in build enhance reader tables input transport loss collectives; do \
	  $(BIN)/python -m benchmarks.$$name || exit 1; \
	done

lint: install-test
	$(BIN)/ruff check .

clean:
	rm -rf $(VENV) build *.egg-info runs
