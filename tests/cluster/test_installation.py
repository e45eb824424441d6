"""The preflight in a cluster: each thing that a first run would stumble over is said in words, and nothing else is."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from kubernetes.client import ApiClient, Configuration

from korean_llm_assets.compute.cluster import installation
from korean_llm_assets.compute.cluster.installation import problems
from tests.cluster.conftest import ClusterUnderTest, Deployment

pytestmark = pytest.mark.slow


@pytest.fixture
def sentences(
    cluster: ClusterUnderTest, deploy: Callable[..., Deployment], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """The preflight's sentences, for one profile of the cluster under test."""

    def ask(tracking: str = "", folders: list[Path] | None = None, **changes: object) -> list[str]:
        deploy(cluster.profile(**changes))
        configuration = Configuration()
        configuration.host, configuration.retries = cluster.proxy.url, False
        # The client reads KUBECONFIG when it is imported, which was before the cluster was there.
        monkeypatch.setattr(installation, "connect", lambda context: ApiClient(configuration))
        return list(problems(folders or [cluster.folder / "artifacts"], tracking))

    return ask


def test_a_whole_installation_lacks_nothing(cluster: ClusterUnderTest, sentences: Callable[..., list[str]]):
    assert sentences() == []


def test_a_missing_right_is_named_with_its_launch_mode(cluster: ClusterUnderTest, sentences: Callable[..., list[str]]):
    if cluster.double is None:
        pytest.skip("on a real cluster we are its administrator")
    cluster.double.cluster.forbidden = {("get", "jobs/status")}
    (sentence,) = sentences(launch="k8s_job_op")
    assert "launch: k8s_job_op" in sentence and "get jobs/status.batch" in sentence


def test_a_queue_that_is_not_there_or_admits_nothing_is_named(
    cluster: ClusterUnderTest, sentences: Callable[..., list[str]]
):
    if cluster.double is None:
        pytest.skip("LocalQueues are Kueue's")
    inactive = {"type": "Active", "status": "False", "message": "Can't submit new workloads to clusterQueue"}
    queue = {"metadata": {"name": "training"}, "status": {"conditions": [inactive]}}
    cluster.double.cluster.create("localqueues", cluster.namespace, queue)
    words = sentences(queue="training", model_queues={"tiny": "gone"})
    assert [word.split(":")[0] for word in words] == [
        f"no LocalQueue 'gone' in namespace {cluster.namespace!r}",
        "LocalQueue 'training' admits nothing",
    ]


def test_a_store_of_somebody_else_is_named(cluster: ClusterUnderTest, sentences: Callable[..., list[str]]):
    in_the_way = cluster.folder / "file"
    in_the_way.touch()  # a folder of root's would do the same to user 1000, not to root
    (sentence,) = sentences(folders=[in_the_way / "artifacts"])
    assert "must belong to user 1000" in sentence


def test_mlflow_that_refuses_its_name_is_named(sentences: Callable[..., list[str]]):
    class Refuses(BaseHTTPRequestHandler):
        """MLflow's host check: health is answered to everybody, an API call is not."""

        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        (sentence,) = sentences(tracking=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert "403" in sentence and "serverAllowedHosts" in sentence


def test_mlflow_that_is_away_is_told_without_a_hint_at_its_names(sentences: Callable[..., list[str]]):
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        gone = server.server_port
    (sentence,) = sentences(tracking=f"http://127.0.0.1:{gone}")
    assert "MLflow at" in sentence and "does not answer" in sentence and "serverAllowedHosts" not in sentence


def test_mlflow_that_has_just_started_is_waited_for(
    sentences: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
):
    waited: list[float] = []
    monkeypatch.setattr(installation, "get_json", lambda *words: waited.append(words[-1]))
    assert sentences(tracking="http://mlflow:5000") == [] and waited[0] >= 60
