"""The sensors: new data becomes a release, and what it asks for is made."""

import json
from datetime import UTC, datetime

from dagster import (
    AssetSelection,
    AutomationConditionSensorDefinition,
    DagsterInstance,
    DefaultSensorStatus,
    RunRequest,
    RunsFilter,
    SensorEvaluationContext,
    SensorResult,
    sensor,
)

from korean_llm_assets.alerts import Alert, configured_channels
from korean_llm_assets.landing.buckets import mirror_sources
from korean_llm_assets.landing.claims import claim
from korean_llm_assets.landing.folders import Landing
from korean_llm_assets.partitions.keys import release_key, releases
from korean_llm_assets.resources import PlatformResource
from korean_llm_assets.triggers.incidents import CONTENT_TAG, Outbox, alerts
from korean_llm_assets.triggers.jobs import data_job
from trainers.contract import ServiceMissing

LANDED_AS_TAG = "korean_llm/landed_as"


@sensor(jobs=[data_job], minimum_interval_seconds=15, default_status=DefaultSensorStatus.RUNNING)
def new_releases(context: SensorEvaluationContext, platform: PlatformResource) -> SensorResult:
    """A complete folder with content never seen becomes a release, and its data is made.

    Content is known by its digest, which is the run key and a tag of the run: re-uploads, renamed folders,
    a rewound cursor or two daemons give one run per content. The cursor only saves reading a folder again.
    """
    landing = platform.landing
    try:
        mirror_sources(landing.root)
    except ServiceMissing as error:  # what lies here already is made all the same
        context.log.error(str(error))
        Outbox(context.instance, configured_channels()).tell(_unreachable(error))
    cursor: dict[str, list[str]] = json.loads(context.cursor or "{}")
    readings = {name: _digest(landing, name, cursor.get(name)) for name in landing.releases().values()}
    digests = {name: reading for name, reading in readings.items() if reading is not None}
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


def _digest(landing: Landing, name: str, last: list[str] | None) -> tuple[str, str] | None:
    """(signature, content digest) of a release; None while it is not complete or went away as we looked."""
    try:
        if not landing.is_complete(name):
            return None
        signature = landing.signature(name)
        return signature, last[1] if last and last[0] == signature else landing.digest(name)
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
