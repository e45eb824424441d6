"""Fertility: how many tokens a tokenizer makes of a word, by kind of text."""

from collections import Counter
from collections.abc import Sequence

from tokenizers import Tokenizer


def tokens_by_domain(documents: Sequence[tuple[str, str]], tokenizer: Tokenizer) -> dict[str, int]:
    """Tokens by domain; `documents` are (domain, text)."""
    tokens: Counter[str] = Counter()
    for domain, text in documents:
        tokens[domain] += len(tokenizer.encode(text, add_special_tokens=False).ids)
    return dict(sorted(tokens.items()))


def fertility(documents: Sequence[tuple[str, str]], tokenizer: Tokenizer) -> dict[str, float]:
    """Tokens per space-separated word, by domain; `documents` are (domain, text)."""
    tokens = tokens_by_domain(documents, tokenizer)
    words: Counter[str] = Counter()
    for domain, text in documents:
        words[domain] += len(text.split())
    return {domain: round(tokens[domain] / words[domain], 4) for domain in sorted(words) if words[domain]}
