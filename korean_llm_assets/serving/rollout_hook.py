"""The step between registering a version and calling it champion: rolling it out where the model is served."""

from collections.abc import Callable, Sequence
from functools import partial

import yaml
from dagster import Failure
from pydantic import ValidationError

from korean_llm_assets.serving.model_size import ModelSize
from korean_llm_assets.serving.registry import Change, Version
from korean_llm_assets.serving.rollout import RolloutPolicy, ServingPlatform, roll_out
from trainers.contract import STAGES, BadRequest, EvaluationDetails, ExportDetails
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.plain_yaml import read_yaml
from trainers.contract.replies import GreedyReply
from trainers.contract.settings import PROFILE, SERVING


def rollout_on(
    platform_for: Callable[[str, dict[str, Version]], ServingPlatform],
    policy: RolloutPolicy,
    heard_of: Callable[[Version], Sequence[GreedyReply]],
) -> Callable[[Change], None]:
    """A rollout as the registry calls it, which moves the alias `champion` in its course.

    `platform_for` gets the registered name and the versions by number; `heard_of` says what a version must answer. The
    rollout raises Failure, with every step and the log of what failed, where the new version was taken back. What comes
    back after a rollback has no canary: it served before, and a person waits for it.
    """

    def roll(change: Change) -> None:
        versions = {version.number: version for version in (change.new, change.old) if version is not None}
        platform = platform_for(change.name, versions)
        care = policy.model_copy(update={"canary_seconds": 0}) if change.kind == "rollback" else policy
        outcome = roll_out(platform, change.new.number, care, change.promote, change.champion, heard_of(change.new))
        if not outcome.promoted:
            report = "\n".join([*outcome.steps, "log of the version that was taken back:", outcome.logs])
            raise Failure(f"{change.name} version {change.new.number} was not promoted:\n{report}", allow_retries=False)

    return roll


def cluster_rollout(store: ArtifactStore) -> Callable[[Change], None] | None:
    """vLLM on the cluster, by the settings file that KOREAN_LLM_SERVING names; None where it names none.

    Raises:
        BadRequest: the file cannot be read, or a key of it is wrong; or it wants a Prometheus, and nobody says where.
    """
    path = SERVING.get()
    if not path:
        return None
    from kubernetes.client import AppsV1Api, CoreV1Api, CustomObjectsApi

    from korean_llm_assets.compute.cluster import monitoring
    from korean_llm_assets.compute.cluster.kube_api import connect
    from korean_llm_assets.compute.profiles import load_profile
    from korean_llm_assets.serving.vllm_manifests import ServedModel, ServingSettings
    from korean_llm_assets.serving.vllm_platform import ClusterPlatform

    try:
        settings = ServingSettings.model_validate(read_yaml(path.read_text(encoding="utf-8")) or {})
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise BadRequest(f"{path} (named by {SERVING.name}): {error}") from error
    if settings.asks_prometheus:  # better told now than in the course of a rollout
        try:
            monitoring.address()
        except BadRequest as error:
            raise BadRequest(
                f"{error}; {path} wants it, for KEDA or a canary's errors: `autoscaler: hpa` and `rollout: "
                "{canary_seconds: 0}` serve without (`serving.settings` of the facts; or `monitoring: true`)"
            ) from error
    profile = load_profile(PROFILE.get() or "")

    def platform(name: str, versions: dict[str, Version]) -> ServingPlatform:
        client = connect(profile.context)
        apis = (AppsV1Api(client), CoreV1Api(client), CustomObjectsApi(client))

        def served_by(number: str) -> ServedModel:
            path = versions[number].artifact.path
            return ServedModel(path, ModelSize.of(store.root / path / "model"))

        return ClusterPlatform(name, served_by, settings, profile, *apis)

    return rollout_on(platform, settings.rollout, partial(heard, store))


def heard(store: ArtifactStore, version: Version) -> list[GreedyReply]:
    """What evaluation heard a version say, as its export keeps it; of what is not exported, as its report does.

    Nothing where the manifest is gone, or from before replies were kept, and where there is no report.
    """
    manifest = store.read_manifest(version.artifact.path)
    if manifest is None:
        return []
    if isinstance(manifest.details, ExportDetails):
        return manifest.details.replies
    model = STAGES[manifest.request.stage].asset
    cell = store.cell(STAGES["evaluate"], manifest.request.model, manifest.request.release)
    for report in filter(None, (place.read_manifest() for place in cell.places)):
        of_it = any(item.name == model and item.digest == version.artifact.digest for item in report.request.inputs)
        if of_it and isinstance(report.details, EvaluationDetails):
            return report.details.replies
    return []
