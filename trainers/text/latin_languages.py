"""Languages of Latin script told apart by a model (py3langid: naive Bayes on byte n-grams, shipped in its package).

Hangul needs none: its script says the language. Lui and Baldwin 2012 (langid.py).
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from trainers.contract import BadRequest

_CHARACTERS = 2000


@cache
def identifier() -> Any:
    """The model, loaded once per process.

    Raises:
        BadRequest: the package is not installed.
    """
    try:
        from py3langid import langid
    except ImportError as error:
        raise BadRequest(
            f"filter.latin_languages needs the package py3langid ({error}): pip install py3langid, or leave the key out"
        ) from error
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE)


def other_languages(
    texts: Sequence[str], scripts: Sequence[str], languages: Sequence[str]
) -> list[tuple[str, str] | None]:
    """Per document a verdict where it is of Latin script (`en` in `scripts`) and of no wanted language."""
    verdicts: list[tuple[str, str] | None] = []
    for text, script in zip(texts, scripts, strict=True):
        name = identifier().classify(text[:_CHARACTERS])[0] if script == "en" else None
        verdicts.append(None if name is None or name in languages else ("language", f"{name}, by py3langid"))
    return verdicts
