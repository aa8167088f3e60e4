# Two commands do all the set-up: make demo, make test.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PROTOS := $(sort $(wildcard proto/processor/v1/*.proto))

.PHONY: demo test check bench format generate clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: $(STAMP) ## Run the whole job once, on an embedded PostgreSQL, and show what happened.
	$(BIN)/cobrand demo

test: $(STAMP) ## Run every test.
	$(BIN)/pytest -q -n 2 --dist loadgroup

check: $(STAMP) ## Format, lint, types, import direction, contract, generated code.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/python -m tests.generated_code

bench: $(STAMP) ## Measure durable messages per second beside pgbench's yardsticks.
	$(BIN)/python -m benchmarks.throughput

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: $(STAMP) ## Make processor/v1 from proto/.
	$(BIN)/python -m tests.generated_code --write

clean:
	rm -rf $(VENV) build dist *.egg-info var
