"""`make bench-instance`: one instance with many releases and models, on SQLite and PostgreSQL; figures as JSON.

Nothing is trained and no stage runs: the events of made assets are written, then the daemon's ticks and the pages that
people open are measured on them.
"""

import argparse
import json
import logging
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from dagster import (
    AssetKey,
    AssetMaterialization,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    EventLogEntry,
    MetadataValue,
    build_sensor_context,
)
from dagster._core.events import AssetMaterializationPlannedData, StepMaterializationData
from dagster._core.storage.event_log import SqlEventLogStorage, SqlEventLogStorageTable
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster._core.utils import make_new_run_id
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster_graphql.cli import execute_query
from sqlalchemy import func, select

from korean_llm_assets.assets.ledger import MADE_FROM
from korean_llm_assets.home import Home
from korean_llm_assets.landing.folders import Landing
from korean_llm_assets.partitions.keys import cell_key, partition_of
from korean_llm_assets.partitions.pointers import ARTIFACT
from korean_llm_assets.partitions.recipes import Recipes, recipes_now
from korean_llm_assets.partitions.requests import RECIPE, recipe_digest
from korean_llm_assets.triggers.incidents import CONTENT_TAG
from tests.support.postgres import postgres
from trainers.contract import STAGES, Artifact, Stage, sha256_of
from trainers.contract.recipe.loading import PACKAGED
from trainers.runner.host_memory import most_resident

MODELS = 5
LIMITS = {
    "idle_sensor_tick_seconds": 5.0,
    "idle_automation_tick_seconds": 20.0,
    "edited_automation_tick_seconds": 20.0,
    "code_location_mib": 1536.0,
    "page_seconds": 5.0,
}
"""What an instance of 500 releases x 5 models may take."""
_AT_ONCE = 500
"""Events that one statement writes."""
_PAGE = """{ assetNodeOrError(assetKey: {path: ["deployed_model"]}) { ... on AssetNode {
  partitionKeysByDimension { name partitionKeys } partitionStats { numMaterialized numPartitions numFailed }
  assetPartitionStatuses { ... on MultiPartitionStatuses { ranges { primaryDimStartKey primaryDimEndKey secondaryDim {
    ... on DefaultPartitionStatuses { materializedPartitions } } } } }
  assetMaterializations(limit: 25) { partition timestamp metadataEntries { label } } } } }"""
"""What the page of an asset asks for."""


def fill(home: Home, instance: DagsterInstance, names: list[str], models: list[str]) -> None:
    """Drops on the disk, a run of each drop and of each cell, and the events of every asset that they made.

    What was made says what it was made from, so that nothing is due.
    """
    landing, recipes = Landing(home.landing), recipes_now()
    instance.add_dynamic_partitions("release", names)
    runs = {(model, None): DagsterRun("base", make_new_run_id()) for model in models}
    for name in names:
        folder = home.landing / name / "corpus"
        folder.mkdir(parents=True)
        (folder / "a.jsonl").write_text(json.dumps({"text": f"글 {name}"}, ensure_ascii=False))
        (home.landing / name / "_READY").touch()
        runs[None, name] = _run("data", name, {CONTENT_TAG: landing.digest(name)})
        runs |= {(model, name): _run("training", cell_key(model, name), {}) for model in models}
    _store_runs(instance, list(runs.values()))
    for stage in STAGES.values():
        cells = [
            (model, name)
            for name in (names if stage.by_release else [None])
            for model in (models if stage.by_model else [None])
        ]
        asset, partitions = AssetKey(stage.asset), [partition_of(stage, *cell) for cell in cells]
        planned = [
            (
                runs[cell].run_id,
                DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
                AssetMaterializationPlannedData(asset, key),
            )
            for cell, key in zip(cells, partitions, strict=True)
        ]
        made = [
            (
                runs[cell].run_id,
                DagsterEventType.ASSET_MATERIALIZATION,
                StepMaterializationData(_made(recipes, stage, *cell)),
            )
            for cell in cells
        ]
        _store(instance, planned)
        _store(instance, made)


def _run(job: str, partition: str, tags: dict[str, str]) -> DagsterRun:
    run = DagsterRun(job, make_new_run_id(), status=DagsterRunStatus.SUCCESS)
    return run.with_tags({"dagster/partition": partition, **tags})


def _store_runs(instance: DagsterInstance, runs: list[DagsterRun]) -> None:
    """As `_store` does with events."""
    storage = instance.run_storage
    assert isinstance(storage, SqlRunStorage)
    for start in range(0, len(runs), _AT_ONCE):
        some = runs[start : start + _AT_ONCE]
        tags = [{"run_id": run.run_id, "key": key, "value": run.tags[key]} for run in some for key in run.tags]
        with storage.connect() as connection:
            connection.execute(RunsTable.insert(), [storage._get_run_insertion_values(run) for run in some])
            connection.execute(RunTagsTable.insert(), tags)


def _made(recipes: Recipes, stage: Stage, model: str | None, release: str | None) -> AssetMaterialization:
    recipe = recipes.of(model if stage.by_model else None)
    assert recipe is not None
    artifact = Artifact(
        stage=stage.name, model=model, release=release, request_digest="0" * 64, digest=_version(stage, model, release),
        path="none",
    )  # fmt: skip
    read = {STAGES[name].asset: _version(STAGES[name], model, release) for name in stage.reads}
    return AssetMaterialization(
        AssetKey(stage.asset),
        partition=partition_of(stage, model, release),
        metadata={
            ARTIFACT: artifact.to_json(),
            MADE_FROM: MetadataValue.json({**read, RECIPE: recipe_digest(stage, recipe)}),
        },
        tags={"dagster/data_version": artifact.digest},
    )


def _version(stage: Stage, model: str | None, release: str | None) -> str:
    return sha256_of([stage.asset, model if stage.by_model else None, release if stage.by_release else None])


def _store(instance: DagsterInstance, events: list[tuple[str, DagsterEventType, Any]]) -> None:
    """Many events of one asset in a few statements: one by one, the filling takes longer than all that is measured."""
    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    entries = [
        EventLogEntry(
            error_info=None,
            level=logging.INFO,
            user_message="",
            run_id=run,
            timestamp=time.time(),
            dagster_event=DagsterEvent(kind.value, "", event_specific_data=data),
        )
        for run, kind, data in events
    ]
    for start in range(0, len(entries), _AT_ONCE):
        some = entries[start : start + _AT_ONCE]
        with storage.index_transaction() as connection:
            connection.execute(storage.prepare_insert_event_batch(some))
            last = connection.execute(select(func.max(SqlEventLogStorageTable.c.id))).scalar_one()
            ids = range(last - len(some) + 1, last + 1)
            storage._store_asset_event_tags(connection, some, ids)
            storage._store_asset_event(connection, some[-1], ids[-1])


@contextmanager
def instances(kind: str, home: Home) -> Iterator[DagsterInstance]:
    """An instance whose storage is SQLite or PostgreSQL."""
    if kind == "sqlite":
        with DagsterInstance.get() as instance:
            yield instance
        return
    path = home.dagster / "dagster.yaml"
    with postgres() as server:
        block = {"storage": {"postgres": {"postgres_url": server.database("bench")}}}
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **block}))
        with DagsterInstance.get() as instance:
            yield instance


def measure(kind: str, releases: int) -> dict[str, Any]:
    """One kind of storage, in this process; the recipes and the home are its environment's."""
    home = Home.from_environment().prepare()
    with instances(kind, home) as instance:
        began = time.monotonic()
        models = [f"tiny-{number}" for number in range(MODELS)]
        fill(home, instance, [f"r{number:04}" for number in range(releases)], models)
        figures: dict[str, Any] = {"storage": kind, "releases": releases, "models": MODELS}
        figures["filling_seconds"] = round(time.monotonic() - began, 1)
        figures |= ticks(instance, Path(os.environ["KOREAN_LLM_RECIPES"]))
        figures["page_seconds"] = page(instance)
        figures["code_location_mib"] = round(most_resident(resource.RUSAGE_SELF) / 2**20)
    figures["within"] = {name: figures[name] <= limit for name, limit in LIMITS.items()}
    return figures


def ticks(instance: DagsterInstance, recipes: Path) -> dict[str, Any]:
    """Ticks of the sensor of drops and of the automation, as the daemon asks for them, and the size of their cursors:
    the first, which reads everything; one when nothing is new; one after a model's recipe was edited."""
    from korean_llm_assets.definitions import defs
    from korean_llm_assets.triggers.sensors import automation_sensor, new_releases

    figures: dict[str, Any] = {}
    cursors: dict[str, str | None] = {"sensor": None, "automation": None}
    for moment in ("first", "idle", "edited"):
        if moment == "edited":
            page = recipes / "tiny-0.yaml"
            text = yaml.safe_load(page.read_text())
            page.write_text(yaml.safe_dump({**text, "rlhf": {**text["rlhf"], "beta": 0.25}}))
        for name, sensor in (("sensor", new_releases), ("automation", automation_sensor)):
            context = build_sensor_context(
                instance=instance, cursor=cursors[name], definitions=defs, resources=defs.resources
            )
            began, cpu = time.monotonic(), time.process_time()
            answer = sensor.evaluate_tick(context)
            figures[f"{moment}_{name}_tick_seconds"] = round(time.monotonic() - began, 2)
            figures[f"{moment}_{name}_tick_cpu_seconds"] = round(time.process_time() - cpu, 2)
            figures[f"{moment}_{name}_requests"] = len(answer.run_requests or ())
            cursors[name] = answer.cursor
            figures[f"{name}_cursor_bytes"] = len(answer.cursor or "")
    return figures


def page(instance: DagsterInstance) -> float:
    """The page of an asset of model x release, as the web server answers it: seconds."""
    with WorkspaceProcessContext(instance, ModuleTarget("korean_llm_assets.definitions", None, None, None)) as context:
        execute_query(context, _PAGE)  # the code server is started at the first
        began = time.monotonic()
        answer = execute_query(context, _PAGE)["data"]["assetNodeOrError"]
        assert answer["partitionStats"]["numMaterialized"] == answer["partitionStats"]["numPartitions"] > 0
        return round(time.monotonic() - began, 2)


def main() -> None:
    """Measure both kinds of storage, each in a process of its own, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--releases", type=int, default=500)
    parser.add_argument("--storage", choices=("sqlite", "postgres"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.storage:
        print(json.dumps(measure(options.storage, options.releases)))
        return
    for kind in ("sqlite", "postgres"):
        with TemporaryDirectory() as folder:
            recipes = Path(folder) / "recipes"
            recipes.mkdir()
            for number in range(MODELS):
                name = f"tiny-{number}"
                text = yaml.safe_load((PACKAGED / "tiny.yaml").read_text())
                (recipes / f"{name}.yaml").write_text(yaml.safe_dump({**text, "model": name}))
            variables = {
                "KOREAN_LLM_HOME": f"{folder}/var",
                "KOREAN_LLM_RECIPES": str(recipes),
                "PYTHONWARNINGS": "ignore",
                "KOREAN_LLM_MODELS": ",".join(f"tiny-{number}" for number in range(MODELS)),
            }
            command = [sys.executable, "-W", "ignore", "-m", "tests.bench.instance", "--storage", kind]
            command += ["--releases", str(options.releases)]
            done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr[-3000:])
            print(*(line for line in done.stdout.splitlines() if line.startswith("{")), flush=True)  # servers log, too


if __name__ == "__main__":
    main()
