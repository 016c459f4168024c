# What each command does: make help
#
# All paths are relative to this folder, so that it may have any name, also one with spaces.

UV_VERSION := 0.13.9
# uv from PATH, or else one of the project's own, so that nothing is installed outside this folder. Asked before SHELL is
# bash, which would first run the file that BASH_ENV names.
UV := $(if $(shell command -v uv 2>/dev/null),uv,.local/uv/bin/uv)
OWN_UV := $(filter-out uv,$(UV))
# On a terminal, uv shows how far it is; elsewhere nothing but errors. Asked before SHELL is bash, too.
QUIET := $(shell [ -t 2 ] && [ "$${TERM:-dumb}" != dumb ] && [ -z "$${NO_COLOR:-}" ] || echo --quiet)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
DATASET ?= green
MONTH ?= 2021-01
export DATASET MONTH
ifdef SOURCE
export SOURCE
endif
ifdef EXECUTOR
export EXECUTOR
endif
ifdef WORKERS
export WORKERS
endif

# What the shell says of other systems and projects; local/cloud/shell.py drops the rest. Of uv's variables, only those
# stay that say where packages come from and where they are cached.
UV_KEPT := UV_INDEX% UV_DEFAULT_INDEX UV_EXTRA_INDEX_URL UV_FIND_LINKS UV_CACHE_DIR UV_NO_CACHE UV_LINK_MODE UV_HTTP% \
	UV_NATIVE_TLS UV_SYSTEM_CERTS UV_INSECURE_HOST UV_ALLOW_INSECURE_HOST UV_KEYRING_PROVIDER UV_OFFLINE UV_CONCURRENT%
FOREIGN := $(filter PYTHON% PG%,$(.VARIABLES)) $(filter-out $(UV_KEPT),$(filter UV_%,$(.VARIABLES))) \
	VIRTUAL_ENV BASH_ENV ENV CDPATH SHELLOPTS BASHOPTS MAKEFLAGS MFLAGS MAKELEVEL \
	PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER PIP_REQUIRE_VIRTUALENV PIP_DRY_RUN
$(foreach name,$(FOREIGN),$(eval unexport $(name)))

export UV_PYTHON_DOWNLOADS := never
# Compiled once here instead of in the first import of every process.
export UV_COMPILE_BYTECODE := 1
# Else each of the many processes that tests start would compile this repository anew.
export PYTHONDONTWRITEBYTECODE :=

# From the repository's root, where Python finds the package local.
RUN := .venv/bin/python -m local.airflow

.PHONY: help install environments up down status demo reconcile env image gcp-check dbt test test-all test-faults test-image test-chart soak bench compare lint docs site screenshots format lock

help: ## Show the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: .venv/.installed local/cloud/.venv/.installed ## Install what is missing, as locked
	@mkdir -p .local

.local/uv/bin/uv:
	@echo "installing uv $(UV_VERSION) into .local/uv"
	@"$(PYTHON)" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
		--target .local/uv uv==$(UV_VERSION)

.venv/.installed: pyproject.toml uv.lock | $(OWN_UV)
	@echo "installing Airflow and the pipeline into .venv"
	@$(UV) sync $(QUIET) --locked --python "$(PYTHON)"
	@touch $@

# Into the same environment: it is what the image has.
.venv/.team: .venv/.installed | $(OWN_UV)
	@echo "installing Celery, Kubernetes, roles and OpenTelemetry, for a team, into .venv"
	@$(UV) sync $(QUIET) --locked --extra team --group team --python "$(PYTHON)"
	@touch $@

local/cloud/.venv/.installed: local/cloud/pyproject.toml local/cloud/uv.lock | $(OWN_UV)
	@echo "installing the embedded cloud into local/cloud/.venv"
	@$(UV) sync $(QUIET) --locked --project local/cloud --python "$(PYTHON)"
	@touch $@

comparison/.venv/.installed: comparison/pyproject.toml comparison/uv.lock | $(OWN_UV)
	@echo "installing Prefect, for comparison, into comparison/.venv"
	@$(UV) sync $(QUIET) --locked --project comparison --python "$(PYTHON)"
	@touch $@

examples/dbt/.venv/.installed: examples/dbt/pyproject.toml examples/dbt/uv.lock | $(OWN_UV)
	@echo "installing dbt, for the example, into examples/dbt/.venv"
	@$(UV) sync $(QUIET) --locked --project examples/dbt --python "$(PYTHON)"
	@touch $@

docs/site/.venv/.installed: docs/site/pyproject.toml docs/site/uv.lock | $(OWN_UV)
	@echo "installing Sphinx, for the documentation site, into docs/site/.venv"
	@$(UV) sync $(QUIET) --locked --project docs/site --python "$(PYTHON)"
	@touch $@

environments: comparison/.venv/.installed examples/dbt/.venv/.installed docs/site/.venv/.installed ## Install what the comparison, the dbt example and the site need

up: install $(if $(filter celery,$(EXECUTOR)),.venv/.team) ## Start the embedded cloud and Airflow, and keep them running; EXECUTOR=celery with Redis and WORKERS=2 Celery workers
	@$(RUN) up

down: install ## Stop both
	@$(RUN) down

status: install ## Show the state of both, and the UI's address and password
	@$(RUN) status

demo: install ## Run one month through all DAGs: DATASET=green MONTH=2021-01 SOURCE=synthetic
	@$(RUN) demo "$$DATASET" "$$MONTH"

reconcile: install ## Count one month in every store of the running stack, as make demo does: DATASET=green MONTH=2021-01
	@$(RUN) reconcile "$$DATASET" "$$MONTH"

# Without .venv, because a host that runs the containers has no other need of it.
env: ## Add the secrets of docker-compose.yaml that are missing in .env, for containers
	@"$(PYTHON)" -m local.cloud.env_file

image: ## Build both images with docker, podman or buildah: BUILDER=docker BASE_IMAGE=python:3.11-slim
	@bin/build-images

# What was given on the command line; a variable of this name in the shell belongs to something else.
GIVEN = "$(if $(findstring command,$(origin $1)),$$$1)"

gcp-check: install ## Check a project on Google Cloud before the first run, and change nothing: PROJECT=my-project BUCKET=my-bucket
	@$(RUN) gcp-check $(call GIVEN,PROJECT) $(call GIVEN,BUCKET)

dbt: install examples/dbt/.venv/.installed ## Build, test and document the dbt example on the warehouse: MONTH=2021-01
	@.venv/bin/python -m examples.dbt "$$MONTH"

# Two at a time. Integration tests that share a running stack come one after another: see tests/conftest.py.
PYTEST := .venv/bin/python -m pytest
PARALLEL := -n 2 --no-loadscope-reorder

test: install ## Run what a change must pass, in 6 minutes: units, DAG integrity, golden files, months through a real scheduler
	@$(PYTEST) -m "not full and not image" $(PARALLEL)

test-all: install .venv/.team environments ## Run all other tests, in half an hour: every start of every dataset, ranges, the demo, Celery, Prefect, dbt, the site
	@$(PYTEST) -m "full and not every_step" $(PARALLEL)

test-faults: install .venv/.team comparison/.venv/.installed ## Cause each fault at every other step and kill the components of a running stack at every step, in half an hour; ROUNDS=all kills every component at every step, in an hour and a half
	@$(PYTEST) -m "every_step$(if $(filter all,$(ROUNDS)),, and not every_pair)" $(PARALLEL)

test-image: install .venv/.team ## Build both images, look into them, and run a month through the services of the compose file; as root, with docker or buildah
	@$(PYTEST) -m image tests/image

# By its version: no checksum of the archive that the Apache project publishes is known here.
CHART_VERSION := 1.22.0

test-chart: install .venv/.team ## Render the official Helm chart with infra/kubernetes, and check all manifests; needs helm
	@mkdir -p build/chart
	@helm pull airflow --repo https://airflow.apache.org --version $(CHART_VERSION) --destination build/chart
	@AIRFLOW_CHART="build/chart/airflow-$(CHART_VERSION).tgz" $(PYTEST) tests/deployment/test_kubernetes.py

soak: install ## Make 200 runs of all datasets with random faults, and check every store after each: RUNS=200 SEED=
	@PYTHONPATH=plugins .venv/bin/python -m tests.faults.soak

bench: install comparison/.venv/.installed ## Measure everything against its baseline in the same run; QUICK=1 to see that it works
	@.venv/bin/python -m benchmarks $(if $(filter-out 0,$(QUICK)),--quick)

compare: install .venv/.team comparison/.venv/.installed ## Run the Airflow and the Prefect version side by side, and write the report; QUICK=1 for less
	@.venv/bin/python -m comparison $(if $(filter-out 0,$(QUICK)),--quick)

lint: install ## Check, and change nothing: code, types, SQL, lock, Dockerfile, compose file
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	PYTHONPATH=plugins .venv/bin/lint-imports --no-cache
	@# Each folder of SQL is named after its dialect.
	for folder in include/sql/*; do .venv/bin/sqlfluff lint $$folder --dialect $${folder##*/}; done
	.venv/bin/sqlfluff lint examples/dbt/models examples/dbt/tests
	$(UV) lock --check --python "$(PYTHON)"
	$(UV) lock --check --project local/cloud --python "$(PYTHON)"
	$(UV) lock --check --project comparison --python "$(PYTHON)"
	$(UV) lock --check --project examples/dbt --python "$(PYTHON)"
	$(UV) lock --check --project docs/site --python "$(PYTHON)"
	@$(UV) export --quiet --frozen --no-dev --no-hashes --no-header | diff -u requirements.txt - \
		|| { echo "error: requirements.txt is stale; run make lock" >&2; exit 1; }
	.venv/bin/hadolint Dockerfile
	.venv/bin/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yaml
	.venv/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/ci.yml

docs: install ## Write what is generated in docs/ anew, such as DAGS.md and the tables of security.md, and build the site
	@.venv/bin/python -m local.airflow.dags_page
	@.venv/bin/python -m tests.faults.page
	@.venv/bin/python -m tests.attacks.page
	@.venv/bin/python -m tests.local.cloud.bigquery.corpus
	@.venv/bin/python -m comparison report
	@$(MAKE) site

# A warning, such as a link that leads nowhere, is an error.
SPHINX := docs/site/.venv/bin/sphinx-build --fail-on-warning --keep-going --quiet --fresh-env

site: docs/site/.venv/.installed ## Build the documentation as a web site into build/site
	@$(SPHINX) --conf-dir docs/site --doctree-dir build/doctrees . build/site
	@echo "build/site/index.html"

screenshots: install ## Take the pictures in docs/images again, from a real run in Chromium; takes some minutes
	@PYTHONPATH=plugins .venv/bin/python -m tests.docs.screenshots

format: install ## Format the code
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

lock: | $(OWN_UV) ## Lock the dependencies again, and export requirements.txt
	$(UV) lock --python "$(PYTHON)"
	$(UV) lock --project local/cloud --python "$(PYTHON)"
	$(UV) lock --project comparison --python "$(PYTHON)"
	$(UV) lock --project examples/dbt --python "$(PYTHON)"
	$(UV) lock --project docs/site --python "$(PYTHON)"
	$(UV) export --quiet --frozen --no-dev --no-hashes --no-header > requirements.txt
