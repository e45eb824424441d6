"""Who starts the run of a content: of two daemons that see the same drop at once, one."""

import json
import time
from pathlib import Path

from trainers.contract.files import write_atomically
from trainers.contract.locks import locked

_SECONDS = 600
"""After this long without a run the one who claimed is taken for dead."""


def claim(landing: Path, digest: str) -> bool:
    """True for one caller, over all processes that share the landing root; again when a claim grew old without a run.

    A run that exists is known by its tag: a claim only covers the time until Dagster has recorded it.
    """
    path = landing / ".claims.json"
    with locked(landing / ".claims.lock"):
        claims: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
        now = time.time()
        fresh = {key: since for key, since in claims.items() if abs(now - since) < _SECONDS}  # a clock may be set back
        if digest in fresh:
            return False
        write_atomically(path, json.dumps({**fresh, digest: now}))
        return True
