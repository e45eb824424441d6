# One gate, the same for a person and for CI. `make help` lists what there is.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TORCH := $(shell sed -n 's/^  "\(torch==[^"]*\)",$$/\1/p' pyproject.toml)
export KOREAN_LLM_HOME ?= $(CURDIR)/var
# Seconds of compiling at every import otherwise.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup lock demo ui serve test test-cluster check check-monitoring format lint types prove bench bench-corpus bench-eval bench-pool bench-train gpu-check clean-state

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

setup: $(READY) ## virtual environment with the pinned lock and a CPU torch; a second call skips it

# torch comes first and by its pin, so that its CPU build and its CUDA build both do; the lock names neither.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11, 2) <= sys.version_info < (3, 14) and "Python 3.11.2 to 3.13 is needed, this is %s; set PYTHON=..." % sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet '$(TORCH)'
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	$(BIN)/python -m pip check
	$(BIN)/python -m trainers.corpus.compile
	@touch $@

lock: ## requirements.lock anew from pyproject.toml, versions kept; UPGRADE='--upgrade-package NAME' or '--upgrade' takes newer
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11.2 --extra dev --extra bench $(UPGRADE) \
		--no-emit-package torch --custom-compile-command 'make lock' --output-file requirements.lock pyproject.toml

demo: $(READY) ## sample drop -> corpus -> CPT -> SFT -> RLHF -> eval report -> registered model
	$(BIN)/python -m korean_llm_assets demo

ui: $(READY) ## Dagster UI and MLflow UI on this machine's state
	$(BIN)/python -m korean_llm_assets ui

serve: $(READY) ## the promoted tiny model over OpenAI's API, on this machine's CPU
	$(BIN)/python -m korean_llm_assets serve

test: $(READY) ## the test suite: every fast test, one sampled case of each slow kind
	@tests/install_system_packages.sh
	$(BIN)/python -m pytest -m 'not prove'

check: format lint types test ## what must hold before each commit

format: $(READY)
	$(BIN)/ruff format --check .

lint: $(READY)
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

test-cluster: $(READY) ## the launcher's tests against KUBECONFIG's cluster (tests/cluster/conftest.py says what it takes)
	@test -n "$$KUBECONFIG" || { echo "set KUBECONFIG to the cluster to test against"; exit 2; }
	$(BIN)/python -m pytest tests/cluster

check-monitoring: $(READY) ## alert rules and dashboards: parsed, tested, and built only from series that exist
	$(BIN)/python -m pytest -q tests/dagster_deploy/test_monitoring.py

prove: $(READY) ## everything, the slow proofs included
	@tests/install_system_packages.sh
	$(BIN)/python -m pytest

bench-eval: $(READY) ## items/s of the offline suites against lm_eval called plainly, as JSON
	$(BIN)/python -m tests.bench.evaluation

bench-pool: $(READY) ## 200 mixed runs on 16 GPUs through the local pool's scheduling code, on a virtual clock, as JSON
	$(BIN)/python -m tests.bench.pool

bench-corpus: $(READY) ## the corpus chain against its peers, as JSON; INPUT= and TRUTH= for other files, BIG= for scaling
	@$(BIN)/python -m tests.bench.corpus $(if $(INPUT),--input '$(INPUT)') $(if $(TRUTH),--truth '$(TRUTH)') $(if $(BIG),--big '$(BIG)')

bench-train: $(READY) ## tokens/s of CPT, SFT and DPO against a bare TRL script, as JSON
	$(BIN)/python -m tests.bench.train

gpu-check: $(READY) ## Unsloth against plain TRL on a GPU; GPU_CHECK=--dry walks through it on a CPU
	$(BIN)/python -m tests.gpu.check $(GPU_CHECK)

bench: $(READY) ## set-up time, demo time by stage, tokens/s by stage, as JSON
	$(BIN)/python -m tests.bench.demo

clean-state: ## remove all local state (KOREAN_LLM_HOME)
	rm -rf '$(KOREAN_LLM_HOME)'
