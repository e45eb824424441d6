"""A corpus over several pods: the Job that the launcher renders is what the pods' own program understands."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from dagster import AssetKey, DagsterInstance, MetadataValue

from korean_llm_assets.commands import demo
from korean_llm_assets.compute.cluster.job_spec import render_service
from korean_llm_assets.compute.cluster.kubeflow import render
from korean_llm_assets.compute.preflight import check_fit
from korean_llm_assets.compute.profiles import load_profile
from korean_llm_assets.home import Home
from tests.support.ray_nodes import ray_nodes
from trainers.contract import STAGES, ExitCode, Manifest, Needs, StageRequest
from trainers.contract.artifacts import ArtifactStore
from trainers.corpus import nodes

_KUBERNETES = "1.32"
_CORPUS_OF_THE_SAMPLE = f"""
from dagster import AssetKey, DagsterInstance
from korean_llm_assets.home import Home
Home.from_environment().prepare()
from korean_llm_assets.definitions import defs
with DagsterInstance.get() as instance:
    instance.add_dynamic_partitions("release", ["{demo.RELEASE}"])
    defs.resolve_job_def("data").execute_in_process(
        instance=instance,
        partition_key="{demo.RELEASE}",
        asset_selection=[AssetKey("benchmarks"), AssetKey("corpus")],
    )
"""
"""What the demo does first, of which only the corpus and what it needs."""


def _corpus_on(nodes: int) -> tuple[StageRequest, Needs]:
    request = StageRequest(stage="corpus", stage_version=STAGES["corpus"].version, release="2024-01")
    return request, Needs(nodes=nodes, cpu=2, memory="4Gi")


def test_a_corpus_on_several_nodes_is_one_job_led_by_its_first_pod():
    (request, needs), profile = _corpus_on(3), load_profile("cpu")
    check_fit(request, needs, profile)
    job = render(request, needs, profile, "run-1")
    spec, pod, name = job["spec"], job["spec"]["template"]["spec"], job["metadata"]["name"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    assert spec["successPolicy"] == {"rules": [{"succeededIndexes": "0"}]}
    assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"]) == (3, 0)
    (final,) = (rule for rule in spec["podFailurePolicy"]["rules"] if rule["action"] == "FailJob")
    assert final["onExitCodes"]["values"] == [int(code) for code in ExitCode if code]
    command = pod["containers"][0]["command"]
    options, stage = nodes.parser().parse_args(command[3:]), command[command.index("corpus") :]
    assert command[:3] == ["python", "-m", nodes.__name__] and options.head == f"{name}-0.{name}"
    assert (options.cpu, options.memory, options.stage) == (2, 4 << 30, stage)
    assert options.token.parent == Path(stage[stage.index("--request") + 1]).parent
    assert pod["securityContext"]["runAsUser"] == 1000
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    service = render_service(request, needs, profile, {**job, "metadata": {**job["metadata"], "uid": "u"}})
    assert service is not None and service["metadata"]["name"] == pod["subdomain"]
    kubernetes_validate.validate(job, _KUBERNETES, strict=True)


def test_a_corpus_on_a_ray_cluster_that_exists_is_one_pod_with_its_address():
    request, needs = _corpus_on(3)
    profile = load_profile("cpu").model_copy(update={"ray_address": "ray-head.ray:6379"})
    job = render(request, needs, profile, "run-1")
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert "completionMode" not in job["spec"] and container["command"][:3] == ["python", "-m", "trainers"]
    assert {"name": nodes.ADDRESS, "value": "ray-head.ray:6379"} in container["env"]
    assert render_service(request, needs, profile, {**job, "metadata": {**job["metadata"], "uid": "u"}}) is None


def _corpus_of_the_sample(root: Path, **settings: str) -> tuple[Manifest, dict[str, MetadataValue[Any]]]:
    """The platform's own, on a home of its own, with the packaged recipe; and what the UI shows of it."""
    home = Home(root)
    environment = {**os.environ, **home.environment(), **settings}
    for command in (
        ["-m", "trainers.sample", str(home.landing), "--name", demo.RELEASE],
        ["-c", _CORPUS_OF_THE_SAMPLE],
    ):
        done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    (manifest,) = (each for each in ArtifactStore(home.artifacts).manifests() if each.request.stage == "corpus")
    with DagsterInstance.from_config(str(home.dagster)) as instance:
        event = instance.get_latest_materialization_event(AssetKey("corpus"))
        assert event is not None and event.asset_materialization is not None
        return manifest, dict(event.asset_materialization.metadata)


@pytest.mark.prove
def test_three_nodes_of_ray_in_the_demos_place_make_the_demos_corpus(tmp_path):
    alone, _ = _corpus_of_the_sample(tmp_path / "alone")
    page = "http://ray.example:8265"
    with ray_nodes(3, tmp_path, memory=4 << 30):
        spread, shown = _corpus_of_the_sample(tmp_path / "spread", RAY_OVERRIDE_DASHBOARD_URL=page)
    assert (shown["engine"].value, shown["Ray dashboard"].value) == ("ray", page)
    assert (alone.details.work.engine, spread.details.work.engine) == ("process", "ray")
    assert spread.details.work.nodes > 1
    assert spread.request_digest == alone.request_digest
    assert spread.digest == alone.digest and spread.files == alone.files
