# Everything here prepares .venv by itself. Options pass on by ARGS: make demo ARGS="--faults"
# PYTHON names another interpreter than the first of 3.11 to 3.13: make test PYTHON=python3.13

.PHONY: help run demo test bench lint format lock clean runtime dev
.DEFAULT_GOAL := help
export PYTHON

BIN := .venv/bin

help: ## say what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/make \1	\2/' | expand -t 16

run: runtime ## start everything here, with the example organization, on http://localhost:8000 (PORT)
	@exec $(BIN)/handrail run $(ARGS)

demo: runtime ## carry the example roster from enrollment to certificate, in fast motion
	@exec $(BIN)/handrail demo $(ARGS)

test: dev ## all tests
	$(BIN)/python -m pytest -n 2 $(ARGS)

bench: dev ## measure, and write var/bench.json
	@exec $(BIN)/python -m benchmarks $(ARGS)

lint: dev ## style, types and import layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: dev ## put the code in shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: dev ## pin what requirements*.in ask for (ARGS=--upgrade for the newest)
	$(BIN)/uv pip compile $(LOCK) $(ARGS) --output-file requirements.txt requirements.in
	$(BIN)/uv pip compile $(LOCK) $(ARGS) --output-file requirements-dev.txt requirements-dev.in

LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links

clean: ## remove .venv and what the tools left; var/, the data, stays
	rm -rf .venv .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find src tests benchmarks .ci -type d -name __pycache__ -prune -exec rm -rf {} +

runtime dev:
	@scripts/prepare-venv $@
