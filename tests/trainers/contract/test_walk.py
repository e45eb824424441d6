"""The walk over a drop: litter skipped, names in NFC, what is no file of the folder refused and never opened."""

import os
import socket
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.contract.digests import tree_digest
from trainers.contract.names import shown
from trainers.contract.walk import Refusal, is_litter, name_of, walk

LITTER = (
    *("._a.csv", ".DS_Store", ".git/config", "__MACOSX/a.csv", "Thumbs.db", "THUMBS.DB", "desktop.ini"),
    *(
        "Desktop.ini",
        "~$표.xlsx",
        "kmmlu/data/._x-test.csv",
        "$RECYCLE.BIN/a.jsonl",
        "_READY",
        "sub/_READY",
        "_SUCCESS",
    ),
)
NFC = "한국사.jsonl"


def write(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


@pytest.mark.parametrize("name", LITTER)
def test_litter_is_no_part_of_a_drop_nor_of_its_digest(name, tmp_path):
    write(tmp_path, "a.csv")
    before = tree_digest(tmp_path)
    write(tmp_path, name)
    assert is_litter(name) and list(walk(tmp_path).files) == ["a.csv"] and tree_digest(tmp_path) == before


@pytest.mark.parametrize("name", ["a.csv", "ready.jsonl", "thumbs.db.jsonl", "macosx/a.csv", "_READY.jsonl", "~a.csv"])
def test_data_is_no_litter(name):
    assert not is_litter(name)


def test_names_are_nfc_in_order_and_an_archive_from_an_old_system_keeps_its_hangul(tmp_path):
    write(tmp_path, unicodedata.normalize("NFD", NFC), "b/2.txt", "b-1.txt", "a.txt")
    os.close(os.open(os.fsencode(tmp_path) + b"/" + "과학.txt".encode("cp949"), os.O_CREAT))
    assert list(walk(tmp_path).files) == ["a.txt", "b-1.txt", "b/2.txt", "과학.txt", NFC]
    assert name_of("a\x1b[2Jb\nc\u202e") == r"a\x1b[2Jb\nc\u202e"
    assert name_of(os.fsdecode(b"\xff\xfe.txt")) == r"\xff\xfe.txt"


def test_two_names_that_are_one_in_nfc_are_told(tmp_path):
    write(tmp_path, NFC, unicodedata.normalize("NFD", NFC))
    there = walk(tmp_path)
    assert list(there.files) == [NFC] and [refusal.reason for refusal in there.refused.values()] == ["name_twice"]


def test_links_that_leave_the_root_are_refused_and_those_inside_are_files(tmp_path):
    outside, root = tmp_path / "outside", tmp_path / "root"
    write(outside, "secret.jsonl", "folder/a.jsonl")
    write(root, "a.jsonl", "sub/b.jsonl")
    (root / "file.jsonl").symlink_to(outside / "secret.jsonl")
    (root / "folder").symlink_to(outside / "folder")
    (root / "sibling").symlink_to(tmp_path / "root-and-more")
    (root / "inner.jsonl").symlink_to("sub/b.jsonl")
    (root / "loop").symlink_to("..")
    (root / "itself").symlink_to("itself")
    (root / "again").symlink_to("sub")
    there = walk(root)
    assert list(there.files) == ["a.jsonl", "inner.jsonl", "sub/b.jsonl"]
    reasons = {name: refusal.reason for name, refusal in there.refused.items()}
    assert reasons == {
        "again": "link_to_folder",
        "file.jsonl": "link_out",
        "folder": "link_out",
        "itself": "link_broken",
        "loop": "link_out",
        "sibling": "link_out",
    }
    before = tree_digest(root)
    (outside / "secret.jsonl").write_text("changed")
    assert tree_digest(root) == before, "what lies outside is not read, not even to be hashed"
    (root / "file.jsonl").unlink()
    assert tree_digest(root) != before


def test_a_root_may_itself_be_a_link_and_a_single_file_is_a_drop(tmp_path):
    write(tmp_path, "there/a.jsonl")
    (tmp_path / "link").symlink_to("there")
    assert list(walk(tmp_path / "link").files) == ["a.jsonl"]
    assert walk(tmp_path / "there" / "a.jsonl").files == {"a.jsonl": tmp_path / "there" / "a.jsonl"}
    assert walk(tmp_path / "nothing").files == {}


def test_pipes_and_sockets_are_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.jsonl"))
        there = walk(tmp_path)
        digest = tree_digest(tmp_path)  # hangs for ever where a pipe is opened
    assert there.files == {} and digest
    refusal = Refusal("not_a_file", "a pipe, a socket or a device")
    assert there.refused == {"pipe.jsonl": refusal, "socket.jsonl": refusal}


def test_a_folder_deeper_than_a_path_can_be_is_refused_not_raised(tmp_path):
    here = os.getcwd()
    try:
        os.chdir(tmp_path)
        for _ in range(25):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
    finally:
        os.chdir(here)
    assert [refusal.reason for refusal in walk(tmp_path).refused.values()] == ["path_too_long"]


@given(names=st.sets(st.binary(min_size=1, max_size=40), min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_files_of_any_names_are_walked_by_names_that_can_be_written(
    tmp_path_factory: pytest.TempPathFactory, names: set[bytes]
):
    folder = tmp_path_factory.mktemp("names")
    possible = {name for name in names if not set(name) & set(b"/\0") and name not in (b".", b"..")}
    for name in possible:
        Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_bytes(b"x")
    there = walk(folder)
    expected = sum(not is_litter(os.fsdecode(name)) for name in possible)
    assert len(there.files) + len(there.refused) == expected
    assert all(name.encode() and shown(name) == name for name in (*there.files, *there.refused))
