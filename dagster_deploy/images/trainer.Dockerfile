# The trainer: what runs inside the Jobs. CUDA 13 comes with the pinned torch wheel and its nvidia-* packages, so the
# base image needs only the driver's interface, which the node's GPU operator mounts.
FROM nvidia/cuda:13.0.1-base-ubuntu24.04
ARG GIT_SHA
LABEL org.opencontainers.image.revision=$GIT_SHA
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 DEBIAN_FRONTEND=noninteractive
# gcc: Triton compiles kernels at run time.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3.12 python3.12-venv python3.12-dev gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
RUN python3.12 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /opt/korean-llm
COPY pyproject.toml requirements.lock README.md ./
COPY trainers trainers
# uv, and not pip: it holds the lock's hashes against the part of the lock that this world asks for.
# --no-config: torch here is the CUDA build, with all that it asks for (see pyproject.toml).
RUN python -m pip install "$(grep -o '^uv==[^ ]*' requirements.lock)" \
    && uv pip install --no-config --no-cache --python "$(command -v python)" --constraint requirements.lock '.[trainer,gpu]' \
    && python -m pip uninstall --yes uv
# Fails the build where a pinned package does not import; Unsloth itself needs a GPU to import, so only its parts.
RUN python -c "import torch, transformers, trl, peft, datasets, accelerate, bitsandbytes, lm_eval, kss, soynlp" \
    && python -m trainers --help > /dev/null
RUN userdel --remove ubuntu && useradd --uid 1000 --create-home trainer
USER 1000:1000
ENTRYPOINT []
CMD ["python", "-m", "trainers", "--help"]
