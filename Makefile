# The commands of daily work. `make check` is what .ci/run asks of a change, on the Python that is active;
# tests/test_habits.py keeps the two, and .pre-commit-config.yaml, the same.

.PHONY: help setup format lint docs docs-check test check ci

help:  ## List these commands.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/'

setup:  ## Create .venv with everything that work on cruddur needs.
	python3 -m venv .venv
	.venv/bin/pip install -e '.[dev]'

format:  ## Sort imports and format the code.
	ruff check --fix .
	ruff format .

lint:  ## Check style, types and which module may import which.
	ruff check .
	ruff format --check .
	mypy
	lint-imports

docs:  ## Write the generated parts of README.md and docs/.
	python docs/generate.py

docs-check:  ## Check the generated parts; the tests check what the pages show as output.
	python docs/generate.py --check --no-run

test:  ## Run the tests. One file: pytest tests/dynamodb/test_schema.py
	pytest

check: lint docs-check test  ## All of it.

ci:  ## All of it in fresh environments, with the wheel, DynamoDB Local and PostgreSQL 13 to 18.
	.ci/run
