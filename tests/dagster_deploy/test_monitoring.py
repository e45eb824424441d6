"""Alert rules and dashboards: parsed and tested by Prometheus' own tools, built only from series that exist."""

import ast
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from korean_llm_assets.compute.cluster.job_spec import pod_annotations
from korean_llm_assets.compute.profiles import load_profile
from korean_llm_assets.serving.model_size import ModelSize
from korean_llm_assets.serving.vllm_manifests import ServedModel, ServingSettings, deployment
from tests.conftest import ROOT
from tests.support.charts import find, ours
from tests.support.crds import SCHEMAS
from tests.support.monitoring_servers import fetch, free_port, needs, prometheus, query, running, scrape, wait_for
from trainers.contract import StageRequest
from trainers.runner.metrics_server import SERIES, exporting

ALERTS = ROOT / "dagster_deploy" / "chart" / "alerts"
DASHBOARDS = sorted((ROOT / "dagster_deploy" / "chart" / "dashboards").glob("*.json"))
# kube-state-metrics', the kubelet's and vLLM's series that we use: names from their documentation.
OTHERS = {
    *("kube_job_created", "kube_job_status_start_time", "kube_job_status_failed"),
    *("kube_pod_container_resource_limits", "kube_pod_labels", "kube_pod_status_phase"),
    *("kubelet_volume_stats_available_bytes", "kubelet_volume_stats_capacity_bytes"),
    *("vllm:num_requests_waiting", "vllm:num_requests_running", "vllm:kv_cache_usage_perc"),
    *("vllm:generation_tokens_total", "vllm:time_to_first_token_seconds_bucket"),
    "vllm:e2e_request_latency_seconds_bucket",
}
needs_prometheus = needs("promtool")


def known_series() -> set[str]:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    counters = next((path for folder in SCHEMAS if (path := folder / "dcgm-default-counters.csv").exists()), None)
    if counters is None:
        pytest.skip(f"dcgm-exporter's default list is not in {', '.join(map(str, SCHEMAS))}")
    return SERIES.keys() | recorded | OTHERS | set(re.findall(r"^(DCGM_\w+)", counters.read_text(), re.MULTILINE))


def rule_file() -> dict[str, Any]:
    """What the chart's PrometheusRule holds: a rule file of Prometheus."""
    rules: dict[str, Any] = yaml.safe_load((ALERTS / "rules.yaml").read_text())
    return rules


def rules() -> list[dict[str, Any]]:
    return [rule for group in rule_file()["groups"] for rule in group["rules"]]


def panel_queries() -> list[tuple[str, str]]:
    """(dashboard: panel, its query with Grafana's variables filled in)."""
    return [
        (f"{path.stem}: {panel['title']}", re.sub(r"\$\w+", "1", re.sub(r'"\$\w+"', '".*"', target["expr"])))
        for path in DASHBOARDS
        for panel in json.loads(path.read_text())["panels"]
        for target in panel["targets"]
    ]


def series_of(query: str) -> set[str]:
    """The metric names of a query: names that look like one and are no label, function or keyword."""
    lists_of_labels = r"\b(by|on|without|ignoring|group_left|group_right) \([^)]*\)"
    bare = re.sub(rf"\{{[^}}]*\}}|\[[^\]]*\]|{lists_of_labels}", "", query)
    return {name for name in re.findall(r"\b[a-zA-Z_][\w:]*\b(?!\s*\()", bare) if "_" in name}


@needs_prometheus
def test_the_rules_are_valid_and_do_what_their_tests_say(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule_file(), allow_unicode=True))
    shutil.copy(ALERTS / "rules_test.yaml", tmp_path)
    for command in (["check", "rules", "rules.yaml"], ["test", "rules", "rules_test.yaml"]):
        done = subprocess.run(["promtool", *command], cwd=tmp_path, capture_output=True, text=True)
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
    assert all(series_of(query) for _, query in used)


def test_every_series_of_ours_is_shown() -> None:
    shown = {name for _, query in panel_queries() for name in series_of(query)}
    assert SERIES.keys() - shown == set()


def test_every_alert_speaks_korean_too() -> None:
    for rule in rules():
        if "alert" in rule:
            assert re.search("[가-힣]", rule["annotations"]["korean"]), rule["alert"]
            assert rule["annotations"]["summary"].isascii(), rule["alert"]


def test_the_table_names_every_alert_and_who_tells_it() -> None:
    rows = re.findall(
        r"^\|.*\| (Dagster|Prometheus) \| `(\w+)` \|",
        (ROOT / "dagster_deploy" / "MONITORING.md").read_text(),
        re.MULTILINE,
    )
    calls = [
        node
        for path in (ROOT / "korean_llm_assets").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Alert"
    ]
    kinds = {ast.literal_eval(call.args[1]) for call in calls} - {"probe"}  # the channels' own test
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    assert set(rows) == {*(("Dagster", kind) for kind in kinds), *(("Prometheus", name) for name in alerts)}


def test_every_alert_has_a_test() -> None:
    tested = {
        case["alertname"]
        for test in yaml.safe_load((ALERTS / "rules_test.yaml").read_text())["tests"]
        for case in test.get("alert_rule_test", [])
        if case["exp_alerts"]
    }
    assert tested == {rule["alert"] for rule in rules() if "alert" in rule}


def test_the_chart_brings_rules_and_dashboards_where_the_public_chart_looks() -> None:
    assert find(ours(), "PrometheusRule", "korean-llm")["spec"] == rule_file()
    values = helm_values("kube-prometheus-stack")
    assert values["prometheus"]["prometheusSpec"]["ruleSelectorNilUsesHelmValues"] is False, "else only the chart's own"
    label = values["grafana"]["sidecar"]["dashboards"]["label"]
    maps = [each for each in ours() if each["metadata"]["name"].startswith("korean-llm-dashboard-")]
    assert all(each["metadata"]["labels"][label] == "1" for each in maps)
    brought = {name: text for each in maps for name, text in each["data"].items()}
    assert brought == {path.name: path.read_text(encoding="utf-8") for path in DASHBOARDS}


def test_models_are_scraped_where_they_serve() -> None:
    spec = find(ours(), "PodMonitor", "korean-llm-models")["spec"]
    served = ServedModel("path", ModelSize(10**9, "bfloat16", 8192, 8, 1000))
    body = deployment("m", "1", served, ServingSettings(), load_profile("h100"))
    labels = body["spec"]["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert spec["namespaceSelector"]["matchNames"] == [body["metadata"]["namespace"]]
    ports = {port["name"] for port in body["spec"]["template"]["spec"]["containers"][0]["ports"]}
    assert {endpoint["port"] for endpoint in spec["podMetricsEndpoints"]} <= ports
    values = helm_values("kube-prometheus-stack")["prometheus"]["prometheusSpec"]
    assert values["podMonitorSelectorNilUsesHelmValues"] is False, "else only the chart's own"


def helm_values(chart: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((ROOT / "helm-values" / f"{chart}.yaml").read_text())
    return values


def test_the_labels_that_the_rules_join_by_are_exported() -> None:
    (pods,) = [
        each
        for each in helm_values("kube-prometheus-stack")["kube-state-metrics"]["metricLabelsAllowlist"]
        if each.startswith("pods=")
    ]
    allowed = {re.sub(r"\W", "_", f"label_{name}") for name in pods.removeprefix("pods=[").rstrip("]").split(",")}
    used = {name for rule in rules() for name in re.findall(r"label_korean_llm_\w+", rule["expr"])}
    assert used == allowed
    assert helm_values("dcgm-exporter")["serviceMonitor"]["honorLabels"] is True, "`pod` is the one that uses the GPU"


def test_trainers_push_to_the_gateway_that_is_installed_and_may_reach_it() -> None:
    values = helm_values("prometheus-pushgateway")
    address = f"http://{values['fullnameOverride']}.monitoring:{values['service']['port']}"
    assert load_profile("h100").env["KOREAN_LLM_PUSHGATEWAY"] == address
    assert values["serviceMonitor"]["honorLabels"] is True
    trainers = find(ours(), "NetworkPolicy", "trainers")
    ports = [port["port"] for rule in trainers["spec"]["egress"] for port in rule.get("ports", [])]
    assert values["service"]["port"] in ports


class _Slack(BaseHTTPRequestHandler):
    """Takes one message after the other."""

    def do_POST(self) -> None:
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""


@contextmanager
def slack(webhook: Path) -> Iterator[list[dict[str, Any]]]:
    """What a double of Slack's incoming webhook gets; its address is written into the file."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Slack) as server:
        got: list[dict[str, Any]] = []
        server.got = got  # type: ignore[attr-defined]
        Thread(target=server.serve_forever, daemon=True).start()
        webhook.write_text(f"http://127.0.0.1:{server.server_port}/hook")
        yield got
        server.shutdown()


@contextmanager
def alertmanager(folder: Path) -> Iterator[str]:
    """A real Alertmanager with the chart's values, but that it waits for nobody and finds its files in the folder."""
    values = helm_values("kube-prometheus-stack")["alertmanager"]
    config = values["config"]
    (channel,) = [each["slack_configs"][0] for each in config["receivers"] if "slack_configs" in each]
    assert channel["api_url_file"].split("/")[4] in values["alertmanagerSpec"]["secrets"]
    channel["api_url_file"] = str(folder / "slack-webhook")
    config["templates"] = [str(folder / "*.tmpl")]
    config["route"]["group_wait"] = "0s"
    for name, text in values["templateFiles"].items():
        (folder / name).write_text(text)
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config, allow_unicode=True))
    page = f"http://127.0.0.1:{free_port()}"
    flags = [f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}", "--cluster.listen-address="]
    with running("prometheus-alertmanager", *flags, f"--web.listen-address={page[7:]}", ready=f"{page}/-/ready"):
        yield page


@needs("prometheus")
@needs("prometheus-alertmanager")
def test_from_a_trainers_figure_to_slack_once_in_both_languages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real exporter, Prometheus with the rules, Alertmanager with the chart's values; only Slack is a double."""
    port = free_port()
    monkeypatch.setenv("KOREAN_LLM_METRICS_PORT", str(port))
    watchdog = {"groups": [{"name": "chart", "rules": [{"alert": "Watchdog", "expr": "vector(1)"}]}]}
    for name, rules_of in (("rules.yaml", rule_file()), ("watchdog.yaml", watchdog)):
        (tmp_path / name).write_text(yaml.safe_dump(rules_of, allow_unicode=True))
    with (
        slack(tmp_path / "slack-webhook") as got,
        alertmanager(tmp_path) as alerting,
        exporting(StageRequest(stage="cpt", stage_version=1, model="tiny", release="r1")) as exporter,
        prometheus(
            tmp_path / "prometheus",
            scrape("korean-llm-trainers", port),
            rule_files=[str(tmp_path / "*.yaml")],
            alerting={"alertmanagers": [{"static_configs": [{"targets": [alerting[7:]]}]}]},
            **{"global": {"evaluation_interval": "500ms"}},
        ) as page,
    ):
        assert exporter is not None
        exporter.step(1, {"loss": 2.0, "eval_loss": float("nan")})
        (message,) = wait_for(lambda: got, "Slack has heard")
        wait_for(
            lambda: query(page, 'ALERTS{alertname="Watchdog", alertstate="firing"}'), "the chart's own alert fires"
        )
        time.sleep(1.5)  # further evaluations say the same again
    assert got == [message]
    (attachment,) = message["attachments"]
    assert message["channel"] == "#korean-llm" and attachment["title"] == "[경보 / alert] HeldOutLossIsNaN"
    assert attachment["text"].splitlines() == [
        "tiny/r1 cpt의 검증 손실이 NaN입니다",
        "held-out loss of tiny/r1 cpt is NaN",
    ]


@needs("prometheus")
def test_the_leading_pods_of_running_trainings_are_scraped_where_they_say(tmp_path: Path) -> None:
    """The chart's relabelling in a real Prometheus; what Kubernetes' discovery would find is given."""
    (job,) = helm_values("kube-prometheus-stack")["prometheus"]["prometheusSpec"]["additionalScrapeConfigs"]
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod", "namespaces": {"names": ["llm-training"]}}]
    annotations = pod_annotations(StageRequest(stage="cpt", stage_version=1, model="tiny", release="r1"))
    annotation_labels = {f"annotation_{name}": value for name, value in annotations.items()}
    completion, replica = "label_batch.kubernetes.io/job-completion-index", "label_training.kubeflow.org/replica-type"
    pods: dict[str, dict[str, str]] = {
        "plain": annotation_labels,
        "leader": {**annotation_labels, completion: "0"},
        "follower": {**annotation_labels, completion: "11"},
        "master": {**annotation_labels, replica: "master"},
        "worker": {**annotation_labels, replica: "worker"},
        "silent": {},
        "done": {**annotation_labels, "phase": "Succeeded"},
    }
    job["static_configs"] = [
        {
            "targets": ["10.0.0.7:8080"],
            "labels": {
                "__meta_kubernetes_pod_" + re.sub(r"\W", "_", name): value
                for name, value in {"phase": "Running", "name": pod, "node_name": "node-1", **labels}.items()
            },
        }
        for pod, labels in pods.items()
    ]
    with prometheus(tmp_path, job) as page:
        targets = f"{page}/api/v1/targets?state=active"
        active = wait_for(lambda: json.loads(fetch(targets))["data"]["activeTargets"], "targets are known")
    addresses = {target["labels"]["pod"]: target["scrapeUrl"] for target in active}
    assert addresses.keys() == {"plain", "leader", "master"}
    assert set(addresses.values()) == {"http://10.0.0.7:9108/metrics"}
