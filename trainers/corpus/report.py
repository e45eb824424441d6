"""The corpus report: what came in, what stayed and why, as Markdown and one self-contained HTML page with plots."""

from collections.abc import Mapping

from trainers.contract import CorpusDetails
from trainers.contract.charts import bars
from trainers.contract.markdown import escaped, table
from trainers.runner.page import PageSection, Table, page

_MOST_BARS = 25
_EVIDENCE = "Contamination: evidence"


def markdown(details: CorpusDetails) -> str:
    """The report as Markdown."""
    lines = ["# Corpus report", ""]
    for title, counts in _sections(details):
        lines += [f"## {escaped(title)}", "", *table(["what", "count"], _rows(counts), numbers=1), ""]
    if details.contaminated:
        lines += [f"## {_EVIDENCE}", "", *table(["document", "item", "piece"], _evidence(details)), ""]
    return "\n".join(lines)


def html(details: CorpusDetails) -> str:
    """The report as one HTML page; a long tail of bars is summed up in words."""
    sections = []
    for title, counts in _sections(details):
        rest = len(counts) - _MOST_BARS
        chart = bars(title, dict(list(counts.items())[:_MOST_BARS]))
        sections.append(PageSection(title, [chart], note=f"and {rest} more, in report.md" if rest > 0 else ""))
    evidence = PageSection(_EVIDENCE, table=Table(("document", "item", "piece"), _evidence(details)))
    return page("Corpus report", [*sections, evidence])


def _rows(counts: Mapping[str, float]) -> list[tuple[str, str]]:
    return [(name, f"{count:,}") for name, count in counts.items()]


def _evidence(details: CorpusDetails) -> list[list[str]]:
    return [[row.document, row.item, row.piece] for row in details.contaminated]


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
    lengths = {f"{int(low):,} characters and more": n for low, n in details.length.items()}
    groups = {f"{size} alike": n for size, n in details.cluster_size.items()}
    nouns: dict[str, float] = {}
    if details.nouns is not None:
        nouns = {"nouns in the sample": details.nouns.nouns}
        nouns["share of occurrences whose noun is new"] = details.nouns.new_word_share
        nouns |= {f"Jensen-Shannon divergence from {name}": bits for name, bits in details.nouns.drift.items()}
    sections: list[tuple[str, Mapping[str, float]]] = [
        ("Documents, from read to kept", funnel),
        ("Kept", size),
        ("Excluded, by reason", details.excluded),
        ("Duplicates of what earlier releases hold, by release", details.earlier),
        ("Groups of duplicates, by size", groups),
        ("Deduplication, bytes a document", details.dedup_bytes_per_document),
        ("Personal data masked, by type", details.masked),
        ("Documents repaired, by kind", details.repaired),
        ("Boilerplate lines removed, by reason", details.removed_lines),
        ("Kept, by length", lengths),
        ("Kept, by language", details.by_language),
        ("Kept, by licence", details.by_licence),
        ("Kept, by source", details.by_source),
        ("Nouns, new nouns, and drift from the last release", nouns),
        ("New words of this release, by frequency", details.nouns.new_words if details.nouns else {}),
        *((f"Tokens per word, {name}", rates) for name, rates in details.fertility.items()),
    ]
    return [(title, dict(counts)) for title, counts in sections if counts]
