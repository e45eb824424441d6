"""Real trainers through Jobs: the packaged sample becomes an evaluated, registered model, every stage a Job.

The recipe is `tiny` with a few steps and no gate; KOREAN_LLM_TEST_FULL_TINY=1 takes the packaged one, gate and all.
"""

import subprocess
import sys
import time
import uuid
from collections.abc import Callable

import pytest

from korean_llm_assets.compute.cluster import naming
from korean_llm_assets.home import Home
from tests.cluster.conftest import ClusterUnderTest, Deployment
from tests.support.served import IN_FEW_STEPS, own_recipes
from trainers.contract import STAGES, Manifest, settings

pytestmark = [pytest.mark.slow, pytest.mark.prove, pytest.mark.timeout(2400)]


def test_tiny_is_really_trained_through_jobs(
    cluster: ClusterUnderTest,
    deploy: Callable[..., Deployment],
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
):
    if not settings.TEST_FULL_TINY.get():
        monkeypatch.setenv("KOREAN_LLM_RECIPES", str(own_recipes(Home(cluster.folder), tiny=IN_FEW_STEPS)))
    profile = cluster.profile()
    deployment = deploy(profile.model_copy(update={"command": (profile.command[0], "-m", "trainers")}))
    landing = deployment.environment["KOREAN_LLM_LANDING"]
    command = [sys.executable, "-m", "trainers.sample", landing, "--name", "sample"]
    subprocess.run(command, env=deployment.environment, check=True)
    started = time.monotonic()
    for job, partition in (("data", "sample"), ("base", "tiny"), ("training", "tiny|sample")):
        run_id = str(uuid.uuid4())
        assert deployment.worker(job, partition, run_id).wait(1500) == 0, deployment.log(run_id)[-3000:]
    record_property("seconds", round(time.monotonic() - started))
    jobs = cluster.batch.list_namespaced_job(cluster.namespace).items
    assert sorted(job.metadata.labels[naming.ASSET] for job in jobs) == sorted(stage.asset for stage in STAGES.values())
    manifests = {stage.asset: _manifest(cluster, stage.asset) for stage in STAGES.values()}
    assert all(len(manifest.attempts) == 1 for manifest in manifests.values())
    for asset in ("cpt_checkpoint", "sft_model", "rlhf_model"):
        assert "model/model.safetensors" in {file.path for file in manifests[asset].files}
    assert {"report.html", "report.md"} <= {file.path for file in manifests["eval_report"].files}


def _manifest(cluster: ClusterUnderTest, asset: str) -> Manifest:
    (path,) = (cluster.folder / "artifacts" / asset).rglob("manifest.json")
    return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
