"""Published Korean benchmarks from their own files to multiple-choice items, offline.

They are asked in lm_eval 0.4.13's words, so that figures compare with published ones. It ships no KLUE and reads
another edition of HAE-RAE than the CSV files: those questions are ours. Files are recognised by their names anywhere
under the folder; an item of a suite with parts (subjects, categories) keeps the name of its part.

    [kobest/]{BoolQ,COPA,HellaSwag,SentiNeg,WiC}/test.tsv   kobest_boolq, kobest_copa, ...
    klue-{nli,sts}-*_dev.json, klue-{ner,dp}-*_dev.tsv      klue_nli, klue_sts, klue_ner, klue_dp
    kmmlu/[data/]<Subject>-test.csv                         kmmlu
    HAERAE-Bench-v1-{KGK,HI,LW,RW,SN,RC}.csv                haerae (edition 1.0)
    haerae/<category>/test/*.parquet                        haerae (as Hugging Face converts the edition of lm_eval)
    csatqa_eval.json                                        csatqa (JSON lines)
    {Culture,Language}/<category>/<Category>_<Exam>.json    click
"""

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet

from trainers.contract import BadData
from trainers.conversations.rows import Row

_TRUTH = {"true": 1, "false": 0}
_NO_YES = ["아니오", "예"]
_NEGATIVE_POSITIVE = ["부정", "긍정"]
_CONNECTORS = {"원인": "왜냐하면", "결과": "그래서"}
_NLI = {"entailment": 0, "neutral": 1, "contradiction": 2}
_ENTITIES = {"PS": "인물", "LC": "장소", "OG": "기관", "DT": "날짜", "TI": "시간", "QT": "수량"}
_ENTITY = re.compile(rf"<([^<>]+):({'|'.join(_ENTITIES)})>")
_DP_CHOICES = 4
_HAERAE = {
    "KGK": "general_knowledge",
    "HI": "history",
    "LW": "loan_words",
    "RW": "rare_words",
    "SN": "standard_nomenclature",
    "RC": "reading_comprehension",
}


Read = Callable[[Path], Iterator[Row]]
_FILES: list[tuple[re.Pattern[str], str, Read]] = []
"""Pattern of the files' names, suite, and what reads a file: one entry for each function that `_published` marks."""


def _published(files: str, suite: str) -> Callable[[Read], Read]:
    """Enter a function as the reader of the files whose names (relative, with slashes) the pattern finds."""

    def enter(read: Read) -> Read:
        _FILES.append((re.compile(files), suite, read))
        return read

    return enter


def published_suites(folder: Path) -> dict[str, list[Row]]:
    """Suite -> multiple-choice items of every published file below the folder; empty where there is none.

    Raises:
        BadData: a file of a known name is not in the published form; names the file, and the line.
    """
    suites: dict[str, list[Row]] = {}
    for path in sorted(folder.rglob("*")):
        for pattern, name, read in _FILES:
            if pattern.search(path.relative_to(folder).as_posix()):
                suites.setdefault(name, []).extend(_checked(path, read))
    return suites


def is_published(name: str) -> bool:
    """True for a path (relative, with slashes) that `published_suites` reads."""
    return any(pattern.search(name) for pattern, _, _ in _FILES)


def _checked(path: Path, read: Read) -> Iterator[Row]:
    number = 0
    try:
        for row in read(path):
            number += 1
            yield row
    except (KeyError, ValueError, IndexError) as error:
        reason = f"no column or value {error}" if isinstance(error, KeyError) else str(error)
        raise BadData(f"{path}: item {number + 1} is not in the published form: {reason}") from error


def _table(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a tab-separated file by column name, whatever the columns' order.

    Quotes are text (KoBEST has unbalanced ones), and only a line feed ends a row.
    """
    lines = [line.removesuffix("\r") for line in path.read_text("utf-8-sig").split("\n")]
    columns = lines[0].split("\t")
    for line in filter(None, lines[1:]):
        cells = line.split("\t")
        if len(cells) != len(columns):
            raise ValueError(f"{len(cells)} cells under {len(columns)} columns: {line[:80]!r}")
        yield dict(zip(columns, (cell.strip() for cell in cells), strict=True))


def _csv(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a comma-separated file by column name."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        for row in csv.DictReader(stream, strict=True):
            if None in row or None in row.values():
                raise ValueError(f"not as many cells as columns: {str(row)[:80]}")
            yield row


def _item(identity: str, question: str, choices: list[str], answer: int, **more: str) -> Row:
    return {"id": identity, "question": question, "choices": choices, "answer": answer, **more}


@_published(r"(^|/)BoolQ/test\.tsv$", "kobest_boolq")
def _boolq(path: Path) -> Iterator[Row]:
    for row in _table(path):
        question = f"{row['Text']} 질문: {row['Question']} 답변: "
        yield _item(row["ID"], question, _NO_YES, _TRUTH[row["Answer"].lower()], score="sum")


@_published(r"(^|/)COPA/test\.tsv$", "kobest_copa")
def _copa(path: Path) -> Iterator[Row]:
    for row in _table(path):
        question = f"{row['sentence']}  {_CONNECTORS[row['question']]}"  # two spaces, as lm_eval asks
        yield _item(row["ID"], question, [row["1"], row["2"]], int(row["Answer"]) - 1, score="sum")


@_published(r"(^|/)HellaSwag/test\.tsv$", "kobest_hellaswag")
def _hellaswag(path: Path) -> Iterator[Row]:
    for number, row in enumerate(_table(path)):
        choices = [row[f"choice{choice}"] for choice in range(1, 5)]
        yield _item(str(number), f"문장: {row['context']}", choices, int(row["label"]))


@_published(r"(^|/)SentiNeg/test\.tsv$", "kobest_sentineg")
def _sentineg(path: Path) -> Iterator[Row]:
    for row in _table(path):
        yield _item(row["ID"], f"문장: {row['Text']} 긍부정:", _NEGATIVE_POSITIVE, int(row["Label"]), score="sum")


@_published(r"(^|/)WiC/test\.tsv$", "kobest_wic")
def _wic(path: Path) -> Iterator[Row]:
    for row in _table(path):
        question = (
            f"문장1: {row['SENTENCE1']} 문장2: {row['SENTENCE2']} 두 문장에서 {row['Target']}가 같은 뜻으로 쓰였나?"
        )
        yield _item(row["ID"], question, _NO_YES, _TRUTH[row["ANSWER"].lower()], score="sum")


@_published(r"(^|/)klue-nli-[^/]*_dev\.json$", "klue_nli")
def _nli(path: Path) -> Iterator[Row]:
    for row in json.loads(path.read_text("utf-8-sig")):
        question = f"{row['premise']} 질문: {row['hypothesis']} 이 말은 참인가, 거짓인가, 알 수 없는가? 답변:"
        yield _item(row["guid"], question, ["참", "알 수 없음", "거짓"], _NLI[row["gold_label"]])


@_published(r"(^|/)klue-sts-[^/]*_dev\.json$", "klue_sts")
def _sts(path: Path) -> Iterator[Row]:
    for row in json.loads(path.read_text("utf-8-sig")):
        question = f"문장1: {row['sentence1']} 문장2: {row['sentence2']} 두 문장은 같은 뜻인가? 답변:"
        yield _item(row["guid"], question, _NO_YES, row["labels"]["binary-label"], score="sum")


def _examples(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """(id, sentence as marked, rows) of KLUE's files of many lines per example, which begin with `## klue-`."""
    for block in path.read_text("utf-8-sig").replace("\r\n", "\n").split("\n\n"):
        lines = [line for line in block.split("\n") if line]
        start = next((n for n, line in enumerate(lines) if line.startswith("## klue-")), None)
        if start is not None:
            identity, sentence = lines[start].removeprefix("## ").split("\t", 1)
            yield identity, sentence, lines[start + 1 :]


@_published(r"(^|/)klue-ner-[^/]*_dev\.tsv$", "klue_ner")
def _ner(path: Path) -> Iterator[Row]:
    """The kind of the first entity of each sentence that has one."""
    kinds = list(_ENTITIES)
    for identity, marked, _ in _examples(path):
        if entity := _ENTITY.search(marked):
            sentence = _ENTITY.sub(r"\1", marked)
            question = f"문장: {sentence} 이 문장에서 '{entity[1]}'의 종류는? 답변:"
            yield _item(identity, question, list(_ENTITIES.values()), kinds.index(entity[2]))


@_published(r"(^|/)klue-dp-[^/]*_dev\.tsv$", "klue_dp")
def _dp(path: Path) -> Iterator[Row]:
    """The head of each sentence's first subject, among the words that follow it."""
    for identity, sentence, lines in _examples(path):
        words = {int(cells[0]): cells for cells in (line.split("\t") for line in lines)}
        subject = next((cells for cells in words.values() if cells[5] == "NP_SBJ"), None)
        if subject is None:
            continue
        head = int(subject[4])
        after = [index for index in words if index > int(subject[0]) and index != head][: _DP_CHOICES - 1]
        choices = sorted([head, *after])
        if len({words[index][1] for index in choices}) == len(choices) > 1:
            question = f"문장: {sentence} 이 문장에서 주어 '{subject[1]}'의 서술어는? 답변:"
            yield _item(identity, question, [words[index][1] for index in choices], choices.index(head))


@_published(r"(^|/)kmmlu/(data/)?[^/]+-test\.csv$", "kmmlu")
def _kmmlu(path: Path) -> Iterator[Row]:
    subject = path.name.removesuffix("-test.csv")
    for number, row in enumerate(_csv(path)):
        options = "\n".join(f"{letter}. {row[letter]}" for letter in "ABCD")
        question = f"{row['question'].strip()}\n{options}\n정답："
        answer = int(row["answer"]) - 1
        yield _item(f"{subject}-{number}", question, list("ABCD"), answer, score="sum", subject=subject)


@_published(rf"(^|/)HAERAE-Bench-v1-({'|'.join(_HAERAE)})\.csv$", "haerae")
def _haerae_csv(path: Path) -> Iterator[Row]:
    subject = _HAERAE[path.stem.rsplit("-", 1)[1]]
    for number, row in enumerate(_csv(path)):
        options = "\n".join(f"({letter.upper()}) {row[letter]}" for letter in "abcde")
        question = f"{row['question'].strip()}\n{options}\n정답:"
        yield _haerae_item(subject, number, question, row["answer"])


@_published(r"(^|/)haerae/[^/]+/test/[^/]+\.parquet$", "haerae")
def _haerae_parquet(path: Path) -> Iterator[Row]:
    """The question there holds its options."""
    subject = path.parent.parent.name
    for number, row in enumerate(pyarrow.parquet.read_table(path).to_pylist()):
        yield _haerae_item(subject, f"{path.stem}-{number}", row["query"], row["answer"])


def _haerae_item(subject: str, number: int | str, question: str, answer: str) -> Row:
    gold = "ABCDE".index(answer.strip(" ()").upper())
    choices = [f"({letter})" for letter in "ABCDE"]
    return _item(f"{subject}-{number}", question, choices, gold, score="sum", subject=subject)


@_published(r"(^|/)csatqa_eval\.json$", "csatqa")
def _csatqa(path: Path) -> Iterator[Row]:
    for number, line in enumerate(filter(None, path.read_text("utf-8-sig").split("\n"))):
        row = json.loads(line)
        options = "\n".join(f"({n}) {row[f'option#{n}']}" for n in range(1, 6))
        question = (
            f"다음을 읽고 정답으로 알맞은 것을 고르시요.\n### Context: {row['context']}\n"
            f"### Question: {row['question']}\n### Options:\n{options}\n### Answer: 주어진 문제의 정답은"
        )
        choices = [f"({n})" for n in range(1, 6)]
        answer, subject = int(row["gold"]) - 1, row["Category"]
        yield _item(f"{subject}-{number}", question, choices, answer, score="sum", subject=subject)


@_published(r"(^|/)(Culture|Language)/[^/]+/[A-Z][a-z]+_[A-Za-z]+\.json$", "click")
def _click(path: Path) -> Iterator[Row]:
    """Ids are by file and position, because published ids repeat. lm_eval names five letters where it shows four."""
    subject = path.parent.name
    for number, row in enumerate(json.loads(path.read_text("utf-8-sig"))):
        options = row["choices"]
        shown = ", ".join([f"A:{options[0]}", *(f"{letter}: {options[n]}" for n, letter in enumerate("BCD", start=1))])
        instruction = "적절한 정답을 A, B, C, D 중에 골라 알파벳 하나로 답하시오."
        intro = f"주어진 질문을 천천히 읽고, {instruction}\n\n"
        if row["paragraph"]:
            intro = f"주어진 맥락을 천천히 읽고, 질문에 대한 {instruction}\n\n맥락: {row['paragraph']}\n"
        question = f"{intro}질문: {row['question']}\n보기:\n{shown}\n정답:"
        letters = list("ABCDE" if "CSAT" in row["id"] else "ABCD")
        answer = options.index(row["answer"])
        yield _item(f"{path.stem}-{number}", question, letters, answer, score="sum", subject=subject)
