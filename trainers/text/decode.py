"""From bytes to text: which encoding a file has, and mojibake, repaired where it can be proven."""

import re

from trainers.text.characters import SYLLABLES

_WIDE = {
    b"\xff\xfe\0\0": "utf-32-le",
    b"\0\0\xfe\xff": "utf-32-be",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}
"""Marks, the longer ones first: one of them begins as a shorter one does."""
UTF8_MARK = b"\xef\xbb\xbf"
_SYLLABLE = re.compile(f"[{SYLLABLES}]")
_WESTERN_DEBRIS = re.compile(r"[\u0080-\u00ff\u0152-\u0192\u02c6-\u02dc\u2013-\u2122]")
_CP1252_HOLES = {0x81: 0x81, 0x8D: 0x8D, 0x8F: 0x8F, 0x90: 0x90, 0x9D: 0x9D}
_TO_CP1252 = {ord(bytes([b]).decode("cp1252")): b for b in range(0x80, 0x100) if b not in _CP1252_HOLES} | _CP1252_HOLES


def encoding_of(sample: bytes) -> str:
    """The encoding of a file, from its first megabyte: utf-8, utf-16 or utf-32 (-le, -be), or cp949.

    A mark at the start decides; else zero bytes at odd or even places mean UTF-16; else the one of UTF-8 and
    CP949 under which more lines are valid.
    """
    for mark, encoding in _WIDE.items():
        if sample.startswith(mark):
            return encoding
    if sample.startswith(UTF8_MARK):
        return "utf-8"
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if (even + odd) * 20 > len(sample):
        return "utf-16-le" if odd > even else "utf-16-be"
    lines = [line for line in sample.split(b"\n")[:-1] or [sample] if not line.isascii()]
    utf8, cp949 = (sum(_decodes(line, name) for line in lines) for name in ("utf-8", "cp949"))
    return "cp949" if cp949 > utf8 else "utf-8"


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def repair_surrogates(text: str) -> tuple[str, bool]:
    """Replace lone surrogates (legal in JSON, not in text) by U+FFFD; True where there was one."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"), True
    return text, False


def repair_mojibake(text: str) -> tuple[str, str | None]:
    """Undo a wrong decoding where the bytes prove it: Korean comes out, of text that had none.

    Returns:
        The text and what was found: None, `mojibake_repaired`, or `mojibake` (bytes were lost on the way).
    """
    if not any(len(_WESTERN_DEBRIS.findall(window)) * 16 > len(window) for window in _windows(text)):
        return text, None
    debris = len(_WESTERN_DEBRIS.findall(text))
    if debris < 8 or debris * 8 < len(text) or debris < 4 * len(_SYLLABLE.findall(text)):
        return text, None
    original = _bytes_before(text)
    if original is None:
        return text, "mojibake"
    for encoding in ("utf-8", "cp949"):
        try:
            candidate = original.decode(encoding)
        except UnicodeDecodeError:
            continue
        if len(_SYLLABLE.findall(candidate)) * 4 > debris:
            return candidate, "mojibake_repaired"
    western = re.findall(r"[A-Za-z\u00c0-\u00ff]{2,}", text)
    lost = sum(1 for word in western if len(_WESTERN_DEBRIS.findall(word)) * 2 > len(word))
    return text, "mojibake" if lost * 2 > len(western) else None


def _windows(text: str) -> tuple[str, ...]:
    """Pieces from the start, the middle and the end: reading all of every text would be dear."""
    middle = len(text) // 2
    return text[:200], text[middle : middle + 200], text[-200:]


def _bytes_before(text: str) -> bytes | None:
    """The bytes that were read as Latin-1 or CP1252 to give this text; None where they are lost."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        codes = [ord(char) if char < "\x80" or "\xa0" <= char <= "\xff" else _TO_CP1252.get(ord(char)) for char in text]
        return None if None in codes else bytes(code for code in codes if code is not None)
