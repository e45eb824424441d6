"""Is there room? The laptop that the guide asks for holds the platform, its run workers and each stage of `tiny`.

A pod that asks for more than is free waits, and a stage that waits for ever is never told from one that is slow.
"""

import re
from collections.abc import Iterator

import pytest
import yaml
from kubernetes.utils.quantity import parse_quantity

from tests.support import charts
from tests.support.charts import CHARTS, DEPLOY, INSTALL, KIND, Body
from trainers.contract.recipe.loading import recipe_folders

_KINDS_OWN = {"cpu": "950m", "memory": "290Mi"}
"""What a kind node's control plane, names and network ask for (kubeadm's and kind's manifests)."""
_RUNS_AT_ONCE = 2
"""The data of a release, and the base of a model that is built here."""


def _platform(given: Body) -> Iterator[Body]:
    """What each pod of the platform asks for."""
    dagster, mlflow = (INSTALL["values_of"](CHARTS[name], given) for name in ("dagster", "mlflow"))
    web, (code,) = dagster["dagsterWebserver"], dagster["dagster-user-deployments"]["deployments"]
    yield from [web["resources"]["requests"]] * (1 + web["enableReadOnly"])
    yield dagster["dagsterDaemon"]["resources"]["requests"]
    yield from [code["resources"]["requests"]] * (1 + _RUNS_AT_ONCE)  # run workers are what the code location is
    yield mlflow["resources"]["requests"]
    for spec in charts.pods([each for each in charts.ours(given) if each["kind"] == "StatefulSet"]).values():
        yield from (container["resources"]["requests"] for container in spec["containers"])


@pytest.mark.parametrize("recipe", ["corpus", "tiny"])
def test_a_laptop_of_the_guides_size_has_room_for_each_stage(recipe: str):
    guide = re.search(r"with (\d+) CPUs and (\d+) GiB of memory", (DEPLOY / "README.md").read_text(encoding="utf-8"))
    assert guide is not None
    size = {"cpu": parse_quantity(guide[1]), "memory": parse_quantity(f"{guide[2]}Gi")}
    stages = yaml.safe_load((recipe_folders()[0] / f"{recipe}.yaml").read_text(encoding="utf-8"))
    for name, section in stages.items():
        needs = section.get("needs") if isinstance(section, dict) else None
        for kind, there in size.items() if needs else ():
            others = sum(parse_quantity(each[kind]) for each in (*_platform(charts.facts(KIND)), _KINDS_OWN))
            assert others + parse_quantity(needs[kind]) <= there, f"{name} needs {needs[kind]} {kind} beside {others}"
