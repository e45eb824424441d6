"""A home of its own, as for the code location's tests."""

from tests.korean_llm_assets.conftest import home

__all__ = ["home"]
