"""Benchmark suites: `benchmarks.readers: {riddles: {files: "riddles/*.tsv", read: "korean_extras.suites:riddles"}}`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any


def riddles(path: Path) -> Iterator[dict[str, Any]]:
    """Lines of a question, the right answer, and the wrong ones."""
    for line in path.read_text(encoding="utf-8").splitlines():
        question, *choices = line.split("\t")
        yield {"question": f"수수께끼: {question}", "choices": choices, "answer": 0, "subject": path.stem}
