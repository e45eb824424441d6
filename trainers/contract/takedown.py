"""Take-down: which documents must not be in any build, however they are named, and under which names they turn up."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any


def own_id(encoded: bytes) -> str:
    """The id of a document that came without one: made of its text as the corpus has it."""
    return f"sha-{text_hash(encoded).hex()}"


def text_hash(encoded: bytes) -> bytes:
    """What a text is known by in the corpus (16 bytes)."""
    return hashlib.blake2b(encoded, digest_size=16).digest()


class TakeDown:
    """A list of names: ids as they came, ids that we gave, and sha256 of texts, as they came or as they became."""

    def __init__(self, names: Iterable[str]):
        self._names = frozenset(names)

    def __bool__(self) -> bool:
        return bool(self._names)

    def names(self, identity: str, *texts: str) -> set[str]:
        """The names on the list that a document has: its id, and what its texts are known by; empty if it may stay."""
        return names_of(identity, *texts) & self._names if self._names else set()


def names_of(identity: str, *texts: str) -> set[str]:
    """Every name that a document goes by."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    return {identity, *map(own_id, encoded), *(hashlib.sha256(each).hexdigest() for each in encoded)}


def strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for part in value.values() for text in strings(part))
    elif isinstance(value, list):
        yield from (text for part in value for text in strings(part))
