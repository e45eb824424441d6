"""The take-down list: documents that must not be in any later build.

One id or text sha256 per line, in KOREAN_LLM_TAKEDOWN or `takedown.txt` below KOREAN_LLM_HOME. It becomes part of the
data recipe's sections: all data is stale at once, and the next build leaves the documents out, with their copies.
Beside it stands what the command `takedown` saw to hold them, or to be made from what does: no request reads that.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from korean_llm_assets.home import Home
from trainers.contract import settings
from trainers.contract.files import write_atomically


def takedown_file() -> Path:
    """Where the list is kept."""
    return settings.TAKEDOWN.get() or Home.from_environment().root / "takedown.txt"


def taken_down() -> tuple[str, ...]:
    """Ids and hashes on the list, sorted."""
    path = takedown_file()
    return tuple(sorted(ids_in(path.read_text(encoding="utf-8")))) if path.exists() else ()


def ids_in(text: str) -> set[str]:
    """The ids and hashes of a text with one per line."""
    return {line.strip() for line in text.splitlines() if line.strip()}


def holders() -> frozenset[str]:
    """Content digests of artifacts that hold documents on the list, or were made from such."""
    path = _holders_file()
    return frozenset(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else frozenset()


def remember_holders(digests: Iterable[str]) -> None:
    """Add artifacts to those that no request may read."""
    write_atomically(_holders_file(), json.dumps(sorted({*holders(), *digests}), indent=1) + "\n")


def _holders_file() -> Path:
    return takedown_file().with_name(f"{takedown_file().stem}.holders.json")
