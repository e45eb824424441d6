"""Published Korean benchmarks from their own files to items, offline.

They are asked in lm_eval 0.4.13's words, so that figures compare with published ones. It ships no KLUE, KorNLI, KorSTS,
NSMC, KorQuAD and KoBBQ and reads another edition of HAE-RAE than the CSV files: those questions are ours. Files are
recognised by their names anywhere under the folder, in archives too; an item of a suite with parts (subjects,
categories) keeps the name of its part. All are multiple choice but KorQuAD and KLUE's MRC, whose answers are written.

    [kobest/]{BoolQ,COPA,HellaSwag,SentiNeg,WiC}/test.tsv   kobest_boolq, kobest_copa, ...
    klue-{nli,sts,mrc}-*_dev.json, ynat-*_dev.json          klue_nli, klue_sts, klue_mrc, klue_ynat
    klue-{ner,dp}-*_dev.tsv                                 klue_ner, klue_dp
    {boolq,copa,...}/test*.parquet, {nli,sts,ynat}/validation*.parquet, kmmlu/<Subject>/test*.parquet: hub.py
    kmmlu[-hard, -redux, -pro]/[data/]<Subject>-test.csv    kmmlu, kmmlu_hard, ... (in any case, as all names here)
    kmmlu-{redux,pro}/[data/]test*.parquet                  kmmlu_redux, kmmlu_pro (as on the hub)
    HAERAE-Bench-v1-{KGK,HI,LW,RW,SN,RC}.csv                haerae (edition 1.0)
    haerae/<category>/test/*.parquet                        haerae (as Hugging Face converts the edition of lm_eval)
    csatqa_eval.json                                        csatqa (JSON lines)
    {Culture,Language}/<category>/<Category>_<Exam>.json    click
    xnli.test.ko.tsv, KorSTS/sts-test.tsv                   kornli, korsts (KorNLUDatasets; similar from 3 of 5 on)
    {x-final,paws-x}/ko/test*.{tsv,parquet}                 paws_ko
    ratings_test.txt                                        nsmc
    KorQuAD_v1.0_dev.json                                   korquad
    KoBBQ_test_samples.tsv                                  kobbq (accuracy by category; no bias score)
"""

import ast
import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet

from trainers.benchmarks import hub, questions
from trainers.benchmarks.hub import Read
from trainers.contract.foreign import foreign
from trainers.conversations.rows import Row
from trainers.text.packed import opened
from trainers.text.read import files_below

_TRUTH = {"true": 1, "false": 0}
_SIMILAR = 3.0
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


_FILES = [(re.compile(pattern, re.IGNORECASE), suite, read) for pattern, suite, read in hub.FILES]
"""Pattern of the files' names, suite, and what reads a file: one more for each function that `_published` marks."""


def _published(files: str, suite: str) -> Callable[[Read], Read]:
    """Enter a function as the reader of the files whose names (relative, with slashes) the pattern finds."""

    def enter(read: Read) -> Read:
        _FILES.append((re.compile(files, re.IGNORECASE), suite, read))
        return read

    return enter


def published_suites(folder: Path) -> dict[str, list[Row]]:
    """Suite -> items of every published file below the folder; empty where there is none.

    Raises:
        BadData: a file of a known name is not in the published form; names the file, and the line.
    """
    suites: dict[str, list[Row]] = {}
    with opened(files_below(folder), is_published) as files:
        for name, path in files.items():
            for pattern, suite, read in _FILES:
                if pattern.search(name):
                    suites.setdefault(suite, []).extend(_checked(folder / name, path, read))
    return suites


def format_of(row: Row) -> str:
    """The format of a published item, one of formats.FORMATS."""
    return "instruction" if "messages" in row else "multiple_choice"


def is_published(name: str) -> bool:
    """True for a path (relative, with slashes) that `published_suites` reads."""
    return any(pattern.search(name) for pattern, _, _ in _FILES)


def _checked(place: Path, path: Path, read: Read) -> Iterator[Row]:
    """Items of a file, which a reader opens at `path` and people know by `place`."""
    rows = enumerate(read(path), start=1)
    number = 0
    while True:
        with foreign(f"{place}: item {number + 1}"):
            number, row = next(rows, (0, None))
            json.dumps(row, ensure_ascii=False).encode()  # text that no file can hold is told with its place, too
        if row is None:
            return
        yield row


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


@_published(r"(^|/)BoolQ/test\.tsv$", "kobest_boolq")
def _boolq(path: Path) -> Iterator[Row]:
    for row in _table(path):
        yield questions.boolq(row["ID"], row["Text"], row["Question"], _TRUTH[row["Answer"].lower()])


@_published(r"(^|/)COPA/test\.tsv$", "kobest_copa")
def _copa(path: Path) -> Iterator[Row]:
    for row in _table(path):
        choices = [row["1"], row["2"]]
        yield questions.copa(row["ID"], row["sentence"], row["question"], choices, int(row["Answer"]) - 1)


@_published(r"(^|/)HellaSwag/test\.tsv$", "kobest_hellaswag")
def _hellaswag(path: Path) -> Iterator[Row]:
    for number, row in enumerate(_table(path)):
        choices = [row[f"choice{choice}"] for choice in range(1, 5)]
        yield questions.hellaswag(str(number), row["context"], choices, int(row["label"]))


@_published(r"(^|/)SentiNeg/test\.tsv$", "kobest_sentineg")
def _sentineg(path: Path) -> Iterator[Row]:
    for row in _table(path):
        yield questions.sentiment(row["ID"], row["Text"], int(row["Label"]))


@_published(r"(^|/)ratings_test\.txt$", "nsmc")
def _nsmc(path: Path) -> Iterator[Row]:
    for row in _table(path):
        yield questions.sentiment(row["id"], row["document"], int(row["label"]))


@_published(r"(^|/)WiC/test\.tsv$", "kobest_wic")
def _wic(path: Path) -> Iterator[Row]:
    for row in _table(path):
        contexts = (row["SENTENCE1"], row["SENTENCE2"])
        yield questions.word_in_context(row["ID"], row["Target"], contexts, _TRUTH[row["ANSWER"].lower()])


@_published(r"(^|/)klue-nli-[^/]*_dev\.json$", "klue_nli")
def _nli(path: Path) -> Iterator[Row]:
    for row in json.loads(path.read_text("utf-8-sig")):
        yield questions.inference(row["guid"], row["premise"], row["hypothesis"], questions.NLI[row["gold_label"]])


@_published(r"(^|/)xnli\.test\.ko\.tsv$", "kornli")
def _kornli(path: Path) -> Iterator[Row]:
    for number, row in enumerate(_table(path)):
        yield questions.inference(str(number), row["sentence1"], row["sentence2"], questions.NLI[row["gold_label"]])


@_published(r"(^|/)klue-sts-[^/]*_dev\.json$", "klue_sts")
def _sts(path: Path) -> Iterator[Row]:
    for row in json.loads(path.read_text("utf-8-sig")):
        yield questions.similarity(row["guid"], row["sentence1"], row["sentence2"], row["labels"]["binary-label"])


@_published(r"(^|/)KorSTS/sts-test\.tsv$", "korsts")
def _korsts(path: Path) -> Iterator[Row]:
    """Similar from 3 points on, as KLUE draws the line in its own."""
    for number, row in enumerate(_table(path)):
        yield questions.similarity(
            str(number), row["sentence1"], row["sentence2"], int(float(row["score"]) >= _SIMILAR)
        )


@_published(r"(^|/)(klue-)?ynat-[^/]*_dev\.json$", "klue_ynat")
def _ynat(path: Path) -> Iterator[Row]:
    for row in json.loads(path.read_text("utf-8-sig")):
        yield questions.topic(row["guid"], row["title"], questions.TOPICS.index(row["label"]))


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
            yield questions.choice(identity, question, list(_ENTITIES.values()), kinds.index(entity[2]))


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
            yield questions.choice(identity, question, [words[index][1] for index in choices], choices.index(head))


@_published(r"(^|/)kmmlu/(data/)?[^/]+-test\.csv$", "kmmlu")
@_published(r"(^|/)kmmlu-hard/(data/)?[^/]+-test\.csv$", "kmmlu_hard")
@_published(r"(^|/)kmmlu-redux/(data/)?[^/]+-test\.csv$", "kmmlu_redux")
@_published(r"(^|/)kmmlu-pro/(data/)?[^/]+-test\.csv$", "kmmlu_pro")
def _kmmlu(path: Path) -> Iterator[Row]:
    subject = re.sub(r"(-hard)?-test$", "", path.stem, flags=re.IGNORECASE)
    for number, row in enumerate(_csv(path)):
        options = [row[letter] for letter in "ABCD"]
        yield questions.exam(f"{subject}-{number}", row["question"], options, row["answer"], subject)


@_published(r"(^|/)kmmlu-redux/(data/)?test[^/]*\.parquet$", "kmmlu_redux")
@_published(r"(^|/)kmmlu-pro/(data/)?test[^/]*\.parquet$", "kmmlu_pro")
def _kmmlu_of_licences(path: Path) -> Iterator[Row]:
    """Options as a list of four or five; they have no lm_eval task and are asked as KMMLU is."""
    for number, row in enumerate(pyarrow.parquet.read_table(path).to_pylist()):
        yield questions.exam(
            f"{path.stem}-{number}", row["question"], row["options"], row["solution"], row["license_name"]
        )


@_published(rf"(^|/)HAERAE-Bench-v1-({'|'.join(_HAERAE)})\.csv$", "haerae")
def _haerae_csv(path: Path) -> Iterator[Row]:
    subject = _HAERAE[path.stem.rsplit("-", 1)[1].upper()]
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
    return questions.choice(f"{subject}-{number}", question, choices, gold, score="sum", subject=subject)


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
        yield questions.choice(f"{subject}-{number}", question, choices, answer, score="sum", subject=subject)


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
        yield questions.choice(f"{path.stem}-{number}", question, letters, answer, score="sum", subject=subject)


@_published(r"(^|/)(x-final|paws-?x)/ko/test[^/]*\.(tsv|parquet)$", "paws_ko")
def _paws(path: Path) -> Iterator[Row]:
    """lm_eval compares whole texts that begin alike; what they share is the question here: the choice is the same."""
    rows = pyarrow.parquet.read_table(path).to_pylist() if path.suffix.lower() == ".parquet" else _table(path)
    for row in rows:
        choices = [f"{answer}, {row['sentence2']}" for answer in ("아니요", "예")]
        yield questions.choice(str(row["id"]), f"{row['sentence1']}, 맞죠?", choices, int(row["label"]), score="sum")


@_published(r"(^|/)KorQuAD_v1\.0_dev\.json$", "korquad")
def _korquad(path: Path) -> Iterator[Row]:
    yield from questions.short_answers(json.loads(path.read_text("utf-8-sig"))["data"], "korquad")


@_published(r"(^|/)klue-mrc-[^/]*_dev\.json$", "klue_mrc")
def _mrc(path: Path) -> Iterator[Row]:
    yield from questions.short_answers(json.loads(path.read_text("utf-8-sig"))["data"], "klue_mrc")


@_published(r"(^|/)KoBBQ_test_samples\.tsv$", "kobbq")
def _kobbq(path: Path) -> Iterator[Row]:
    for row in _table(path):
        choices = ast.literal_eval(row["choices"])
        question = f"{row['context']}\n질문: {row['question']}\n답변:"
        category = row["sample_id"].rsplit("-", 4)[0]
        answer = choices.index(row["answer"])
        yield questions.choice(row["sample_id"], question, choices, answer, score="sum", subject=category)
