"""Alert rules and dashboards: parsed and tested by Prometheus' own tools, built only from series that exist."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.monitoring_servers import needs
from trainers.exporter import SERIES

MONITORING = ROOT / "dagster_deploy" / "monitoring"
DASHBOARDS = sorted((MONITORING / "dashboards").glob("*.json"))
# kube-state-metrics', the kubelet's and vLLM's series that we use: names from their documentation.
OTHERS = {
    *("kube_job_created", "kube_job_status_start_time", "kube_job_status_failed"),
    *("kube_pod_container_resource_limits", "kubelet_volume_stats_available_bytes"),
    *("kubelet_volume_stats_capacity_bytes", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"),
}
needs_prometheus = needs("promtool")


def known_series() -> set[str]:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    schemas = Path(os.environ.get("KOREAN_LLM_SCHEMAS", ROOT.parent / "shared" / "schemas"))
    counters = schemas / "dcgm-default-counters.csv"
    if not counters.exists():
        pytest.skip(f"dcgm-exporter's default list is not at {counters}")
    return SERIES.keys() | recorded | OTHERS | set(re.findall(r"^(DCGM_\w+)", counters.read_text(), re.MULTILINE))


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
