"""The corpus report: what came in, what stayed and why, as Markdown and one self-contained HTML page with plots."""

from collections.abc import Mapping

from trainers.contract import CorpusDetails
from trainers.contract.charts import bars
from trainers.contract.data_tables import changes_since, line_changes, rule_effects
from trainers.contract.markdown import escaped, table
from trainers.contract.page import Line, PageSection, Table, Words, page

_MOST_BARS = 25
_REASONS_IN_SHORT = 3
_NOTE = "by it alone: documents that break no other rule, and would have stayed without this one"
_EVIDENCE = "Contamination: evidence"
_RULES = "Filters, rule by rule"
_CHANGES = "Repairs, removed lines and masking: lines before and after"


def markdown(details: CorpusDetails) -> str:
    """The report as Markdown."""
    lines = ["# Corpus report", ""]
    for title, counts in _sections(details):
        lines += [f"## {escaped(title.en)}", "", *table(["what", "count"], _rows(counts), numbers=1), ""]
    if details.rules:
        lines += [f"## {_RULES}", "", *_markdown(rule_effects(details)), ""]
    if details.changes:
        lines += [f"## {_CHANGES}", "", *_markdown(line_changes(details)), ""]
    if details.contaminated:
        lines += [f"## {_EVIDENCE}", "", *table(["document", "item", "piece"], _evidence(details)), ""]
    return "\n".join(lines)


def html(details: CorpusDetails, before: CorpusDetails | None = None, release: str = "") -> str:
    """The report as one HTML page: what came of it and what changed first; a long tail of bars is summed up in words.

    Args:
        before: the corpus of the release before, `release`, where there is one.
    """
    sections = [PageSection(Words("In short", "요약"), lines=_in_short(details))]
    if before is not None:
        against = Words(f"What changed against release {release}", f"이전 릴리스 {release}과(와) 달라진 것")
        sections.append(PageSection(against, table=changes_since(details, before, release)))
    for title, counts in _sections(details):
        rest = len(counts) - _MOST_BARS
        chart = bars(title.en, dict(list(counts.items())[:_MOST_BARS]))
        note = f"and {rest} more, in report.md" if rest > 0 else ""
        sections.append(PageSection(title, [chart], note=note))
    rows = Table(("document", "item", "piece"), _evidence(details))
    evidence = PageSection(Words(_EVIDENCE, "평가 문항 오염: 근거"), table=rows)
    rules = PageSection(Words(_RULES, "규칙별 거름"), table=rule_effects(details), note=_NOTE if details.rules else "")
    changes = PageSection(Words(_CHANGES, "고침, 지운 줄, 가림: 줄의 전과 후"), table=line_changes(details))
    return page("Corpus report", [*sections, rules, changes, evidence])


def _in_short(details: CorpusDetails) -> list[Line]:
    """What came of the drop, what took most of it, and what nobody could read, in sentences."""
    kept, megabytes = f"{details.kept:,} of {details.read:,}", f"{details.bytes / 1e6:,.1f} MB"
    share = f"{details.kept / details.read:.1%}" if details.read else "0%"
    lines = [
        Line(
            Words(
                f"{kept} documents kept ({share}), {megabytes} of text",
                f"문서 {details.read:,}건 중 {details.kept:,}건({share}) 남음, 텍스트 {megabytes}",
            )
        )
    ]
    for reason, count in sorted(details.excluded.items(), key=lambda item: -item[1])[:_REASONS_IN_SHORT]:
        part = f"{count / details.read:.1%}" if details.read else ""
        lines.append(Line(Words(f"left out by {reason}: {count:,} ({part})", f"제외, {reason}: {count:,}건 ({part})")))
    if lost := sum(row.bytes for row in details.unread):
        words = Words(f"NOT READ: {lost:,} bytes, named below", f"읽지 못함: {lost:,}바이트, 아래에 파일별로")
        lines.append(Line(words, "bad"))
    return lines


def _markdown(rows: Table) -> list[str]:
    return table([str(column) for column in rows.columns], rows.rows)


def _rows(counts: Mapping[str, float]) -> list[tuple[str, str]]:
    return [(name, f"{count:,}") for name, count in counts.items()]


def _evidence(details: CorpusDetails) -> list[list[str]]:
    return [[row.document, row.item, row.piece] for row in details.contaminated]


def _sections(details: CorpusDetails) -> list[tuple[Words, dict[str, float]]]:
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
    unread = {f"{row.file}: {row.reason}": row.bytes for row in details.unread}
    groups = {f"{size} alike": n for size, n in details.cluster_size.items()}
    nouns: dict[str, float] = {}
    new_words: Mapping[str, float] = {}
    if details.nouns is not None:
        new_words = details.nouns.new_words
        nouns = {"nouns in the sample": details.nouns.nouns}
        nouns["share of occurrences whose noun is new"] = details.nouns.new_word_share
        nouns |= {f"Jensen-Shannon divergence from {name}": bits for name, bits in details.nouns.drift.items()}
    sections: list[tuple[str, str, Mapping[str, float]]] = [
        ("Documents, from read to kept", "문서: 읽은 것에서 남은 것까지", funnel),
        ("Kept", "남은 것", size),
        ("Excluded, by reason", "제외, 이유별", details.excluded),
        ("Not read, by file, in bytes", "읽지 못한 것, 파일별 바이트", unread),
        (
            "Columns that nothing reads, by rows that have them",
            "아무 데도 쓰이지 않는 열, 행 수",
            details.ignored_fields,
        ),
        ("Duplicates of what earlier releases hold, by release", "이전 릴리스와 중복, 릴리스별", details.earlier),
        ("Groups of duplicates, by size", "중복 묶음, 크기별", groups),
        ("Deduplication, bytes a document", "중복 제거, 문서당 바이트", details.dedup_bytes_per_document),
        ("Personal data masked, by type", "가린 개인정보, 종류별", details.masked),
        ("Documents repaired, by kind", "고친 문서, 종류별", details.repaired),
        ("Boilerplate lines removed, by reason", "지운 상용구 줄, 이유별", details.removed_lines),
        ("Kept, by length", "남은 것, 길이별", lengths),
        ("Kept, by language", "남은 것, 언어별", details.by_language),
        ("Kept, by licence", "남은 것, 라이선스별", details.by_licence),
        ("Kept, by source", "남은 것, 출처별", details.by_source),
        ("Nouns, new nouns, and drift from the last release", "명사, 새 명사, 이전 릴리스와의 차이", nouns),
        ("New words of this release, by frequency", "이 릴리스의 새 낱말, 빈도순", new_words),
        *((f"Tokens per word, {name}", f"Tokens per word, {name}", rates) for name, rates in details.fertility.items()),
    ]
    return [(Words(english, korean), dict(counts)) for english, korean, counts in sections if counts]
