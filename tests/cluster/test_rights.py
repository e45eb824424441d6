"""What each launch mode asks of the API server, seen at work, against what the check asks for and the chart's Role."""

from pathlib import Path

import pytest

from korean_llm_assets.compute.cluster.cluster_check import required_permissions
from tests.cluster.conftest import ClusterUnderTest, Deployment
from tests.korean_llm_assets.conftest import WHOLE, drop
from tests.support.charts import find, ours
from trainers.contract import Needs

pytestmark = pytest.mark.slow
Right = tuple[str, str, str]
_OF_SECRETS = ("get", "", "secrets")
"""By name, which a Permission has not."""


def _granted() -> set[Right]:
    return {
        (verb, group, resource)
        for rule in find(ours(), "Role", "korean-llm-launcher")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("launch", ["k8s_job_op", pytest.param("durable", marks=pytest.mark.prove)])
def test_a_launch_asks_for_what_is_checked_and_granted_and_for_nothing_else(
    cluster: ClusterUnderTest, deploy, launch: str
):
    """A whole run: four Jobs, their pods and logs looked at."""
    profile = cluster.profile({"steps": 1, "step_seconds": 0.0}, launch=launch)
    deployment: Deployment = deploy(profile)
    drop(Path(deployment.environment["KOREAN_LLM_LANDING"]), "r1", WHOLE)
    cluster.proxy.calls.clear()
    deployment.worker("data", "r1", "00000000-0000-0000-0000-000000000001").wait(240)
    calls = cluster.proxy.calls - {("create", "authorization.k8s.io", "selfsubjectaccessreviews")}
    required = {(each.verb, each.group, each.resource) for each in required_permissions(profile, Needs())}
    assert ("create", "batch", "jobs") in calls
    assert calls - {_OF_SECRETS} <= required, "asked for, and not checked before the launch"
    assert required <= _granted(), "checked, and not in the chart's Role"
    without_trouble = {("delete", "batch", "jobs"), ("patch", "batch", "jobs"), ("list", "", "events")}
    without_trouble |= {("get", "", "persistentvolumeclaims")}  # the store here is a folder of the node
    assert required - calls <= without_trouble, "checked, and never asked for"


def test_the_role_grants_nothing_that_no_mode_asks_for():
    from korean_llm_assets.compute.profiles import load_profile, profile_paths

    wanted = {
        (each.verb, each.group, each.resource)
        for profile in map(load_profile, profile_paths())
        for needs in (Needs(), Needs(gpus=16, nodes=2))
        for each in required_permissions(profile, needs)
    }
    assert _granted() == wanted | {_OF_SECRETS}
