"""A corpus over several pods: an Indexed Job that cleans slices, then the Job that joins; real cleaning, one digest."""

import re

import pytest
from kubernetes.client import V1Job

from korean_llm_assets.compute.cluster import naming
from korean_llm_assets.compute.profiles import ClusterProfile
from tests.cluster.conftest import ClusterUnderTest
from tests.support.corpus_landing import data_request, write_jsonl
from tests.trainers.corpus.test_stage import rows
from trainers.contract import Needs, StageRequest
from trainers.contract.artifacts import ArtifactStore
from trainers.runner.stage import run_stage

_NEEDS = Needs(nodes=2, cpu=0.5, memory="1Gi")


@pytest.fixture
def corpus(cluster: ClusterUnderTest) -> StageRequest:
    """A release of two blocks, placed."""
    many = rows(2200)
    longer = [{**row, "text": " ".join(row["text"] for row in many[at : at + 12])} for at, row in enumerate(many)]
    write_jsonl(cluster.folder / "landing/r1/corpus/a.jsonl", longer)
    request = data_request("corpus", cluster.folder / "landing")
    return cluster.place(request.model_copy(update={"needs": _NEEDS}))


def _profile(cluster: ClusterUnderTest) -> ClusterProfile:
    python = cluster.profile().command[0]

    return cluster.profile(command=[python, "-m", "trainers"])


def _slices(cluster: ClusterUnderTest, request: StageRequest) -> list[V1Job]:
    selector = naming.selector(request, naming.SLICES)
    return list(cluster.batch.list_namespaced_job(cluster.namespace, label_selector=selector).items)


@pytest.mark.slow
def test_slices_then_a_join_make_what_one_process_makes(cluster: ClusterUnderTest, corpus: StageRequest) -> None:
    manifest = cluster.launcher(_profile(cluster)).run(corpus, corpus.needs)
    (slices,), (joining,) = _slices(cluster, corpus), cluster.jobs(corpus)
    assert (slices.spec.completion_mode, slices.spec.completions) == ("Indexed", 2)
    assert joining.spec.completion_mode != "Indexed"
    annotations = [job.metadata.annotations[naming.DIGEST] for job in (slices, joining)]
    assert annotations == [corpus.digest] * 2
    log = "\n".join(cluster.log_lines)
    done = {int(index): int(blocks) for index, blocks in re.findall(r"slice (\d) of 2 done: (\d+) blocks", log)}
    assert set(done) == {0, 1} and all(done.values())
    assert log.count("[corpus] cleaned") == 0  # the join found every block
    alone = ArtifactStore(cluster.folder / "alone")
    assert run_stage(corpus, alone, cluster.folder / "landing").digest == manifest.digest
