"""A person's command as a Job: its answer, its failure in words, no Job and no file left, and no orphan."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from korean_llm_assets.compute.cluster.command_job import ask_in_a_job, render_command
from korean_llm_assets.compute.cluster.orphans import find_orphans
from korean_llm_assets.compute.cluster.workloads import JOB
from korean_llm_assets.compute.profiles import ClusterProfile
from tests.cluster.conftest import ROOT, ClusterUnderTest, Deployment, until
from tests.korean_llm_assets.conftest import drop
from trainers.contract import ServiceMissing

pytestmark = pytest.mark.slow


def _profile(cluster: ClusterUnderTest) -> ClusterProfile:
    """With the real trainers."""
    profile = cluster.profile()
    return profile.model_copy(update={"command": (profile.command[0], "-m", "trainers")})


def _nothing_is_left(cluster: ClusterUnderTest) -> bool:
    return not cluster.batch.list_namespaced_job(cluster.namespace).items and not list(
        (cluster.folder / "artifacts" / ".commands").iterdir()
    )


def test_a_takedown_on_a_cluster_looks_into_texts_in_a_job(
    cluster: ClusterUnderTest, deploy: Callable[..., Deployment]
):
    """The command line in the code location's environment, where the trainers are not."""
    deployment = deploy(_profile(cluster))
    rows = [json.dumps({"id": f"doc-{number}", "text": f"{number} 번째 글입니다."}) for number in range(3)]
    drop(cluster.folder / "landing", "r1", {"corpus": "\n".join(rows)})
    ids = cluster.folder / "ids"
    ids.write_text("doc-1\nnobody-s\n")
    command = [sys.executable, "-m", "korean_llm_assets", "takedown", "--ids", str(ids)]
    environment = {**deployment.environment, "KOREAN_LLM_TAKEDOWN": str(cluster.folder / "takedown.txt")}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "landed: r1/corpus" in done.stdout and "in nothing that is kept here: nobody-s" in done.stdout
    assert "job/takedown-" in done.stderr, "who waits is told of what"
    until(lambda: _nothing_is_left(cluster))


def test_a_command_that_fails_says_why_and_leaves_nothing(cluster: ClusterUnderTest):
    profile = _profile(cluster)
    words = ["takedown", "--ids", "/nowhere/ids", "--artifacts", profile.artifacts_path]
    with pytest.raises(ServiceMissing, match="exit 64.*there is no such file"):
        ask_in_a_job(cluster.api(profile), profile, words, print)
    until(lambda: _nothing_is_left(cluster))


def test_it_is_nobodys_orphan_while_it_works(cluster: ClusterUnderTest, tmp_path: Path):
    body = render_command("takedown-1", ["takedown"], tmp_path / "out", _profile(cluster))
    stage = {**body, "metadata": {"name": "cpt-1", "labels": {}}}
    orphans = find_orphans(JOB, [body, stage], lambda run: None, 0.0)
    assert [each.body["metadata"]["name"] for each in orphans] == ["cpt-1"]
