"""Where a pod says that its series are, there the trainer serves them."""

import pytest

from korean_llm_assets.compute.cluster.job_spec import METRICS_PORT, pod_annotations
from tests.support.monitoring_servers import fetch, free_port
from trainers.contract import StageRequest
from trainers.runner.metrics_server import exporting

REQUEST = StageRequest(stage="cpt", stage_version=1, model="tiny", release="r1")


def test_the_port_is_the_one_that_pods_are_annotated_with(monkeypatch: pytest.MonkeyPatch) -> None:
    annotations = pod_annotations(REQUEST)
    assert annotations["prometheus.io/scrape"] == "true" and annotations["prometheus.io/port"] == str(METRICS_PORT)
    port = free_port()
    monkeypatch.setenv("KOREAN_LLM_METRICS_PORT", str(port))
    with exporting(REQUEST) as exporter:
        assert exporter is not None
        exporter.step(1, {"loss": 3.5})
        page = fetch(f"http://127.0.0.1:{port}{annotations['prometheus.io/path']}").decode()
    assert 'korean_llm_loss{model="tiny",release="r1",stage="cpt"} 3.5' in page
