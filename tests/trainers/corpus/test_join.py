"""Joining: the cut into parts and cells changes nothing, content decides who stays, and the driver holds little."""

import os
import resource
import tracemalloc

import numpy as np
import pytest

from tests.support.corpus_landing import data_request, read_jsonl, run_data_stage, write_jsonl
from tests.trainers.corpus.test_stage import everything, rows
from trainers.contract import Needs
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.recipe.data import CorpusSection
from trainers.corpus.blocks import META
from trainers.corpus.join import decide
from trainers.corpus.near import known
from trainers.corpus.parts import NOWHERE, Parts, parts_of
from trainers.corpus.tasks import Context
from trainers.runner.stage import run_stage
from trainers.text import read, unpack


def nearly(row, name, word):
    """A near duplicate of a row."""
    words = row["text"].split()
    return {**row, "id": name, "text": " ".join([*words[:-1], word])}


def drop(count=150):
    """Rows, a chain of near duplicates of each third, and exact copies."""
    first = rows(count)
    near = [nearly(row, f"n{n}", "길게바뀌었습니다.") for n, row in enumerate(first[::3])]
    return [*first, *near, *({**row, "id": f"x{n}"} for n, row in enumerate(first[::10]))]


def manifest_of(home, name, **needs):
    request = data_request("corpus", home / "landing", shard_megabytes=0.01, validation_share=0.1)
    request = request.model_copy(update={"needs": Needs(**needs)})
    return run_stage(request, ArtifactStore(home / name), home / "landing")


def test_little_memory_means_more_tasks_and_the_same_bytes(tmp_path, monkeypatch):
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", drop())
    whole = manifest_of(tmp_path, "whole", memory="4Gi")
    monkeypatch.setattr("trainers.contract.artifacts.ArtifactStore.discard_partial", lambda self, request: None)
    cut = manifest_of(tmp_path, "cut", memory="64Ki")
    (work,) = (tmp_path / "cut").glob("corpus/r1/*.partial/scratch/work")
    assert len([*work.glob("parts-*/0*")]) == 16 and len([*work.glob("near-*/edges-*")]) > 2
    assert cut.digest == whole.digest and cut.files == whole.files


def test_a_large_corpus_is_cut_as_memory_asks_and_no_finer_than_nodes_need(tmp_path):
    def parts(documents, memory):
        context = Context(CorpusSection(), 4096, (), (), tmp_path, tmp_path, memory, "")
        return parts_of(context, documents).count

    assert [parts(documents, 1 << 30) for documents in (1000, 100_000, 1_000_000_000)] == [1, 8, 1024]
    assert parts(1_000_000_000, 1 << 28) == 4096 and parts(1_000_000, 1 << 40) == 64


def test_more_blocks_and_parts_than_a_process_may_have_files_open(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "BLOCK_BYTES", 400)
    monkeypatch.setattr(unpack, "CHUNK", 100)
    monkeypatch.setattr("trainers.corpus.parts._DOCUMENTS_WORTH_A_TASK", 16)
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", drop())
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    manifest_of(tmp_path, "warm")  # opens the log's and the libraries' files
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, most))
    try:
        few = manifest_of(tmp_path, "few")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))
    assert few.details.work.seconds


def test_the_longest_of_a_cluster_stays_and_then_the_first_by_id_wherever_they_come_from(tmp_path, monkeypatch):
    (row,) = rows(1)
    longest = [nearly(row, name, "아주길게바뀌었습니다.") for name in ("b", "a")]
    longest[1]["text"] = longest[1]["text"].replace(".", "!")
    others = [nearly(row, f"s{n}", word) for n, word in enumerate(("봄.", "여름."))]
    monkeypatch.setattr(read, "BLOCK_BYTES", 300)
    monkeypatch.setattr(unpack, "CHUNK", 100)
    for number, documents in enumerate(([*longest, *others], [*others, *reversed(longest)])):
        write_jsonl(tmp_path / f"{number}/landing/r1/corpus/a.jsonl", [*documents, *rows(4)[1:]])
        manifest, folder = run_data_stage("corpus", tmp_path / str(number))
        assert {row["id"] for row in everything(folder)} == {"a", "d001", "d002", "d003"}
        assert {row["duplicate_of"] for row in read_jsonl(folder / "exclusions.jsonl.zst")} == {"a"}
        assert manifest.details.cluster_size == {"4": 1}


def test_what_an_earlier_release_has_is_told_by_the_oldest_release_and_the_lowest_band(tmp_path):
    kind = np.dtype([("number", "i8"), ("release", "i2"), ("band", "u1"), ("twin", "u4")])
    matches = [(2, 1, 0, 7), (2, 0, 9, 5), (2, 0, 3, 6), (4, 1, 1, 1)]
    parts = made_parts(tmp_path, 6)
    for order in (matches, matches[::-1]):
        paths = [tmp_path / f"{n}.npy" for n in range(len(order))]
        for path, row in zip(paths, order, strict=True):
            np.save(path, np.array([row], kind))
        release, twin = known(parts, paths)
        assert release.tolist() == [NOWHERE, NOWHERE, 0, NOWHERE, 1, NOWHERE]
        assert (twin[2], twin[4]) == (6, 1)


def made_parts(folder, documents, count=2):
    """Parts of documents that are all different."""
    parts = Parts(folder / "parts", count)
    each = documents // count
    for number in range(count):
        place = parts.place(number)
        place.mkdir(parents=True)
        meta = np.zeros(each, META)
        meta["high"] = meta["low"] = np.arange(number * each, (number + 1) * each)
        meta["row"] = 1000
        np.save(place / "meta.npy", meta)
        np.save(place / "exact.npy", np.arange(each, dtype=np.uint32))
        np.save(place / "release.npy", np.full(each, NOWHERE, np.int16))
        np.save(place / "twin.npy", np.zeros(each, np.uint32))
    return parts


@pytest.mark.parametrize("clustered", (0.0, 0.5))
def test_the_driver_holds_at_most_64_bytes_a_document(tmp_path, clustered):
    documents = 400_000
    parts = made_parts(tmp_path, documents, 16)
    pairs = np.arange(int(documents * clustered) // 2 * 2, dtype=np.int64).reshape(-1, 2)
    edges = [tmp_path / f"edges{n}.npy" for n in range(8)]
    for path, some in zip(edges, np.array_split(pairs, 8), strict=True):
        np.save(path, some)
    decide(CorpusSection(), parts, edges, known(parts, []), [])  # compiled
    tracemalloc.start()
    decided = decide(CorpusSection(), parts, edges, known(parts, []), [])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert int(decided.is_kept(slice(None)).sum()) == documents - len(pairs)
    assert peak / documents <= 64
