"""The tokens that byte-pair encoding would learn next on some texts, after those that a tokenizer has."""

import heapq
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise

from tokenizers import Tokenizer

Pieces = tuple[str, ...]
"""What a new token is joined of: two tokens, or one character that the tokenizer spells in bytes."""

_LEAST_COUNT = 2
_COVERED = 0.999
"""Share of the occurrences of unknown characters that become tokens; the rest are as rare as they look."""
_MOST_CHARACTERS = 0.5
"""Share of the new tokens that may be single characters."""
_SPACE = "\u2581"
"""What SentencePiece writes for a space: U+2581."""
_WORD = re.compile(rf"{_SPACE}?[^\W\d_]+|\d|{_SPACE}?[^\w\s{_SPACE}]+")
"""Letters, one digit, or signs, with the space before: as SentencePiece's trainer splits by script and space."""
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def learn_tokens(texts: Iterable[str], tokenizer: Tokenizer, count: int) -> list[Pieces]:
    """At most `count` new tokens, the most frequent pair first, each after the tokens that it is joined of.

    No token crosses the end of a word: words are those of the tokenizer's own pre-tokenizer, and letters, digits and
    signs where it has none (SentencePiece's byte-pair encoding merges over a whole document). Characters that it
    lacks and spells in bytes come first, because merges are made of characters.
    """
    words = _words(texts, tokenizer)
    characters = _unknown_characters(words, tokenizer, int(count * _MOST_CHARACTERS))
    known = {character for (character,) in characters}
    pieces = [_cut(word, tokenizer, known) for word in words]
    return characters + _learn_merges(pieces, list(words.values()), count - len(characters))


def _learn_merges(pieces: list[list[str]], counts: list[int], most: int) -> list[Pieces]:
    """Merges of pairs within words; `pieces` of each word, and how often it occurs."""
    places: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    pairs: Counter[tuple[str, str]] = Counter()
    for number, word in enumerate(pieces):
        for pair in pairwise(word):
            pairs[pair] += counts[number]
            places[pair].add(number)
    queue = [(-amount, pair) for pair, amount in pairs.items()]
    heapq.heapify(queue)
    merges: list[Pieces] = []
    while queue and len(merges) < most:
        amount, best = heapq.heappop(queue)
        if -amount != pairs[best]:  # an old entry of a pair whose count has changed
            continue
        if -amount < _LEAST_COUNT:
            break
        if any(_BYTE.fullmatch(piece) for piece in best):  # decoders read a byte that stands alone only
            continue
        merges.append(best)
        changed = set()
        for number in places.pop(best):
            for pair in pairwise(pieces[number]):
                pairs[pair] -= counts[number]
                changed.add(pair)
            pieces[number] = list(_joined(pieces[number], best))
            for pair in pairwise(pieces[number]):
                pairs[pair] += counts[number]
                places[pair].add(number)
                changed.add(pair)
        for pair in sorted(changed):
            if pairs[pair] > 0:
                heapq.heappush(queue, (-pairs[pair], pair))
    return merges


def _words(texts: Iterable[str], tokenizer: Tokenizer) -> Counter[str]:
    """Words as the tokenizer's model meets them, counted, in order of appearance."""
    spaces_are_letters = any(_SPACE in word for word in _pretokenized("a b", tokenizer))
    words: Counter[str] = Counter()
    for text in texts:
        for word in _pretokenized(text, tokenizer):
            words.update(_WORD.findall(word) if spaces_are_letters else [word])
    return words


def _pretokenized(text: str, tokenizer: Tokenizer) -> list[str]:
    if tokenizer.normalizer is not None:
        text = tokenizer.normalizer.normalize_str(text)
    if tokenizer.pre_tokenizer is None:
        return [text]
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]


def _unknown_characters(words: Counter[str], tokenizer: Tokenizer, most: int) -> list[Pieces]:
    """Those that are spelled in bytes, the most frequent first."""
    counts: Counter[str] = Counter()
    for word, amount in words.items():
        for character in word:
            counts[character] += amount
    unknown = [
        (character, amount)
        for character, amount in counts.most_common()
        if amount >= _LEAST_COUNT and any(_BYTE.fullmatch(token.value) for token in tokenizer.model.tokenize(character))
    ]
    covered = list(accumulate(amount for _, amount in unknown))
    enough = bisect_left(covered, _COVERED * covered[-1]) + 1 if covered else 0
    return [(character,) for character, _ in unknown[: min(enough, most)]]


def _cut(word: str, tokenizer: Tokenizer, known: set[str]) -> list[str]:
    """The tokenizer's pieces of a word, with the bytes of a character that is known now as that character."""
    pieces: list[str] = []
    spelled = bytearray()
    for token in tokenizer.model.tokenize(word):
        byte = _BYTE.fullmatch(token.value)
        if byte is None:
            pieces.append(token.value)
            continue
        spelled.append(int(byte.group(1), 16))
        try:
            character = spelled.decode()
        except UnicodeDecodeError:  # more of it follows
            continue
        pieces += [character] if character in known else [f"<0x{value:02X}>" for value in spelled]
        spelled.clear()
    return pieces


def _joined(pieces: list[str], pair: tuple[str, str]) -> Iterator[str]:
    at = 0
    while at < len(pieces):
        if at + 1 < len(pieces) and (pieces[at], pieces[at + 1]) == pair:
            yield pieces[at] + pieces[at + 1]
            at += 2
        else:
            yield pieces[at]
            at += 1
