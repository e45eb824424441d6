"""Serving a promoted model over OpenAI's API: a local server, its smoke test, and the rollout of a new version."""
