"""The corpus report: what came in, what stayed and why, as Markdown and one self-contained HTML page."""

import html
from collections.abc import Mapping

from trainers.contract import CorpusDetails


def markdown(details: CorpusDetails) -> str:
    """The report as Markdown."""
    parts = [
        "# Corpus report\n",
        _table(
            "Documents",
            {
                "read": details.read,
                "excluded": sum(details.excluded.values()),
                "kept": details.kept,
                "train": details.train_documents,
                "validation": details.validation_documents,
                "characters": details.characters,
                "words": details.words,
                "bytes": details.bytes,
            },
        ),
        _table("Excluded, by reason", details.excluded),
        _table("Personal data masked, by type", details.masked),
        _table("Documents repaired, by kind", details.repaired),
        _table("Kept, by language", details.by_language),
        _table("Kept, by licence", details.by_licence),
        _table("Kept, by source", details.by_source),
    ]
    return "\n".join(part for part in parts if part)


def page(details: CorpusDetails) -> str:
    """The report as one HTML page that needs no other file."""
    sections = []
    for block in markdown(details).split("\n## ")[1:]:
        title, _, table = block.partition("\n")
        rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
        cells = "".join(f"<tr><td>{html.escape(name)}</td><td class=n>{value}</td></tr>" for name, value in rows)
        sections.append(f"<h2>{html.escape(title)}</h2><table>{cells}</table>")
    style = "body{font-family:sans-serif;max-width:60em;margin:2em auto}td{padding:.1em 1em}.n{text-align:right}"
    return (
        f'<!doctype html><html><head><meta charset="utf-8"><title>Corpus report</title><style>{style}</style></head>'
        + (f"<body><h1>Corpus report</h1>{''.join(sections)}</body></html>\n")
    )


def _table(title: str, counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    rows = sorted(counts.items(), key=lambda item: -item[1]) if title != "Documents" else counts.items()
    lines = [f"| {name.replace('|', '/')} | {count:,} |" for name, count in rows]
    return "\n".join([f"## {title}\n", "| what | count |", "|---|---:|", *lines, ""])
