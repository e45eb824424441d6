# The light image: code location, run workers, and Dagster's webserver and daemon. No torch; starts in seconds.
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE}
ARG GIT_SHA
LABEL org.opencontainers.image.revision=$GIT_SHA
ENV KOREAN_LLM_COMMIT=$GIT_SHA
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /opt/korean-llm
COPY pyproject.toml requirements.lock README.md ./
COPY korean_llm_assets korean_llm_assets
COPY trainers trainers
# A registry that is slow, or a machine that is busy, ends no build after half an hour's download (30 s by itself).
ENV UV_HTTP_TIMEOUT=600
# uv, and not pip: it holds the lock's hashes against the part of the lock that this world asks for.
RUN python -m pip install "$(grep -o '^uv==[^ ]*' requirements.lock)" \
    && uv pip install --no-cache --python "$(command -v python)" --constraint requirements.lock '.[assets]' \
    && python -m pip uninstall --yes uv setuptools pip \
    && rm -rf build korean_llm_assets trainers *.egg-info
# The chart says `dagster-webserver` and lets nobody say otherwise: by that name the one behind the guard is started.
RUN printf '#!/bin/sh\nexec python -m korean_llm_assets.commands.webserver "$@"\n' > "$(command -v dagster-webserver)"
# Fails the build where a light import pulls in what is not installed.
RUN KOREAN_LLM_HOME=/tmp/import-test python -c "import korean_llm_assets.definitions, korean_llm_assets.compute.cluster.compute" \
    && rm -rf /tmp/*
RUN useradd --uid 1000 --create-home korean-llm
USER 1000:1000
EXPOSE 3030
CMD ["dagster", "code-server", "start", "--host", "0.0.0.0", "--port", "3030", "-m", "korean_llm_assets.definitions"]
