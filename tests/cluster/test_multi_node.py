"""Stages over two nodes: an Indexed Job of two pods and a headless Service; training over gloo, a corpus on Ray."""

import shutil
from pathlib import Path

import pytest
import zstandard
from kubernetes.client import CoreV1Api

from korean_llm_assets.compute.cluster.launcher import AttemptsFailed
from korean_llm_assets.compute.profiles import ClusterProfile
from tests.cluster.conftest import ClusterUnderTest
from tests.support.corpus_landing import data_request
from tests.support.micro import Micro
from trainers.contract import Needs, StageRequest
from trainers.contract.artifacts import ArtifactStore
from trainers.runner.stage import run_stage

pytestmark = [pytest.mark.slow, pytest.mark.prove]
_NEEDS = Needs(gpus=2, nodes=2, cpu=0.5, memory="3Gi")


class _NoText(Micro):
    """A corpus of no documents: the leader finds out while it prepares the rows, the other node waits for it."""

    def _write_corpus(self, folder: Path) -> None:
        super()._write_corpus(folder)
        (folder / "train" / "00000.jsonl.zst").write_bytes(zstandard.compress(b""))


def _profile(cluster: ClusterUnderTest) -> ClusterProfile:
    if cluster.double is None and not _has_dns(cluster.core):
        pytest.skip("this cluster has no DNS: pods cannot find the first one by its name")
    python = cluster.profile().command[0]
    return cluster.profile(
        command=[python, "-m", "trainers"],
        launcher=[python, "-m", "trainers.torchrun", "-m", "trainers"],
        node_launcher=[python, "-m", "trainers.corpus.nodes"],
        env={**cluster.profile().env, "OMP_NUM_THREADS": "1"},
    )


def _has_dns(core: CoreV1Api) -> bool:
    return any(service.metadata.name == "kube-dns" for service in core.list_namespaced_service("kube-system").items)


def _request(cluster: ClusterUnderTest, data: type[Micro]) -> StageRequest:
    micro = data(cluster.folder)
    micro.run("base_model")
    return cluster.place(micro.request("cpt", max_steps=4).model_copy(update={"needs": _NEEDS}))


def test_two_pods_train_one_model(cluster: ClusterUnderTest):
    profile = _profile(cluster)
    request = _request(cluster, Micro)
    manifest = cluster.launcher(profile).run(request, request.needs)
    assert len(cluster.jobs(request)) == 1 and len(cluster.pods(request)) == 2
    log = "\n".join(cluster.log_lines)
    assert "rank 1 has followed to the end" in log and "stage cpt done" in log
    assert manifest.details.steps == 4 and len(manifest.attempts) == 1
    assert manifest.gpu_seconds.asked > 0


def test_bad_data_on_two_nodes_is_told_as_such_and_not_tried_again(cluster: ClusterUnderTest):
    profile = _profile(cluster)
    request = _request(cluster, _NoText)
    with pytest.raises(AttemptsFailed, match="(?s)exit 65: the data cannot be used.*holds no document") as caught:
        cluster.launcher(profile).run(request, request.needs)
    assert caught.value.ending.exit_code == 65
    assert len(cluster.jobs(request)) == 1


@pytest.mark.realdata
@pytest.mark.timeout(2400)
def test_two_pods_make_the_corpus_of_one_process(cluster: ClusterUnderTest, testdata: Path):
    if cluster.double is not None:
        pytest.skip("the double gives pods no names, by which they find the head (KUBECONFIG)")
    landing = cluster.folder / "landing"
    (landing / "r1" / "corpus").mkdir(parents=True)
    shutil.copy(testdata / "corpus" / "raw_ko.jsonl.gz", landing / "r1" / "corpus" / "a.jsonl.gz")
    request = data_request("corpus", landing)
    alone = run_stage(request, ArtifactStore(cluster.folder / "alone"), landing)
    needs = Needs(nodes=2, cpu=1, memory="3Gi")
    request = cluster.place(request.model_copy(update={"needs": needs}))
    manifest = cluster.launcher(_profile(cluster)).run(request, needs)
    # The second pod is no longer listed: a Job whose index 0 has succeeded ends the others.
    assert len(cluster.jobs(request)) == 1 and any(
        "running" in word and "(2 pods)" in word for word in cluster.messages
    )
    assert manifest.digest == alone.digest
    assert (manifest.details.work.engine, manifest.details.work.nodes) == ("ray", 2)
