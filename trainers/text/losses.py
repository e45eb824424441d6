"""What of a drop was not read: in bytes and estimated rows, so that one whole file weighs more than one line."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Protocol

from trainers.contract import BadData, BenchmarkDetails, CorpusDetails, DatasetDetails, Unread
from trainers.text.read import Problem

UNREADABLE = frozenset(
    {"invalid_csv", "invalid_encoding", "invalid_json", "line_too_long", "mojibake"}
    | {"no_text", "not_an_object", "text_not_string"}
)
"""Reasons of a row that say that a drop was made wrongly; the others are choices of ours."""
_NO_LOSS = frozenset({"dataset_card", "link_to_folder"})
"""Reasons of a file that hold no data, or none that is not read elsewhere."""


@dataclass
class Losses:
    """Rows and bytes that were read, that were lost row by row, and the files of which nobody knows the rows."""

    read_rows: int = 0
    read_bytes: int = 0
    lost_rows: int = 0
    lost_bytes: int = 0
    passed: int = 0
    """Rows that hold no data: blank lines, descriptions."""
    unread: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """All that readers gave; a file that gave a problem instead is one."""
        return self.read_rows + self.lost_rows + self.passed + len(self.unread)

    def read(self, size: int) -> None:
        """Count a row that was read, of so many bytes."""
        self.read_rows += 1
        self.read_bytes += size

    def lost(self, problem: Problem | None, file: str, reason: str, size: int, is_broken: bool | None = None) -> None:
        """Count what was not: a file (or what is left of it) by its problem, else a row, where its reason is one.

        Args:
            is_broken: whether the row's reason says that the drop was made wrongly; by UNREADABLE where None.
        """
        if problem is not None and reason not in _NO_LOSS and reason != "line_too_long":
            self.unread.append({"file": file, "reason": reason, "detail": problem.detail, "bytes": size})
        elif reason in UNREADABLE if is_broken is None else is_broken:
            self.lost_rows += 1
            self.lost_bytes += size
        else:
            self.passed += 1

    def spoilt(self) -> None:
        """Count a row that was read as one lost after all; its bytes were read."""
        self.read_rows, self.lost_rows = self.read_rows - 1, self.lost_rows + 1

    def add(self, other: dict[str, Any]) -> None:
        """Count another's, as it was written (`vars`)."""
        for name in ("read_rows", "read_bytes", "lost_rows", "lost_bytes", "passed"):
            setattr(self, name, getattr(self, name) + other[name])
        self.unread += other["unread"]

    @property
    def files(self) -> list[Unread]:
        """What was not read, by file, each with the rows that it would hold if they are as long as those that were."""
        mean = self.read_bytes / self.read_rows if self.read_rows else 0
        return [Unread(**each, rows=max(1, round(each["bytes"] / mean)) if mean else 1) for each in self.unread]

    def refuse(self, allowed: float, what: str, excluded: Counter[str], first: str = "") -> None:
        """Stop at a drop of which too much is lost.

        Args:
            allowed: the share that may be lost, of the rows and of the bytes.
            what: the drop, for the message.
            excluded: rows by reason, for the message.
            first: where they begin, for the message.

        Raises:
            BadData: it is more; names the biggest reasons, the files, and what can be read.
        """
        files = self.files
        rows = self.lost_rows + sum(each.rows for each in files)
        size = self.lost_bytes + sum(each.bytes for each in files)
        of_rows, of_bytes = self.read_rows + rows, self.read_bytes + size
        if rows <= allowed * of_rows and size <= allowed * of_bytes:
            return
        chosen = UNREADABLE | {each.reason for each in files}
        reasons = Counter({reason: n for reason, n in excluded.items() if reason in chosen}) or excluded
        raise BadData(
            f"{what}: {'about ' if files else ''}{rows} of {of_rows} rows cannot be read (allowed: {allowed:.0%}), "
            f"{size} of {of_bytes} bytes; the biggest reasons: {biggest(reasons)}{first}{unread_in_words(files)}"
        )


class Log(Protocol):
    """Who is told how the work goes; a stage's Reporter is one."""

    def say(self, text: str) -> None:
        """One line for people."""

    def warn(self, text: str) -> None:
        """One line that somebody should read."""


def warn_of(details: CorpusDetails | DatasetDetails | BenchmarkDetails, log: Log) -> None:
    """Tell what of a drop was not read, and what in its rows was not, though the drop was used."""
    if details.unread:
        log.warn(f"the drop was used, but not all of it{unread_in_words(details.unread)}")
    if details.ignored_fields:
        columns = ", ".join(f"{name}: {count:,}" for name, count in details.ignored_fields.items())
        log.warn(f"columns that nothing reads, with the rows that have them: {columns}")


def biggest(reasons: Counter[str]) -> str:
    """The three biggest reasons, in words."""
    return ", ".join(f"{reason} ({n})" for reason, n in reasons.most_common(3))


def unread_in_words(files: list[Unread], most: int = 5) -> str:
    """Files that were not read, in words; empty where there is none."""
    if not files:
        return ""
    rows = (f"{each.file} ({each.bytes:,} bytes, {each.reason}: {each.detail})" for each in files[:most])
    rest = f", and {len(files) - most} more" if len(files) > most else ""
    return f"; not read: {', '.join(rows)}{rest}"
