# Every command of the project. A laptop, the hooks and CI use the same ones.

UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
PYTHON := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help sync run test test-service check fix dashboard deploy prune benchmark benchmark-checks benchmark-pipeline

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/.synced ## Run the pipeline once; options: make run ARGS="--help".
	@$(PYTHON) -m flows.retraining $(ARGS)

dashboard: .venv/.synced ## Server, dashboard and workers on this machine, with all deployed; Ctrl-C ends them.
	@$(PYTHON) -m deployments.dashboard $(ARGS)

deploy: .venv/.synced ## Bring pools, limits, deployments and automations to the server at PREFECT_API_URL.
	@$(PYTHON) -m deployments.apply $(ARGS)

test: .venv/.synced ## Run the tests; options for pytest: make test ARGS="-k store".
	@$(PYTHON) -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal $(ARGS)

test-service: .venv/.synced | $(UV) ## Run the tests on the whole service; PostgreSQL and Chromium have to be installed.
	@UV=$(UV) $(PYTHON) -m pytest -m service --numprocesses 2 --dist loadfile $(ARGS)

prune: .venv/.synced ## Say what of the store nothing needs any more; ARGS="--apply" removes it.
	@$(PYTHON) -m flows.pruning $(ARGS)

check: .venv/.synced ## Check lock file, format, lint, types, import directions and deployments.
	$(UV) lock --check
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports
	$(PYTHON) -m deployments.check

fix: .venv/.synced ## Format, and mend what the linter can mend.
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

benchmark: .venv/.synced ## Compare training with the tutorial's; about 15 minutes, QUICK=1: 3.
	@$(PYTHON) -m benchmarks.training $(if $(QUICK),--quick) $(ARGS)

benchmark-checks: .venv/.synced ## Plant faults in drops of real images and count which are found; about 15 minutes.
	@$(PYTHON) -m benchmarks.checks $(ARGS)

benchmark-pipeline: .venv/.synced ## Time the pipeline, first run against later ones; about 5 minutes.
	@$(PYTHON) -m benchmarks.pipeline $(ARGS)

sync: | $(UV) ## Make the environment anew; with extras, which it keeps: make sync EXTRAS=gpu.
	$(UV) sync --locked --compile-bytecode $(addprefix --extra ,$(EXTRAS))
	@echo $(EXTRAS) > .venv/.extras
	@touch .venv/.synced

# The locked environment; bytecode once, so that the first run is not slower than the others. What is not named is
# removed, CUDA's libraries too, so the extras of the last `make sync` are kept beside it.
.venv/.synced: pyproject.toml uv.lock | $(UV)
	$(UV) sync --locked --compile-bytecode $(addprefix --extra ,$(shell cat .venv/.extras 2>/dev/null))
	@touch $@

# uv from PyPI, in an environment of its own, where the machine has none.
.tools/bin/uv:
	python3 -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv
