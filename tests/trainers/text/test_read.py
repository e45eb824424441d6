"""Reading: every format, encoding and compression gives the same documents; what is broken gives a reason."""

import csv
import gzip
import io
import json
import lzma
import shutil
from collections import Counter

import datasets
import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.contract.recipe.data import FieldSettings
from trainers.text import read, unpack
from trainers.text.decode import encoding_of, repair_mojibake, repair_surrogates
from trainers.text.read import files_below, read_blocks
from trainers.text.records import parse

ROWS = [{"id": f"d{n}", "text": f"한국어 문서 {n}번입니다.", "licence": "CC0"} for n in range(50)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


def documents(path):
    parsed = [parse(block, FieldSettings()) for block in read_blocks(files_below(path))]
    return (
        [document for part in parsed for document in part.documents],
        [exclusion for part in parsed for exclusion in part.exclusions],
        sum((part.repaired for part in parsed), Counter()),
    )


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", LINES.encode()),
        ("a.jsonl", LINES.replace("\n", "\r\n").encode("utf-8-sig")),
        ("a.jsonl", LINES.encode("cp949")),
        ("a.jsonl", LINES.encode("utf-16")),
        ("a.jsonl", LINES.encode("utf-16-be")),
        ("a.jsonl.gz", gzip.compress(LINES.encode())),
        ("a.jsonl.gz", gzip.compress(LINES[:1000].encode()) + gzip.compress(LINES[1000:].encode())),
        ("a.jsonl.zst", zstandard.compress(LINES.encode())),
        ("a.jsonl.xz", lzma.compress(LINES.encode())),
    ],
)
@pytest.mark.parametrize("block_bytes", [100, 1 << 20])
def test_lines_in_every_wrapping(tmp_path, monkeypatch, name, data, block_bytes):
    monkeypatch.setattr(read, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(unpack, "CHUNK", 64)
    (tmp_path / name).write_bytes(data)
    read_documents, excluded, _ = documents(tmp_path)
    assert [(d.id, d.text, d.licence) for d in read_documents] == [(r["id"], r["text"], r["licence"]) for r in ROWS]
    assert [d.line for d in read_documents] == list(range(1, 51))
    assert excluded == []


def test_tables_and_whole_files(tmp_path):
    table = pyarrow.Table.from_pylist(ROWS)
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    for name, kind in (("b.arrow", pyarrow.ipc.new_stream), ("g.arrow", pyarrow.ipc.new_file)):
        with kind(tmp_path / name, table.schema) as stream:
            stream.write_table(table)
    (tmp_path / "c.txt").write_bytes("안녕하세요.\n반갑습니다.".encode("cp949"))
    (tmp_path / "d.md").write_text("# 제목\n\n본문", encoding="utf-8")
    page = "".join(f"<p>{row['text']} 이 문단은 본문이므로 남아야 합니다.</p>" for row in ROWS[:5])
    (tmp_path / "e.html").write_text(f"<html><body><nav>메뉴</nav><article>{page}</article></body></html>")
    (tmp_path / "f.docx").write_bytes(b"PK")
    read_documents, excluded, _ = documents(tmp_path)
    texts = Counter(document.text for document in read_documents)
    assert all(texts[row["text"]] == 3 for row in ROWS)
    assert texts["안녕하세요.\n반갑습니다."] == texts["# 제목\n\n본문"] == 1
    assert any("한국어 문서 0번" in text and "메뉴" not in text for text in texts if "문단" in text)
    assert [(row.file, row.reason) for row in excluded] == [("f.docx", "unsupported_file")]


RECORDS = [*ROWS[:3], {"id": "q", "text": '그는 "안녕",\n하고 말했다.', "licence": "CC0"}]


def records(delimiter):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(RECORDS[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(RECORDS)
    return text.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", records(",").encode()),
        ("a.csv", records(",").encode("utf-8-sig")),
        ("a.csv", records(",").encode("utf-16")),
        ("a.csv.gz", gzip.compress(records(",").encode("cp949"))),
        ("a.tsv", records("\t").encode("cp949")),
    ],
)
@pytest.mark.parametrize("chunk", [60, 1 << 20])
def test_records_in_every_wrapping(tmp_path, monkeypatch, name, data, chunk):
    monkeypatch.setattr(unpack, "CHUNK", chunk)
    (tmp_path / name).write_bytes(data)
    read_documents, excluded, _ = documents(tmp_path)
    assert [(d.id, d.text, d.licence) for d in read_documents] == [tuple(row.values()) for row in RECORDS]
    assert [d.line for d in read_documents] == [2, 3, 4, 5]
    assert excluded == []


def test_a_table_of_tabs_may_have_quotation_marks_in_its_texts(tmp_path):
    lines = ["id\ttext", '1\t"정말"이라고 했다.', '2\t"닫지 않은 말', "3\t끝", ""]
    (tmp_path / "a.tsv").write_text("\n".join(lines), encoding="utf-8")
    assert [d.text for d in documents(tmp_path)[0]] == ['"정말"이라고 했다.', '"닫지 않은 말', "끝"]


def test_what_is_wrong_with_a_record_is_told_and_the_next_is_read(tmp_path):
    rows = ["id,text,text2", "1,문서,둘", "2,short", '3,"x"y,z', "", "4,문\udcff,z", "5,끝,z"]
    (tmp_path / "a.csv").write_bytes("\n".join(rows).encode(errors="surrogateescape"))
    read_documents, excluded, _ = documents(tmp_path)
    assert [(d.id, d.line) for d in read_documents] == [("1", 2), ("5", 7)]
    reasons = [(3, "invalid_csv"), (4, "invalid_csv"), (5, "blank_line"), (6, "invalid_encoding")]
    assert [(row.line, row.reason) for row in excluded] == reasons


def test_hugging_face_folders_give_the_rows_of_all_splits_and_nothing_else(tmp_path):
    splits = {"train": ROWS[:30], "test": ROWS[30:]}
    whole = datasets.DatasetDict({name: datasets.Dataset.from_list(part) for name, part in splits.items()})
    whole.save_to_disk(str(tmp_path / "saved"), num_shards={"train": 2, "test": 1})
    shutil.copy(tmp_path / "saved/test/data-00000-of-00001.arrow", tmp_path / "saved/test/cache-0a1b.arrow")
    for name, part in splits.items():
        place = tmp_path / f"hub/data/{name}-00000-of-00001.parquet"
        place.parent.mkdir(parents=True, exist_ok=True)
        datasets.Dataset.from_list(part).to_parquet(str(place))
    card = "---\nlicense: cc0-1.0\nconfigs:\n- config_name: default\n---\n# 데이터 카드\n"
    (tmp_path / "hub/README.md").write_text(card, encoding="utf-8")
    (tmp_path / "hub/.gitattributes").write_text("*.parquet filter=lfs")
    read_documents, excluded, _ = documents(tmp_path)
    wanted = Counter((row["id"], source) for row in ROWS for source in ("hub/data", "saved"))
    assert Counter((d.id, d.source.replace("/train", "").replace("/test", "")) for d in read_documents) == wanted
    assert [(row.file, row.reason) for row in excluded] == [("hub/README.md", "dataset_card")]


@pytest.mark.parametrize("suffix", ["gz", "zst", "xz"])
def test_a_file_that_breaks_off_gives_what_can_be_read(tmp_path, suffix):
    noise = [{"text": f"문서 {n} {n * 7919 % 10007} {n * 104729 % 10009}"} for n in range(40_000)]
    data = "".join(json.dumps(row) + "\n" for row in noise).encode()
    packed = {"gz": gzip.compress, "zst": zstandard.compress, "xz": lzma.compress}[suffix](data)
    (tmp_path / f"a.jsonl.{suffix}").write_bytes(packed[: len(packed) * 2 // 3])
    read_documents, excluded, _ = documents(tmp_path)
    assert [row.reason for row in excluded] == ["file_breaks_off"]
    assert len(read_documents) > (0 if suffix == "xz" else 5_000)
    assert excluded[0].line == len(read_documents) + 1


def test_a_parquet_file_that_is_none(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nothing of the kind")
    assert [row.reason for row in documents(tmp_path)[1]] == ["file_breaks_off"]


def test_a_line_too_long_to_hold_is_skipped_and_told(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "MAX_LINE_BYTES", 500)
    monkeypatch.setattr(read, "BLOCK_BYTES", 100)
    monkeypatch.setattr(unpack, "CHUNK", 64)
    (tmp_path / "a.jsonl").write_text(f'{{"text": "앞"}}\n{{"text": "{"x" * 2000}"}}\n{{"text": "뒤"}}\n')
    read_documents, excluded, _ = documents(tmp_path)
    assert [(d.text, d.line) for d in read_documents] == [("앞", 1), ("뒤", 3)]
    assert [(row.reason, row.line) for row in excluded] == [("line_too_long", 2)]


def test_field_mapping(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"content": "본문", "key": 7, "license": "MIT"}\n')
    block = next(read_blocks(files_below(tmp_path)))
    document = parse(block, FieldSettings(text="content", id="key")).documents[0]
    assert (document.text, document.id, document.licence, document.source) == ("본문", "7", "MIT", "unknown")


def test_the_source_of_rows_that_name_none_does_not_depend_on_their_file(tmp_path):
    for name in ("a.jsonl", "news/2026/b-00001-of-00002.jsonl", "news/c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('{"text": "본문"}')
    assert [document.source for document in documents(tmp_path)[0]] == ["unknown", "news/2026", "news/c.txt"]


def test_mojibake_is_repaired_only_where_it_is_proven():
    korean = "한국어 문장이 여기에 있습니다. 깨진 글자를 되돌립니다."
    assert repair_mojibake(korean.encode().decode("latin-1")) == (korean, "mojibake_repaired")
    assert repair_mojibake(korean.encode("cp949").decode("latin-1")) == (korean, "mojibake_repaired")
    lost = korean.encode().decode("cp1252", "replace")
    assert repair_mojibake(lost)[1] == "mojibake"
    for fine in (korean, "Ça a été très agréable à l'été, où élèves et hôtes étaient déjà là.", "Größe: 30 µm – äöü"):
        assert repair_mojibake(fine) == (fine, None)


@pytest.mark.parametrize(
    ("head", "is_card"),
    [
        ("---\nconfigs:\n- a\n---\n# 카드\n", True),
        ("---\ntitle: x\ndataset_info:\n---\n", True),
        ("---\ntitle: x\n---\nconfigs:\n---\n", False),  # it has ended before
        ("# 글\n---\nconfigs:\n---\n", False),
        ("---\n" + "configs:\n" * 400_000, False),  # 3.6 MB without an end; by a pattern that tries each, hours
    ],
    ids=["card", "later", "after the end", "no head", "no end"],
)
def test_a_readme_that_describes_a_data_set_is_no_text_of_it(tmp_path, head, is_card):
    (tmp_path / "README.md").write_text(head + "우리는 강가를 걸으며 새를 보았습니다.\n")
    read_documents, excluded, _ = documents(tmp_path)
    assert ([row.reason for row in excluded] == ["dataset_card"]) is is_card
    assert bool(read_documents) is not is_card


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_no_bytes_crash_the_reader(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    for name in ("a.jsonl", "b.txt", "f.csv", "g.tsv", "c.jsonl.gz", "d.jsonl.zst", "e.jsonl.xz"):
        (folder / name).write_bytes(data)
    read_documents, excluded, _ = documents(folder)
    assert all(document.text.encode() for document in read_documents)
    assert all(row.reason for row in excluded)
    assert encoding_of(data) in {"utf-8", "cp949", *(f"utf-{bits}-{end}" for bits in (16, 32) for end in ("le", "be"))}


@given(st.text(st.characters(categories=("L", "Cs", "So")), max_size=20))
def test_surrogates_become_text(text):
    repaired, changed = repair_surrogates(text)
    repaired.encode()
    assert changed or repaired == text


BAD = {
    "broken_lines.jsonl": (26, 8, {"invalid_json": 6, "no_text": 3, "invalid_encoding": 2, "blank_line": 2}),
    "mojibake.jsonl": (40, 20, {"mojibake": 20}),
    "nfd.jsonl": (30, 30, {}),
    "real_odd_documents.jsonl": (60, 60, {}),
    "truncated.jsonl.gz": (26, 25, {"file_breaks_off": 1}),
    "utf8_bom_crlf.jsonl": (30, 30, {}),
    "cp949.txt": (1, 1, {}),
    "utf16le_bom.txt": (1, 1, {}),
    "empty.jsonl": (0, 0, {}),
    "broken_instruct_preference.jsonl": (12, 0, {"no_text": 12}),
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", BAD)
def test_real_bad_inputs_end_in_counts_and_reasons(testdata, name):
    read_, kept, reasons = BAD[name]
    read_documents, excluded, _ = documents(testdata / "bad_inputs" / name)
    counts = Counter(row.reason for row in excluded)
    assert (len(read_documents), len(read_documents) + len(excluded)) == (kept, read_)
    assert reasons.items() <= counts.items()
    if name.endswith(".txt"):
        assert "\ufffd" not in read_documents[0].text and "다" in read_documents[0].text
