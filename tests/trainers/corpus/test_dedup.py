"""Deduplication: by known duplicates in real text, against the exact similarity, and over releases."""

import json
import lzma
import shutil
from random import Random

import numpy as np
import pytest

from tests.bench.truth import read_truth, score
from tests.support.corpus_landing import data_request, read_jsonl, run_data_stage, write_jsonl
from tests.trainers.corpus.test_stage import everything, rows
from trainers.contract import DEDUP_INDEX, Artifact, Input
from trainers.contract.artifacts import ArtifactStore
from trainers.runner.stage import run_stage
from trainers.text.characters import Texts
from trainers.text.minhash import BANDS, HASHES, joined, signatures


def near(texts, threshold=0.6):
    hashes, keys = signatures(Texts.of(texts))
    orders = [np.argsort(keys[:, band], kind="stable") for band in range(BANDS)]
    return joined(hashes, ((keys[order, band], order) for band, order in enumerate(orders)), threshold).tolist()


def test_equal_hashes_estimate_the_jaccard_similarity():
    random = Random(1)
    words = [f"낱말{n}" for n in range(3000)]
    for share in (0.0, 0.3, 0.6, 0.9):
        left = [random.choice(words) for _ in range(2000)]
        right = [word if random.random() < share ** (1 / 5) else random.choice(words) for word in left]
        shingles = [{tuple(text[i : i + 5]) for i in range(len(text) - 4)} for text in (left, right)]
        jaccard = len(shingles[0] & shingles[1]) / len(shingles[0] | shingles[1])
        hashes, _ = signatures(Texts.of([" ".join(left), " ".join(right)]))
        assert abs((hashes[0] == hashes[1]).mean() - jaccard) < 4 * 0.5 / HASHES**0.5


def test_case_punctuation_and_spaces_do_not_matter():
    text = "오늘은 날씨가 맑아서 강가를 오래 걸었고 Seoul 지도를 보며 집에 돌아왔습니다"
    longer = f'"{text.upper()}".'
    assert near([text, longer, "전혀 다른 글입니다 여기에는 같은 말이 하나도 없지요"]) == [0, 0, 2]
    assert near(["짧은 글", "짧은 글!", "다른 글", ""]) == [0, 0, 2, 3]


def test_big_groups_of_candidates_collapse_too():
    text = " ".join(f"낱말{n}" for n in range(300))
    texts = [f"{text} 끝{n}" for n in range(50)]
    assert set(near(texts)) == {0}


def edited(row, name):
    words = row["text"].split()
    return {**row, "id": name, "text": " ".join([*words[:-1], "바뀌었습니다."])}


def test_near_duplicates_and_whom_they_point_to(tmp_path):
    documents = rows()
    copies = [edited(documents[0], "near"), {**documents[0], "id": "same"}]
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", [*documents, *copies])
    manifest, folder = run_data_stage("corpus", tmp_path)
    assert manifest.details.excluded == {"exact_duplicate": 1, "near_duplicate": 1}
    kept = {row["id"] for row in everything(folder)}
    for row in read_jsonl(folder / "exclusions.jsonl.zst"):
        assert row["duplicate_of"] in kept
    _, other = run_data_stage("corpus", tmp_path, near_dedup={"enabled": False}, exact_dedup=False)
    assert len(everything(other)) == 62


def test_a_later_release_takes_nothing_that_an_earlier_one_has(tmp_path):
    first = rows(80)
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", first[:60])
    old, _ = run_data_stage("corpus", tmp_path)
    fresh = first[60:]
    repeats = [{**first[0], "id": "again"}, edited(first[1], "nearly"), {**first[0], "id": "again2"}]
    write_jsonl(tmp_path / "landing/r2/corpus/b.jsonl", [*fresh, *repeats])
    artifact = Artifact.of(old)
    earlier = Input(name="earlier_r1", digest=artifact.digest, path=artifact.path, only=(DEDUP_INDEX,))
    next((tmp_path / "artifacts" / artifact.path / "train").iterdir()).unlink()  # not looked at
    request = data_request("corpus", tmp_path / "landing", release="r2")
    request = request.model_copy(update={"inputs": (*request.inputs, earlier)})
    store = ArtifactStore(tmp_path / "artifacts")
    manifest = run_stage(request, store, tmp_path / "landing")
    excluded = {row["id"]: row for row in read_jsonl(store.folder(request) / "exclusions.jsonl.zst")}
    assert {name: (row["reason"], row["duplicate_of"], row["detail"]) for name, row in excluded.items()} == {
        "again": ("exact_duplicate", "d000", "in release r1"),
        "again2": ("exact_duplicate", "d000", "in release r1"),
        "nearly": ("near_duplicate", "d001", "in release r1"),
    }
    assert manifest.details.kept == 20
    assert manifest.details.earlier == {"r1": 3}


@pytest.mark.realdata
@pytest.mark.parametrize(("kinds", "recall", "precision"), [(("exact",), 1.0, 1.0), (("exact", "near"), 0.985, 0.995)])
def test_known_duplicates_in_20_mb_of_real_text(testdata, tmp_path, kinds, recall, precision):
    bench = testdata / "bench"
    source = tmp_path / "landing/r1/corpus/a.jsonl.xz"
    source.parent.mkdir(parents=True)
    shutil.copyfile(bench / "bench_20mb.jsonl.xz", source)
    ids = [json.loads(line)["id"] for line in lzma.decompress(source.read_bytes()).splitlines()]
    _, folder = run_data_stage("corpus", tmp_path, near_dedup={"enabled": "near" in kinds})
    excluded = read_jsonl(folder / "exclusions.jsonl.zst")
    duplicates = {row["id"] for row in excluded if row["reason"].endswith("duplicate")}
    filtered = {row["id"] for row in excluded} - duplicates
    truth = [row for row in read_truth(bench / "bench_20mb_truth.jsonl") if not {row["id"], row["base"]} & filtered]
    ids = [name for name in ids if name not in filtered]
    result = score(truth, ids, duplicates, bench / "bench_residual.jsonl", kinds)
    assert result.recall >= recall and result.precision >= precision
    assert result.nfd_missed == 0
