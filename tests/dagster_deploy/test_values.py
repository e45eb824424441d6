"""Chart values: what the platform relies on is said, and no password stands in them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

_ROOT = Path(__file__).parents[2]
_VALUES = sorted((_ROOT / "helm-values").glob("*.yaml"))


def _load(name: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((_ROOT / "helm-values" / f"{name}.yaml").read_text())
    return values


@pytest.mark.parametrize("path", _VALUES, ids=lambda path: path.stem)
def test_values_are_yaml_and_hold_no_secret(path: Path):
    text = path.read_text()
    assert isinstance(yaml.safe_load(text), dict)
    for line in text.splitlines():
        key, _, value = line.strip().partition(":")
        if re.search(r"(password|token|api.?key|(client|cookie).?secret)$", key, re.IGNORECASE):
            assert value.strip() in ("", '""') or value.strip().startswith(("{", "#")), f"{path.name}: {line}"


def test_killed_workers_resume_drained_ones_are_retried_and_failed_stages_are_not():
    daemon = _load("dagster")["dagsterDaemon"]
    assert daemon["runMonitoring"]["enabled"] and daemon["runMonitoring"]["maxResumeRunAttempts"] >= 1
    assert daemon["runMonitoring"]["freeSlotsAfterRunEndSeconds"] > 0
    assert daemon["runRetries"] == {"enabled": True, "maxRetries": 3, "retryOnAssetOrOpFailure": False}


def test_no_pool_holds_back_a_job_that_kueue_should_see():
    pools = _load("dagster")["concurrency"]["pools"]
    assert "defaultLimit" not in pools, "models would wait for each other's slots, and Kueue would never be asked"


def test_a_run_pods_resources_stand_where_they_count():
    """With includeConfigInLaunchedRuns the code location's replace the launcher's."""
    values = _load("dagster")
    (code,) = values["dagster-user-deployments"]["deployments"]
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    assert code["includeConfigInLaunchedRuns"]["enabled"] and code["resources"]
    assert "resources" not in launcher["containerConfig"]


def test_a_pod_may_take_as_long_to_start_as_its_inputs_take_to_copy():
    config = yaml.safe_load(_load("kueue")["managerConfig"]["controllerManagerConfigYaml"])
    minutes = int(config["waitForPodsReady"]["timeout"].removesuffix("m"))
    assert minutes >= 500 * 2**30 / 10**8 / 60  # 500 GiB at 100 MB/s, a shared server's part for one Job


def test_the_launcher_config_stays_minimal():
    """What stands there reaches every Job that dagster-k8s's own op body makes."""
    launcher = _load("dagster")["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    assert "nodeSelector" not in launcher["podSpecConfig"] and "tolerations" not in launcher["podSpecConfig"]


def test_pods_and_exporters_are_scraped_one_by_one():
    scrape = _load("kube-prometheus-stack")["prometheus"]["prometheusSpec"]["additionalScrapeConfigs"]
    assert all("static_configs" not in job for job in scrape)
    assert _load("dcgm-exporter")["serviceMonitor"]["enabled"] is True
    assert _load("gpu-operator")["dcgmExporter"]["enabled"] is False


def test_kueue_manages_what_the_profiles_make():
    config = yaml.safe_load(_load("kueue")["managerConfig"]["controllerManagerConfigYaml"])
    assert set(config["integrations"]["frameworks"]) == {
        "batch/job",
        "kubeflow.org/pytorchjob",
        "trainer.kubeflow.org/trainjob",
    }
    assert config["manageJobsWithoutQueueName"] is False
