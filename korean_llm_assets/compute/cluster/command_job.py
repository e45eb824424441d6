"""A command of the trainers' world as a Job: for a person in the code location's pod, whose image cannot run it."""

import json
import shlex
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from korean_llm_assets.compute.cluster import naming
from korean_llm_assets.compute.cluster.job_spec import plain_env, plain_pod, queue_labels
from korean_llm_assets.compute.cluster.kube_api import Clock, KubeApi
from korean_llm_assets.compute.cluster.queueing import queue_words
from korean_llm_assets.compute.cluster.situation import PodFacts, ending, situation
from korean_llm_assets.compute.cluster.workloads import JOB, Body
from korean_llm_assets.compute.profiles import ClusterProfile
from trainers.contract import Needs, ServiceMissing

_NEEDS = Needs(cpu=2, memory="8Gi")
_PLACE = ".commands"
"""Below the artifact root: what commands print, until it is read."""


def ask_in_a_job(
    api: KubeApi, profile: ClusterProfile, words: Sequence[str], say: Callable[[str], None], clock: Clock | None = None
) -> Any:
    """The JSON that `python -m trainers WORDS` prints last, in a pod of the profile; its Job is removed afterwards.

    Args:
        say: told one line per change of the Job's state.

    Raises:
        ServiceMissing: it could not run, or did not end well; with the pod's own words.
    """
    name = f"{naming.dns_label(words[0])}-{uuid.uuid4().hex[:12]}"
    output = Path(profile.artifacts_path) / _PLACE / f"{name}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    api.create(JOB, render_command(name, words, output, profile))
    job = api.get(JOB, name)
    if job is None:
        raise ServiceMissing(f"job/{name} could not be created in namespace {profile.namespace}; run it again")
    try:
        _wait(api, profile, name, say, clock or Clock())
        return json.loads(output.read_text(encoding="utf-8").splitlines()[-1])
    finally:
        api.delete(JOB, name, job["metadata"]["uid"])
        output.unlink(missing_ok=True)


def render_command(name: str, words: Sequence[str], output: Path, profile: ClusterProfile) -> Body:
    """The Job, which ends by itself and is removed by the cluster where nobody waits for it any more."""
    labels = {naming.MANAGED: naming.MANAGER, naming.COMMAND: name}
    command = ["sh", "-euc", f"exec {shlex.join([*profile.command, *words])} > {shlex.quote(str(output))}"]
    pod = plain_pod(_NEEDS, profile, command, {**plain_env(profile), **profile.env})
    return {
        "apiVersion": f"{JOB.group}/{JOB.version}",
        "kind": JOB.kind,
        "metadata": {
            "name": name,
            "namespace": profile.namespace,
            "labels": {**labels, **queue_labels(profile, None)},
        },
        "spec": {
            "template": {"metadata": {"labels": labels}, "spec": pod},
            "backoffLimit": 0,
            "activeDeadlineSeconds": profile.deadline,
            "ttlSecondsAfterFinished": profile.ttl,
            "suspend": profile.queue is not None,
        },
    }


def _wait(api: KubeApi, profile: ClusterProfile, name: str, say: Callable[[str], None], clock: Clock) -> None:
    facts, previous = PodFacts(), ""
    while True:
        job = api.get(JOB, name)
        if job is None:
            raise ServiceMissing(f"job/{name} was deleted by somebody; run it again")
        pods = api.pods(f"{naming.COMMAND}={name}")
        facts.remember(pods)
        state = JOB.terminal_state(job)
        if state == "complete":
            return
        warnings = api.warnings([name, *facts.statuses])
        if state == "failed":
            raise ServiceMissing(f"job/{name}: {ending(JOB, job, facts, warnings).words}")
        queue = queue_words(api, profile, job, warnings) if JOB.is_suspended(job) else ""
        if (words := situation(JOB, job, pods, warnings, queue).words) != previous:
            previous = words
            say(f"job/{name}: {words}")
        clock.sleep(profile.poll_seconds)
