"""A snapshot of the asset graph: what depends on what, and how it is grouped, checked and partitioned."""

import json
from pathlib import Path

from korean_llm_assets.definitions import defs
from korean_llm_assets.partitions.keys import stage_of

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
    assert all(spec.code_version for spec in defs.resolve_all_asset_specs())


def test_the_table_of_what_stages_read_is_what_the_assets_take() -> None:
    for spec in defs.resolve_all_asset_specs():
        stage = stage_of(spec.key.to_user_string())
        taken = {stage_of(dep.asset_key.to_user_string()).name for dep in spec.deps}
        assert taken == set(stage.reads), stage.name


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(graph(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
