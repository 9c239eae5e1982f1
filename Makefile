# The two commands that matter: `make demo` and `make test`. Each does all its own set-up.
# Needs Python >= 3.11 and make; a C compiler makes it faster, and is not needed.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The newest Python of the machine that is new enough; `make PYTHON=… ` takes another.
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --quiet --no-input
LOCKED := $(PIP) --require-hashes --no-deps
STAMPS := $(VENV)/.stamps
SOURCES := proxy tests benchmarks build_core.py
FAST := -m "not slow"
# A file's tests stay together, so that what they share is made once; each process has its database.
PARALLEL := -n logical --dist loadfile
PYTEST_OPTIONS ?=

.PHONY: help
help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: demo
demo: install ## A car dealer's customer database behind the proxy, with five things to try
	@$(BIN)/consent-proxy demo $(DEMO_OPTIONS)

.PHONY: test
test: install-dev ## The tests, against a real PostgreSQL
	@$(BIN)/python -m pytest -m "not nightly" $(PARALLEL) $(PYTEST_OPTIONS)

.PHONY: nightly
nightly: install-dev ## Every test, those too that show what the others would find; some in both kinds of pooling
	@$(BIN)/python -m pytest $(PYTEST_OPTIONS)
	@TESTS_POOLING=transaction $(BIN)/python -m pytest -m "not nightly" tests/drivers tests/bypass $(PYTEST_OPTIONS)

.PHONY: noninterference
noninterference: install-dev ## Two hundred thousand generated statements, each answered by two databases
	@$(BIN)/python -m tests.noninterference $(NONINTERFERENCE_OPTIONS)

.PHONY: test-uncompiled
test-uncompiled: install-dev ## The tests of the compiled modules, with the same modules uncompiled
	@rm -rf build/uncompiled && mkdir -p build/uncompiled
	@tar -cf - --exclude=node_modules proxy tests policies benchmarks build_core.py pyproject.toml \
		| tar -xf - -C build/uncompiled
	@cd build/uncompiled && ../../$(BIN)/python build_core.py --clean && \
		../../$(BIN)/python -m pytest -q -m "not nightly" $(PARALLEL) tests/wire tests/access_log tests/rewrite/test_lift.py

.PHONY: check
check: format-check lint types ## Format, lint, types and the fast tests: what a change must pass
	@$(BIN)/python -m pytest -q $(FAST) $(PARALLEL) $(PYTEST_OPTIONS)

.PHONY: format
format: install-dev ## Put the code in the project's format
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix-only --quiet $(SOURCES)

.PHONY: format-check
format-check: install-dev
	@$(BIN)/ruff format --check --quiet $(SOURCES) || { echo "run: make format"; exit 1; }

.PHONY: lint
lint: install-dev ## Ruff's rules
	@$(BIN)/ruff check $(SOURCES)

.PHONY: types
types: install-dev ## mypy, strict
	@$(BIN)/mypy

.PHONY: bench
bench: install-dev ## What a statement costs, beside the database itself and pgbouncer
	@$(BIN)/python -m benchmarks $(BENCH_OPTIONS)

.PHONY: bench-guard
bench-guard: install-dev ## Fails if the hot path costs more than it may
	@$(BIN)/python -m benchmarks.guard

.PHONY: compile
compile: install-dev ## Compile the hot modules again, after they were edited
	@$(BIN)/python build_core.py

.PHONY: install
install: $(STAMPS)/package

.PHONY: install-dev
install-dev: $(STAMPS)/package $(STAMPS)/dev

$(STAMPS)/venv:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (make PYTHON=/path/to/python)"; exit 2; }
	@test -x $(BIN)/python || { echo "making $(VENV) with $(PYTHON)"; "$(PYTHON)" -m venv $(VENV); }
	@mkdir -p $(STAMPS) && touch $@

# Everything installed is named in the locks, with its hash; --no-deps keeps anything else out.
$(STAMPS)/run: requirements.txt requirements-demo.txt requirements-build.txt requirements-compiled.txt | $(STAMPS)/venv
	@echo "installing what consent-proxy needs (locked, with hashes)"
	@$(LOCKED) -r requirements.txt -r requirements-demo.txt -r requirements-build.txt
	@$(LOCKED) --only-binary :all: -r requirements-compiled.txt 2>/dev/null \
		|| echo "no compiled sqlglot for this machine: plain Python is used (slower, otherwise the same)"
	@touch $@

# Editing an editable package needs no new installation; its metadata does.
$(STAMPS)/package: $(STAMPS)/run pyproject.toml build_core.py $(wildcard proxy/wire/*.py proxy/session/*.py proxy/access_log/*.py proxy/rewrite/lift.py proxy/rewrite/literals.py proxy/upstream/*.py proxy/counts.py)
	@$(PIP) --no-deps --no-build-isolation --editable .
	@$(BIN)/python build_core.py
	@touch $@

$(STAMPS)/dev: requirements-dev.txt tests/versions/package-lock.json $(STAMPS)/run
	@echo "installing what tests and checks need (locked, with hashes)"
	@$(LOCKED) -r requirements-dev.txt
	@if [ -f tests/drivers/node/package-lock.json ] && command -v npm >/dev/null 2>&1; then \
		npm ci --prefix tests/drivers/node --ignore-scripts --no-audit --no-fund --silent; fi
	@if [ "$$(uname -sm)" = "Linux x86_64" ] && command -v npm >/dev/null 2>&1; then \
		npm ci --prefix tests/versions --ignore-scripts --no-audit --no-fund --silent; fi
	@touch $@

# No index, folder or host of the machine that makes the lock may get into it; hashes are those of
# every file of a release, so that a lock made on one platform installs on the others.
COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe \
	--strip-extras --no-emit-options --no-emit-index-url --no-emit-find-links --no-emit-trusted-host $(LOCK_OPTIONS)

.PHONY: lock
lock: install-dev ## Make the locks again (LOCK_OPTIONS=--upgrade for newer versions)
	@$(COMPILE) --output-file requirements.txt requirements.in
	@$(COMPILE) -c requirements.txt --output-file requirements-compiled.txt requirements-compiled.in
	@$(COMPILE) -c requirements.txt --output-file requirements-demo.txt requirements-demo.in
	@$(COMPILE) -c requirements.txt --output-file requirements-build.txt requirements-build.in
	@$(COMPILE) -c requirements.txt -c requirements-demo.txt -c requirements-build.txt \
		--output-file requirements-dev.txt requirements-dev.in
	@! grep -nE '://|^-(i|f)|--(extra-)?index|find-links' requirements*.txt || { echo "a lock names a host"; exit 1; }

.PHONY: clean
clean: ## Remove whatever was made, the virtual environment included
	@test ! -x $(BIN)/python || $(BIN)/python build_core.py --clean
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find proxy tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
