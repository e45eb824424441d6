"""What is missing is said before a Job is created: permissions by verb, claims, Secrets, service accounts."""

import pytest

from korean_llm_assets.compute.cluster_check import check_cluster, required_permissions
from korean_llm_assets.compute.kube_api import Forbidden
from tests.cluster.conftest import ClusterUnderTest
from trainers.contract import Needs, ServiceMissing

pytestmark = pytest.mark.slow
_NEEDS = Needs(cpu=0.1, memory="256Mi")


def test_a_complete_namespace_passes(cluster: ClusterUnderTest):
    secret = {"metadata": {"name": "tracking"}, "stringData": {"KEY": "canary-never-show"}}
    cluster.core.create_namespaced_secret(cluster.namespace, secret)
    profile = cluster.profile(env_secrets=["tracking"])
    check_cluster(cluster.api(profile), profile, _NEEDS)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"env_secrets": ["tracking"]}, "no secret 'tracking'"),
        ({"image_pull_secrets": ["registry"]}, "no secret 'registry'"),
        ({"service_account": "nobody"}, "no serviceaccount 'nobody'"),
        (
            {"volumes": [{"name": "store", "mount_path": "/mnt/x", "claim": "gone"}]},
            "no persistentvolumeclaim 'gone'",
        ),
    ],
)
def test_what_is_missing_is_named(cluster: ClusterUnderTest, changes, words):
    profile = cluster.profile(**changes)
    with pytest.raises(ServiceMissing, match=f"{words}.*Nothing was launched"):
        check_cluster(cluster.api(profile), profile, _NEEDS)


def test_every_missing_verb_is_named(cluster: ClusterUnderTest):
    if cluster.double is None:
        pytest.skip("on a real cluster we are its administrator")
    profile = cluster.profile()
    for permission in required_permissions(profile, _NEEDS):
        cluster.double.cluster.forbidden = {(permission.verb, permission.resource)}
        with pytest.raises(Forbidden, match=f"{permission.verb} {permission.resource}.*rbac.yaml"):
            check_cluster(cluster.api(profile), profile, _NEEDS)


def test_a_refused_call_names_its_verb(cluster: ClusterUnderTest):
    if cluster.double is None:
        pytest.skip("on a real cluster we are its administrator")
    cluster.double.cluster.forbidden = {("create", "jobs")}
    request = cluster.request()
    with pytest.raises(Forbidden, match="not allowed to create jobs.batch in namespace"):
        cluster.launcher(cluster.profile()).run(request, request.needs)
    assert cluster.jobs(request) == []
