"""Drift: every night the champions are evaluated on the newest release, and what got significantly worse is told.

The evaluation is the ordinary stage with the champion's own line of models as its subject, and the newest release's
benchmarks and held-out text. Asked for again on the same release it is reused and costs nothing.
"""

from typing import Any

from dagster import (
    AssetKey,
    AssetObservation,
    DefaultScheduleStatus,
    Failure,
    OpExecutionContext,
    ScheduleDefinition,
    job,
    op,
)

from korean_llm_assets.compute.overrides import Overrides
from korean_llm_assets.partitions.keys import cell_key, releases
from korean_llm_assets.partitions.pointers import latest
from korean_llm_assets.partitions.recipes import model_recipes, registered_name
from korean_llm_assets.partitions.requests import as_input, stage_request
from korean_llm_assets.resources import Platform, PlatformResource
from korean_llm_assets.serving.registry import CHAMPION
from trainers.contract import STAGES, Artifact, EvaluationDetails, Manifest, StageError, StageRequest
from trainers.contract.artifacts import ArtifactStore

_EVALUATE, _EXPORT = STAGES["evaluate"], STAGES["export"]
_SUBJECT = _EXPORT.subject
"""The column of the report that is deployed."""


def champions_report(store: ArtifactStore, deployed: str) -> Manifest:
    """The report that a champion was promoted with.

    Args:
        deployed: where the deployed artifact lies, relative to the artifact root.
    """
    exported = store.read(store.root / deployed)
    return store.read(store.root / exported.request.input(_EVALUATE.asset).path)


def drift_request(report: Manifest, benchmarks: Artifact, corpus: Artifact) -> StageRequest:
    """The evaluation of a report's models on another release's data."""
    subject = [report.request.input(stage.asset) for stage in _EVALUATE.models]
    return stage_request(
        _EVALUATE, report.request.model, corpus.release, [*subject, as_input(benchmarks), as_input(corpus)]
    )


def worse_suites(then: EvaluationDetails, now: EvaluationDetails) -> list[str]:
    """Suites, in words, whose interval now lies wholly on the worse side of that in the champion's own report.

    Compared are suites of one name, which a release may bring with other items: that is what is asked here.
    """
    lines = []
    for suite, figures in now.suites.items():
        before, after = then.suites.get(suite, {}).get(_SUBJECT), figures.get(_SUBJECT)
        if before is None or after is None:
            continue
        up = now.higher_is_better.get(suite, True)
        if after.high < before.low if up else after.low > before.high:
            lines.append(
                f"{suite} {after.value:.4g} [{after.low:.4g}, {after.high:.4g}], "
                f"was {before.value:.4g} [{before.low:.4g}, {before.high:.4g}]"
            )
    return lines


@op(name="champions_on_fresh_text")
def drift_op(context: OpExecutionContext, platform: PlatformResource) -> None:
    """Evaluate each champion on the newest release; fails, after all of them, where one got worse."""
    problems = []
    for model, recipe in sorted(model_recipes().items()):
        if recipe.automation == "off":
            continue
        try:
            if words := _drift_of(context, platform, model):
                problems.append(f"{model}: {words}")
        except (StageError, Failure) as error:  # the others are evaluated all the same
            problems.append(f"{model} could not be evaluated: {getattr(error, 'description', None) or error}")
    if problems:
        raise Failure("; ".join(problems), allow_retries=False)


def _drift_of(context: OpExecutionContext, platform: Platform, model: str) -> str:
    """What got worse of one model's champion; empty where nothing did, or nothing is to be compared."""
    store = platform.store
    champion = platform.registry.version(registered_name(model), CHAMPION)
    newest = _newest_data(context)
    if champion is None or newest is None:
        context.log.info(f"{model}: there is no champion, or no release with data")
        return ""
    report = champions_report(store, champion.artifact.path)
    benchmarks, corpus = newest
    if corpus.release == report.request.release:
        context.log.info(f"{model}: no release is newer than the champion's own, {corpus.release}")
        return ""
    request = drift_request(report, benchmarks, corpus)
    manifest = store.find(request) or platform.compute.run(context, request, Overrides.of(context))
    then, now = report.details, manifest.details
    assert isinstance(then, EvaluationDetails) and isinstance(now, EvaluationDetails), "both are reports"
    suites = worse_suites(then, now)
    words = f"worse on release {corpus.release} than on {report.request.release}: {'; '.join(suites)}" if suites else ""
    context.log_event(
        AssetObservation(
            AssetKey(_EXPORT.asset),
            partition=cell_key(model, str(report.request.release)),
            description=words or f"no suite is significantly worse on release {corpus.release}",
            metadata=_metadata(champion.number, corpus.release, store.folder(request), now, suites),
        )
    )
    return words


def _newest_data(context: OpExecutionContext) -> tuple[Artifact, Artifact] | None:
    """Benchmarks and corpus of the newest release that has both."""
    for release in reversed(context.instance.get_dynamic_partitions(releases.name or "")):
        pointers = [latest(context.instance, AssetKey(name), release) for name in ("benchmarks", "corpus")]
        if pointers[0] is not None and pointers[1] is not None:
            return pointers[0], pointers[1]
    return None


def _metadata(
    version: str, release: str | None, folder: Any, now: EvaluationDetails, suites: list[str]
) -> dict[str, Any]:
    figures = {f"now {suite}": each[_SUBJECT].value for suite, each in now.suites.items() if _SUBJECT in each}
    return {
        "drift: champion": f"version {version}",
        "drift: release": release or "",
        "drift: worse suites": len(suites),
        "drift: report": str(folder / "report.html"),
        **figures,
    }


@job(name="drift", description="The champions on the newest release's held-out text and benchmarks.")
def drift_job() -> None:
    """One step."""
    drift_op()


drift_schedule = ScheduleDefinition(
    name="drift_nightly",
    job=drift_job,
    cron_schedule="0 3 * * *",
    default_status=DefaultScheduleStatus.RUNNING,
    description="Costs nothing while there is no newer release: the evaluation is reused.",
)
