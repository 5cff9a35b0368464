# Two commands on a fresh machine with Python 3.10+, git and make: `make demo`, `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Without a warning about editable installations, for whoever runs this for the first time.
PIP = PYTHONWARNINGS='ignore:Editable installation' $(BIN)/python -m pip
BROKER ?= mock
PYTEST_ARGS ?=
# Tests at the same time: most of them wait for other processes. 0 is one after the other.
JOBS ?= 3
# Those on a real Kafka are in three groups of one after the other: tests/support/scheduling.py.
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadscope
SOAK_SECONDS ?= 1200
SOAK_ARGS ?=

.PHONY: venv demo test test-unit test-kafka soak lint types docs bench clean

# A stamp per set of extras: an install runs again only when setup.cfg changed.
$(BIN)/python:
	@# Half of an environment (Debian without python3-venv) would pass for a whole one.
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	$(PIP) install --quiet --disable-pip-version-check --upgrade pip

$(VENV)/.installed-%: setup.cfg pyproject.toml | $(BIN)/python
	@echo "installing faust-grpc[$*] and what it needs into $(VENV)"
	@$(PIP) install --quiet --disable-pip-version-check -e '.[$*]'
	@touch $@

$(VENV)/.installed: setup.cfg pyproject.toml | $(BIN)/python
	@echo "installing faust-grpc and what it needs into $(VENV)"
	@$(PIP) install --quiet --disable-pip-version-check -e .
	@touch $@

venv: $(VENV)/.installed-test $(VENV)/.installed-lint $(VENV)/.installed-docs

ifeq ($(BROKER),kafka)
demo: $(VENV)/.installed-kafka
else
demo: $(VENV)/.installed
endif
	$(BIN)/faust-grpc demo --broker $(BROKER)

# All tests. Kafka's jars first, where one sees them come: some 42 MB, once.
test: $(VENV)/.installed-test
	$(BIN)/python -m faust_grpc.testing.kafka_broker --fetch
	$(PYTEST) $(PYTEST_ARGS)

# Everything that needs no Java.
test-unit: $(VENV)/.installed-test
	$(BIN)/python -m pytest tests/unit tests/property tests/functional $(PYTEST_ARGS)

test-kafka: $(VENV)/.installed-test
	$(BIN)/python -m faust_grpc.testing.kafka_broker --fetch
	$(PYTEST) tests/kafka tests/faults tests/peers tests/scenarios $(PYTEST_ARGS)

# Random faults on a cluster for twenty minutes; no part of CI.
soak: $(VENV)/.installed-test
	$(BIN)/python -m faust_grpc.testing.kafka_broker --fetch
	PYTHONPATH=tests $(BIN)/python tests/soak/soak.py --seconds $(SOAK_SECONDS) $(SOAK_ARGS)

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-lint $(VENV)/.installed-test
	$(BIN)/mypy

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks path --json -

clean:
	rm -rf $(VENV) .cache build dist site *.egg-info
