"""The model registry (MLflow): a version per passing model, and aliases that say which one is the champion.

candidate   registered, not serving yet: being rolled out, or its rollout failed
champion    what is served
previous    what was served before it; `rollback` swaps the two

The alias `champion` is the truth about what is served, and moves in one call in the course of a rollout. The rest of a
change is repeated until it is done: a tag of the registered model says what is being replaced, and by which kind of
change, so that a later try, in whatever process, finishes what an earlier one began.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

from dagster import Failure

from trainers.contract import Artifact, BadRequest, ExportDetails, Input, Manifest, ServiceMissing, attachments
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.locks import locked

CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"
_DIGEST, _REPLACES, _PATH = "artifact_digest", "replaces", "artifact_path"
_LONGEST_TAG = 5000
_LONGEST_DESCRIPTION = 5000
"""Characters that MLflow's database keeps of a version's description."""
_UNFINISHED = "unfinished_change"
"""Tag of a registered model while its champion changes: `<kind of change>:<new version>:<version that it replaces>`."""

Kind = Literal["promotion", "rollback"]


@dataclass(frozen=True)
class Promotion:
    """A promoted version."""

    name: str
    version: str
    replaces: str | None
    run: str | None


@dataclass(frozen=True)
class Version:
    """A version of a registered model, and the artifact it points to."""

    name: str
    number: str
    artifact: Input
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Change:
    """One version on its way to take the place of another, which is None where nothing was champion."""

    name: str
    kind: Kind
    new: Version
    old: Version | None
    promote: Callable[[], None]
    """Moves the alias `champion` to the new version."""
    champion: Callable[[], str | None]
    """Number of the version that the alias names now."""


@dataclass(frozen=True)
class Registry:
    """MLflow's model registry. It points to artifacts; nothing is uploaded a second time."""

    uri: str
    locks: Path
    """Folder of lock files on the shared volume: MLflow has no compare-and-swap for aliases."""
    retry_seconds: tuple[float, ...] = (1, 5, 15)
    """Waits between tries while the registry does not answer."""
    rollout: Callable[[Change], None] | None = None
    """Brings a version into service and calls the change's `promote` in its course; raises where it fails."""

    def champion(self, name: str, other_than: Artifact) -> Input | None:
        """The champion as an input of the evaluation of a challenger: the model it would replace.

        A champion that was made from the challenger itself stands for the one it replaced, so that asking
        twice for the same evaluation gives the same request.
        """
        version = self.version(name, CHAMPION)
        while version is not None and version.tags.get("rlhf_model") == other_than.digest:
            earlier = version.tags.get(_REPLACES)
            version = self._numbered(name, earlier) if earlier else None
        return version.artifact if version else None

    def version(self, name: str, alias: str) -> Version | None:
        """The version under an alias, or None.

        Raises:
            ServiceMissing: the registry does not answer.
        """
        with self._answering(f"looking up {name}"):
            return self._aliased(self._client(), name, alias)

    def of_release(self, name: str, release: str) -> Version | None:
        """The newest version that was made of a release, or None.

        Raises:
            ServiceMissing: the registry does not answer.
        """
        with self._answering(f"looking up {name} of release {release}"):
            versions = self._client().search_model_versions(f"name = '{name}'")
        of_it = [version for version in versions if version.tags.get("release") == release]
        return _version(max(of_it, key=lambda version: int(version.version))) if of_it else None

    def live(self) -> list[Version]:
        """Every version that an alias names, and the one that it replaced: what must be kept.

        Raises:
            ServiceMissing: the registry does not answer.
        """
        with self._answering("looking up what is served"):
            versions = [
                self._numbered(model.name, str(number))
                for model in self._client().search_registered_models()
                for number in model.aliases.values()
            ]
            replaced = [self._numbered(each.name, each.tags[_REPLACES]) for each in versions if _REPLACES in each.tags]
            return versions + replaced

    def forget_attachments(self, run: str) -> bool:
        """Remove what a run's stage attached (reports, samples, plots); False where the run is not there any more.

        Raises:
            ServiceMissing: the registry does not answer.
        """
        from mlflow.exceptions import MlflowException
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        with self._answering(f"removing the attachments of run {run}"):
            try:
                uri = self._client().get_run(run).info.artifact_uri
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return False
                raise
            get_artifact_repository(attachments.place(uri)).delete_artifacts()
            return True

    def promote(
        self, name: str, exported: Manifest, report: Manifest, store: ArtifactStore, tags: Mapping[str, str]
    ) -> Promotion:
        """Register this model and make it the champion; the same content promoted again keeps its version.

        Of two promotions at once one wins: the other's report did not compare with what is now the champion.

        Asked again after any failure, it goes on where that one ended: the version is not registered twice, and what
        is the champion by then gets its traffic.

        Raises:
            Failure: the champion is not the one that the report compared with, the new version cannot serve, or the
                registry or the platform that serves does not answer.
        """
        for wait in (*self.retry_seconds, None):
            try:
                with self._answering(f"promoting {name}"), self._locked(name):
                    return self._promote(name, exported, report, store, tags)
            except ServiceMissing as error:
                if wait is None:
                    raise Failure(
                        f"{error} The exported model is kept; materialize deployed_model again when it answers."
                    ) from error
                time.sleep(wait)
        raise AssertionError("the last try returns or raises")

    def note(self, name: str, when: datetime, words: str) -> None:
        """Keep what was done to a registered model with it, under its time.

        Raises:
            ServiceMissing: the registry does not answer.
        """
        with self._answering(f"noting what was done to {name}"):
            self._client().set_registered_model_tag(name, f"event {when:%Y-%m-%dT%H:%M:%S.%fZ}", words[:_LONGEST_TAG])

    def roll_back(self, name: str, verify: Callable[[Version], Any] = lambda version: None) -> Version:
        """Make `previous` the champion again, and the champion `previous`; returns what is champion now.

        Repeated after a rollback that was interrupted behind the alias, it finishes that one, and does not swap again.

        Args:
            verify: raises where the version's artifact is not what it was; then nothing is changed.

        Raises:
            BadRequest: there is no previous version.
            ServiceMissing: the registry, or the platform that serves, does not answer; run it again when it does.
            Failure: the previous version cannot serve; the champion does, as before.
        """
        with self._answering(f"rolling back {name}"), self._locked(name):
            client = self._client()
            current, earlier = (self._aliased(client, name, alias) for alias in (CHAMPION, PREVIOUS))
            kind, replaced = self._unfinished(client, name, current)
            if replaced is not None and kind == "rollback":
                current, earlier = replaced, current
            elif replaced is not None:
                earlier = replaced  # a promotion whose alias moved, but `previous` did not follow
            if current is None or earlier is None:
                raise BadRequest(f"{name} has no version under the alias '{PREVIOUS}' to go back to")
            verify(earlier)
            self._change(client, name, "rollback", earlier, current)
            return earlier

    def _promote(
        self, name: str, exported: Manifest, report: Manifest, store: ArtifactStore, tags: Mapping[str, str]
    ) -> Promotion:
        client = self._client()
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name, description="Made by the Korean LLM platform.")
        current = self._aliased(client, name, CHAMPION)
        digest = exported.digest
        _check_still_the_champion(name, current, digest, report)
        same = [v for v in client.search_model_versions(f"name = '{name}'") if v.tags.get(_DIGEST) == digest]
        if same:
            number = str(same[0].version)
        else:
            replaces = {_REPLACES: current.number} if current is not None else {}
            number = self._register(client, name, exported, report, store, {**tags, **replaces})
        if current is not None and current.number == number:
            _, replaced = self._unfinished(client, name, current)
        else:
            client.set_registered_model_alias(name, CANDIDATE, number)
            replaced = current
        self._change(client, name, "promotion", self._numbered(name, number), replaced)
        return Promotion(name, number, replaced.number if replaced else None, store.tracking_run(exported))

    def _change(self, client: Any, name: str, kind: Kind, new: Version, old: Version | None) -> None:
        """Make `new` the champion in place of `old`, served first; each step may be repeated after any failure."""
        client.set_registered_model_tag(name, _UNFINISHED, f"{kind}:{new.number}:{old.number if old else ''}")
        promote = partial(client.set_registered_model_alias, name, CHAMPION, new.number)
        if self.rollout:
            self.rollout(Change(name, kind, new, old, promote, lambda: self._champion_number(client, name)))
        else:
            promote()
        if old is not None:
            client.set_registered_model_alias(name, PREVIOUS, old.number)
        candidate = self._aliased(client, name, CANDIDATE)
        if candidate is not None and candidate.number in (new.number, old and old.number):
            client.delete_registered_model_alias(name, CANDIDATE)
        client.delete_registered_model_tag(name, _UNFINISHED)

    def _unfinished(self, client: Any, name: str, current: Version | None) -> tuple[str, Version | None]:
        """Kind of the change that was interrupted after its alias moved, and what it replaces; ("", None) for none."""
        models = client.search_registered_models(f"name = '{name}'")
        kind, new, old = (models[0].tags.get(_UNFINISHED, "::") if models else "::").split(":")
        if not old or current is None or current.number != new:
            return "", None  # nothing was begun, or the alias is where it was
        return kind, self._numbered(name, old)

    def _champion_number(self, client: Any, name: str) -> str | None:
        champion = self._aliased(client, name, CHAMPION)
        return champion.number if champion else None

    def _register(
        self,
        client: Any,
        name: str,
        exported: Manifest,
        report: Manifest,
        store: ArtifactStore,
        tags: Mapping[str, str],
    ) -> str:
        artifact = Artifact.of(exported)
        run = store.tracking_run(exported)
        lineage = {item.name: item.digest for item in (*report.request.inputs, *exported.request.inputs)}
        every = {_DIGEST: artifact.digest, _PATH: artifact.path, "release": artifact.release or "", **lineage, **tags}
        card = exported.details.model_card if isinstance(exported.details, ExportDetails) else ""
        version = client.create_model_version(
            name, _source(client, artifact, run), run_id=run, tags=every, description=card[:_LONGEST_DESCRIPTION]
        )
        return str(version.version)

    def _client(self) -> Any:
        from mlflow import MlflowClient  # takes seconds: only a step that promotes or evaluates pays for it

        return MlflowClient(self.uri, self.uri)

    def _aliased(self, client: Any, name: str, alias: str) -> Version | None:
        from mlflow.exceptions import MlflowException

        try:
            return _version(client.get_model_version_by_alias(name, alias))
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None  # no such model, or nothing under this alias yet
            raise

    def _numbered(self, name: str, number: str) -> Version:
        with self._answering(f"looking up {name} version {number}"):
            return _version(self._client().get_model_version(name, number))

    @contextmanager
    def _answering(self, doing: str) -> Iterator[None]:
        """Turn a registry that is down, or refuses, into ServiceMissing."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, ConnectionError, TimeoutError) as error:
            raise ServiceMissing(f"{doing}: the model registry at {self.uri} did not do it: {error}.") from error

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        self.locks.mkdir(parents=True, exist_ok=True)
        with locked(self.locks / f"{name}.lock"):
            yield


def _source(client: Any, artifact: Artifact, run: str | None) -> str:
    """The files of the run that exported it, where MLflow finds the version's signature (`export/registry_entry.py`);
    without a run the artifact. The artifact's own folder would be refused by a server, and wrong after a move."""
    from mlflow.exceptions import MlflowException

    try:
        if run is not None:
            return str(client.get_run(run).info.artifact_uri)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # a tracker that was begun anew
            raise
    return f"korean-llm:/{artifact.path}"


def _version(model_version: Any) -> Version:
    pointer = Input(name=CHAMPION, digest=model_version.tags[_DIGEST], path=model_version.tags[_PATH])
    return Version(model_version.name, str(model_version.version), pointer, dict(model_version.tags))


def _check_still_the_champion(name: str, current: Version | None, digest: str, report: Manifest) -> None:
    """A report compares with one champion; another one came in between where these differ."""
    compared = {item.name: item.digest for item in report.request.inputs}.get(CHAMPION)
    if current is None or current.artifact.digest in (digest, compared):
        return
    against = f"version with content {compared[:12]}" if compared else "none"
    raise Failure(
        f"not promoted: the report compares {name} with {against}, but by now the champion is version "
        f"{current.number} ({current.artifact.digest[:12]}). Materialize eval_report again, then deployed_model.",
        allow_retries=False,
    )
