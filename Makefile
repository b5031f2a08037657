# One entry point for everything; CI calls the same targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash

VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
TORCH := 2.13.0
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
POETRY ?= poetry
FUZZ := tests/integration/fuzz tests/unit/web/test_body.py tests/unit/test_prediction.py

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# An environment counts as made when it is whole and still where it was made: one that was left half, whose Python is
# gone, or that was moved here would fail in a way of its own each time.
MADE := $(VENV)/.made
ifneq ($(shell cat $(MADE) 2>/dev/null && $(BIN)/python -c 'import pip, sys; print(sys.version_info[:2] >= (3, 11))' 2>/dev/null),$(CURDIR) True)
.PHONY: $(MADE)
endif
$(MADE):
	@[ -n "$(PYTHON)" ] || { echo "error: Python 3.11, 3.12 or 3.13 is needed; name one with PYTHON=..." >&2; exit 1; }
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "error: $(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "$(CURDIR)" > $@

$(VENV)/.run: requirements.txt $(MADE)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

# What scoring files needs beyond the service: pyarrow, for Parquet, zstd and URLs.
$(VENV)/.score: requirements-score.txt $(VENV)/.run
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-score.txt
	@touch $@

# What `python -m kuberay` needs and nothing of the service: seconds, not gigabytes.
$(VENV)/.deploy: requirements-deploy.txt $(MADE)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-deploy.txt
	@touch $@

# torch, which only training and tests need, comes apart from the rest: its wheel on the default index brings
# gigabytes of CUDA packages
$(VENV)/.dev: requirements-dev.txt requirements-torch-$(TORCH).txt $(VENV)/.run
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps \
		-r requirements-torch-$(TORCH).txt --extra-index-url $(TORCH_INDEX)
	@# if it is there, jsonschema compiles its grammar in each of Ray's processes, 0.7 s of a start; nothing here needs it
	@$(BIN)/python -m pip uninstall -qy --disable-pip-version-check rfc3987-syntax
	@touch $@

.PHONY: install
install: $(VENV)/.run ## create .venv and install what the service needs

.PHONY: run
run: $(VENV)/.run ## start the service on this machine; PORT=8001 moves it
	@PORT=$(PORT) exec $(BIN)/python -m serve_app.local

.PHONY: architecture
architecture: $(MADE) ## which room of serve_app imports which
	@$(BIN)/python scripts/architecture.py

.PHONY: score
score: $(VENV)/.score ## score the rows of IN=reviews.csv into OUT=scored.csv; ARGS="--column review"
	@[ -n "$(IN)" ] && [ -n "$(OUT)" ] || { echo "error: name both: make score IN=reviews.csv OUT=scored.csv" >&2; exit 2; }
	@exec $(BIN)/python -m serve_app.score "$(IN)" "$(OUT)" $(ARGS)

.PHONY: check
check: $(VENV)/.dev ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: fix
fix: $(VENV)/.dev ## format, and mend what ruff can mend
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: test test-fast coverage
test: $(VENV)/.dev ## every test; ARGS= goes to pytest
	$(BIN)/pytest $(ARGS)
test-fast: $(VENV)/.dev ## unit tests but for the slow ones, in less than a minute
	$(BIN)/pytest tests/unit -m "not slow" $(ARGS)
coverage: $(VENV)/.dev ## what the unit tests cover of serve_app, model and kuberay; fails below the floor in pyproject.toml
	$(BIN)/pytest tests/unit --cov --cov-report=term $(ARGS)

.PHONY: chaos fuzz soak
chaos: $(VENV)/.dev ## kill, stop and spoil each part under load, and print what each fault costs; ARGS='--only "Redis|roll"'
	$(BIN)/python -m tests.e2e.chaos $(ARGS)
fuzz: $(VENV)/.dev ## 30,000 generated requests, bodies and Redis values, each with its exact status
	$(BIN)/pytest --hypothesis-profile=fuzz --hypothesis-show-statistics --timeout 1800 $(FUZZ) $(ARGS)
soak: $(VENV)/.dev ## ten minutes of load, and whether the memory of a process grows; ARGS="--minutes 60"
	$(BIN)/python -m tests.e2e.soak $(ARGS)

.PHONY: cluster-test
cluster-test: $(VENV)/.dev ## change and break the service on a real cluster; ARGS="--context NAME --image A --next-image B"
	$(BIN)/python -m tests.cluster $(ARGS)

.PHONY: bench
bench: $(VENV)/.dev ## measure against plain FastAPI + transformers and a lean server: tables, JSON, plots; ARGS="--rounds 1"
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m benchmarks $(ARGS)

.PHONY: load
load: $(VENV)/.dev ## a short load on the service that `make run` started; ARGS="-e SCENARIO=novel"
	@mkdir -p build
	$(BIN)/k6 run --quiet --no-usage-report -e BASE_URL=http://127.0.0.1:$(PORT) -e DURATION=20s \
		-e METRICS_URL=$$($(BIN)/python -m benchmarks.metrics_url $(PORT)) \
		-e REPORT=build/load-report.html -e SUMMARY=build/load-report.json $(ARGS) load.js

.PHONY: screenshots
screenshots: $(VENV)/.dev ## pictures of the try-it page and of the report that `make load` wrote, into docs/images
	$(BIN)/python -m benchmarks.screenshots --url http://127.0.0.1:$(PORT)

.PHONY: overload
overload: $(VENV)/.dev ## ten times what the model can do, for a minute: how many requests are served, how fast, and how well retry times hold
	$(BIN)/python -m benchmarks.overload $(ARGS)

.PHONY: abuse
abuse: $(VENV)/.dev ## twelve kinds of hostile clients for a minute, and what they cost honest clients
	$(BIN)/python -m benchmarks.abuse $(ARGS)

.PHONY: canaries
canaries: $(VENV)/.dev ## send 10,000 marked texts through every path and fault, and look for them everywhere
	CANARIES=$(or $(CANARIES),10000) $(BIN)/pytest --timeout=1800 tests/integration/test_canaries.py $(ARGS)

.PHONY: audit sbom
audit: $(VENV)/.dev ## known vulnerabilities of what the service needs; "Error 3" if the database cannot be reached
	@scripts/audit $(BIN)/pip-audit requirements.txt
sbom: $(VENV)/.dev ## the image's Python packages as CycloneDX, in build/sbom.json
	@mkdir -p build
	$(BIN)/cyclonedx-py requirements --output-reproducible -o build/sbom.json requirements.txt

.PHONY: deploy-tools image push deploy
deploy-tools: $(VENV)/.deploy ## install what `python -m kuberay` needs, and nothing else
image: ## build the image project:dev; MODEL=mini needs no model hub; DRY_RUN=--dry-run only prints
	@scripts/release build $(DRY_RUN)
push: ## push the image to ECR=..., tagged by commit; DRY_RUN=--dry-run only prints
	@scripts/release push $(DRY_RUN)
deploy: $(VENV)/.deploy ## apply OVERLAY=prod with that image and wait; DRY_RUN=--dry-run only prints
	@scripts/release deploy $(DRY_RUN)

.PHONY: test-image
test-image: $(VENV)/.dev ## start IMAGE=project:dev with loopback alone and a read-only root; print its size and start
	$(BIN)/python -m benchmarks.image $(or $(IMAGE),project:dev)
	IMAGE=$(or $(IMAGE),project:dev) $(BIN)/pytest tests/e2e/test_image.py

.PHONY: manifests
manifests: ## copy serve_config.yaml to where kustomize may read it, for overlays/local with a laptop's bounds
	cp serve_config.yaml kuberay/components/rayservice/serve_config.yaml
	sed -E 's/(min_replicas:).*/\1 1/; s/(max_replicas:).*/\1 2/' serve_config.yaml > kuberay/overlays/local/serve_config.yaml
	sed -E 's/(min_replicas:).*/\1 2/; s/(max_replicas:).*/\1 4/' serve_config.yaml > tests/cluster/overlay/serve_config.yaml

.PHONY: openapi
openapi: $(VENV)/.dev ## write docs/reference/openapi.json, which a test compares with the code
	$(BIN)/python -m tests.support.openapi

.PHONY: lock
lock: ## lock dependencies and export the hashed requirements; needs poetry and poetry-plugin-export
	$(POETRY) lock
	$(POETRY) export --format requirements.txt --output requirements.txt
	$(POETRY) export --only score --format requirements.txt --output requirements-score.txt
	$(POETRY) export --only deploy --format requirements.txt --output requirements-deploy.txt
	$(POETRY) export --with dev --with train --with score --with deploy --with audit --format requirements.txt --output requirements-dev.txt
