# The light code location: assets and run workers. No torch; starts in seconds.
FROM python:3.11-slim-bookworm
ARG GIT_SHA
LABEL org.opencontainers.image.revision=$GIT_SHA
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
WORKDIR /opt/korean-llm
COPY pyproject.toml requirements.lock README.md ./
COPY korean_llm_assets korean_llm_assets
COPY trainers trainers
# uv, and not pip: it holds the lock's hashes against the part of the lock that this world asks for.
RUN python -m pip install "$(grep -o '^uv==[^ ]*' requirements.lock)" \
    && uv pip install --no-cache --python "$(command -v python)" --constraint requirements.lock '.[assets]' \
    && python -m pip uninstall --yes uv
# Fails the build where a light import pulls in what is not installed.
RUN KOREAN_LLM_HOME=/tmp/import-test python -c "import korean_llm_assets.definitions, korean_llm_assets.compute.cluster.compute" \
    && rm -rf /tmp/import-test
RUN useradd --uid 1000 --create-home korean-llm
USER 1000:1000
EXPOSE 3030
CMD ["dagster", "code-server", "start", "--host", "0.0.0.0", "--port", "3030", "-m", "korean_llm_assets.definitions"]
