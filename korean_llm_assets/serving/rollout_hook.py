"""The step between registering a version and calling it champion: rolling it out where the model is served."""

from collections.abc import Callable

import yaml
from dagster import Failure
from pydantic import ValidationError

from korean_llm_assets.serving.registry import Change, Version
from korean_llm_assets.serving.rollout import RolloutPolicy, ServingPlatform, roll_out
from trainers.contract import BadRequest
from trainers.contract.settings import PROFILE, SERVING


def rollout_on(
    platform_for: Callable[[str, dict[str, Version]], ServingPlatform], policy: RolloutPolicy
) -> Callable[[Change], None]:
    """A rollout as the registry calls it, which moves the alias `champion` in its course.

    `platform_for` gets the registered name and the versions by number. The rollout raises Failure, with every step
    and the log of what failed, where the new version was taken back. What comes back after a rollback has no canary:
    it served before, and a person waits for it.
    """

    def roll(change: Change) -> None:
        versions = {version.number: version for version in (change.new, change.old) if version is not None}
        platform = platform_for(change.name, versions)
        care = policy.model_copy(update={"canary_seconds": 0}) if change.kind == "rollback" else policy
        outcome = roll_out(platform, change.new.number, care, change.promote, change.champion)
        if not outcome.promoted:
            report = "\n".join([*outcome.steps, "log of the version that was taken back:", outcome.logs])
            raise Failure(f"{change.name} version {change.new.number} was not promoted:\n{report}", allow_retries=False)

    return roll


def cluster_rollout() -> Callable[[Change], None] | None:
    """vLLM on the cluster, by the settings file that KOREAN_LLM_SERVING names; None where it names none.

    Raises:
        BadRequest: the file cannot be read, or a key of it is wrong; or nobody says where Prometheus is.
    """
    path = SERVING.get()
    if not path:
        return None
    from kubernetes.client import AppsV1Api, CoreV1Api, CustomObjectsApi

    from korean_llm_assets.compute.cluster import monitoring
    from korean_llm_assets.compute.cluster.kube_api import connect
    from korean_llm_assets.compute.profiles import load_profile
    from korean_llm_assets.serving.vllm_manifests import ServingSettings
    from korean_llm_assets.serving.vllm_platform import ClusterPlatform

    try:
        settings = ServingSettings.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise BadRequest(f"{path} (named by {SERVING.name}): {error}") from error
    monitoring.address()  # a canary's errors are counted there: better told now than in the course of a rollout
    profile = load_profile(PROFILE.get() or "")

    def platform(name: str, versions: dict[str, Version]) -> ServingPlatform:
        client = connect(profile.context)
        apis = (AppsV1Api(client), CoreV1Api(client), CustomObjectsApi(client))
        return ClusterPlatform(name, lambda number: versions[number].artifact.path, settings, profile, *apis)

    return rollout_on(platform, settings.rollout)
