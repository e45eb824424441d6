"""WikiExtractor's files: `<doc id="1" url="..." title="제목">`, a line of its title, the text, `</doc>`."""

import html
import re
from collections.abc import Iterator
from typing import Any

from trainers.text.unpack import Broken, Bytes

_BEGIN = re.compile(r"\s*<doc (.*)>\s*$")
_ATTRIBUTE = re.compile(r'\b(\w+)="([^"]*)"')
_END = "</doc>"


def wiki_documents(stream: Bytes, longest: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line and row (`id`, `url`, `title`, `text`) of each document; one that never ends is given as far as it goes.

    The first line of the text is the title once more; it stays, as a document's heading.
    """
    row: dict[str, Any] | None = None
    begin, size = 0, 0
    text: list[str] = []
    for number, line in enumerate(_text_lines(stream, longest), 1):
        if opening := _BEGIN.match(line):
            if row is not None:
                yield begin, {**row, "text": "\n".join(text).strip()}
            row = {name: html.unescape(value) for name, value in _ATTRIBUTE.findall(opening[1])}
            begin, text, size = number, [], 0
        elif line.strip() == _END:
            if row is not None:
                yield begin, {**row, "text": "\n".join(text).strip()}
            row = None
        elif row is not None:
            size += len(line)
            if size > longest:
                stream.broken = Broken("line_too_long", f"a document over {longest >> 20} MiB")
                break
            text.append(line)
    if row is not None:
        yield begin, {**row, "text": "\n".join(text).strip()}


def _text_lines(stream: Bytes, longest: int) -> Iterator[str]:
    pending = b""
    for chunk in stream:
        *whole, pending = (pending + chunk).split(b"\n")
        for line in whole:
            yield line.decode(stream.encoding, "surrogateescape")
        if len(pending) > longest:
            stream.broken = Broken("line_too_long", f"a line over {longest >> 20} MiB")
            return
    if pending:
        yield pending.decode(stream.encoding, "surrogateescape")
