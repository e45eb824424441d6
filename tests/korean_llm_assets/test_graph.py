"""A snapshot of the asset graph: what depends on what, and how it is grouped, checked and partitioned."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from dagster import AssetKey, AssetSpec, asset

from korean_llm_assets.assets.code_links import code_page, with_code_links
from korean_llm_assets.assets.landing_assets import landing_key
from korean_llm_assets.assets.recipe_assets import recipe_key
from korean_llm_assets.definitions import defs
from korean_llm_assets.partitions.keys import stage_of
from tests.korean_llm_assets.conftest import define
from trainers.contract import STAGES, settings
from trainers.contract.commit import CODE, code_commit

SNAPSHOT = Path(__file__).with_name("asset_graph.json")


def graph() -> dict[str, object]:
    """The parts of the graph that a person decides; code versions change with every recipe and are left out."""
    assets: dict[str, object] = {}
    for spec in sorted(defs.resolve_all_asset_specs(), key=lambda spec: spec.key):
        checks = [key.name for key in defs.resolve_asset_graph().asset_check_keys if key.asset_key == spec.key]
        condition = spec.automation_condition
        assets[spec.key.to_user_string()] = {
            "from": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
            "group": spec.group_name,
            "kinds": sorted(spec.kinds),
            "owners": list(spec.owners),
            "partitions": type(spec.partitions_def).__name__,
            "checks": sorted(checks),
            "automatic": condition is not None,
            "description": spec.description,
        }
    jobs = {job.name: sorted(job.graph.node_dict) for job in defs.resolve_all_job_defs() if job.name[0] != "_"}
    sensors = sorted(sensor.name for sensor in defs.sensors or ())
    schedules = {each.name: f"{each.cron_schedule}, {each.default_status.value}" for each in defs.schedules or ()}
    return {"assets": assets, "jobs": jobs, "sensors": sensors, "schedules": schedules}


def test_the_graph_is_the_one_that_was_agreed() -> None:
    """To change it on purpose: `python -m tests.korean_llm_assets.test_graph` writes the snapshot anew."""
    assert graph() == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_every_asset_has_a_code_version() -> None:
    assert all(spec.code_version for spec in _made())


def test_the_table_of_what_stages_read_is_what_the_assets_take() -> None:
    for spec in _made():
        stage = stage_of(spec.key.to_user_string())
        taken = {dep.asset_key for dep in spec.deps}
        external = {recipe_key(stage)} if stage.by_model else {recipe_key(stage), landing_key(stage.asset)}
        assert taken == {AssetKey(STAGES[name].asset) for name in stage.reads} | external, stage.name


def test_every_asset_names_the_lines_that_define_it() -> None:
    for spec in _made():
        (reference,) = spec.metadata["dagster/code_references"].code_references
        lines = Path(reference.file_path).read_text(encoding="utf-8").splitlines()
        assert f"def {spec.key.to_user_string()}(" in "".join(lines[reference.line_number - 1 :][:2])


@asset
def _an_asset() -> None:
    """Nothing."""


def test_where_the_repository_is_shown_an_asset_links_to_its_lines_at_the_commit(monkeypatch) -> None:
    monkeypatch.setenv(settings.CODE_URL.name, "https://git.example.com/blob/{commit}/{path}#L{line}")
    (asset,) = with_code_links([_an_asset])
    here, page = asset.specs_by_key[AssetKey("_an_asset")].metadata["dagster/code_references"].code_references
    path = Path(__file__).relative_to(CODE).as_posix()
    assert page.url == f"https://git.example.com/blob/{(code_commit() or '')[:40]}/{path}#L{here.line_number}"


def test_a_page_is_of_the_commit_and_there_is_none_where_nobody_says_where(monkeypatch) -> None:
    assert code_page("a/b.py", 3, "c0ffee") is None
    monkeypatch.setenv(settings.CODE_URL.name, "https://git.example.com/t/r/blob/{commit}/{path}#L{line}")
    assert code_page("a/b.py", 3, "c0ffee-dirty") == "https://git.example.com/t/r/blob/c0ffee/a/b.py#L3"
    assert code_page("a/b.py", 3, None) is None


def test_what_drops_are_made_into_is_expected_as_often_as_drops_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody expects any unless a person says so; of models that no drop trains by itself, nothing is expected."""
    assert not any(spec.freshness_policy for spec in _made())
    monkeypatch.setenv("KOREAN_LLM_DROP_DAYS", "4")
    windows = {}
    for by_itself, models in ((True, "tiny"), (False, "qwen2.5-7b")):
        monkeypatch.setenv("KOREAN_LLM_MODELS", models)
        specs = define(anew=monkeypatch).resolve_all_asset_specs()
        windows[by_itself] = {
            spec.key.to_user_string(): spec.freshness_policy.fail_window.to_timedelta().days
            for spec in specs
            if spec.freshness_policy
        }
    data = {stage.asset for stage in STAGES.values() if not stage.by_model}
    assert windows[False] == dict.fromkeys(data, 4)
    assert windows[True] == dict.fromkeys((stage.asset for stage in STAGES.values() if stage.by_release), 4)


def _made() -> list[AssetSpec]:
    """The assets that a stage makes."""
    graph = defs.resolve_asset_graph()
    return [spec for spec in defs.resolve_all_asset_specs() if spec.key in graph.materializable_asset_keys]


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(graph(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def test_loading_it_warns_of_nothing():
    """Each of an operator's commands loads it; in a pod its warnings were all that could be seen."""
    program = "from korean_llm_assets.definitions import defs; defs.get_repository_def(); defs.resolve_asset_graph()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
