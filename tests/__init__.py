"""The test suite: mirrors the source; slow and proving tests carry markers (see pyproject.toml)."""
