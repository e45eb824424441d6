"""The corpus report: what came in, what stayed and why, as Markdown and one self-contained HTML page with plots."""

import html
from collections.abc import Mapping

from trainers.contract import CorpusDetails

_STYLE = (
    "body{font-family:sans-serif;max-width:62em;margin:2em auto;color:#222}table{border-collapse:collapse}"
    "td,th{padding:.15em .9em;text-align:left}td.n{text-align:right}svg text{font-size:12px}"
    "pre{white-space:pre-wrap;background:#f5f5f5;padding:.6em}"
)
_MOST_BARS = 25
_WIDTH, _ROW, _LABEL = 420, 18, 230


def markdown(details: CorpusDetails) -> str:
    """The report as Markdown."""
    parts = ["# Corpus report\n"]
    for title, counts in _sections(details):
        rows = [f"| {name.replace('|', '/')} | {count:,} |" for name, count in counts.items()]
        parts.append("\n".join([f"## {title}\n", "| what | count |", "|---|---:|", *rows, ""]))
    if details.contaminated:
        rows = [f"| {row['id']} | {row['item']} | {_cell(row['piece'])} |" for row in details.contaminated]
        parts.append(
            "\n".join(["## Contamination: evidence\n", "| document | item | piece |", "|---|---|---|", *rows, ""])
        )
    return "\n".join(parts)


def page(details: CorpusDetails) -> str:
    """The report as one HTML page that needs no other file."""
    body = ["<h1>Corpus report</h1>"]
    for title, counts in _sections(details):
        body.append(f"<h2>{html.escape(title)}</h2>{_bars(counts)}")
    if details.contaminated:
        cells = "".join(
            "<tr>" + "".join(f"<td>{html.escape(str(row[key]))}</td>" for key in ("id", "item", "piece")) + "</tr>"
            for row in details.contaminated
        )
        head = "<tr><th>document</th><th>item</th><th>piece</th></tr>"
        body.append(f"<h2>Contamination: evidence</h2><table>{head}{cells}</table>")
    head = f'<meta charset="utf-8"><title>Corpus report</title><style>{_STYLE}</style>'
    return f"<!doctype html><html><head>{head}</head><body>{''.join(body)}</body></html>\n"


def _sections(details: CorpusDetails) -> list[tuple[str, dict[str, float]]]:
    """Titles and counts, in the order of reading; empty ones are left out."""
    funnel = {"read": details.read}
    left = details.read
    for reason, count in details.excluded.items():
        left -= count
        funnel[f"after {reason} (-{count:,})"] = left
    size = {
        "train documents": details.train_documents,
        "validation documents": details.validation_documents,
        "characters": details.characters,
        "words": details.words,
        "bytes": details.bytes,
    }
    lengths = {f"{int(low):,} characters and more": n for low, n in details.extra.get("length", {}).items()}
    groups = {f"{size} alike": n for size, n in details.extra.get("cluster_size", {}).items()}
    nouns = {}
    if "nouns" in details.extra:
        nouns = {"nouns in the sample": details.extra["nouns"]}
        nouns["share of occurrences whose noun is new"] = details.extra["new_word_share"]
        nouns |= {f"Jensen-Shannon divergence from {name}": bits for name, bits in details.extra["drift"].items()}
    sections: list[tuple[str, Mapping[str, float]]] = [
        ("Documents, from read to kept", funnel),
        ("Kept", size),
        ("Excluded, by reason", details.excluded),
        ("Duplicates of what earlier releases hold, by release", details.extra.get("earlier", {})),
        ("Groups of duplicates, by size", groups),
        ("Deduplication, bytes a document", details.extra.get("dedup_bytes_per_document", {})),
        ("Personal data masked, by type", details.masked),
        ("Documents repaired, by kind", details.repaired),
        ("Boilerplate lines removed, by reason", details.removed_lines),
        ("Kept, by length", lengths),
        ("Kept, by language", details.by_language),
        ("Kept, by licence", details.by_licence),
        ("Kept, by source", details.by_source),
        ("Nouns, new nouns, and drift from the last release", nouns),
        ("New words of this release, by frequency", details.extra.get("new_words", {})),
        *((f"Tokens per word, {name}", rates) for name, rates in details.extra.get("fertility", {}).items()),
    ]
    return [(title, dict(counts)) for title, counts in sections if counts]


def _bars(counts: Mapping[str, float]) -> str:
    """A bar chart as SVG; a long tail is summed up in words."""
    shown = list(counts.items())[:_MOST_BARS]
    most = max((count for _, count in shown), default=0) or 1
    bars = []
    for number, (name, count) in enumerate(shown):
        y = number * _ROW
        width = max(1, round(_WIDTH * count / most))
        label = name if len(name) <= 34 else f"{name[:33]}…"
        bars.append(
            f'<text x="{_LABEL - 8}" y="{y + 13}" text-anchor="end">{html.escape(label)}</text>'
            f'<rect x="{_LABEL}" y="{y + 2}" width="{width}" height="{_ROW - 4}" fill="#4a7ab5"/>'
            f'<text x="{_LABEL + width + 6}" y="{y + 13}">{count:,}</text>'
        )
    rest = len(counts) - len(shown)
    more = f"<p>and {rest} more, in report.md</p>" if rest else ""
    height = len(shown) * _ROW
    return f'<svg width="{_LABEL + _WIDTH + 110}" height="{height}" role="img">{"".join(bars)}</svg>{more}'


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
