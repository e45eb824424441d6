"""Alert rules and dashboards: parsed and tested by Prometheus' own tools, built only from series that exist."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from tests.conftest import ROOT
from trainers.contract import StageRequest
from trainers.exporter import Exporter, exporting

MONITORING = ROOT / "dagster_deploy" / "monitoring"
DASHBOARDS = sorted((MONITORING / "dashboards").glob("*.json"))
# kube-state-metrics', the kubelet's and vLLM's series that we use: names from their documentation.
OTHERS = {
    *("kube_job_created", "kube_job_status_start_time", "kube_job_status_failed"),
    *("kube_pod_container_resource_limits", "kubelet_volume_stats_available_bytes"),
    *("kubelet_volume_stats_capacity_bytes", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"),
}
needs_prometheus = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no prometheus; install it with: apt-get install -y prometheus"
)


def known_series() -> set[str]:
    request = StageRequest(stage="cpt", stage_version=1, model="tiny", release="r1")
    ours = {metric.name for metric in Exporter(request).registry.collect()}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    schemas = Path(os.environ.get("KOREAN_LLM_SCHEMAS", ROOT.parent / "shared" / "schemas"))
    counters = schemas / "dcgm-default-counters.csv"
    if not counters.exists():
        pytest.skip(f"dcgm-exporter's default list is not at {counters}")
    return ours | recorded | OTHERS | set(re.findall(r"^(DCGM_\w+)", counters.read_text(), re.MULTILINE))


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panel_queries() -> list[tuple[str, str]]:
    return [
        (f"{path.stem}: {panel['title']}", re.sub(r'"\$\w+"', '".*"', target["expr"]))
        for path in DASHBOARDS
        for panel in json.loads(path.read_text())["panels"]
        for target in panel["targets"]
    ]


def series_of(query: str) -> set[str]:
    """The metric names of a query: names that look like one and are no label, function or keyword."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(by|on|without|ignoring) \([^)]*\)", "", query)
    return {name for name in re.findall(r"\b[a-zA-Z_][\w:]*\b(?!\s*\()", bare) if "_" in name and name != "clamp_min"}


@needs_prometheus
def test_the_rules_are_valid_and_do_what_their_tests_say() -> None:
    for command in (["check", "rules", "rules.yaml"], ["test", "rules", "rules_test.yaml"]):
        done = subprocess.run(["promtool", *command], cwd=MONITORING, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_every_panels_query_parses(tmp_path: Path) -> None:
    queries = panel_queries()
    assert len(queries) > 15
    wrapped = [{"record": f"panel:{number}", "expr": query} for number, (_, query) in enumerate(queries)]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": wrapped}]}))
    done = subprocess.run(["promtool", "check", "rules", "panels.yaml"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_panels_and_rules_use_only_series_that_exist() -> None:
    known = known_series()
    used = [*panel_queries(), *((rule.get("alert") or rule["record"], rule["expr"]) for rule in rules())]
    unknown = {where: series_of(query) - known for where, query in used if series_of(query) - known}
    assert unknown == {}


def test_every_alert_speaks_korean_too() -> None:
    for rule in rules():
        if "alert" in rule:
            assert re.search("[가-힣]", rule["annotations"]["korean"]), rule["alert"]


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def prometheus(tmp_path: Path, free_port: int) -> Iterator[tuple[str, int]]:
    """A real Prometheus that scrapes one port every second."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        own = probe.getsockname()[1]
    targets = [{"targets": [f"127.0.0.1:{free_port}"]}]
    scrape = [{"job_name": "trainers", "scrape_interval": "1s", "static_configs": targets}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": scrape}))
    flags = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    with subprocess.Popen(
        ["prometheus", *flags, f"--web.listen-address=127.0.0.1:{own}"], stderr=subprocess.DEVNULL
    ) as server:
        yield f"http://127.0.0.1:{own}", free_port
        server.terminate()


@pytest.mark.slow
@needs_prometheus
def test_a_real_prometheus_scrapes_what_a_stage_exports(
    prometheus: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    page, port = prometheus
    monkeypatch.setenv("KOREAN_LLM_METRICS_PORT", str(port))
    request = StageRequest(stage="cpt", stage_version=1, model="tiny", release="r1")
    with exporting(request) as exporter:
        assert exporter is not None
        exporter.step(1, {"loss": 3.5, "learning_rate": 1e-3, "tokens_per_second": 3700})
        deadline = time.monotonic() + 60
        found: list[dict[str, Any]] = []
        while not found:
            assert time.monotonic() < deadline, "Prometheus never had the series"
            time.sleep(0.5)
            try:
                with urlopen(f"{page}/api/v1/query?{urlencode({'query': 'korean_llm_loss'})}", timeout=5) as answer:
                    found = json.load(answer)["data"]["result"]
            except OSError:
                continue  # it is still starting
    labels = {"model": "tiny", "release": "r1", "stage": "cpt"}
    assert labels.items() <= found[0]["metric"].items()
    assert found[0]["value"][1] == "3.5"


def test_nothing_is_opened_without_being_asked() -> None:
    with exporting(StageRequest(stage="cpt", stage_version=1, model="tiny", release="r1")) as exporter:
        assert exporter is None
