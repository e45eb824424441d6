"""A double of a model under test that says what it is told: for measures that look at replies, not at weights."""

from collections.abc import Sequence
from typing import Any


class Replies:
    """Says these replies, in their order."""

    scorer = type("Nothing", (), {"score": staticmethod(lambda requests: [])})

    def __init__(self, replies: Sequence[str]):
        self._replies = replies

    def generate(self, conversations: Sequence[Any], new_tokens: int) -> Sequence[str]:
        """The replies, where anything is asked."""
        return self._replies if conversations else []
