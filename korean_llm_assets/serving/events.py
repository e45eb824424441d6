"""Who did what to what is served, or may be: approvals, promotions, rollbacks, take-downs. Written once, never changed.

Each stands in a file beside the registry's locks (the truth, one line each), as an observation of its asset in
Dagster's UI, and, where it is about a model, as a tag of the registered model.
"""

import getpass
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from dagster import AssetKey, AssetObservation, DagsterInstance, MetadataValue
from pydantic import BaseModel, ConfigDict, Field

from trainers.contract.artifacts import ArtifactStore
from trainers.contract.files import fsync_folder
from trainers.contract.locks import locked
from trainers.contract.names import shown

_ASSETS = {"approval": "eval_report", "promotion": "deployed_model", "rollback": "deployed_model", "takedown": "corpus"}


class Event(BaseModel):
    """Something that a person, or a run, decided."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: Literal["approval", "promotion", "rollback", "takedown"]
    about: str = Field(description="the artifact, version or list that it was done to")
    who: str = Field(description="the person who answers for it, or the run that did it by itself")
    login: str = Field(description="the account that it was done from")
    when: datetime
    why: str = ""
    partition: str | None = Field(default=None, description="of the asset in Dagster, where it is of one")

    @property
    def in_words(self) -> str:
        """One line for people."""
        why = f": {shown(self.why)}" if self.why else ""
        return f"{self.what} of {self.about} by {shown(self.who)} ({self.login}) on {self.when:%Y-%m-%d %H:%M} UTC{why}"


def event(what: str, about: str, who: str = "", why: str = "", partition: str | None = None) -> Event:
    """What happens now; without a name, whoever is logged in did it."""
    login = _login()
    fields = {"what": what, "about": about, "who": who or login, "login": login, "why": why, "partition": partition}
    return Event.model_validate({**fields, "when": datetime.now(UTC)})


def record(store: ArtifactStore, instance: DagsterInstance, done: Event) -> None:
    """Write an event down for good, and show it in the UI."""
    path = _file(store)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_suffix(".lock")), path.open("a", encoding="utf-8") as stream:
        stream.write(done.model_dump_json() + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    fsync_folder(path.parent)
    instance.report_runless_asset_event(
        AssetObservation(
            AssetKey(_ASSETS[done.what]),
            partition=done.partition,
            description=done.in_words,
            metadata={name: MetadataValue.text(str(value)) for name, value in done if value},
        )
    )


def events(store: ArtifactStore) -> Iterator[Event]:
    """Everything that was done, oldest first."""
    path = _file(store)
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        yield Event.model_validate_json(line)


def _file(store: ArtifactStore) -> Path:
    return store.registry_locks / "events.jsonl"


def _login() -> str:
    """The account's name; its number in a container without accounts."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
