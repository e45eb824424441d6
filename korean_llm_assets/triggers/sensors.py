"""The sensors: new data becomes a release, and what it asks for is made."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from dagster import (
    AssetSelection,
    AutomationConditionSensorDefinition,
    DagsterInstance,
    DefaultSensorStatus,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from korean_llm_assets.alerts import Alert, configured_channels, quoted
from korean_llm_assets.assets.landing_assets import observe_release
from korean_llm_assets.assets.recipe_assets import observe_recipes
from korean_llm_assets.landing.buckets import Elsewhere, look_elsewhere
from korean_llm_assets.landing.claims import claim
from korean_llm_assets.landing.folders import Landing
from korean_llm_assets.partitions.keys import release_key, releases
from korean_llm_assets.partitions.recipes import DATA, recipes_now
from korean_llm_assets.resources import PlatformResource
from korean_llm_assets.triggers.contents import contents
from korean_llm_assets.triggers.incidents import CONTENT_TAG, alerts
from korean_llm_assets.triggers.intake import TICK_BYTES, copying, intake_job, reading
from korean_llm_assets.triggers.jobs import data_job
from korean_llm_assets.triggers.outbox import Outbox
from trainers.contract import BadData, sha256_of
from trainers.contract.names import shown

LANDED_AS_TAG = "korean_llm/landed_as"
_READINGS: dict[Path, dict[str, tuple[str, str]]] = {}
"""What this process last read of each landing root. A cursor would be stored anew at each tick, 5,760 times a day."""


@sensor(jobs=[data_job, intake_job], minimum_interval_seconds=15, default_status=DefaultSensorStatus.RUNNING)
def new_releases(context: SensorEvaluationContext, platform: PlatformResource) -> SensorResult:
    """A complete folder with other content than its release was last made from is made; a new one if nobody has it.

    Content is known by its digest, which is a tag of the run and in its key: re-uploads, renamed folders, a rewound
    cursor or two daemons start nothing; what is put back to earlier content is made again.
    What is too much for a tick is read by a run of the job `intake`, and found read by a later tick.
    """
    landing = platform.landing
    elsewhere = look_elsewhere(landing.root)
    outbox = Outbox(context.instance, configured_channels())
    for alert in _alerts(elsewhere):  # what lies here already is made all the same
        context.log.error(alert.english)
        outbox.tell(alert)
    digests, intake, waiting = _read(context.instance, landing, _READINGS.get(landing.root, {}))
    _READINGS[landing.root] = digests
    intake += [request for each in elsewhere.waiting for request in copying(context.instance, each)]
    requests = _requests(context.instance, landing, {name: digest for name, (_, digest) in digests.items()})
    registered = set(context.instance.get_dynamic_partitions(releases.name or ""))
    keys = {request.partition_key: None for request in requests if request.partition_key}
    new = [key for key in keys if key not in registered]
    waits = "; ".join(f"{shown(name)} {words}" for name, words in waiting.items())
    if waits:
        context.log.info(f"not complete yet: {waits}")
    started = [*requests, *intake]
    return SensorResult(
        run_requests=started,
        skip_reason=None if started else SkipReason(f"not complete yet: {waits}" if waits else "no new content"),
        dynamic_partitions_requests=[releases.build_add_request(new)] if new else [],
    )


def _alerts(elsewhere: Elsewhere) -> Iterator[Alert]:
    """What cannot be brought here: a source is told once a day, a release once for each reason."""
    for words in elsewhere.unreachable:
        key = f"landing:{datetime.now(UTC):%Y-%m-%d}"
        yield Alert(key, "landing", f"[데이터 수신 불가] {words}", f"[landing area cannot be read] {words}")
    for place, reason in elsewhere.refused.items():
        words = quoted(f"{place}: {reason}")
        yield Alert(f"refused:{sha256_of(words)}", "quarantine", f"[격리] {words}", f"[quarantined] {words}")


def _read(
    instance: DagsterInstance, landing: Landing, last: dict[str, tuple[str, str]]
) -> tuple[dict[str, tuple[str, str]], list[RunRequest], dict[str, str]]:
    """Complete releases: (signature, content digest) by name; runs that read what is too much for a tick; what others
    wait for, in words, by name.

    One that cannot be read has its trouble for content: its run says in words what is wrong, and stops no other.
    """
    digests: dict[str, tuple[str, str]] = {}
    intake: list[RunRequest] = []
    waiting: dict[str, str] = {}
    budget = TICK_BYTES
    for name in landing.releases().values():
        try:
            if words := landing.incompleteness(name):
                waiting[name] = words
                continue
            signature = landing.signature(name)
            if name in last and last[name][0] == signature:
                digests[name] = (signature, last[name][1])
                continue
            unread = landing.unread_bytes(name)
            if unread > TICK_BYTES:
                intake += reading(instance, name, signature)
            elif unread <= budget:  # else it is a later tick's
                budget -= unread
                digests[name] = (signature, landing.digest(name))
        except FileNotFoundError:
            continue  # a rename or an upload in progress; the next tick sees the rest
        except BadData as error:
            digests[name] = (sha256_of(str(error)),) * 2
    return digests, intake, waiting


def _requests(instance: DagsterInstance, landing: Landing, digests: dict[str, str]) -> list[RunRequest]:
    """A run request for each release that does not stand for what lies there, and that no other daemon is starting."""
    requests: dict[str, RunRequest] = {}
    started = contents(instance)
    for name, digest in digests.items():
        key = release_key(name)
        last, last_run = started.last.get(key, (None, None))
        if last is None and (digest in requests or digest in started.all):
            continue  # another release is this one's content, under another name
        if last == digest:
            continue
        run_key = digest if last is None else f"{digest} after {last_run}"
        if run_key in requests or not claim(landing.root, run_key):
            continue
        with suppress(BadData):  # its run says what is wrong with it
            observe_release(instance, landing, name)
        tags = {CONTENT_TAG: digest, LANDED_AS_TAG: shown(name)}
        requests[run_key] = RunRequest(run_key=run_key, job_name=data_job.name, partition_key=key, tags=tags)
    return list(requests.values())


@sensor(minimum_interval_seconds=30, default_status=DefaultSensorStatus.RUNNING)
def recipe_changes(context: SensorEvaluationContext) -> SkipReason:
    """What the recipe files say is shown as assets of the group `recipes`, and what they outdate as outdated."""
    now = recipes_now()
    pages = {**now.models, **({DATA: now.data} if now.data else {})}
    says = sha256_of({name: page.model_dump(mode="json") for name, page in pages.items()})
    if says != context.cursor:
        observe_recipes(context.instance, now)
        context.update_cursor(says)
    broken = "; ".join(now.problems.values())
    return SkipReason(f"cannot be used: {broken}" if broken else f"{len(now.models)} models' recipes are read")


automation_sensor = AutomationConditionSensorDefinition(
    "automation",
    target=AssetSelection.all(),
    default_status=DefaultSensorStatus.RUNNING,
    use_user_code_server=True,
    description="Makes what new data or a changed recipe asks for; of models with `automation: ask`, once started.",
)
SENSORS = [new_releases, recipe_changes, automation_sensor, alerts]
