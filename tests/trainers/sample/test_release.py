"""A sample release: the same bytes for a seed, readable in every format, dirty as promised, benchmarks unseen."""

import gzip
import json
import lzma
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import zstandard

from trainers.contract import BadRequest
from trainers.sample.dirt import SHARES
from trainers.sample.documents import SampleDocument
from trainers.sample.release import PARTS, corpus_files, write_release
from trainers.sample.split import is_held_out
from trainers.sample.vocabulary import domains


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_release(tmp_path_factory.mktemp("landing"))


def content(path: Path) -> str:
    """The text of a corpus file, whatever its format."""
    data = path.read_bytes()
    if path.suffix == ".parquet":
        return "\n".join(json.dumps(row, ensure_ascii=False) for row in pyarrow.parquet.read_table(path).to_pylist())
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    elif path.suffix == ".xz":
        data = lzma.decompress(data)
    elif path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().decompress(data)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp949")


def texts(release: Path) -> list[str]:
    """The texts of all corpus records that can be parsed."""
    texts: list[str] = []
    for path in sorted((release / "corpus").iterdir()):
        if path.suffix in (".txt", ".md"):
            texts.append(content(path))
            continue
        for line in content(path).splitlines():
            try:
                texts.append(json.loads(line).get("text", ""))
            except json.JSONDecodeError:
                continue
    return texts


def pieces(text: str) -> set[object]:
    """What decontamination looks for: runs of thirteen words and of forty letters."""
    words, letters = text.split(), "".join(filter(str.isalnum, text))
    runs: set[object] = {tuple(words[n : n + 13]) for n in range(len(words) - 12)}
    return runs | {letters[n : n + 40] for n in range(len(letters) - 39)}


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def prompts(folder: Path) -> set[str]:
    """All that users say in the instruction and preference files of a folder."""
    prompts: set[str] = set()
    for path in folder.glob("*.jsonl"):
        for row in rows(path):
            turns = row.get("instruction") or row.get("prompt") or row.get("messages") or row.get("question")
            if isinstance(turns, list):
                turns = next(turn["content"] for turn in turns if turn["role"] == "user")
            if turns:
                prompts.add(turns)
    return prompts


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = (write_release(tmp_path / side, scale=0.05) for side in "ab")
    other = write_release(tmp_path / "c", scale=0.05, seed=2)
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(two) for path in two.rglob("*") if path.is_file())
    assert all((one / file).read_bytes() == (two / file).read_bytes() for file in files)
    assert (other / "corpus/encyclopedia.jsonl").read_bytes() != (one / "corpus/encyclopedia.jsonl").read_bytes()


def test_every_file_is_readable_and_the_corpus_has_its_size(release: Path) -> None:
    corpus = release / "corpus"
    kinds = {"".join(path.suffixes) for path in corpus.iterdir()}
    assert kinds == {".jsonl", ".jsonl.gz", ".jsonl.zst", ".jsonl.xz", ".parquet", ".txt", ".md"}
    with pytest.raises(UnicodeDecodeError):
        (corpus / "essay-00.txt").read_text(encoding="utf-8")
    size = sum(len(content(path).encode()) for path in corpus.iterdir())
    assert 1_500_000 < size < 2_500_000
    english = sum(len(text.encode()) for text in texts(release) if text.isascii())
    assert 0.04 < english / size < 0.12
    assert (release / "_READY").exists()


def test_dirt_is_there_as_counted(release: Path) -> None:
    lines, _, counts = corpus_files(1, 1.0)
    assert set(counts) == set(SHARES)
    assert min(counts.values()) >= len(lines)
    written = texts(release)
    assert sum(not text for text in written) == counts["missing_text"] + counts["empty_text"]
    assert sum(unicodedata.normalize("NFC", text) != text for text in written) >= counts["nfd"]
    assert sum("ㅋㅋㅋㅋㅋ" in text or "ㅎㅎㅎㅎㅎ" in text for text in written) >= counts["laughter"]
    assert len(written) - len(set(written)) >= counts["exact_duplicate"]
    broken = 0
    for file in lines:
        for line in content(release / "corpus" / file).splitlines():
            try:
                json.loads(line)
            except json.JSONDecodeError:
                broken += 1
    assert broken == counts["broken_line"]


def test_clean_text_has_no_slot_left_and_no_wrong_particle() -> None:
    _, whole, _ = corpus_files(3, 0.1)
    clean: list[SampleDocument] = [one for documents in whole.values() for one in documents]
    assert clean
    for one in clean:
        assert "{" not in one.text and "[" not in one.text, one.text


def test_benchmarks_are_unseen_in_any_seed(release: Path, tmp_path: Path) -> None:
    other = write_release(tmp_path, "other", seed=2, scale=0.3)
    trained = prompts(release / "instructions") | prompts(release / "preferences")
    trained |= prompts(other / "instructions") | prompts(other / "preferences")
    benchmark_prompts = prompts(release / "benchmarks")
    assert len(benchmark_prompts) > 500
    assert not trained & benchmark_prompts
    assert sum(map(is_held_out, trained)) <= 4  # the faulty rows are the only ones that no rule placed
    assert not benchmark_prompts & set(texts(release) + texts(other))


def test_decontamination_takes_next_to_nothing_away(release: Path) -> None:
    suites = [row for path in (release / "benchmarks").glob("*.jsonl") for row in rows(path)]
    held_out = set().union(*(pieces(row.get("text", row.get("question", ""))) for row in suites))
    corpus = texts(release)
    assert sum(not held_out.isdisjoint(pieces(text)) for text in corpus) < len(corpus) / 100


def test_held_out_sentences_are_no_training_sentences() -> None:
    for name, rules in domains().items():
        assert not set(rules["held_out"]) & set(rules["sentences"]), name


def test_suites_are_complete_and_well_formed(release: Path) -> None:
    suites = {path.stem: rows(path) for path in (release / "benchmarks").iterdir()}
    assert len(suites["instruct"]) >= 200 and len(suites["preference"]) >= 120 and len(suites["cloze"]) == 160
    for item in suites["instruct"]:
        assert item["answer"] in item.get("choices", [item["answer"]])
    assert len({item["task"] for item in suites["instruct"]}) >= 10
    for item in suites["cloze"]:
        assert 0 <= item["answer"] < len(item["choices"]) == len(set(item["choices"])) == 4
        assert is_held_out(f"{item['question']} {item['choices'][item['answer']]}")
    for name in ("text_ko_encyclopedia", "text_ko_life", "text_ko_notice", "text_en"):
        assert 20_000 < sum(len(item["text"].encode()) for item in suites[name]) < 45_000


def test_training_items_have_their_numbers(release: Path) -> None:
    instructions = rows(release / "instructions/alpaca.jsonl") + rows(release / "instructions/chats.jsonl")
    pairs = rows(release / "preferences/plain.jsonl") + rows(release / "preferences/chats.jsonl")
    assert 1_500 <= len(instructions) <= 2_500
    assert 600 <= len(pairs) <= 1_000


def test_parts_can_be_left_out_and_mistakes_are_named(tmp_path: Path) -> None:
    small = write_release(tmp_path, "2026-02", seed=2, scale=0.05, parts=("corpus",))
    assert sorted(path.name for path in small.iterdir()) == ["_READY", "corpus"]
    with pytest.raises(BadRequest, match="exists already"):
        write_release(tmp_path, "2026-02")
    with pytest.raises(BadRequest, match=", ".join(PARTS)):
        write_release(tmp_path, "x", parts=("korpus",))
    with pytest.raises(BadRequest, match="above 0"):
        write_release(tmp_path, "x", scale=0)
