"""When things are made: jobs for people, the sensor that starts on new data, and the conditions for the rest."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from dagster import (
    AssetKey,
    AssetSelection,
    AutomationCondition,
    AutomationConditionSensorDefinition,
    AutomationContext,
    AutomationResult,
    DagsterInstance,
    DefaultSensorStatus,
    ResourceParam,
    RunRequest,
    RunsFilter,
    SensorEvaluationContext,
    SensorResult,
    define_asset_job,
    sensor,
)

from korean_llm_assets.alerts import Alert, configured_notifiers
from korean_llm_assets.assets.proposals import may_make
from korean_llm_assets.landing.buckets import mirror_sources
from korean_llm_assets.landing.claims import claim
from korean_llm_assets.landing.folders import Landing
from korean_llm_assets.partitions.keys import release_key, releases
from korean_llm_assets.triggers.housekeeping import housekeeping_job, housekeeping_schedule
from korean_llm_assets.triggers.incidents import CONTENT_TAG, Outbox, alerts
from trainers.contract import ServiceMissing

LANDED_AS_TAG = "korean_llm/landed_as"

# Runs of one job share one partition space; these are the three spaces of the graph.
data_job = define_asset_job(
    "data",
    selection=AssetSelection.groups("data"),
    description="A release's data: benchmarks, corpus, instructions, preferences.",
)
base_job = define_asset_job(
    "base",
    selection=AssetSelection.assets("base_model"),
    description="The base model of a recipe.",
)
training_job = define_asset_job(
    "training",
    selection=AssetSelection.assets("cpt_checkpoint", "sft_model", "rlhf_model", "eval_report", "deployed_model"),
    description="One model on one release: CPT, SFT, RLHF, evaluation, deployment.",
)
# Jobs of assets and of ops have no public type in common.
JOBS: list[Any] = [data_job, base_job, training_job, housekeeping_job]
SCHEDULES = [housekeeping_schedule]


class MayBeMade(AutomationCondition[AssetKey]):
    """True for partitions of models that say `automation: auto`, and of `ask` once a person agreed to them."""

    @property
    def description(self) -> str:
        """Shown in the UI."""
        return "the model's recipe says automation: auto, or ask and a person started it"

    def evaluate(self, context: AutomationContext[AssetKey]) -> AutomationResult[AssetKey]:
        """Keep the candidates that may be made; all the other conditions hold for them (this is asked last)."""
        view = context.asset_graph_view
        candidates = {each.partition_key: each for each in _partitions(context)}
        allowed = may_make(view.instance, context.key.to_user_string(), candidates)
        kept = {candidates[partition] for partition in allowed}
        return AutomationResult(context, view.get_asset_subset_from_asset_partitions(context.key, kept))


def _partitions(context: AutomationContext[AssetKey]) -> Iterable[Any]:
    return context.candidate_subset.expensively_compute_asset_partitions()


def data_condition() -> AutomationCondition[AssetKey]:
    """Make a release's data again when the recipe of the data assets changed. New releases are the sensor's."""
    is_ = AutomationCondition
    changed: AutomationCondition = is_.code_version_changed() | is_.any_deps_updated()
    return changed.since_last_handled() & ~is_.missing() & _idle()


def model_condition() -> AutomationCondition[AssetKey]:
    """Make what is missing or outdated, once everything before it is there and passed its checks.

    Of models that say `automation: ask`, once a person agreed; of those that say off, never.
    A failed run is not repeated by itself: only a new recipe or new upstream data starts the next one.
    """
    is_ = AutomationCondition
    changed: AutomationCondition = is_.code_version_changed() | is_.any_deps_updated()
    due: AutomationCondition = (is_.missing() & ~is_.execution_failed()) | changed.since_last_handled()
    return due & _idle() & is_.all_deps_blocking_checks_passed() & MayBeMade()


def _idle() -> AutomationCondition:
    """Nothing that this reads is missing or being made, and no run of this waits or works.

    What another run of this tick will make is waited for too, where it has other partitions (and so another run).
    """
    is_ = AutomationCondition
    elsewhere = AssetSelection.groups("data") | AssetSelection.assets("base_model")
    coming = is_.any_deps_match(is_.will_be_requested()).allow(elsewhere)
    return ~is_.any_deps_missing() & ~is_.any_deps_in_progress() & ~is_.in_progress() & ~coming


@sensor(jobs=[data_job], minimum_interval_seconds=15, default_status=DefaultSensorStatus.RUNNING)
def new_releases(context: SensorEvaluationContext, landing: ResourceParam[Landing]) -> SensorResult:
    """A complete folder with content never seen becomes a release, and its data is made.

    Content is known by its digest, which is the run key and a tag of the run: re-uploads, renamed folders,
    a rewound cursor or two daemons give one run per content. The cursor only saves reading a folder again.
    """
    try:
        mirror_sources(landing.root)
    except ServiceMissing as error:  # what lies here already is made all the same
        context.log.error(str(error))
        Outbox(context.instance, configured_notifiers()).tell(_unreachable(error))
    known: dict[str, list[str]] = json.loads(context.cursor or "{}")
    seen = {name: _digest(landing, name, known.get(name)) for name in landing.releases().values()}
    digests = {name: found for name, found in seen.items() if found is not None}
    requests = _requests(context.instance, landing, {name: digest for name, (_, digest) in digests.items()})
    registered = set(context.instance.get_dynamic_partitions(releases.name or ""))
    keys = {request.partition_key: None for request in requests if request.partition_key}
    new = [key for key in keys if key not in registered]
    return SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[releases.build_add_request(new)] if new else [],
        cursor=json.dumps(digests),
    )


def _unreachable(error: ServiceMissing) -> Alert:
    """Told once a day."""
    return Alert(
        f"landing:{datetime.now(UTC):%Y-%m-%d}",
        "landing",
        f"[데이터 수신 불가] {error}",
        f"[landing area cannot be read] {error}",
    )


def _digest(landing: Landing, name: str, known: list[str] | None) -> tuple[str, str] | None:
    """(signature, content digest) of a release; None while it is not complete or went away as we looked."""
    try:
        if not landing.is_complete(name):
            return None
        signature = landing.signature(name)
        return signature, known[1] if known and known[0] == signature else landing.digest(name)
    except FileNotFoundError:
        return None  # a rename or an upload in progress; the next tick sees the rest


def _requests(instance: DagsterInstance, landing: Landing, digests: dict[str, str]) -> list[RunRequest]:
    """One run request per content that no run has been started for, and that no other daemon is starting."""
    requests: dict[str, RunRequest] = {}
    for name, digest in digests.items():
        if digest in requests or instance.get_runs(RunsFilter(tags={CONTENT_TAG: digest}), limit=1):
            continue
        if not claim(landing.root, digest):
            continue
        tags = {CONTENT_TAG: digest, LANDED_AS_TAG: name}
        requests[digest] = RunRequest(run_key=digest, partition_key=release_key(name), tags=tags)
    return list(requests.values())


automation_sensor = AutomationConditionSensorDefinition(
    "automation",
    target=AssetSelection.all(),
    default_status=DefaultSensorStatus.RUNNING,
    use_user_code_server=True,
    description="Makes what new data or a changed recipe asks for; of models with `automation: ask`, once started.",
)
SENSORS = [new_releases, automation_sensor, alerts]
