"""GPU utilisation of a request: a real Prometheus fed with dcgm-exporter's series, and servers in every trouble."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from korean_llm_assets.compute.cluster import naming
from korean_llm_assets.compute.cluster.compute import KubernetesCompute
from korean_llm_assets.compute.cluster.utilisation import gpu_utilisation, utilisation_query
from korean_llm_assets.compute.overrides import Overrides
from tests.korean_llm_assets.conftest import ended
from tests.support.monitoring_servers import needs, prometheus, query, scrape, wait_for
from trainers.contract import Attempt, Manifest
from trainers.contract.artifacts import ArtifactStore


class Server(ThreadingHTTPServer):
    """Answers every GET with the same text."""

    def __init__(self, text: str, status: int = 200):
        self.text, self.status = text, status
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def server_close(self) -> None:
        """A thread that serves a closed socket would spin for the rest of the tests."""
        self.shutdown()
        super().server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.send_response(self.server.status)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(self.server.text.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""


def manifest(gpus: int = 4) -> Manifest:
    now = time.time()
    return ended(
        Attempt(number=1, started=now - 50, ended=now - 40),
        Attempt(number=2, started=now - 30, ended=now + 30),
        gpus=gpus,
    )


def gpu(pod: str, number: int, percent: str, namespace: str = "llm-training") -> str:
    labels = f'gpu="{number}",pod="{pod}",namespace="{namespace}",container="trainer"'
    return f"DCGM_FI_DEV_GPU_UTIL{{{labels}}} {percent}\n"


@needs("prometheus")
def test_the_average_is_over_the_requests_own_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = manifest()
    job = naming.base_name(made.request)
    series = (
        gpu(f"{job}-1-x7x7x", 0, "9")  # as text, 9 is more than 100
        + gpu(f"{job}-2-0-abcde", 0, "100")  # an Indexed Job's pod
        + gpu(f"{job}-2-0-abcde", 1, "56")
        + gpu("another-request-1-abcde", 2, "0")
        + gpu(f"{job}-1-x7x7x", 3, "0", namespace="elsewhere")
        + gpu("", 4, "0")
    )
    with Server(series) as dcgm:
        exporter = scrape("dcgm-exporter", dcgm.server_port, honor_labels=True)
        with prometheus(tmp_path, exporter) as page:
            wait_for(lambda: query(page, f'DCGM_FI_DEV_GPU_UTIL{{pod="{job}-1-x7x7x"}}'), "a first scrape")
            monkeypatch.setenv("KOREAN_LLM_PROMETHEUS_URL", page)
            assert gpu_utilisation(made, "llm-training") == pytest.approx((9 + 100 + 56) / 3)
            assert str(gpu_utilisation(made, "nowhere")).startswith("unknown: Prometheus has no samples")


def test_the_window_is_from_the_first_start_to_the_last_end() -> None:
    assert "[80s]" in utilisation_query(manifest(), "llm-training")


@pytest.fixture
def answer(request: pytest.FixtureRequest) -> Iterator[str]:
    with Server(*request.param) as server:
        yield f"http://127.0.0.1:{server.server_port}"


_TROUBLES = [("<html>",), ("{}",), ('{"data": {"result": [{}]}}',), ('{"data": null}',), ("overloaded", 503)]


@pytest.mark.parametrize("answer", _TROUBLES, indirect=True)
def test_trouble_is_unknown_and_never_a_failure(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOREAN_LLM_PROMETHEUS_URL", answer)
    assert str(gpu_utilisation(manifest(), "llm-training")).startswith("unknown: Prometheus at")


@pytest.mark.parametrize("page", ["http://127.0.0.1:1", "no address at all", ""])
def test_no_prometheus_is_unknown_and_never_a_failure(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOREAN_LLM_PROMETHEUS_URL", page)
    assert str(gpu_utilisation(manifest(), "llm-training")).startswith("unknown: ")


@pytest.mark.parametrize("gpus", [0, 4])
def test_it_is_shown_for_stages_with_gpus(gpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KOREAN_LLM_PROMETHEUS_URL", raising=False)
    compute = KubernetesCompute(ArtifactStore(tmp_path), tmp_path, "h100")
    shown = compute.observed(manifest(gpus), Overrides())
    assert list(shown) == (["GPU utilisation (%)"] if gpus else [])
    assert all(text.startswith("unknown: KOREAN_LLM_PROMETHEUS_URL is not set") for text in shown.values())
