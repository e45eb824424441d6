"""Archives, workbooks, arrays, WikiExtractor's files: every row read by its place; bombs, traversal and damage told."""

import gzip
import json
import tarfile

import openpyxl
import pytest
import zstandard

from tests.support.files import tarred, zipped
from trainers.contract.recipe.data import FieldSettings
from trainers.text import unpack
from trainers.text.read import files_below, read_blocks
from trainers.text.records import parse

ROWS = [{"id": f"d{n}", "text": f"문서 {n}번입니다."} for n in range(3)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def read(folder, **fields):
    """(file, text) of each document, and reason -> files."""
    documents, problems = [], {}
    for block in read_blocks(files_below(folder)):
        parsed = parse(block, FieldSettings(**fields))
        documents += [(block.file, document.text) for document in parsed.documents]
        for row in parsed.exclusions:
            problems.setdefault(row.reason, []).append(row.file)
    return documents, problems


def texts(name):
    return [(name, row["text"]) for row in ROWS]


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tgz", "tar.zst"])
def test_members_are_read_as_the_files_that_they_are_and_litter_is_not(tmp_path, suffix):
    members = {"b/a.jsonl": LINES, "b/c.json.gz": gzip.compress(LINES), "__MACOSX/b/._a.jsonl": b"\0", "b/e.hwp": b"x"}
    packed = (zipped if suffix == "zip" else tarred)(members)
    pack = {"tar.gz": gzip.compress, "tgz": gzip.compress, "tar.zst": zstandard.compress}.get(suffix, bytes)
    name = f"더미.{suffix}"
    (tmp_path / name).write_bytes(pack(packed))
    documents, problems = read(tmp_path)
    assert documents == [*texts(f"{name}/b/a.jsonl"), *texts(f"{name}/b/c.json.gz")]
    assert problems == {"unsupported_file": [f"{name}/b/e.hwp"]}


def test_names_of_korean_windows_and_archives_in_archives(tmp_path):
    data = zipped({"aa.jsonl": LINES}).replace(b"aa.jsonl", "글.jsonl".encode("cp949"))
    (tmp_path / "out.tar").write_bytes(tarred({"TL1.zip": data}))
    assert read(tmp_path) == (texts("out.tar/TL1.zip/글.jsonl"), {})


def test_a_member_that_climbs_out_is_refused_and_nothing_is_written(tmp_path):
    folder = tmp_path / "in" / "here"
    folder.mkdir(parents=True)
    (folder / "a.zip").write_bytes(zipped({"../../evil.jsonl": LINES, "/etc/evil.jsonl": LINES, "good.jsonl": LINES}))
    documents, problems = read(folder)
    assert documents == texts("a.zip/good.jsonl")
    assert problems == {"path_climbs_out": ["a.zip/../../evil.jsonl", "a.zip/etc/evil.jsonl"]}
    assert [path.name for path in tmp_path.rglob("*evil*")] == []


def test_links_and_devices_in_a_tar_are_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (("link.jsonl", tarfile.SYMTYPE), ("hard.jsonl", tarfile.LNKTYPE), ("p", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    assert read(tmp_path) == ([], {"link_out": ["a.tar/link.jsonl", "a.tar/hard.jsonl"], "not_a_file": ["a.tar/p"]})


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.zip", "a.tar.gz", "a.jsonl.zst", "a.jsonl.xz", "a.jsonl.bz2"])
def test_a_bomb_is_told_after_a_bounded_number_of_bytes(tmp_path, monkeypatch, name):
    import bz2
    import lzma

    monkeypatch.setattr(unpack, "LEAST_ALLOWANCE", 1 << 20)
    monkeypatch.setattr(unpack, "MOST_EXPANSION", 20)
    bomb = LINES + b" " * (8 << 20)
    packed = {
        "a.jsonl.gz": lambda: gzip.compress(bomb),
        "a.zip": lambda: zipped({"a.jsonl": bomb}),
        "a.tar.gz": lambda: gzip.compress(tarred({"a.jsonl": bomb})),
        "a.jsonl.zst": lambda: zstandard.compress(bomb),
        "a.jsonl.xz": lambda: lzma.compress(bomb),
        "a.jsonl.bz2": lambda: bz2.compress(bomb),
    }[name]()
    (tmp_path / name).write_bytes(packed)
    _, problems = read(tmp_path)
    assert "unpacks_too_far" in problems


@pytest.mark.parametrize("name", ["a.zip", "a.xlsx", "a.tar", "a.tgz"])
def test_what_is_no_archive_is_told_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\x03\x04" + b"0" * 100)
    assert read(tmp_path) == ([], {"file_breaks_off": [name]})


def test_sheets_of_a_workbook_are_rows_by_their_first_row(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["id", "text", None, "수"])
    book.active.append(["1", "하나", "빈 열", 3])
    book.active.append([None, None, None, None])
    second = book.create_sheet("둘째")
    second.append(["text"])
    second.append(["둘"])
    book.save(tmp_path / "a.xlsx")
    assert read(tmp_path) == ([("a.xlsx", "하나"), ("a.xlsx", "둘")], {})


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(ROWS, ensure_ascii=False, indent=1),
        json.dumps(ROWS),
        f" \ufeff{json.dumps(ROWS)}".strip(),
        "\n".join(json.dumps(row, indent=2) for row in ROWS),
        LINES.decode(),
        LINES.decode().replace("\n", "\r\n"),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "noname"])
def test_json_is_lines_or_an_array_by_what_it_holds(tmp_path, name, data):
    (tmp_path / name).write_text(data, encoding="utf-8")
    assert read(tmp_path) == (texts(name), {})


@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_with_a_broken_element_loses_that_one_alone(tmp_path, indent):
    text = json.dumps(ROWS, ensure_ascii=False, indent=indent).replace("1번입니다.", '1번"입니다.')
    (tmp_path / "a.json").write_text(text)
    assert read(tmp_path) == ([("a.json", ROWS[0]["text"]), ("a.json", ROWS[2]["text"])], {"invalid_json": ["a.json"]})
    (tmp_path / "a.json").write_text(json.dumps(ROWS)[:-20])
    assert len(read(tmp_path)[0]) == 2 and read(tmp_path)[1].keys() == {"invalid_json"}


def test_wikiextractor(tmp_path):
    pages = [
        f'<doc id="{n}" url="https://w?curid={n}" title="제목 {n}">\n제목 {n}\n\n본문 {n}\n</doc>\n' for n in (1, 2)
    ]
    (tmp_path / "AA").mkdir()
    (tmp_path / "AA" / "wiki_00").write_text("".join(pages))
    assert [text for _, text in read(tmp_path)[0]] == ["제목 1\n\n본문 1", "제목 2\n\n본문 2"]


def test_a_declared_mapping_reads_nested_json(tmp_path):
    modu = {
        "id": "NW",
        "document": [{"id": f"NW.{n}", "paragraph": [{"form": "첫 줄"}, {"form": f"{n}"}]} for n in "12"],
    }
    (tmp_path / "modu.json").write_text(json.dumps(modu, ensure_ascii=False, indent=1))
    documents, _ = read(tmp_path, rows="document.*", text="paragraph.*.form")
    assert documents == [("modu.json", "첫 줄\n1"), ("modu.json", "첫 줄\n2")]


def test_a_form_that_is_not_known_is_told_with_the_mapping_that_would_read_it(tmp_path):
    (tmp_path / "a.json").write_text('{"meta": {"no": 1}, "body": "가나다라마바사"}')
    (block,) = read_blocks(files_below(tmp_path))
    (row,) = parse(block, FieldSettings()).exclusions
    assert row.reason == "no_text" and "meta.no, body" in row.detail and "corpus.fields.text: body" in row.detail
