"""Chat templates by model family, each with `{% generation %}` around what the assistant says.

The marks are what lets a trainer put the loss on the assistant's tokens only; the end-of-turn token is inside
them, so that the model learns to stop.
"""

import hashlib
import re
from pathlib import Path

from trainers.contract import BadRequest

_FOLDER = Path(__file__).parent
_MARK = re.compile(r"\{%(-?)\s*(end)?generation\s*(-?)%\}")


def template_text(name: str) -> str:
    """The Jinja text of a packaged template.

    Raises:
        BadRequest: there is no template of that name.
    """
    path = _FOLDER / f"{name}.jinja"
    if not path.is_file():
        there_are = ", ".join(sorted(file.stem for file in _FOLDER.glob("*.jinja")))
        raise BadRequest(f"unknown chat template {name!r}; there are: {there_are}")
    return path.read_text(encoding="utf-8")


def template_hash(text: str) -> str:
    """Hex sha256 of a template's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def has_generation_marks(text: str) -> bool:
    """True where a template itself says which part the assistant speaks."""
    return _MARK.search(text) is not None


def without_generation_marks(text: str) -> str:
    """The same template for engines that do not know transformers' {% generation %}; white space stays as it was."""
    return _MARK.sub(lambda mark: f"{{%{mark[1]} {'endif' if mark[2] else 'if true'} {mark[3]}%}}", text)
