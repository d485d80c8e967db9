# Every target that needs the tools makes them first (`make setup`), so a fresh clone starts anywhere.
.DEFAULT_GOAL := help
.PHONY: help setup setup-tests demo test test-training test-tensorrt test-gpu chaos soak bench bench-check bench-peers conformance audit lint format types up down docs lock clean

BIN := .venv/bin
PEERS := .venv-bench/bin
LOCK := PIP_FIND_LINKS= PIP_INDEX_URL= PIP_EXTRA_INDEX_URL= CUSTOM_COMPILE_COMMAND="make lock" \
    $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --no-emit-index-url \
    --no-emit-find-links --no-emit-trusted-host --allow-unsafe --no-emit-options
ROOMS := wire identity producers engines stream monitor training lesionstream local benchmarks

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing: .venv, Java, Maven, Redis, Kafka's jars (YES=1: without asking)
	@bash deploy/setup.sh

setup-tests: ## the same, and what only tests need (DCMTK, Prometheus, Chromium)
	@WITH_TESTS=1 bash deploy/setup.sh

demo: setup ## everything at once (DATA=folder of DICOM, SECONDS=60 to end by itself)
	@exec $(BIN)/lesionstream demo $(if $(DATA),--data "$$DATA") $(if $(SECONDS),--seconds "$(SECONDS)")

test: setup-tests ## all tests that need no GPU (ARGS=... goes to pytest)
	@exec $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not soak and not chaos and not gpu" $(ARGS)

test-training: setup-tests ## the tests of what makes engines; installs the `train` extra (1 GB) first
	@$(BIN)/pip install --quiet -e '.[train,keras2]'
	@REQUIRE_TRAINING=1 $(BIN)/python -m pytest tests/networks tests/unit/test_keras_import.py $(ARGS)

test-tensorrt: setup-tests ## each call to TensorRT against the bindings of 10.6 and 11 (3 MB, no GPU)
	@$(BIN)/pip download --quiet --no-deps --only-binary :all: --dest .venv/tensorrt tensorrt-cu12-bindings==10.6.0.post2
	@$(BIN)/pip download --quiet --no-deps --only-binary :all: --dest .venv/tensorrt tensorrt-cu13-bindings==11.4.0.106
	@REQUIRE_TENSORRT=1 $(BIN)/python -m pytest tests/bindings $(ARGS)

test-gpu: ## the tests that need a GPU, with the `gpu` extra installed; builds plans first
	@exec $(BIN)/python -m pytest -m gpu tests/gpu tests/contract $(ARGS)

chaos: setup-tests ## fifteen kinds of faults on a whole stack, and six broken builds that they must see (SEED=1)
	@SEED="$(or $(SEED),1)" exec $(BIN)/python -m pytest -n 2 --dist worksteal -m chaos tests/reliability $(ARGS)

soak: setup-tests ## the tests that take minutes to observe
	@exec $(BIN)/python -m pytest -m soak $(ARGS)

bench: setup bench-peers ## docs/performance.* anew, against others who do the same (DATA=folder: real frames, too)
	@exec $(BIN)/python -m benchmarks.speed --python $(PEERS)/python $(if $(DATA),--data "$(DATA)") $(ARGS)

bench-check: setup bench-peers ## the same in short: ratios against those of the last release, warns at 1.25
	@exec $(BIN)/python -m benchmarks.speed --python $(PEERS)/python --check --repeats 2 --frames 120 $(if $(DATA),--data "$(DATA)") $(ARGS)

bench-peers: setup
	@test -x $(PEERS)/python || $(BIN)/python -m venv .venv-bench
	@$(PEERS)/pip install --quiet -e '.[bench]'

conformance: setup ## docs/conformance-files.md anew: each file of DATA=folder by C-STORE and by replay
	@exec $(BIN)/python -m benchmarks.conformance "$(or $(DATA),$$LESIONSTREAM_DATA/dicom)"

lint: setup types ## formatting, rules, types, imports between rooms, spelling
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/codespell

types: setup ## mypy alone
	@$(BIN)/mypy --strict $(ROOMS) tests

format: setup ## put the sources in shape
	@$(BIN)/ruff check --fix --exit-zero --quiet .
	@$(BIN)/ruff format .

audit: setup ## known vulnerabilities in what is locked, risky code; says what it could not look at
	@exec $(BIN)/python deploy/audit.py

up: setup ## start the local Kafka and Redis, print their addresses
	@exec $(BIN)/lesionstream up

down: setup ## stop them
	@exec $(BIN)/lesionstream down

docs: setup ## regenerate the generated documents (JSON Schemas, AsyncAPI, tables of conformance.md)
	@$(BIN)/python -m wire.schemas
	@exec $(BIN)/python -m benchmarks.conformance_statement

lock: setup ## lock the newest allowed versions, by hash and without addresses
	@$(LOCK) --upgrade --extra dev --output-file requirements-dev.lock pyproject.toml
	@cp requirements-dev.lock requirements.lock # the same versions, without the tools
	@$(LOCK) --output-file requirements.lock pyproject.toml

clean: ## remove caches and build outputs (.venv and .lesionstream stay)
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
