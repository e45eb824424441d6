# The trainer: what runs inside the Jobs. CUDA 13 comes with the pinned torch wheel and its nvidia-* packages, so the
# base image needs only the driver's interface, which the node's GPU operator mounts.
# On machines without GPUs: --build-arg BASE=ubuntu:24.04 --build-arg TORCH=cpu
ARG BASE=nvidia/cuda:13.0.1-base-ubuntu24.04
FROM ${BASE}
# cuda: requirements-gpu.lock, whole and by its hashes. cpu: the CPU's torch, by uv's own knowledge of where it is.
# any: whichever torch the package index gives.
ARG TORCH=cuda
ARG PYTHON=python3.12
ARG GIT_SHA
LABEL org.opencontainers.image.revision=$GIT_SHA
ENV KOREAN_LLM_COMMIT=$GIT_SHA
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 DEBIAN_FRONTEND=noninteractive
# gcc: Triton compiles kernels at run time.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends $PYTHON $PYTHON-venv $PYTHON-dev gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
RUN $PYTHON -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /opt/korean-llm
COPY pyproject.toml requirements.lock requirements-gpu.lock README.md ./
COPY trainers trainers
# A registry that is slow, or a machine that is busy, ends no build after half an hour's download (30 s by itself).
ENV UV_HTTP_TIMEOUT=600
# uv, and not pip: it holds the lock's hashes against the part of the lock that this world asks for.
# --no-config: torch is taken with all that it asks for (see pyproject.toml).
RUN python -m pip install "$(grep -o '^uv==[^ ]*' requirements.lock)" \
    && case $TORCH in \
        cuda) uv pip install --no-config --no-cache --no-deps --require-hashes --requirement requirements-gpu.lock \
            && uv pip install --no-config --no-cache --no-deps . ;; \
        cpu) uv pip install --no-config --no-cache --torch-backend cpu --constraint requirements.lock '.[trainer,llama-cpp,ray]' ;; \
        any) uv pip install --no-config --no-cache --constraint requirements.lock '.[trainer,llama-cpp,ray]' ;; \
        *) echo "TORCH is cuda, cpu or any, not $TORCH" >&2; exit 2 ;; \
    esac \
    && python -m pip uninstall --yes uv \
    && rm -rf build trainers *.egg-info
# What libraries write while they run: the root is read-only in a Job, and HOME is the pod's own /tmp.
ENV TRITON_CACHE_DIR=/tmp/triton NUMBA_CACHE_DIR=/tmp/numba MPLCONFIGDIR=/tmp/matplotlib
# Fails the build where a pinned package does not import; Unsloth itself needs a GPU to import, so only its parts.
RUN python -c "import torch, transformers, trl, peft, datasets, accelerate, lm_eval, kss, soynlp" \
    && if [ "$TORCH" = cuda ]; then python -c "import bitsandbytes"; fi \
    && python -m trainers --help > /dev/null \
    && rm -rf /tmp/*
RUN if id ubuntu > /dev/null 2>&1; then userdel --remove ubuntu; fi && useradd --uid 1000 --create-home trainer
USER 1000:1000
ENTRYPOINT []
CMD ["python", "-m", "trainers", "--help"]
