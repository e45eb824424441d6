"""The model registry (MLflow): a version per passing model, and aliases that say which one is the champion.

candidate   registered, not serving yet: being rolled out, or its rollout failed
champion    what is served
previous    what was served before it; `rollback` swaps the two
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster import Failure

from trainers.contract import Artifact, BadRequest, Input, Manifest, ServiceMissing
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.locks import locked

CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"
_DIGEST, _REPLACES, _PATH = "artifact_digest", "replaces", "artifact_path"


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
class Registry:
    """MLflow's model registry. It points to artifacts; nothing is uploaded a second time."""

    uri: str
    locks: Path
    """Folder of lock files on the shared volume: MLflow has no compare-and-swap for aliases."""
    retry_seconds: tuple[float, ...] = (1, 5, 15)
    """Waits between tries while the registry does not answer."""
    rollout: "Callable[[str, Version, Version | None], None] | None" = None
    """Brings a version into service before it is called champion (name, new, served now); raises where it fails."""

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

    def live(self) -> list[Version]:
        """Every version that an alias names, and the one that it replaced: what must be kept.

        Raises:
            ServiceMissing: the registry does not answer.
        """
        with self._answering("looking up what is served"):
            named = [
                self._numbered(model.name, str(number))
                for model in self._client().search_registered_models()
                for number in model.aliases.values()
            ]
            replaced = [self._numbered(each.name, each.tags[_REPLACES]) for each in named if _REPLACES in each.tags]
            return named + replaced

    def promote(
        self, name: str, exported: Manifest, report: Manifest, store: ArtifactStore, tags: Mapping[str, str]
    ) -> Promotion:
        """Register this model and make it the champion; the same content promoted again keeps its version.

        Of two promotions at once one wins: the other's report did not compare with what is now the champion.

        Raises:
            Failure: the champion is not the one that the report compared with, or the registry does not answer.
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

    def roll_back(self, name: str) -> Version:
        """Make `previous` the champion again, and the champion `previous`; returns what is champion now.

        Raises:
            BadRequest: there is no previous version.
        """
        with self._answering(f"rolling back {name}"), self._locked(name):
            client = self._client()
            current, earlier = (self._aliased(client, name, alias) for alias in (CHAMPION, PREVIOUS))
            if current is None or earlier is None:
                raise BadRequest(f"{name} has no version under the alias '{PREVIOUS}' to go back to")
            if self.rollout:
                self.rollout(name, earlier, current)
            client.set_registered_model_alias(name, CHAMPION, earlier.number)
            client.set_registered_model_alias(name, PREVIOUS, current.number)
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
        if current is None or current.number != number:
            client.set_registered_model_alias(name, CANDIDATE, number)
            if self.rollout:
                self.rollout(name, self._numbered(name, number), current)
        if current is not None and current.number != number:
            client.set_registered_model_alias(name, PREVIOUS, current.number)
        client.set_registered_model_alias(name, CHAMPION, number)
        if (candidate := self._aliased(client, name, CANDIDATE)) and candidate.number == number:
            client.delete_registered_model_alias(name, CANDIDATE)
        replaced = current.number if current is not None and current.number != number else None
        return Promotion(name, number, replaced, store.tracking_run(exported))

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
        # A tracking server refuses folders of its own machine as a source; the path tag says where it is.
        source = f"korean-llm:/{artifact.path}" if self.uri.startswith("http") else store.path(artifact).as_uri()
        lineage = {item.name: item.digest for item in (*report.request.inputs, *exported.request.inputs)}
        every = {_DIGEST: artifact.digest, _PATH: artifact.path, "release": artifact.release or "", **lineage, **tags}
        made = client.create_model_version(name, source, run_id=store.tracking_run(exported), tags=every)
        return str(made.version)

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


def _version(found: Any) -> Version:
    pointer = Input(name=CHAMPION, digest=found.tags[_DIGEST], path=found.tags[_PATH])
    return Version(found.name, str(found.version), pointer, dict(found.tags))


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
