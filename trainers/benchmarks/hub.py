"""Published benchmarks as the hub holds them: Parquet of a configuration's split, other columns than their own files.

KoBEST (skt/kobest_v1), KLUE (klue/klue) and KMMLU by subject: `<configuration>/<split>-00000-of-00001.parquet`, or
`<configuration>/<split>/0000.parquet` as Hugging Face converts them.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet

from trainers.benchmarks import questions
from trainers.conversations.rows import Row

Read = Callable[[Path], Iterator[Row]]
_PIECE = r"(?:-\d+-of-\d+|/\d+)?\.parquet$"
SPLIT = re.compile(rf"(?:^|/)(?:train|valid(?:ation)?|dev|test){_PIECE}")
"""Any split, behind its configuration's folder."""


def _split(folder: str, split: str) -> str:
    return rf"(^|/){folder}/{split}{_PIECE}"


def _reading(build: Callable[[str, Row], Row]) -> Read:
    """What reads a file row by row; a row's name is its number behind the file's, where it has none."""

    def read(path: Path) -> Iterator[Row]:
        for number, row in enumerate(pyarrow.parquet.read_table(path).to_pylist()):
            yield build(str(row.get("guid") or f"{path.parent.name}-{path.stem}-{number}"), row)

    return read


def _copa(identity: str, row: Row) -> Row:
    choices = [row["alternative_1"], row["alternative_2"]]
    return questions.copa(identity, row["premise"], row["question"], choices, row["label"])


def _hellaswag(identity: str, row: Row) -> Row:
    return questions.hellaswag(identity, row["context"], [row[f"ending_{n}"] for n in range(1, 5)], row["label"])


def _wic(identity: str, row: Row) -> Row:
    return questions.word_in_context(identity, row["word"], (row["context_1"], row["context_2"]), row["label"])


def _sts(identity: str, row: Row) -> Row:
    return questions.similarity(identity, row["sentence1"], row["sentence2"], int(row["labels"]["binary-label"]))


def _kmmlu(identity: str, row: Row) -> Row:
    options = [row[letter] for letter in "ABCD"]
    return questions.exam(identity, row["question"], options, row["answer"], row["Category"].replace(" ", "-"))


FILES: tuple[tuple[str, str, Read], ...] = (
    (
        _split("boolq", "test"),
        "kobest_boolq",
        _reading(lambda name, row: questions.boolq(name, row["paragraph"], row["question"], row["label"])),
    ),
    (_split("copa", "test"), "kobest_copa", _reading(_copa)),
    (_split("hellaswag", "test"), "kobest_hellaswag", _reading(_hellaswag)),
    (
        _split("sentineg", "test"),
        "kobest_sentineg",
        _reading(lambda name, row: questions.sentiment(name, row["sentence"], row["label"])),
    ),
    (_split("wic", "test"), "kobest_wic", _reading(_wic)),
    (
        _split("nli", "validation"),
        "klue_nli",
        _reading(lambda name, row: questions.inference(name, row["premise"], row["hypothesis"], row["label"])),
    ),
    (_split("sts", "validation"), "klue_sts", _reading(_sts)),
    (
        _split("ynat", "validation"),
        "klue_ynat",
        _reading(lambda name, row: questions.topic(name, row["title"], row["label"])),
    ),
    (_split("kmmlu/(?!data/)[^/]+", "test"), "kmmlu", _reading(_kmmlu)),
)
"""Pattern of the files' names (relative, with slashes), suite, and what reads a file."""
