"""The job that reads a large drop, so that no sensor's tick has to: copied out of its bucket, each file hashed once.

A tick has a minute; a drop may take hours. What was read is kept beside the releases (`landing/file_digests.py`): the
tick after this run finds every digest there, and so does whoever begins again after a kill.
"""

from dagster import Config, DagsterInstance, DagsterRunStatus, OpExecutionContext, RunRequest, RunsFilter, job, op
from pydantic import Field

from korean_llm_assets.landing.buckets import Waiting, copy_release
from korean_llm_assets.resources import PlatformResource
from trainers.contract.redaction import redacted

TICK_BYTES = 256 * 2**20
"""What one tick may read itself: a second or two, on the quarter of a core that a code location has."""
_TAG = "korean_llm/intake"
"""Of a run: what the drop looked like when it was asked for."""
_ATTEMPTS = 3
"""A worker dies, a bucket hiccups; what fails three times waits for a person, whom the failure's alert told."""
_ENDED_BADLY = (DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)


class Drop(Config):
    """Which drop is read."""

    name: str = Field(description="the release's folder below the landing root")
    url: str = Field(default="", description="the source that it is copied from first; empty: it lies there")


@op
def take_in(context: OpExecutionContext, config: Drop, platform: PlatformResource) -> None:
    """Copy a release where it is elsewhere, and hash what nobody has hashed yet."""
    landing = platform.landing
    if config.url:
        copy_release(landing.root, config.url, config.name)
        context.log.info(f"copied {config.name} from {redacted(config.url)}")
    unread = landing.unread_bytes(config.name)
    digest = landing.digest(config.name)
    context.log.info(f"{config.name}: {unread / 2**20:.0f} MiB read, content {digest}")


@job(name="intake", description="Reads a drop that is too large for a sensor's tick, or lies in a bucket.")
def intake_job() -> None:
    """One drop."""
    take_in()


def copying(instance: DagsterInstance, waiting: Waiting) -> list[RunRequest]:
    """The run that copies a release of a source, where none works on it as it looks now."""
    return _request(instance, f"{waiting.url}/{waiting.name}@{waiting.signature}", waiting.name, waiting.url)


def reading(instance: DagsterInstance, name: str, signature: str) -> list[RunRequest]:
    """The run that reads a landed release, where none works on it as it looks now."""
    return _request(instance, f"{name}@{signature}", name, "")


def _request(instance: DagsterInstance, key: str, name: str, url: str) -> list[RunRequest]:
    runs = instance.get_runs(RunsFilter(tags={_TAG: key}), limit=_ATTEMPTS)
    if len(runs) == _ATTEMPTS or any(run.status not in _ENDED_BADLY for run in runs):
        return []
    config = {"ops": {"take_in": {"config": {"name": name, "url": url}}}}
    return [RunRequest(f"{key}#{len(runs)}", config, {_TAG: key}, intake_job.name)]
