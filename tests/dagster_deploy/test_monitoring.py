"""Alert rules and dashboards: parsed and tested by Prometheus' own tools, built only from series that exist."""

import json
import os
import re
import shutil
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

from korean_llm_assets.compute.profiles import load_profile
from tests.conftest import ROOT
from tests.monitoring_servers import free_port, needs, running, wait_for
from trainers.exporter import SERIES

MONITORING = ROOT / "dagster_deploy" / "monitoring"
DASHBOARDS = sorted((MONITORING / "dashboards").glob("*.json"))
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
    schemas = Path(os.environ.get("KOREAN_LLM_SCHEMAS", ROOT.parent / "shared" / "schemas"))
    counters = schemas / "dcgm-default-counters.csv"
    if not counters.exists():
        pytest.skip(f"dcgm-exporter's default list is not at {counters}")
    return SERIES.keys() | recorded | OTHERS | set(re.findall(r"^(DCGM_\w+)", counters.read_text(), re.MULTILINE))


def rule_file() -> dict[str, Any]:
    """What the PrometheusRule holds: a rule file of Prometheus."""
    spec: dict[str, Any] = yaml.safe_load((MONITORING / "rules.yaml").read_text())["spec"]
    return spec


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
    shutil.copy(MONITORING / "rules_test.yaml", tmp_path)
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


def test_the_table_names_every_alert_once_and_who_tells_it() -> None:
    rows = re.findall(
        r"^\|.*\| (Dagster|Prometheus) \| `(\w+)` \|", (MONITORING / "README.md").read_text(), re.MULTILINE
    )
    sources = [(ROOT / "korean_llm_assets" / name).read_text() for name in ("incidents.py", "proposals.py")]
    kinds = {kind for source in sources for kind in re.findall(r'Alert\(\s*f"(\w+):', source)}
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    assert sorted(rows) == sorted([*(("Dagster", kind) for kind in kinds), *(("Prometheus", name) for name in alerts)])


def test_every_alert_has_a_test() -> None:
    tested = {
        case["alertname"]
        for test in yaml.safe_load((MONITORING / "rules_test.yaml").read_text())["tests"]
        for case in test.get("alert_rule_test", [])
        if case["exp_alerts"]
    }
    assert tested == {rule["alert"] for rule in rules() if "alert" in rule}


def test_one_command_brings_rules_and_dashboards_to_the_chart() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl renders the manifests; install it")
    done = subprocess.run(["kubectl", "kustomize", str(MONITORING)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rule, *maps = sorted(yaml.safe_load_all(done.stdout), key=lambda each: each["kind"] != "PrometheusRule")
    assert rule["spec"] == rule_file() and rule["metadata"]["namespace"] == "monitoring"
    values = helm_values("kube-prometheus-stack")
    assert values["prometheus"]["prometheusSpec"]["ruleSelectorNilUsesHelmValues"] is False, "else only the chart's own"
    label = values["grafana"]["sidecar"]["dashboards"]["label"]
    assert all(each["metadata"]["labels"] == {label: "1"} for each in maps)
    brought = {name: text for each in maps for name, text in each["data"].items()}
    assert brought == {path.name: path.read_text() for path in DASHBOARDS}


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
    policies = yaml.safe_load_all((ROOT / "dagster_deploy" / "base" / "network-policies.yaml").read_text())
    (trainers,) = [each for each in policies if each["metadata"]["name"] == "trainers"]
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


@needs("prometheus-alertmanager")
def test_a_real_alertmanager_tells_slack_once_in_both_languages(tmp_path: Path) -> None:
    values = helm_values("kube-prometheus-stack")["alertmanager"]
    config = values["config"]
    (slack,) = [receiver for receiver in config["receivers"] if "slack_configs" in receiver]
    secret = slack["slack_configs"][0]["api_url_file"]
    assert secret.split("/")[4] in values["alertmanagerSpec"]["secrets"]
    for name, text in values["templateFiles"].items():
        (tmp_path / name).write_text(text)
    slack["slack_configs"][0]["api_url_file"] = str(tmp_path / "slack-webhook")
    config |= {"templates": [str(tmp_path / "*.tmpl")]}
    config["route"]["group_wait"] = "0s"
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(config, allow_unicode=True))
    page = f"http://127.0.0.1:{free_port()}"
    flags = [f"--config.file={tmp_path}/alertmanager.yml", f"--storage.path={tmp_path}", "--cluster.listen-address="]
    alert = {
        "labels": {"alertname": "TrainingStalled", "model": "tiny", "release": "r1", "stage": "cpt"},
        "annotations": {"summary": "tiny/r1 cpt made no step", "korean": "tiny/r1 cpt가 진행이 없습니다"},
    }
    watchdog = {"labels": {"alertname": "Watchdog"}, "annotations": {"summary": "always"}}
    with ThreadingHTTPServer(("127.0.0.1", 0), _Slack) as server:
        got: list[dict[str, Any]] = []
        server.got = got  # type: ignore[attr-defined]
        Thread(target=server.serve_forever, daemon=True).start()
        (tmp_path / "slack-webhook").write_text(f"http://127.0.0.1:{server.server_port}/hook")
        with running("prometheus-alertmanager", *flags, f"--web.listen-address={page[7:]}", ready=f"{page}/-/ready"):
            for _ in range(3):  # Prometheus says it again and again
                body = json.dumps([alert, watchdog]).encode()
                urlopen(Request(f"{page}/api/v2/alerts", body, {"Content-Type": "application/json"})).close()
            wait_for(lambda: got, "Slack has heard")
        server.shutdown()
    (message,) = got
    (attachment,) = message["attachments"]
    assert message["channel"] == "#korean-llm" and attachment["title"] == "[경보 / alert] TrainingStalled"
    assert attachment["text"].splitlines() == ["tiny/r1 cpt가 진행이 없습니다", "tiny/r1 cpt made no step"]
