# Every command of a developer's day: `make demo`, `make test`, and the parts of both. `make` alone lists them.
# The first Python that will do: with venv and ensurepip, in the range that airbyte-cdk supports.
SUITABLE := -c 'import sys, ensurepip, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
PYTHON ?= $(shell for name in python3 python3.12 python3.13 python3.14 python3.11 python3.10; do \
	$$name $(SUITABLE) && echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
TOOLS := .venv-tools
UV := $(TOOLS)/bin/uv
POETRY := $(UV) tool run --quiet --from poetry==2.5.1 --with poetry-plugin-export==1.10.1 poetry
EXAMPLE := .venv-example

.PHONY: help demo test lint types unit integration bench mutants tables manifest-only image audit lock clean

help: ## What each command does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/made $(EXAMPLE)/made ## Reads a sandbox tenant with the real command, then builds the dbt models in DuckDB
	@$(BIN)/python examples/demo.py

test: lint $(EXAMPLE)/made ## Everything that decides whether a change is good
	$(BIN)/python -m pytest

lint: types ## Linter, formatter and types
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	@$(TOOLS)/bin/actionlint
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml

types: $(VENV)/made ## mypy alone
	$(BIN)/mypy

unit: $(VENV)/made ## Unit tests
	$(BIN)/python -m pytest unit_tests

integration: $(VENV)/made $(EXAMPLE)/made ## Tests of the real command against the sandbox
	$(BIN)/python -m pytest integration_tests

bench: $(VENV)/made ## What a read costs, compared with a bare client that sends the same requests
	$(BIN)/python -m benchmarks $(BENCH)

mutants: $(VENV)/made ## Which changes of the code no test notices (setup.cfg; takes hours)
	@$(UV) pip install --quiet --python $(BIN)/python mutmut==3.8.1
	nice $(BIN)/mutmut run --max-children 2
	$(BIN)/mutmut results

tables: $(VENV)/made ## docs/tables.md, the diagrams and the staging models of dbt/, from manifest.yaml
	$(BIN)/python -m tools.generate

manifest-only: $(VENV)/made ## One manifest.yaml and one components.py, for runtimes that take no package
	$(BIN)/python -m tools.manifest_only

image: ## The image that Airbyte runs, as source-docebo:dev
	$(or $(CONTAINER_ENGINE),docker) build $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) --tag source-docebo:dev .

# CVE-2025-9375 is of writing XML with xmltodict, which the CDK only reads with.
audit: $(UV) ## Known vulnerabilities of what runs in the image; needs a network
	$(UV) tool run --quiet pip-audit@2.10.1 --strict --disable-pip --require-hashes --ignore-vuln CVE-2025-9375 \
		--requirement requirements/image.txt

# poetry.lock decides; the exports are what is installed, since installers check their hashes without Poetry. The image
# goes without nltk: the CDK requires a version with known vulnerabilities, for files of text, and never imports it here.
lock: $(UV) ## After a change of pyproject.toml or requirements/*.in; make lock LOCK=--regenerate updates all versions
	$(POETRY) lock --quiet $(LOCK)
	(echo '# What runs in the image. Written by `make lock` from poetry.lock.'; $(POETRY) export \
		| awk '/^[a-z]/ {on = !/^nltk==/} on') >requirements/image.txt
	(echo '# The environment of the tests. Written by `make lock` from poetry.lock.'; \
		$(POETRY) export --with dev) >requirements/dev.txt
	@for name in uv example; do $(UV) pip compile --quiet --universal --python-version 3.10 --generate-hashes \
		--no-annotate $(if $(LOCK),--upgrade) --custom-compile-command 'make lock' \
		--output-file requirements/$$name.txt requirements/$$name.in || exit 1; done

$(UV): requirements/uv.txt
	@$(or $(PYTHON),false) $(SUITABLE) || { echo "This needs Python 3.10 to 3.14, with its modules venv and ensurepip" \
		"(Debian: python3-venv). Which one? make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "Installing uv and actionlint in $(TOOLS)"
	@$(PYTHON) -m venv --clear $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet --require-hashes --requirement requirements/uv.txt 2>$(TOOLS)/log \
		|| { cat $(TOOLS)/log >&2; exit 1; }
	@touch $@

$(VENV)/made: requirements/dev.txt pyproject.toml | $(UV)
	@echo "Installing the connector and its tests in $(VENV)"
	@$(UV) venv --quiet --clear --python $(PYTHON) $(VENV)
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --require-hashes --requirement requirements/dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

# PyAirbyte needs Python 3.10 to 3.12. Where there is none, the demo and the tests say what they leave out.
$(EXAMPLE)/made: requirements/example.txt | $(UV)
	@echo "Installing PyAirbyte, DuckDB, dbt and matplotlib in $(EXAMPLE)"
	@mkdir -p $(EXAMPLE)
	@if $(UV) python find --quiet --no-python-downloads '>=3.10,<3.13' >/dev/null; then \
		$(UV) venv --quiet --clear --no-python-downloads --python '>=3.10,<3.13' $(EXAMPLE) \
		&& $(UV) pip install --quiet --python $(EXAMPLE)/bin/python --no-deps --require-hashes \
			--requirement requirements/example.txt; \
	else echo "Left out: PyAirbyte needs Python 3.10 to 3.12"; fi
	@touch $@

clean: ## Removes what make has installed
	rm -rf $(VENV) $(TOOLS) $(EXAMPLE)
