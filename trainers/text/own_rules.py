"""Filter rules of a user's own: Python functions that `corpus.filter.rules` names, tried on what our rules leave."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from trainers.contract import BadRequest
from trainers.contract.plugins import load_plugin

TextRule = Callable[[str], str | bool | None]
"""Of a document as it would be written, normalised and masked: True, or a detail for the exclusions file, excludes it;
False, None and "" let it stay."""
_KEY = "corpus.filter.rules"


def own_rules(names: Iterable[str]) -> dict[str, TextRule]:
    """The functions by name."""
    return {name: load_plugin(name, _KEY) for name in names}


def own_verdicts(
    texts: Sequence[str], rules: Mapping[str, TextRule], places: Sequence[str]
) -> list[tuple[str, str] | None]:
    """Per document the first rule that excludes it, as (the rule's name, detail), or None where it may stay.

    Args:
        places: where each document came from, for the message of a rule that fails.

    Raises:
        BadRequest: a rule fails, or answers something else; names it, and the document.
    """
    return [next(_broken(text, rules, place), None) for text, place in zip(texts, places, strict=True)]


def _broken(text: str, rules: Mapping[str, TextRule], place: str) -> Iterator[tuple[str, str]]:
    for name, rule in rules.items():
        try:
            answer = rule(text)
        except Exception as error:
            raise BadRequest(f"{_KEY}: {name} fails on {place}: {error!r}; mend the rule") from error
        if answer is not None and not isinstance(answer, str | bool):
            raise BadRequest(f"{_KEY}: {name} answers {answer!r} on {place}; it must be a text, True, False or None")
        if answer:
            yield name, answer if isinstance(answer, str) else ""
