"""Command `demo`: from a drop of Korean text to an evaluated, registered model, in this process; ends with a table."""

import json
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from dagster import DagsterInstance, ExecuteInProcessResult

from korean_llm_assets.assets.presentation import headline
from korean_llm_assets.commands.printing import table
from korean_llm_assets.home import Home
from korean_llm_assets.landing.folders import Landing
from korean_llm_assets.partitions.keys import cell_key
from korean_llm_assets.partitions.pointers import ARTIFACT
from trainers.contract import Artifact
from trainers.contract.artifacts import ArtifactStore

RELEASE = "sample"
MODEL = "tiny"
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Only the stages' own lines are of interest here; Dagster's are in the UI."""


@dataclass(frozen=True)
class DemoRow:
    """One materialization of the demo; seconds with and without Dagster's share."""

    asset: str
    partition: str
    seconds: float
    stage_seconds: float
    reused: bool
    headline: str
    metrics: dict[str, float]
    timings: dict[str, float]
    tracking_run: str | None
    location: str


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser(
        "demo", help="sample drop -> corpus -> CPT -> SFT -> RLHF -> eval report -> registered model"
    )
    parser.add_argument("--model", default=MODEL, help="whose recipe is made (%(default)s)")
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Run everything on this machine's state; returns the exit code of the command."""
    started = time.time()
    with ThreadPoolExecutor() as beside:
        tracking = beside.submit(home.prepare_tracking)  # seconds of MLflow's migrations
        if not (home.landing / RELEASE).exists():
            command = [sys.executable, "-m", "trainers.sample", str(home.landing), "--name", RELEASE]
            subprocess.run(command, check=True)  # by name: the assets do not import what trains
        # Read the environment that `Home.prepare` set.
        from korean_llm_assets.assets.recipe_assets import observe_recipes
        from korean_llm_assets.definitions import defs
        from korean_llm_assets.partitions.recipes import recipes
        from korean_llm_assets.triggers.incidents import CONTENT_TAG

        tracking.result()

    rows: list[DemoRow] = []
    with DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("release", [RELEASE])
        observe_recipes(instance, recipes())
        for job, partition in (
            ("data", RELEASE),
            ("base", options.model),
            ("training", cell_key(options.model, RELEASE)),
        ):
            # By its tag the sensor of drops knows that this content is made already.
            tags = {CONTENT_TAG: Landing(home.landing).digest(RELEASE)} if job == "data" else {}
            result = defs.resolve_job_def(job).execute_in_process(
                instance=instance, partition_key=partition, run_config=_QUIET, raise_on_error=False, tags=tags
            )
            rows += _rows(result, instance, ArtifactStore(home.artifacts))
            if not result.success:
                _explain(result)
                break
    _report(home, rows, time.time() - started, result.success)
    return 0 if result.success else 1


def _rows(result: ExecuteInProcessResult, instance: DagsterInstance, store: ArtifactStore) -> Iterator[DemoRow]:
    """What a job materialized, in order."""
    seconds = {
        stats.step_key: (stats.end_time or 0.0) - (stats.start_time or 0.0)
        for stats in instance.get_run_step_stats(result.run_id)
    }
    for event in result.all_events:
        if not event.is_step_materialization:
            continue
        metadata = event.step_materialization_data.materialization.metadata
        manifest = store.manifest(Artifact.model_validate(metadata[ARTIFACT].value))
        reused = bool(metadata["reused"].value)
        yield DemoRow(
            asset=manifest.request.asset,
            partition=manifest.request.partition,
            seconds=round(seconds[event.step_key or ""], 2),
            stage_seconds=0.0 if reused else manifest.timings["seconds"],
            reused=reused,
            headline=headline(manifest.details),
            metrics=manifest.metrics,
            timings=manifest.timings,
            tracking_run=store.tracking_run(manifest),
            location=str(store.folder(manifest.request)),
        )


def _explain(result: ExecuteInProcessResult) -> None:
    """Why a job failed, in the words of the step that did."""
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.error:
            error = event.step_failure_data.error
            if error.cls_name == "DagsterExecutionInterruptedError":
                print(f"\nstopped: {event.step_key}. Run the same again to go on from the last checkpoint.")
                continue
            failure = event.step_failure_data.user_failure_data
            print(f"\nfailed: {event.step_key}: {(failure.description if failure else None) or error.to_string()}")
    for check in result.get_asset_check_evaluations():
        if not check.passed:
            print(f"\nthe check {check.check_name} of {check.asset_key.to_user_string()} failed: {check.description}")


def _report(home: Home, rows: list[DemoRow], seconds: float, success: bool) -> None:
    """The table, where to look next, and the same as JSON."""
    summary = {"success": success, "seconds": round(seconds, 1), "stages": [asdict(row) for row in rows]}
    path = home.root / "demo.json"
    path.write_text(json.dumps(summary, ensure_ascii=False, indent=1), encoding="utf-8")
    cells = [
        [
            *(row.asset, row.partition, f"{row.seconds:.1f}" + (" reused" if row.reused else "")),
            *(row.headline, row.tracking_run or "sent later"),
        ]
        for row in rows
    ]
    print("\n" + "\n".join(table(("asset", "partition", "seconds", "key figure", "tracking run"), cells)))
    print(f"\n{'done' if success else 'not finished'} in {seconds:.0f} s. The same as JSON: {path}")
    if success:
        print(f"the report:     {rows[-2].location}/report.html")
        print(f"the model:      {rows[-1].location}/model")
        print("where to look:  make ui (Dagster: lineage, metadata, checks; MLflow: runs and the model registry)")
        print(f"your own data:  put a folder into {home.landing} (README, 'Bring your own data')")
