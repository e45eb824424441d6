"""The corpus stage end to end: what it leaves, that nothing is lost silently, and that the bytes repeat."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from random import Random

import pytest

from tests.support.corpus_landing import data_request, read_jsonl, run_data_stage, write_jsonl
from trainers.contract import BadData, DiskTrouble
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.shards import read_shards
from trainers.corpus.figures import Figures
from trainers.corpus.plan import CorpusPlan
from trainers.runner.stage import run_stage
from trainers.text import read, unpack
from trainers.text.read import files_below

SENTENCES = (
    "오늘은 날씨가 맑아서 강가를 오래 걸었습니다.",
    "시장에서 사과와 배를 사고 시장 아주머니와 이야기를 나누었습니다.",
)
NOUNS = [
    "사과",
    "바다",
    "하늘",
    "기차",
    "학교",
    "시장",
    "음악",
    "편지",
    "우산",
    "고양이",
    "도서관",
    "자전거",
    "여름",
    "겨울",
    "친구",
    "선생님",
]
VERBS = ["보았습니다", "샀습니다", "그렸습니다", "잊었습니다", "찾았습니다", "기다렸습니다", "좋아합니다", "만났습니다"]


def rows(count=60):
    """Documents of random words: alike in kind, near to none of the others."""
    random = Random(7)
    return [
        {
            "id": f"d{n:03d}",
            "text": " ".join(
                f"{random.choice(NOUNS)}에서 {random.choice(NOUNS)}를 {random.choice(VERBS)}." for _ in range(9)
            ),
            "licence": "CC0",
        }
        for n in range(count)
    ]


def dirty(count=60):
    return [
        *rows(count),
        {"id": "copy", "text": rows()[3]["text"] + "  "},
        {"id": "short", "text": "짧다"},
        {"id": "phone", "text": f"{SENTENCES[0]} 연락처는 010-1234-5678입니다. {SENTENCES[1]}"},
        {"id": "none"},
    ]


def everything(folder):
    return [row for part in ("train", "validation") for row in read_shards(folder / part)]


def test_what_the_stage_leaves(tmp_path):
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", dirty())
    manifest, folder = run_data_stage("corpus", tmp_path, validation_share=0.1)
    details = manifest.details
    documents = everything(folder)
    excluded = {row["id"]: row for row in read_jsonl(folder / "exclusions.jsonl.zst")}
    assert details.read == 64 == details.kept + sum(details.excluded.values())
    assert details.kept == len(documents) == details.train_documents + details.validation_documents
    assert details.validation_documents > 0
    assert {row["id"] for row in documents} == {row["id"] for row in rows()} - {"d003"} | {"copy", "phone"}
    assert {name: row["reason"] for name, row in excluded.items()} == {
        "d003": "exact_duplicate",
        "short": "too_short",
        "none": "no_text",
    }
    assert excluded["d003"]["duplicate_of"] == "copy" and excluded["d003"]["line"] == 4
    assert all(set(row) == {"id", "text", "source", "licence", "url", "language"} for row in documents)
    assert {row["language"] for row in documents} == {"ko"}
    phone = next(row for row in documents if row["id"] == "phone")
    assert "[PHONE]" in phone["text"] and "1234" not in phone["text"]
    assert details.masked == {"PHONE": 1}
    for path in folder.rglob("*"):
        assert path.is_dir() or b"010-1234-5678" not in path.read_bytes()
    report = (folder / "report.md").read_text()
    assert "| exact_duplicate | 1 |" in report and "after too_short (-1)" in report
    page = (folder / "report.html").read_text()
    assert (
        page.startswith("<!doctype html>") and page.count("<svg") >= 5 and "http" not in page.replace("http-equiv", "")
    )


def nameless(documents):
    """Every third row without its id: what names it then must not be its place."""
    return [{k: v for k, v in row.items() if k != "id" or n % 3} for n, row in enumerate(documents)]


def test_the_same_rows_in_one_file_or_in_eight_give_one_digest(tmp_path, monkeypatch):
    documents = nameless(dirty(200))
    suite = write_jsonl(tmp_path / "suite.jsonl", [{"id": f"q{n}", "text": rows()[n]["text"]} for n in range(20)])
    plan = lambda section, inputs: CorpusPlan(section, files_below(inputs["landing"]), (suite,))  # noqa: E731
    monkeypatch.setattr("trainers.corpus.stage._plan", plan)
    write_jsonl(tmp_path / "one/landing/r1/corpus/a.jsonl", documents)
    for part in range(8):
        write_jsonl(tmp_path / f"eight/landing/r1/corpus/part{part}.jsonl", documents[part::8])
    shutil.copytree(tmp_path / "one", tmp_path / "again")
    first, folder = run_data_stage("corpus", tmp_path / "one")
    assert run_data_stage("corpus", tmp_path / "again")[0].digest == first.digest
    monkeypatch.setattr(read, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(unpack, "CHUNK", 500)
    second, other = run_data_stage("corpus", tmp_path / "eight")

    def excluded(where):
        return sorted((row["reason"], row["detail"]) for row in read_jsonl(where / "exclusions.jsonl.zst"))

    assert second.digest == first.digest and second.request_digest != first.request_digest
    assert [row.path for row in first.files if not row.is_content] == ["exclusions.jsonl.zst"]
    assert {row.path: row.sha256 for row in second.files if row.is_content} == {
        row.path: row.sha256 for row in first.files if row.is_content
    }
    assert excluded(other) == excluded(folder)
    assert {row["file"] for row in read_jsonl(other / "exclusions.jsonl.zst")} >= {"part0.jsonl", "part7.jsonl"}
    assert len(first.details.contaminated) == 21 and second.details.contaminated == first.details.contaminated
    assert json.loads((folder / "manifest.json").read_text())["digest"] == first.digest


def test_finished_blocks_are_not_done_again(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "BLOCK_BYTES", 2000)
    monkeypatch.setattr(unpack, "CHUNK", 500)
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", dirty(200))
    monkeypatch.setattr(Figures, "metrics", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_data_stage("corpus", tmp_path)
    published = sorted(tmp_path.glob("artifacts/corpus/r1/*.partial/scratch/work/blocks/*"))
    times = {path: path.stat().st_mtime_ns for path in published}
    shutil.rmtree(published[1])
    monkeypatch.undo()
    monkeypatch.setattr(read, "BLOCK_BYTES", 2000)
    monkeypatch.setattr(unpack, "CHUNK", 500)
    monkeypatch.setattr("trainers.contract.artifacts.ArtifactStore.discard_partial", lambda self, request: None)
    run_data_stage("corpus", tmp_path)
    again = {path: path.stat().st_mtime_ns for path in published}
    assert [path for path in published if times[path] != again[path]] == [published[1]]


def test_small_shards_in_both_formats_hold_the_same_documents_and_repeat(tmp_path):
    write_jsonl(tmp_path / "jsonl/landing/r1/corpus/a.jsonl", rows(200))
    for name in ("parquet", "again"):
        shutil.copytree(tmp_path / "jsonl", tmp_path / name)
    manifest, lines = run_data_stage("corpus", tmp_path / "jsonl", shard_megabytes=0.01)
    (first, tables), (second, _) = (
        run_data_stage("corpus", tmp_path / name, shard_megabytes=0.01, shard_format="parquet")
        for name in ("parquet", "again")
    )
    assert first.digest == second.digest != manifest.digest
    assert len(list((lines / "train").glob("*.jsonl.zst"))) == len(list((tables / "train").glob("*.parquet"))) > 3
    assert everything(tables) == everything(lines) and len(everything(lines)) == manifest.details.kept


KILLED_WHILE_JOINING = """
import os, sys
from trainers.__main__ import main
from trainers.corpus import write
write_shard = write.write_shard
def write_three(context, split, number, rows):
    if number == 3:
        (context.aside / ".00003").write_bytes(b"half a sh")
        os.kill(os.getpid(), 9)
    write_shard(context, split, number, rows)
write.write_shard = write_three
main(sys.argv[1:])
"""


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_kill_while_joining_costs_no_block_and_no_finished_shard(tmp_path, capsys, form):
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", rows(200))
    request = data_request("corpus", tmp_path / "landing", shard_megabytes=0.01, shard_format=form)
    whole = run_stage(request, ArtifactStore(tmp_path / "whole"), tmp_path / "landing")
    (tmp_path / "request.json").write_text(request.model_dump_json())
    where = ["--artifacts", str(tmp_path / "killed"), "--landing", str(tmp_path / "landing")]
    command = [sys.executable, "-c", KILLED_WHILE_JOINING, "corpus", "--request", str(tmp_path / "request.json")]
    assert subprocess.run([*command, *where]).returncode == -signal.SIGKILL
    shards = sorted(tmp_path.glob("killed/corpus/r1/*.partial/output/train/[!.]*"))
    assert len(shards) == 3
    inodes = {shard.name: shard.stat().st_ino for shard in shards}
    capsys.readouterr()
    again = run_stage(request, ArtifactStore(tmp_path / "killed"), tmp_path / "landing")
    assert "cleaned" not in capsys.readouterr().out
    train = tmp_path / "killed" / request.relative_path / "train"
    assert {name: (train / name).stat().st_ino for name in inodes} == inodes
    assert again.digest == whole.digest and again.files == whole.files


def test_takedown_by_id_and_by_hash(tmp_path):
    documents = rows()
    digest = hashlib.sha256(documents[7]["text"].encode()).hexdigest()
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", documents)
    manifest, folder = run_data_stage("corpus", tmp_path, takedown=["d004", digest])
    assert manifest.details.excluded == {"takedown": 2}
    assert {row["id"] for row in read_jsonl(folder / "exclusions.jsonl.zst")} == {"d004", "d007"}


def test_nothing_landed(tmp_path):
    with pytest.raises(BadData, match="empty"):
        run_data_stage("corpus", tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    request = data_request("corpus", tmp_path / "landing")
    shutil.rmtree(tmp_path / "landing")
    with pytest.raises(DiskTrouble, match="is not there; mount its volume"):
        run_stage(request, ArtifactStore(tmp_path / "artifacts"), tmp_path / "landing")


def test_a_release_with_nothing_usable_names_the_three_biggest_reasons(tmp_path):
    bad = [{"text": ""}] * 4 + [{"body": "x"}] * 3 + [{"text": 5}] * 2 + [["x"]]
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", bad)
    with pytest.raises(BadData, match=r"empty_text \(4\), no_text \(3\), text_not_string \(2\)"):
        run_data_stage("corpus", tmp_path)


def test_a_drop_of_mostly_broken_rows_is_refused_and_one_with_few_is_not(tmp_path):
    good = [
        {"text": f"{number} 번째 사람이 날이 맑아서 강가까지 걸어갔다가 저녁에 집으로 돌아갔습니다."}
        for number in range(6)
    ]
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", [*good, *[{"body": "x"}] * 7])
    with pytest.raises(BadData, match=r"7 of 13 rows cannot be read \(allowed: 50%\).*no_text \(7\)"):
        run_data_stage("corpus", tmp_path)
    manifest, _ = run_data_stage("corpus", tmp_path, max_bad_share=0.6, near_dedup={"enabled": False})
    assert manifest.details.kept == 6


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "words"), [("empty.jsonl", "no documents"), ("broken_instruct_preference.jsonl", "")])
def test_real_bad_inputs_alone_are_refused(testdata, tmp_path, name, words):
    (tmp_path / "landing/r1/corpus").mkdir(parents=True)
    shutil.copy(testdata / "bad_inputs" / name, tmp_path / "landing/r1/corpus")
    with pytest.raises(BadData, match=words):
        run_data_stage("corpus", tmp_path)


@pytest.mark.realdata
def test_all_real_bad_inputs_in_one_release(testdata, tmp_path):
    shutil.copytree(testdata / "bad_inputs", tmp_path / "landing/r1/corpus")
    manifest, folder = run_data_stage("corpus", tmp_path)
    details = manifest.details
    assert details.read == details.kept + sum(details.excluded.values())
    assert details.excluded["exact_duplicate"] >= 30
    assert details.repaired["mojibake"] == 20
    assert len(read_jsonl(folder / "exclusions.jsonl.zst")) == sum(details.excluded.values())
    assert all(row["reason"] and row["file"] for row in read_jsonl(folder / "exclusions.jsonl.zst"))
