"""The take-down list: documents that must not be in any later build.

One id or text sha256 per line, in KOREAN_LLM_TAKEDOWN or `takedown.txt` below KOREAN_LLM_HOME. It becomes part of the
corpus recipe's section: every corpus is stale at once, and the next build leaves the documents out.
"""

from pathlib import Path

from korean_llm_assets.home import Home
from trainers.contract import settings


def takedown_file() -> Path:
    """Where the list is kept."""
    return settings.TAKEDOWN.get() or Home.from_environment().root / "takedown.txt"


def taken_down() -> tuple[str, ...]:
    """Ids and hashes on the list, sorted."""
    path = takedown_file()
    return listed_ids(path) if path.exists() else ()


def listed_ids(path: Path) -> tuple[str, ...]:
    """The ids and hashes of a file with one per line, sorted."""
    return tuple(sorted({line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}))
