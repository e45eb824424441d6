"""Tables of what became of a release's data, by its manifests' details: for the corpus' report, the release's page."""

from collections.abc import Iterator, Mapping

from trainers.contract.details import BenchmarkDetails, CorpusDetails, DatasetDetails
from trainers.contract.page import Line, Table, Text, Tone, Words

DataDetails = CorpusDetails | DatasetDetails | BenchmarkDetails
MUCH = 0.1
"""Change of a share that is shown in red: one row in ten goes another way than in the release before."""
_MOST_CHANGES = 15
_OF_RULES = ("rule", "documents", "bytes", "by it alone", "their bytes", "limit", "excluded", "kept, nearest the limit")
_OF_LINES = ("change", "kind", "documents", "before", "after")
_GONE = "(removed)"
_COUNTS = (("characters", "글자"), ("words", "어절"))
_SHARES = (
    ("source", "출처", "by_source"),
    ("licence", "라이선스", "by_licence"),
    ("language", "언어", "by_language"),
    ("task", "과제", "by_task"),
    ("speech level", "말투", "honorifics"),
)


def read_and_kept(details: DataDetails) -> tuple[int, int]:
    """Documents, rows or items that were read, and of those how many are kept."""
    if isinstance(details, BenchmarkDetails):
        kept = sum(details.suites.values())
        return kept + sum(details.excluded.values()), kept
    return details.read, details.kept


def excluded_share(details: DataDetails, reason: str) -> float:
    """Of all that was read."""
    return details.excluded.get(reason, 0) / max(read_and_kept(details)[0], 1)


def changes_since(details: DataDetails, before: DataDetails, release: str) -> Table:
    """Counts, and the share of each rule, source and so on, on both releases; the largest changes first.

    Args:
        before: of the release before, `release`.
    """
    rows: list[list[Text | Line]] = []
    for words, earlier, now in _counts(details, before):
        rows.append([words, f"{earlier:,}", f"{now:,}", f"{now / earlier - 1:+.1%}" if earlier else ""])
    shares = sorted(_shares(details, before), key=lambda row: -abs(row[2] - row[1]))
    for words, earlier_share, share in shares[:_MOST_CHANGES]:
        tone: Tone = "bad" if abs(share - earlier_share) > MUCH else ""
        change = Line(f"{(share - earlier_share) * 100:+.1f} points", tone)
        rows.append([words, f"{earlier_share:.1%}", f"{share:.1%}", change])
    return Table((Words("what", "항목"), release, Words("this release", "이 릴리스"), Words("change", "변화")), rows)


def _counts(details: DataDetails, before: DataDetails) -> Iterator[tuple[Words, int, int]]:
    names = (Words("read", "읽은 것"), Words("kept", "남긴 것"))
    yield from zip(names, read_and_kept(before), read_and_kept(details), strict=True)
    for name, korean in _COUNTS:
        if hasattr(details, name):
            yield Words(name, korean), getattr(before, name), getattr(details, name)


def _shares(details: DataDetails, before: DataDetails) -> Iterator[tuple[Words, float, float]]:
    for reason in sorted({*before.excluded, *details.excluded}):
        words = Words(f"left out: {reason}", f"제외: {reason}")
        yield words, excluded_share(before, reason), excluded_share(details, reason)
    for english, korean, field in _SHARES:
        earlier: Mapping[str, int] = getattr(before, field, {})
        now: Mapping[str, int] = getattr(details, field, {})
        for key in sorted({*earlier, *now}):
            words = Words(f"{english}: {key}", f"{korean}: {key}")
            earlier_share, share = (counts.get(key, 0) / max(sum(counts.values()), 1) for counts in (earlier, now))
            yield words, earlier_share, share


def rule_effects(details: CorpusDetails) -> Table:
    """What each filter rule excluded, and documents from both sides of its limit."""
    rows = [
        [
            row.rule,
            *(f"{count:,}" for count in (row.documents, row.bytes, row.alone, row.alone_bytes)),
            f"{row.limit:g}",
            *(" / ".join(f"{one.value:g}: {one.text}" for one in side) for side in (row.excluded, row.kept)),
        ]
        for row in details.rules
    ]
    return Table(_OF_RULES, rows)


def line_changes(details: CorpusDetails) -> Table:
    """Lines before and after each kind of repair, removal and masking."""
    rows = [
        [row.step, row.kind, f"{row.documents:,}", line.before, line.after or _GONE]
        for row in details.changes
        for line in row.examples
    ]
    return Table(_OF_LINES, rows)
