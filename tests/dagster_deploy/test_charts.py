"""The public charts with the values that `install` gives them: really rendered by Helm's library, schemas on.

KOREAN_LLM_CHARTS names a folder of unpacked charts (`helm pull --untar`), each named as in charts.yaml.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml

from tests.support import charts
from tests.support.charts import CHARTS, INSTALL, Body, chart_folder, public
from tests.support.pod_security import violations

_ALL = charts.facts(hosts={"viewers": "look.example.com"})
_PUBLIC = [name for name in CHARTS if name != "korean-llm"]
_LIGHT = [name for name in _PUBLIC if name not in ("kube-prometheus-stack", "gpu-operator", "kueue")]
_CASES = [name if name in _LIGHT else pytest.param(name, marks=pytest.mark.prove) for name in _PUBLIC]
"""Those that render in a moment are in `make test`."""


@pytest.mark.parametrize("release", _CASES)
@pytest.mark.parametrize("given", [_ALL, charts.facts(charts.KIND)], ids=["gpus", "kind"])
def test_values_keep_the_schema_and_every_object_is_valid(release: str, given: Body):
    with helm_python.Chart.load(chart_folder(CHARTS[release])) as chart:
        chart.validate_schema(INSTALL["values_of"](CHARTS[release], given))
    objects = public(release, given)
    assert objects
    for body in objects:
        group = body["apiVersion"].partition("/")[0]
        if "." not in group or (
            group.endswith(".k8s.io") and "kueue" not in group and "CustomResource" not in body["kind"]
        ):
            kubernetes_validate.validate(body, "1.32", strict=True)


@pytest.mark.parametrize("release", _CASES)
def test_the_pinned_version_is_the_one_that_was_rendered(release: str):
    with helm_python.Chart.load(chart_folder(CHARTS[release])) as chart:
        if chart.name == "dagster" or chart.version.endswith("-devel"):
            pytest.skip(f"{chart.name} {chart.version} is as near to {CHARTS[release]['version']} as can be had here")
        assert chart.version == CHARTS[release]["version"]


_DEFAULTS_ON_PURPOSE = {
    "dagster": {
        "rbacEnabled": "the launcher's rights",
        "dagsterDaemon.enabled": "said, because all rests on it",
        "dagsterDaemon.runCoordinator": "runs queue",
        "dagsterDaemon.runMonitoring.enabled": "a killed worker is resumed",
        "dagsterDaemon.runRetries.enabled": "a drained one is retried",
        "dagsterDaemon.sensors": "one slow sensor holds up none",
        "dagsterDaemon.schedules": "one slow schedule holds up none",
        "dagster-user-deployments": "the code location is part of this release",
        "runLauncher": "runs are pods",
        "ingress.enabled": "nobody comes in past the login",
        "dagsterWebserver.service.type": "nobody comes in past the login",
        "telemetry": "not here",
        "concurrency": "newer charts than the one rendered here",
        "retention": "skipped ticks are kept a week",
        "generatePostgresqlPasswordSecret": "the Secret is ours; Secrets are not compared here",
        "postgresql.enabled": "this copy of the chart has another default",
        "postgresql.postgresqlDatabase": "this copy of the chart has another default",
        "computeLogManager.type": "this copy of the chart has another default",
    },
    "mlflow": {
        "backendStore.postgres.port": "Postgres' own",
        "backendStore.existingDatabaseSecret": "the Secret's keys, as our chart names them",
        "service": "the address that everything calls",
        "serviceMonitor.enabled": "its metrics are files, on a read-only root",
    },
    "oauth2-proxy": {"service.portNumber": "the port that our entrance calls"},
    "dcgm-exporter": {
        "serviceMonitor": "the dashboards rest on it",
        "resources": "said, on nodes that are paid by the hour",
    },
    "prometheus-pushgateway": {
        "service.port": "trainers push there",
        "fullnameOverride": "its address, whatever the release is called",
        "serviceMonitor.honorLabels": "labels are the stage's",
        "serviceMonitor.namespace": "where the rest of it is",
    },
    "gpu-operator": {
        "driver": "said, because nodes may have one",
        "toolkit": "said, because nodes may have one",
        "devicePlugin": "capacity is its to report",
        "mig": "whole GPUs",
        "gfd": "labels of the GPU",
        "daemonsets": "our taint",
    },
    "kube-prometheus-stack": {
        "grafana": "the dashboards rest on it",
        "prometheus.prometheusSpec.storageSpec": "accessModes",
    },
}
"""Values that say what the chart says anyway, and why; every other one must change what is rendered."""


def _leaves(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    if not children or not node:
        yield path
    for key, value in children:
        yield from _leaves(value, (*path, key))


@pytest.mark.prove
@pytest.mark.parametrize("release", [name for name in _PUBLIC if name not in ("login-viewers", "login-mlflow")])
def test_every_value_changes_what_is_installed(release: str):
    entry = CHARTS[release]
    values = INSTALL["values_of"](entry, _ALL)
    known = _DEFAULTS_ON_PURPOSE.get(entry.get("chart", release), {})
    idle = []
    with helm_python.Chart.load(chart_folder(entry)) as chart:
        whole = _rendered(chart, values, release)
        for path in _leaves(values):
            without = copy.deepcopy(values)
            target: Any = without
            for key in path[:-1]:
                target = target[key]
            del target[path[-1]]
            name = ".".join(map(str, path))
            if any(name == one or name.startswith(f"{one}.") for one in known):
                continue
            try:
                if _rendered(chart, without, release) == whole:
                    idle.append(name)
            except helm_python.HelmError:
                pass  # the chart cannot do without it
    assert idle == [], "values that change nothing, and are not said to be defaults on purpose"


def _rendered(chart: helm_python.Chart, values: Body, release: str) -> str:
    texts = chart.render(values, name=release, namespace=CHARTS[release]["namespace"])
    return json.dumps({path: text for path, text in texts.items() if "secret" not in path.lower()})


@pytest.mark.parametrize("release", ["dagster", "mlflow", "login-dagster"])
def test_pods_of_the_platform_keep_what_the_namespace_enforces(release: str):
    """`baseline` is enforced there; what lacks for `restricted` is the charts' own and named here."""
    lacking = {name: violations(pod) for name, pod in charts.pods(public(release, _ALL)).items() if violations(pod)}
    allowed = {"init-user-deployment-korean-llm"}  # the chart's waiting container has no securityContext of its own
    for name, problems in lacking.items():
        assert all(problem.split(":")[0] in allowed for problem in problems), (name, problems)


def test_values_name_only_facts_that_there_are():
    for path in (charts.ROOT / "helm-values").glob("*.yaml"):
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        filled = INSTALL["filled"](values, {**_ALL, "release": INSTALL["release_of"]({"name": path.stem}, _ALL)})
        assert "${" not in json.dumps(filled)
