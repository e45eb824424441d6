"""The proof on 200 MB of real text: known duplicates, growth with size, memory (`make prove`)."""

import json
import time

import pytest
import zstandard

from tests.bench.peers import Quiet, chain_section
from tests.bench.truth import read_truth, score
from tests.support.corpus_landing import read_jsonl
from trainers.contract import Needs
from trainers.contract.recipe.data import CorpusSection
from trainers.corpus.chain import build
from trainers.corpus.plan import CorpusPlan
from trainers.text.read import files_below

pytestmark = [pytest.mark.prove, pytest.mark.realdata]


@pytest.fixture(scope="module")
def big(testdata, tmp_path_factory):
    path = tmp_path_factory.mktemp("big") / "bench.jsonl"
    packed = (testdata / "bench" / "bench_200mb.jsonl.zst").read_bytes()
    path.write_bytes(zstandard.ZstdDecompressor().stream_reader(packed).read())
    return path


def part(big, size):
    path = big.with_name(f"{size}.jsonl")
    data = big.open("rb").read(size)
    path.write_bytes(data[: data.rfind(b"\n") + 1])
    return path


def run(path, folder, section, workers=1):
    (folder / "out").mkdir(parents=True)
    return build(CorpusPlan(section, files_below(path)), folder, folder / "out", Quiet(), Needs(cpu=workers))


@pytest.mark.parametrize(("near", "recall", "precision"), [(False, 1.0, 1.0), (True, 0.985, 0.995)])
def test_known_duplicates(big, testdata, tmp_path, near, recall, precision):
    section = chain_section()
    section = section.model_copy(update={"near_dedup": section.near_dedup.model_copy(update={"enabled": near})})
    run(big, tmp_path, section, workers=2)
    removed = {row["id"] for row in read_jsonl(tmp_path / "out" / "exclusions.jsonl.zst")}
    ids = [json.loads(line)["id"] for line in big.open(encoding="utf-8")]
    bench = testdata / "bench"
    kinds = ("exact", "near") if near else ("exact",)
    truth = read_truth(bench / "bench_200mb_truth.jsonl.gz")
    result = score(truth, ids, removed, bench / "bench_residual.jsonl", kinds)
    print(result)
    assert result.recall >= recall and result.precision >= precision
    assert result.nfd_missed == 0


def test_time_grows_with_size_and_memory_does_not(big, tmp_path):
    cost, peaks = [], []
    for size in (20_000_000, 80_000_000, big.stat().st_size):
        path = part(big, size)
        began = time.process_time()
        corpus = run(path, tmp_path / str(size), CorpusSection())
        cost.append((time.process_time() - began) / path.stat().st_size * 1e6)
        pooled = run(path, tmp_path / f"{size}-pool", CorpusSection(), workers=2)
        assert pooled.metrics == corpus.metrics
        peaks.append(pooled.timings["peak_bytes"] / 1e6)
    print("seconds per MB", cost, "peak MB of a worker", peaks)
    assert max(cost) <= 1.15 * cost[0]
    assert max(peaks) < 600 and max(peaks) <= 1.3 * peaks[0]
