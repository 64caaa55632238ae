# The first that will do; PyAirbyte, which the demo uses too, needs 3.12 at most.
SUITABLE := -c 'import sys, ensurepip, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
PYTHON ?= $(shell for name in python3 python3.12 python3.11 python3.10 python3.13; do \
	$$name $(SUITABLE) && echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
POETRY := $(VENV)/tools/bin/poetry

.PHONY: demo test bench lint unit integration image clean

demo: $(VENV)/made ## Reads a sandbox tenant with the real command, then asks it three questions in DuckDB
	$(BIN)/python examples/demo.py

test: lint ## Everything that decides whether a change is good
	$(BIN)/python -m pytest

lint: $(VENV)/made
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: $(VENV)/made
	$(BIN)/python -m pytest unit_tests

integration: $(VENV)/made
	$(BIN)/python -m pytest integration_tests

bench: $(VENV)/made ## What a read costs, against the same calls made by a bare client
	$(BIN)/python -m benchmarks $(BENCH)

# The environment comes from poetry.lock: exported, so that pip can check each file's hash. Poetry's own environment
# is apart, since its dependencies are not ours.
$(VENV)/made: poetry.lock pyproject.toml
	@$(or $(PYTHON),false) $(SUITABLE) || { echo "This needs Python 3.10 to 3.13, with its modules venv and ensurepip" \
		"(Debian: python3-venv). Which one? make PYTHON=/path/to/python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m venv $(VENV)/tools
	$(VENV)/tools/bin/pip install --quiet "poetry==2.5.1" "poetry-plugin-export==1.10.1"
	$(POETRY) export --quiet --with dev --output $(VENV)/requirements.txt
	$(BIN)/pip install --quiet --no-deps --require-hashes --requirement $(VENV)/requirements.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

clean:
	rm -rf $(VENV)
