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
.PHONY: help setup lock demo ui serve test test-cluster unsloth-env check check-monitoring kind format lint types prove real bench bench-corpus bench-eval bench-instance bench-pool bench-train gpu-check clean-state

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

# What the trainer image installs, CUDA and all; versions of what both locks hold are requirements.lock's.
GPU_LOCK := $(BIN)/uv pip compile --quiet --no-config --generate-hashes --python-version 3.12 \
	--python-platform x86_64-manylinux_2_39 --extra trainer --extra gpu --extra llama-cpp --extra ray \
	--constraint requirements.lock --no-emit-package xformers \
	--custom-compile-command 'make lock' pyproject.toml

lock: ## both locks anew from pyproject.toml, versions kept; UPGRADE='--upgrade-package NAME' or '--upgrade' takes newer
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11.2 --extra dev --extra bench $(UPGRADE) \
		--no-emit-package torch --custom-compile-command 'make lock' --output-file requirements.lock pyproject.toml
	$(GPU_LOCK) --output-file requirements-gpu.lock

demo: $(READY) ## sample drop -> corpus -> CPT -> SFT -> RLHF -> eval report -> registered model
	$(BIN)/python -m korean_llm_assets demo

ui: $(READY) ## Dagster UI and MLflow UI on this machine's state; UI="--host NAME --dagster-port N --mlflow-port N"
	$(BIN)/python -m korean_llm_assets ui $(UI)

serve: $(READY) ## a page to chat with the promoted tiny model and what it replaced, and OpenAI's API, on this machine's CPU
	$(BIN)/python -m korean_llm_assets serve

test: $(READY) ## the test suite: every fast test, one sampled case of each slow kind
	@tests/install_system_packages.sh
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not prove' -n 2 --dist loadfile

check: format lint types test ## what must hold before each commit

format: $(READY)
	$(BIN)/ruff format --check .

lint: $(READY)
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

kind: $(READY) ## the platform on a kind cluster of this machine, with the sample in its landing area (docker, kind, helm)
	PYTHON=$(BIN)/python dagster_deploy/kind/up

test-cluster: $(READY) ## the launcher's tests against KUBECONFIG's cluster (tests/cluster/conftest.py says what it takes)
	@test -n "$$KUBECONFIG" || { echo "set KUBECONFIG to the cluster to test against"; exit 2; }
	$(BIN)/python -m pytest tests/cluster

check-monitoring: $(READY) ## alert rules and dashboards: parsed, tested, and built only from series that exist
	$(BIN)/python -m pytest -q tests/dagster_deploy/test_monitoring.py

prove: $(READY) ## everything, the slow proofs included; PART= one part (tests/README.md); again after a stop goes on
	@tests/install_system_packages.sh
	$(BIN)/python -m pytest $(if $(PART),--part $(PART)) --passed '$(KOREAN_LLM_HOME)/proven/$(shell git describe --always --dirty)'

real: $(READY) ## SmolLM2-135M from a drop of text to a champion and its GGUF: 40 minutes on two quiet cores
	$(BIN)/python -m pytest -s tests/joined/commands/test_real_model.py

bench-eval: $(READY) ## items/s of the offline suites against lm_eval called plainly, as JSON
	$(BIN)/python -m tests.bench.evaluation

bench-pool: $(READY) ## 200 mixed runs on 16 GPUs through the local pool's scheduling code, on a virtual clock, as JSON
	$(BIN)/python -m tests.bench.pool

bench-corpus: $(READY) ## the corpus chain against its peers, as JSON; INPUT= and TRUTH= for other files, BIG= for scaling and engines, GROW= gigabytes
	@$(BIN)/python -m tests.bench.corpus $(if $(INPUT),--input '$(INPUT)') $(if $(TRUTH),--truth '$(TRUTH)') $(if $(BIG),--big '$(BIG)') $(if $(GROW),--grow $(GROW))

bench-instance: $(READY) ## one instance with 500 releases x 5 models, on SQLite and PostgreSQL: ticks, pages, memory, as JSON
	@$(BIN)/python -m tests.bench.instance

bench-train: $(READY) ## tokens/s of CPT, SFT, DPO and KTO against a bare TRL script, as JSON
	$(BIN)/python -m tests.bench.train

unsloth-env: $(READY) ## the environment of the tests that run Unsloth on this machine's CPU: 330 MB outside the repository
	$(BIN)/python -m tests.support.unsloth_environment

gpu-check: $(READY) ## Unsloth against plain TRL on a GPU; GPU_CHECK=--dry walks through it on a CPU
	$(BIN)/python -m tests.gpu.check $(GPU_CHECK)

bench: $(READY) ## set-up time, demo time by stage, tokens/s by stage, as JSON
	$(BIN)/python -m tests.bench.demo

clean-state: ## remove all local state (KOREAN_LLM_HOME)
	rm -rf '$(KOREAN_LLM_HOME)'
