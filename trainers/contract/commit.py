"""The commit of the code that runs here: of its git checkout, or as its image says. A fact of where, never of what."""

import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from trainers.contract import settings

CODE = Path(__file__).parents[2]
"""What holds both worlds' packages: the checkout, or an image's folder of packages."""
CHANGED = "-dirty"
"""Behind the hash, where files differ from the commit."""


@lru_cache
def code_commit(code: Path = CODE) -> str | None:
    """The commit's hash, `-dirty` behind it where files differ from it; None where nobody knows.

    An image has no checkout: its build gives it KOREAN_LLM_COMMIT. A checkout knows better than a variable does.
    """
    if not (code / ".git").exists() or shutil.which("git") is None:  # installed, perhaps inside of another's checkout
        return settings.COMMIT.get()
    command = ["git", "-C", str(code), "describe", "--always", "--abbrev=40", "--exclude=*", f"--dirty={CHANGED}"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else settings.COMMIT.get()
