"""From nothing to a champion that answers, by the steps of dagster_deploy/README.md, on a real cluster that has Kueue.

KOREAN_LLM_TEST_FACTS names the installation's facts: images that the nodes have, a store, a database's volume. Our
chart, MLflow and Dagster are installed by Helm's library (KOREAN_LLM_CHARTS) and preflighted; the sample is dropped,
and the automation makes everything of it, each stage a Job in Kueue's queue.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml
from kubernetes.client import ApiClient, BatchV1Api

from korean_llm_assets.compute.cluster import naming
from tests.support import charts
from tests.support.installed import PLATFORM, TRAINING
from tests.support.served import IN_FEW_STEPS
from tests.support.whole_installation import whole_installation
from trainers.contract import STAGES, settings
from trainers.contract.recipe.loading import recipe_folders

pytestmark = [pytest.mark.cluster, pytest.mark.prove, pytest.mark.timeout(5400)]
_CODE = "deploy/dagster-dagster-user-deployments-korean-llm"
_MODEL, _RELEASE = "tiny", "sample"
_SECONDS = 3600
"""For the whole chain in few steps."""


def _in_few_steps() -> dict[str, str]:
    """The recipes of the data and of `tiny`, small enough for any node, as the facts hold a user's own."""
    needs = {"cpu": 0.5, "memory": "3Gi"}
    texts = {}
    for name, changes in ((_MODEL, IN_FEW_STEPS), ("corpus", {})):
        recipe: dict[str, Any] = yaml.safe_load((recipe_folders()[0] / f"{name}.yaml").read_text(encoding="utf-8"))
        for section, values in recipe.items():
            if isinstance(values, dict) and "needs" in values:
                recipe[section] = {**values, **changes.get(section, {}), "needs": needs}
        texts[name] = yaml.safe_dump(recipe, allow_unicode=True)
    return texts


@pytest.fixture
def admin(_upstream: tuple[Any, ApiClient]) -> Iterator[ApiClient]:
    """The cluster's administrator."""
    double, client = _upstream
    if double is not None or settings.TEST_FACTS.get() is None:
        pytest.skip(f"needs a real cluster (KUBECONFIG) and the facts of an installation ({settings.TEST_FACTS.name})")
    yield client


def _kubectl(*words: str) -> str:
    done = subprocess.run(["kubectl", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def _in_the_code_location(*command: str) -> str:
    return _kubectl("--namespace", "llm-platform", "exec", _CODE, "--", *command)


def _operate(*words: str) -> str:
    done = subprocess.run([str(charts.DEPLOY / "operate"), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_a_stranger_gets_from_nothing_to_a_champion(admin: ApiClient, capsys: pytest.CaptureFixture[str]):
    facts = charts.facts(Path(settings.TEST_FACTS.get() or ""), recipes=_in_few_steps())
    with whole_installation(admin, facts) as installed, capsys.disabled():
        print("", *installed, sep="\n")
        with helm_python.Config(namespace="default") as helm:
            helm.test("korean-llm", timeout=600)
        print(_kubectl("--namespace", PLATFORM, "logs", charts.INSTALL["PREFLIGHT"]))
        landing = "/mnt/korean-llm/landing"
        print(_in_the_code_location("python", "-m", "trainers.sample", landing, "--name", _RELEASE))
        seconds = _until_champion()
        print(_operate("status"), f"from the drop to the champion: {seconds:.0f} s", sep="\n")
        _each_stage_was_a_job_that_kueue_admitted(admin)


def _until_champion() -> float:
    """Wait until the exported model is there; fails at once where a run failed, with what it said."""
    started = time.monotonic()
    while time.monotonic() - started < _SECONDS:
        status = json.loads(_operate("status", "--json"))
        for line in status["runs"]:
            if " FAILURE " in line:
                pytest.fail(_operate("logs", line.split()[0])[-6000:])
        states = {(each["asset"], each["model"], each["release"]): each["state"] for each in status["states"]}
        if states.get((STAGES["export"].asset, _MODEL, _RELEASE)) == "made":
            return time.monotonic() - started
        time.sleep(15)
    pytest.fail(f"no champion after {_SECONDS} s:\n{_operate('status')}")


def _each_stage_was_a_job_that_kueue_admitted(admin: ApiClient) -> None:
    jobs = BatchV1Api(admin).list_namespaced_job(TRAINING, label_selector=f"{naming.MANAGED}={naming.MANAGER}").items
    assert sorted(job.metadata.labels[naming.ASSET] for job in jobs) == sorted(each.asset for each in STAGES.values())
    assert {job.metadata.labels["kueue.x-k8s.io/queue-name"] for job in jobs} == {"training"}
    for job in jobs:
        assert job.metadata.labels[naming.ATTEMPT] == "1", f"{job.metadata.name}: an attempt failed"
        assert any(each.type == "Complete" and each.status == "True" for each in job.status.conditions)
