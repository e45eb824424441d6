"""Rows and files in the many forms that people have, each with what is right of it: rows read, kept, lost by reason."""

import bz2
import csv
import gzip
import io
import json
import zipfile

import pytest
import zstandard

from tests.support.corpus_landing import read_jsonl, run_data_stage
from tests.support.files import parquet, tarred, workbook, zipped
from trainers.contract import BadData

COUNT = 6
ALPACA = [{"instruction": f"{n}번 물음은?", "output": f"{n}번 답입니다."} for n in range(COUNT)]


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def each(make):
    """JSON lines of rows made by number."""
    return lines(map(make, range(COUNT)))


def as_json(value, **how):
    return json.dumps(value, ensure_ascii=False, **how)


def table(rows, separator=",", end="\r\n"):
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), delimiter=separator, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


class WindowsMember(zipfile.ZipInfo):
    """A member of a .zip of Korean Windows: its name is in CP949, without a mark of it."""

    def _encodeFilenameFlags(self):
        return self.filename.encode("cp949"), 0


PLAIN = lines(ALPACA)
FILES = {
    "a comma behind each line": {"a.jsonl": PLAIN.replace("\n", ",\n")},
    "an array of which only the inside was kept": {"a.jsonl": "[\n" + PLAIN.replace("\n", ",\n") + "]\n"},
    "a comma behind the last element": {"a.json": "[" + PLAIN.replace("\n", ",\n") + "]"},
    "values end to end in one line": {"a.json": PLAIN.replace("\n", "")},
    "values end to end, each on lines of its own": {"a.json": "".join(as_json(row, indent=2) for row in ALPACA)},
    "one line that is an array": {"a.json": as_json(ALPACA)},
    "files with byte order marks put end to end": {"a.jsonl": PLAIN.replace('{"ins', '\ufeff{"ins')},
    "records of RFC 7464": {"a.jsonl": PLAIN.replace('{"ins', '\x1e{"ins')},
    "NaN for an empty cell": {"a.jsonl": PLAIN.replace('"output"', '"input": NaN, "output"')},
    "a tab inside a text": {"a.jsonl": PLAIN.replace("번 물음", "번\t물음")},
    "rows under a name": {"a.json": as_json({"version": "1", "data": ALPACA})},
    "splits saved as one": {"a.json": as_json({"train": ALPACA[:4], "test": ALPACA[4:]})},
    "the hub's viewer": {"a.json": as_json({"rows": [{"row_idx": n, "row": row} for n, row in enumerate(ALPACA)]})},
    "pandas, by column": {
        "a.json": as_json({name: {str(n): row[name] for n, row in enumerate(ALPACA)} for name in ALPACA[0]})
    },
    "a data set's to_dict": {"a.json": as_json({name: [row[name] for row in ALPACA] for name in ALPACA[0]})},
    "pandas, split": {
        "a.json": as_json({"columns": list(ALPACA[0]), "index": [], "data": [list(row.values()) for row in ALPACA]})
    },
    "rows by their keys": {"a.json": as_json({f"r{n}": row for n, row in enumerate(ALPACA)})},
    "Excel, CP949": {"a.csv": table(ALPACA).encode("cp949")},
    "Excel, semicolons and a mark": {"a.csv": table(ALPACA, ";").encode("utf-8-sig")},
    "Excel's line that says the separator": {"a.csv": ("sep=;\r\n" + table(ALPACA, ";")).encode("utf-8-sig")},
    "Excel's Unicode text": {"a.csv": table(ALPACA, "\t").encode("utf-16")},
    "lines that end as on old Macs": {"a.csv": table(ALPACA, end="\r")},
    "a title above the table": {"a.csv": "2026년 질의응답 자료\r\n\r\n" + table(ALPACA)},
    "spaces behind the commas": {
        "a.csv": "instruction, output\n" + '"물음, 하나", "답, 하나"\n' + table(ALPACA[1:]).partition("\n")[2]
    },
    "a title above the sheet": {
        "a.xlsx": workbook(["2026년 질의응답 자료"], [], list(ALPACA[0]), *(list(row.values()) for row in ALPACA))
    },
    "messages as JSON in a cell": {
        "a.csv": table([{"messages": as_json([user(f"물음 {n}"), assistant("답")])} for n in range(COUNT)])
    },
    "messages as Python in a cell": {
        "a.csv": table([{"conversations": str([user(f"물음 {n}"), assistant("답")])} for n in range(COUNT)])
    },
    "unpacked on the way, the name as before": {"a.jsonl.gz": PLAIN},
    "packed, and not called so": {"a.jsonl": gzip.compress(PLAIN.encode())},
    "packed otherwise than its name says": {"a.jsonl.gz": bz2.compress(PLAIN.encode())},
    "padding behind the packed file": {"a.jsonl.gz": gzip.compress(PLAIN.encode()) + bytes(512)},
    "a text editor's ending behind the file's own": {"a.jsonl.txt": PLAIN},
    "the same, packed": {"a.json.txt.gz": gzip.compress(as_json(ALPACA).encode())},
    "the same, a table": {"a.CSV.txt": table(ALPACA)},
    "UTF-32": {"a.jsonl": PLAIN.encode("utf-32")},
    "a .zip of Korean Windows": {
        "자료.zip": zipped({WindowsMember("원천/질의 응답.jsonl"): PLAIN, WindowsMember("원천/Thumbs.db"): "x"})
    },
    "a .tar.zst": {"a.tar.zst": zstandard.compress(tarred({"./a/b.jsonl": PLAIN.encode()}))},
    "no extension": {"part-00000": PLAIN},
    "descriptions beside": {"a.jsonl": PLAIN, "README.md": "# 자료\n설명", "LICENSE": "MIT", "README_ko.md": "설명"},
    "text as bytes": {"a.parquet": parquet([{name: text.encode() for name, text in row.items()} for row in ALPACA])},
    "nested and partly null": {
        "a.parquet": parquet(
            [
                {"conversations": [{"from": "human", "value": f"{n}?", "weight": None}, {"from": "gpt", "value": "답"}]}
                for n in range(COUNT)
            ]
        )
    },
}
"""Form of a file -> the files; all six rows are read and kept."""


def landed(tmp_path, stage, files):
    folder = tmp_path / "landing/r1" / stage
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def outcome(tmp_path, stage, files, **section):
    """What a stage makes of files: its details, and the rows kept, in the order in which they lay there."""
    landed(tmp_path, stage, files)
    manifest, folder = run_data_stage(stage, tmp_path, **section)
    rows = read_jsonl(folder / "train.jsonl") + read_jsonl(folder / "validation.jsonl")
    return manifest.details, sorted(rows, key=lambda row: str(row.get("messages") or row["prompt"]))


@pytest.mark.parametrize("form", FILES)
def test_a_form_of_files_gives_all_its_rows(tmp_path, form):
    details, rows = outcome(tmp_path, "instructions", FILES[form])
    assert (details.kept, details.unread) == (COUNT, [])
    assert set(details.excluded) <= {"dataset_card"}
    assert all(row["messages"][-1]["role"] == "assistant" for row in rows)


ROWS = {
    "LIMA, texts in turn": lambda n: {"conversations": [f"{n}번 물음은?", f"{n}번 답입니다."]},
    "user and assistant": lambda n: {"user": f"{n}번 물음은?", "assistant": f"{n}번 답입니다."},
    "roles by Korean names": lambda n: {
        "messages": [{"role": "고객", "content": f"{n}번 물음은?"}, {"role": "상담사", "content": f"{n}번 답입니다."}]
    },
    "a chatbot": lambda n: {
        "conversations": [{"from": "user", "value": f"{n}번 물음은?"}, {"from": "ChatBot", "value": f"{n}번 답입니다."}]
    },
    "Gemini's contents": lambda n: {
        "contents": [
            {"role": "user", "parts": [{"text": f"{n}번 물음은?"}]},
            {"role": "model", "parts": [{"text": f"{n}번 답입니다."}]},
        ]
    },
    "a system that says nothing": lambda n: {
        "messages": [{"role": "system", "content": ""}, user(f"{n}번 물음은?"), assistant(f"{n}번 답입니다.")]
    },
    "an input that says that there is none": lambda n: {
        "instruction": f"{n}번 물음은?",
        "input": ("<noinput>", "\n")[n % 2],
        "output": f"{n}번 답입니다.",
    },
    "a problem and its solution": lambda n: {"problem": f"{n}번 물음은?", "solution": f"{n}번 답입니다."},
}


@pytest.mark.parametrize("form", ROWS)
def test_a_form_of_rows_is_the_conversation_that_it_means(tmp_path, form):
    _, rows = outcome(tmp_path, "instructions", {"a.jsonl": each(ROWS[form])})
    assert [row["messages"] for row in rows] == [
        [user(f"{n}번 물음은?"), assistant(f"{n}번 답입니다.")] for n in range(COUNT)
    ]


def sides(n, better="좋은 답", worse="나쁜 답"):
    return {"prompt": [user(f"물음 {n}")], "chosen": [assistant(better)], "rejected": [assistant(worse)]}


ASKED = "물음 {}".format
PAIRS = {
    "UltraFeedback, binarised": lambda n: {
        "prompt": ASKED(n),
        "messages": [user(ASKED(n)), assistant("좋은 답")],
        "chosen": [user(ASKED(n)), assistant("좋은 답")],
        "rejected": [user(ASKED(n)), assistant("나쁜 답")],
        "score_chosen": 8.5,
        "score_rejected": 8.5,
    },
    "UltraFeedback, all answers": lambda n: {
        "instruction": ASKED(n),
        "completions": [{"response": "나쁜 답", "overall_score": 3}, {"response": "좋은 답", "overall_score": "8.5"}],
    },
    "distilabel": lambda n: {"instruction": ASKED(n), "generations": ["나쁜 답", "좋은 답"], "ratings": [1, 5]},
    "a and b and a winner": lambda n: {
        "prompt": ASKED(n),
        "response_a": "나쁜 답",
        "response_b": "좋은 답",
        "winner": "model_b",
    },
    "PKU's": lambda n: {"prompt": ASKED(n), "response_0": "좋은 답", "response_1": "나쁜 답", "better_response_id": 0},
    "HH in Korean": lambda n: {
        "chosen": f"사람: {ASKED(n)}\n\n비서: 좋은 답",
        "rejected": f"사람: {ASKED(n)}\n\n비서: 나쁜 답",
    },
    "LLaMA-Factory's first": lambda n: {"instruction": ASKED(n), "input": "", "output": ["좋은 답", "나쁜 답"]},
    "both under one name": lambda n: {"prompt": ASKED(n), "responses": {"chosen": "좋은 답", "rejected": "나쁜 답"}},
    "OpenAI's": lambda n: {
        "input": {"messages": [user(ASKED(n))], "tools": []},
        "preferred_output": [assistant("좋은 답")],
        "non_preferred_output": [assistant("나쁜 답")],
    },
}


@pytest.mark.parametrize("form", PAIRS)
def test_a_form_of_pairs_is_the_pair_that_it_means(tmp_path, form):
    details, rows = outcome(tmp_path, "preferences", {"a.jsonl": each(PAIRS[form])})
    assert [{key: row[key] for key in ("prompt", "chosen", "rejected")} for row in rows] == [
        sides(n) for n in range(COUNT)
    ]
    assert details.ignored_fields == {}


def test_messages_as_text_in_a_cell_are_messages_and_an_answer_in_json_stays_text(tmp_path):
    rows = [
        {"prompt": "물음 0", "chosen": as_json([assistant("좋은 답")]), "rejected": as_json([assistant("나쁜 답")])},
        {"prompt": "물음 1", "chosen": '{"도시": "서울"}', "rejected": "[1, 2]"},
    ]
    _, kept = outcome(tmp_path, "preferences", {"a.csv": table(rows)})
    assert [row["chosen"][0]["content"] for row in kept] == ["좋은 답", '{"도시": "서울"}']
    assert kept[1]["rejected"] == [assistant("[1, 2]")]


@pytest.mark.parametrize(
    ("column", "good", "bad"),
    [
        *(("label", good, bad) for good, bad in ((1, 0), (1, -1), (1.0, 0.0), ("Y", "N"), ("좋음", "나쁨"))),
        *(("label", good, bad) for good, bad in (("good", "bad"), ("chosen", "rejected"), ("True", "False"))),
        *(("feedback", good, bad) for good, bad in (("👍", "👎"), ("thumbs_up", "thumbs_down"))),
        ("thumbs_up", True, False),
        ("평가", "좋아요", "싫어요"),
    ],
)
def test_a_judgement_is_read_however_it_is_spelt(tmp_path, column, good, bad):
    judged = [{"prompt": f"물음 {n}", "response": "답", column: (good, bad)[n % 2]} for n in range(COUNT)]
    _, rows = outcome(tmp_path, "preferences", {"a.jsonl": lines(judged)})
    assert [row["label"] for row in rows] == [True, False] * 3


LOST = {
    "a picture": (
        "instructions",
        {"image": "a.jpg", "conversations": [user("<image>\n무엇?"), assistant("개")]},
        "not_only_text: it is about what lies in its column 'image'",
    ),
    "a part that is a picture": (
        "instructions",
        {"messages": [user([{"type": "image_url", "image_url": "a"}, {"type": "text", "text": "?"}]), assistant("개")]},
        "field_not_text: messages, message 1 has parts of the kinds image_url",
    ),
    "an unknown column": (
        "instructions",
        {"user": "물음", "chip2": "답"},
        r"unknown_schema: .* `instructions\.fields: \{response: chip2\}` would read it",
    ),
    "scores that say the contrary": (
        "preferences",
        {"prompt": "물음", "chosen": "가", "rejected": "나", "chosen-rating": 1, "rejected-rating": 5},
        "scores_contradict: chosen scores 1 and rejected 5",
    ),
    "a score that is none": (
        "preferences",
        {"prompt": "물음", "answers": [{"text": "가", "score": None}, {"text": "나", "score": 1}]},
        "no_score: answer 1",
    ),
    "a tie": (
        "preferences",
        {"prompt": "물음", "response_a": "가", "response_b": "나", "winner": "tie"},
        "equal_scores: neither is better",
    ),
    "a winner who does not run": (
        "preferences",
        {"prompt": "물음", "response_1": "가", "response_2": "나", "winner": 0},
        "bad_winner: '0' names neither of the answers 1 and 2",
    ),
    "a grade": ("preferences", {"prompt": "물음", "response": "답", "label": 4}, "bad_label: label '4'"),
    "no judgement": ("preferences", {"prompt": "물음", "response": "답", "label": None}, "unknown_schema: .*columns"),
}
"""What is lost -> stage, row, words."""


@pytest.mark.parametrize("what", LOST)
def test_what_is_lost_is_named(tmp_path, what):
    stage, row, words = LOST[what]
    landed(tmp_path, stage, {"a.jsonl": lines([row])})
    with pytest.raises(BadData, match=words):
        run_data_stage(stage, tmp_path)


def test_of_two_columns_of_one_name_the_first_is_read_and_the_other_is_told(tmp_path):
    details, rows = outcome(tmp_path, "instructions", {"a.csv": "instruction,output,output\n물음,첫째,둘째\n"})
    assert rows[0]["messages"] == [user("물음"), assistant("첫째")]
    assert details.ignored_fields == {"output (2)": 1}


def test_quotes_that_backslashes_escape_are_the_values(tmp_path):
    rows = "".join(f'"{n}번 \\"물음\\"은?","C:\\\\{n} \\"답\\", 그 뒤\\n"\n' for n in range(COUNT))
    details, kept = outcome(tmp_path, "instructions", {"a.csv": '"instruction","output"\n' + rows})
    assert (details.kept, details.excluded) == (COUNT, {})
    assert kept[0]["messages"] == [user('0번 "물음"은?'), assistant('C:\\0 "답", 그 뒤\\n')]


def test_a_path_that_ends_in_a_backslash_escapes_no_quote(tmp_path):
    rows = "".join(f'"{n}번 폴더는?","C:\\{n}\\"\n' for n in range(COUNT))
    _, kept = outcome(tmp_path, "instructions", {"a.csv": '"instruction","output"\n' + rows})
    assert kept[0]["messages"] == [user("0번 폴더는?"), assistant("C:\\0\\")]


def test_numbers_in_the_cells_of_a_workbook_are_texts(tmp_path):
    sheet = workbook(
        ["instruction", "output"], *([f"{n}의 두 배는?", 2 * n] for n in range(COUNT)), ["원주율은?", 3.14]
    )
    details, kept = outcome(tmp_path, "instructions", {"a.xlsx": sheet})
    assert (details.kept, details.excluded) == (COUNT + 1, {})
    assert {row["messages"][1]["content"] for row in kept} == {*map(str, range(0, 2 * COUNT, 2)), "3.14"}


def test_a_column_of_texts_with_commas_has_no_title(tmp_path):
    text = "여름에는 비가 오고, 겨울에는 눈이 온다고 한다. 봄에는 꽃이 피고, 가을에는 잎이 진다. 사람들은 들로 나간다."
    landed(tmp_path, "corpus", {"a.csv": "text\n" + "".join(f'"{n}번째 글. {text}"\n' for n in range(COUNT))})
    manifest, _ = run_data_stage("corpus", tmp_path, near_dedup={"enabled": False})
    assert (manifest.details.read, manifest.details.kept) == (COUNT, COUNT)


def test_a_file_of_many_documents_says_the_mapping_that_reads_each(tmp_path):
    value = {"id": "N", "document": [{"id": "a", "paragraph": [{"form": "긴 글이 여기에 있다"}]}]}
    landed(tmp_path, "corpus", {"NWRW.json": as_json(value)})
    with pytest.raises(
        BadData, match=r"`corpus\.fields: \{rows: document\.\*, text: paragraph\.\*\.form\}` would read"
    ):
        run_data_stage("corpus", tmp_path)


def test_a_packed_file_of_which_nothing_can_be_read_weighs_what_it_is(tmp_path):
    landed(tmp_path, "instructions", {"a.jsonl": PLAIN, "b.jsonl.gz": b"\x1f\x8b\x08\0" + b"\xff" * 3000})
    with pytest.raises(BadData, match=r"b\.jsonl\.gz \(3,004 bytes, file_breaks_off"):
        run_data_stage("instructions", tmp_path)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz"])
def test_blank_lines_without_end_are_one_row_of_nothing(tmp_path, name):
    rows = table(ALPACA) if "csv" in name else PLAIN
    head, more = rows[: rows.index("3번")].rsplit("\n", 1)[0], rows[rows.index("3번") :].partition("\n")[2]
    whole = "\n" + head + "\n" * 3_000_000 + more
    details, _ = outcome(tmp_path, "instructions", {name: gzip.compress(whole.encode())})
    assert (details.kept, details.excluded) == (COUNT - 1, {})


@pytest.mark.parametrize("key", ["train", "training", "trainable", "loss"])
def test_an_answer_that_is_not_to_be_learned_has_weight_0_however_that_is_spelt(tmp_path, key):
    first, last = {**assistant("틀린 답"), key: False}, {**assistant("바른 답"), key: True}
    details, (row,) = outcome(
        tmp_path, "instructions", {"a.jsonl": lines([{"messages": [user("가"), first, user("나"), last]}])}
    )
    assert [turn.get("weight", 1) for turn in row["messages"] if turn["role"] == "assistant"] == [0, 1]
    assert details.ignored_fields == {}


def test_a_key_that_is_there_twice_is_told(tmp_path):
    twice = '{"instruction": "물음", "output": "첫째", "output": "둘째"}\n'
    details, _ = outcome(tmp_path, "instructions", {"a.jsonl": twice + PLAIN})
    assert details.ignored_fields == {"(a key that is there twice)": 1}


@pytest.mark.parametrize("scores", [("-", "2"), (None, 2), ("9", "8.5"), (float("nan"), 3)])
def test_scores_beside_the_sides_lose_no_row_that_they_do_not_contradict(tmp_path, scores):
    row = {"prompt": "물음", "chosen": "가", "rejected": "나", "score_chosen": scores[0], "score_rejected": scores[1]}
    details, _ = outcome(tmp_path, "preferences", {"a.jsonl": lines([row])})
    assert (details.kept, details.ignored_fields) == (1, {})
