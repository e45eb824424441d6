"""The packaged cluster profiles are those of the chart's own facts, written by it; a cluster's come from its facts.

To write them anew after a change of the chart: `python -m tests.dagster_deploy.test_profiles`.
"""

from pathlib import Path

import pytest
import yaml

from korean_llm_assets.compute import profiles as packaged
from korean_llm_assets.compute.profiles import load_profile, profile_paths
from tests.support import charts

_FOLDER = Path(packaged.__file__).parent / "cluster_profiles"
_NOTE = "# Written by dagster_deploy/chart/templates/profiles.yaml: `python -m tests.dagster_deploy.test_profiles`.\n"


def texts() -> dict[str, str]:
    """The profiles of the chart's facts, with the image that KOREAN_LLM_TRAINER_IMAGE replaces."""
    written = charts.profiles(charts.facts(images={"tag": "set-KOREAN_LLM_TRAINER_IMAGE"}))
    return {name: _NOTE + text for name, text in written.items()}


def test_the_packaged_ones_are_fresh():
    assert {path.name: path.read_text(encoding="utf-8") for path in _FOLDER.iterdir()} == texts()


def _bring(monkeypatch: pytest.MonkeyPatch, folder: Path, **changes: object) -> None:
    """Mount an installation's profiles as its code location does."""
    for name, text in charts.profiles(charts.facts(**changes)).items():
        (folder / name).write_text(text)
    monkeypatch.setenv("KOREAN_LLM_PROFILES", str(folder))


def test_a_clusters_facts_are_its_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    own = "extends: a100\nqueue: urgent\n"
    nodes = [
        {"type": "a100", "nodes": 3, "gpus": 4, "cpu": 64, "memory": "400Gi", "pricePerHour": 1.8},
        {
            "type": "b300",
            "nodes": 1,
            "gpus": 8,
            "gpuMemory": "270Gi",
            "cpu": 200,
            "memory": "2000Gi",
            "pricePerHour": 6,
        },
    ]
    _bring(monkeypatch, tmp_path, gpuNodes=nodes, profiles={"hurry": own}, training={"env": {"HTTPS_PROXY": "p:1"}})
    assert {"cpu", "a100", "a100-op", "b300", "b300-trainjob", "hurry"} <= profile_paths().keys()
    profile = load_profile("hurry")
    assert profile.gpu_pool is not None
    assert (profile.gpu_pool.nodes, profile.gpu_pool.per_node, profile.queue) == (3, 4, "urgent")
    assert (profile.price.gpu, profile.env["HTTPS_PROXY"]) == (1.8, "p:1")
    assert load_profile("b300").gpu_pool.gpu.memory == 270 * 2**30


def test_a_stage_waits_for_room_and_ends_no_other_pod():
    """Of a higher priority than pods without one, a stage on a full node would end the database or a run's worker."""
    objects = charts.ours()
    for text in charts.profiles().values():
        if (name := yaml.safe_load(text).get("priority_class")) is not None:
            assert charts.find(objects, "PriorityClass", name)["preemptionPolicy"] == "Never"


def test_a_laptops_profile_waits_for_no_kueue_and_names_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, text in charts.profiles(charts.facts(charts.KIND)).items():
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("KOREAN_LLM_PROFILES", str(tmp_path))
    profile = load_profile("cpu")
    assert (profile.queue, profile.env_secrets, profile.image_pull_secrets) == (None, (), ())
    assert profile.image == "korean-llm/trainer:set-by-kind-up" and profile.image_pull_policy == "Never"


if __name__ == "__main__":
    for path in _FOLDER.iterdir():
        path.unlink()
    for name, text in texts().items():
        (_FOLDER / name).write_text(text, encoding="utf-8")
