"""What dagster_deploy/install installs, on a real cluster, by Helm's library in that script's order; removed again."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import helm_python
import pytest
from kubernetes.client import ApiClient, CoreV1Api

from tests.support import charts
from tests.support.charts import CHARTS, DEPLOY, INSTALL, Body
from tests.support.installed import PLATFORM, TRAINING, remove_what_is_kept

_OPERATORS = {"gpu-operator", "kueue"}
"""Whole-cluster charts, which the cluster under test has, or for which it has no hardware."""
_SECONDS = 1200
"""As `install` says: --timeout 20m."""


@contextmanager
def whole_installation(admin: ApiClient, given: Body) -> Iterator[list[str]]:
    """Install with these facts and wait until all pods are ready, as `install` does; gives a line for each chart."""
    core = CoreV1Api(admin)
    if {PLATFORM, TRAINING} & {each.metadata.name for each in core.list_namespace().items}:
        pytest.skip("the platform is installed on this cluster: this test would remove it")
    wanted = [entry for name, entry in CHARTS.items() if INSTALL["applies"](entry, given) and name not in _OPERATORS]
    folders = {entry["name"]: _folder(entry) for entry in wanted}
    lines = []
    try:
        for entry in wanted:
            started = time.monotonic()
            with helm_python.Config(namespace=entry["namespace"]) as helm:
                values = INSTALL["values_of"](entry, given)
                release = helm.install(
                    folders[entry["name"]],
                    entry["name"],
                    values,
                    namespace=entry["namespace"],
                    create_namespace=True,
                    wait="watcher",
                    timeout=_SECONDS,
                )
            lines.append(f"{entry['name']}: {release['status']} in {time.monotonic() - started:.0f} s")
        yield lines
    finally:
        for entry in reversed(wanted):
            with helm_python.Config(namespace=entry["namespace"]) as helm:
                if entry["name"] in {each["name"] for each in helm.list()}:
                    helm.uninstall(entry["name"])
        remove_what_is_kept(core)


def _folder(entry: Body) -> str:
    return str(DEPLOY / entry["path"] if "path" in entry else charts.chart_folder(entry))
