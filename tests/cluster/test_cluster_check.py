"""What is missing is said before a Job is created: permissions by verb, claims, Secrets, service accounts."""

import kubernetes
import pytest

from korean_llm_assets.compute.cluster.cluster_check import check_cluster, required_permissions
from korean_llm_assets.compute.cluster.kube_api import Forbidden, KubeApi
from korean_llm_assets.compute.cluster.launcher import Launcher
from tests.cluster.conftest import ClusterUnderTest, until
from tests.support.charts import find, ours
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


def test_the_role_we_ship_is_enough_and_one_verb_less_is_not(cluster: ClusterUnderTest):
    """The shipped Role, bound to a service account of a real cluster, asked with that account's own token."""
    if cluster.double is not None:
        pytest.skip("the double does not know RBAC (KUBECONFIG)")
    role = find(ours(), "Role", "korean-llm-launcher")
    role["metadata"] = {"name": "korean-llm-launcher"}
    rbac = kubernetes.client.RbacAuthorizationV1Api(cluster.admin)
    rbac.create_namespaced_role(cluster.namespace, role)
    binding = {
        "metadata": {"name": "launcher"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role["metadata"]["name"]},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": cluster.namespace}],
    }
    rbac.create_namespaced_role_binding(cluster.namespace, binding)
    profile = cluster.profile()
    api = _as_default_account(cluster)
    until(lambda: api.may("create", "batch", "jobs"))
    check_cluster(api, profile, _NEEDS)
    request = cluster.request()
    Launcher(api, profile, cluster.store, "run", lambda line, warning: None, print).run(request, request.needs)
    role["rules"][0]["verbs"].remove("create")
    rbac.replace_namespaced_role(role["metadata"]["name"], cluster.namespace, role)
    until(lambda: not api.may("create", "batch", "jobs"))
    with pytest.raises(Forbidden, match=r"create jobs\.batch"):
        check_cluster(api, profile, _NEEDS)


def _as_default_account(cluster: ClusterUnderTest) -> KubeApi:
    token = cluster.core.create_namespaced_service_account_token("default", cluster.namespace, {"spec": {}})
    configuration = kubernetes.client.Configuration()
    configuration.host = cluster.admin.configuration.host
    configuration.ssl_ca_cert = cluster.admin.configuration.ssl_ca_cert
    configuration.retries = False
    configuration.api_key = {"authorization": f"Bearer {token.status.token}"}
    return KubeApi(kubernetes.client.ApiClient(configuration), cluster.namespace)
