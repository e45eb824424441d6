"""Promotion: the model registry (MLflow), where an alias says which version is the champion."""

from dataclasses import dataclass
from typing import Any

from dagster import Failure

from trainers.artifacts import ArtifactStore
from trainers.contract import Artifact, Input, Manifest

CHAMPION = "champion"
_DIGEST, _REPLACES, _PATH = "artifact_digest", "replaces", "artifact_path"


@dataclass(frozen=True)
class Promotion:
    """A promoted version."""

    name: str
    version: str
    replaces: str | None
    run: str | None


@dataclass(frozen=True)
class Registry:
    """MLflow's model registry. It points to artifacts; nothing is uploaded a second time."""

    uri: str

    def _client(self) -> Any:
        from mlflow import MlflowClient  # takes seconds: only a step that promotes or evaluates pays for it

        return MlflowClient(self.uri, self.uri)

    def champion(self, name: str, other_than: Artifact) -> Input | None:
        """The champion as an input of the evaluation of a challenger: the model it would replace.

        A champion that was made from the challenger itself stands for the one it replaced, so that asking
        twice for the same evaluation gives the same request.
        """
        version = self._version_by_alias(self._client(), name)
        while version is not None and version.tags.get("rlhf_model") == other_than.digest:
            earlier = version.tags.get(_REPLACES)
            version = self._client().get_model_version(name, earlier) if earlier else None
        if version is None:
            return None
        return Input(name=CHAMPION, digest=version.tags[_DIGEST], path=version.tags[_PATH])

    def promote(self, name: str, exported: Manifest, report: Artifact, store: ArtifactStore) -> Promotion:
        """Point the alias to this model; the same content promoted again keeps its version.

        Raises:
            Failure: the registry does not answer.
        """
        from mlflow.exceptions import MlflowException

        try:
            return self._promote(name, exported, report, store)
        except (MlflowException, OSError) as error:
            raise Failure(
                f"the model registry at {self.uri} refused to promote {name}: {error}. The exported model is kept; "
                "materialize deployed_model again when the registry answers.",
            ) from error

    def _promote(self, name: str, exported: Manifest, report: Artifact, store: ArtifactStore) -> Promotion:
        client = self._client()
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name, description="Made by the Korean LLM platform.")
        current = self._version_by_alias(client, name)
        artifact = Artifact.of(exported)
        same = [
            version
            for version in client.search_model_versions(f"name = '{name}'")
            if version.tags.get(_DIGEST) == artifact.digest
        ]
        version = same[0] if same else self._register(client, name, exported, report, store, current)
        client.set_registered_model_alias(name, CHAMPION, version.version)
        return Promotion(name, str(version.version), version.tags.get(_REPLACES), exported.tracking_run)

    def _register(
        self, client: Any, name: str, exported: Manifest, report: Artifact, store: ArtifactStore, current: Any
    ) -> Any:
        artifact = Artifact.of(exported)
        # A tracking server refuses folders of its own machine as a source; the path tag says where it is.
        source = f"korean-llm:/{artifact.path}" if self.uri.startswith("http") else store.path(artifact).as_uri()
        tags = {
            _DIGEST: artifact.digest,
            _PATH: artifact.path,
            "release": artifact.release or "",
            "eval_report": report.digest,
            **{item.name: item.digest for item in exported.request.inputs},
            **({_REPLACES: str(current.version)} if current is not None else {}),
        }
        made = client.create_model_version(name, source, run_id=exported.tracking_run, tags=tags)
        return client.get_model_version(name, made.version)

    def _version_by_alias(self, client: Any, name: str) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return client.get_model_version_by_alias(name, CHAMPION)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None  # no such model, or no champion yet
            raise
