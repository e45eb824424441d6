"""The durable launcher: one Job per request, found again by whoever asks, watched until it says it is over."""

from collections.abc import Callable, Mapping, Sequence

from korean_llm_assets.compute.cluster import naming
from korean_llm_assets.compute.cluster.job_spec import render_service
from korean_llm_assets.compute.cluster.kube_api import Clock, KubeApi
from korean_llm_assets.compute.cluster.kubeflow import render, workload_of
from korean_llm_assets.compute.cluster.pod_logs import PodLogs
from korean_llm_assets.compute.cluster.queueing import queue_words
from korean_llm_assets.compute.cluster.situation import Ending, PodFacts, Situation, ending, situation
from korean_llm_assets.compute.cluster.workloads import Body, Workload
from korean_llm_assets.compute.profiles import ClusterProfile
from trainers.contract import Manifest, Needs, ServiceMissing, StageError, StageRequest
from trainers.contract.artifacts import ArtifactStore


class AttemptsFailed(StageError):
    """The last attempt failed, or another one cannot help. `ending` says why."""

    def __init__(self, message: str, why: Ending, attempts: int):
        super().__init__(message)
        self.ending = why
        self.attempts = attempts


class Launcher:
    """Runs one request on a cluster, for one run. What must last is in the cluster and in the artifact store.

    Args:
        say: told one line per change of state, warnings marked by the second argument.
        show: told the pods' own log lines.
        check: called at every look; raises where the run is no longer wanted.
    """

    def __init__(
        self,
        api: KubeApi,
        profile: ClusterProfile,
        store: ArtifactStore,
        run_id: str,
        say: Callable[[str, bool], None],
        show: Callable[[str], None] = print,
        check: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
    ):
        self._api = api
        self._patient = api.with_patience(profile.patience.outage, lambda words: say(words, True))
        self._profile = profile
        self._store = store
        self._run_id = run_id
        self._say = say
        self._show = show
        self._check = check
        self._clock = clock or Clock()
        self._attached: set[str] = set()

    def attempts(self, request: StageRequest, needs: Needs) -> list[Body]:
        """Every attempt at the request that the cluster still knows, oldest first.

        Raises:
            ServiceMissing: an object with our labels belongs to another request.
        """
        bodies = self._api.find(workload_of(needs, self._profile), naming.selector(request))
        for body in bodies:
            self._check_is_ours(body, request)
        return sorted(bodies, key=_number)

    def is_live(self, request: StageRequest, needs: Needs) -> bool:
        """Whether an attempt runs or waits already."""
        kind = workload_of(needs, self._profile)
        return any(kind.terminal_state(body) is None for body in self.attempts(request, needs))

    def run(self, request: StageRequest, needs: Needs, messages_env: Mapping[str, str] | None = None) -> Manifest:
        """See the request to its artifact: collect it, attach to its workload, or create the next attempt.

        Raises:
            AttemptsFailed: with the last attempt's ending in words.
            ServiceMissing: the cluster does not answer, or does not let us.
        """
        kind = workload_of(needs, self._profile)
        facts: dict[str, PodFacts] = {}
        lost = highest = 0  # attempts that left no workload to look at; the highest number seen
        while True:
            if (manifest := self._store.find(request)) is not None:
                return manifest
            attempts = self.attempts(request, needs)
            if not attempts:
                self._create(request, needs, highest + 1, messages_env)
                continue
            newest = attempts[-1]
            uid = newest["metadata"]["uid"]
            highest = max(highest, _number(newest))
            state = kind.terminal_state(newest)
            if "deletionTimestamp" in newest["metadata"]:
                self._wait_until_gone(kind, newest)
                continue
            if state is None:
                why = self._watch(kind, newest, facts.setdefault(uid, PodFacts()))
                if why is None or self._store.find(request) is not None:
                    continue
                lost += 1
            elif state == "complete":
                if (manifest := self._wait_for_manifest(request)) is not None:
                    return manifest
                why = Ending("no_artifact", f"complete, but there is no artifact at {self._store.folder(request)}")
            else:
                why = self._why(kind, newest, facts.get(uid, PodFacts()))
            failures = lost + self._own_failures(kind, attempts)
            self._give_up_or_go_on(request, why, failures, newest)
            self._create(request, needs, highest + 1, messages_env)

    def cancel(self, request: StageRequest, needs: Needs) -> None:
        """Delete the live attempt, if this run is the last that attached to it; it saves within its grace period."""
        kind = workload_of(needs, self._profile)
        for body in self.attempts(request, needs):
            if kind.terminal_state(body) is None and body["metadata"]["annotations"].get(naming.RUN) == self._run_id:
                self._api.delete(kind, body["metadata"]["name"], body["metadata"]["uid"])
                self._say(f"cancelled: {_title(body)} is deleted; it saves a checkpoint within its grace period", True)

    def _check_is_ours(self, body: Body, request: StageRequest) -> None:
        digest = body["metadata"].get("annotations", {}).get(naming.DIGEST)
        if digest != request.digest:
            raise ServiceMissing(
                f"{_title(body)} has this request's name or label but holds request {digest or 'unknown'}, not "
                f"{request.digest}. Nothing was launched: delete or rename that object, then run again."
            )

    def _own_failures(self, kind: Workload, attempts: Sequence[Body]) -> int:
        """Attempts of this run that are over: a resumed run goes on counting where it was."""
        mine = [body for body in attempts if body["metadata"]["annotations"].get(naming.RUN) == self._run_id]
        return sum(kind.terminal_state(body) is not None for body in mine)

    def _give_up_or_go_on(self, request: StageRequest, why: Ending, failures: int, body: Body) -> None:
        limit = self._profile.max_attempts
        if not failures:
            self._say(f"{_title(body)} failed for an earlier run: {why.words}; trying again", True)
        elif why.may_retry and failures < limit:
            self._say(f"attempt {failures} of {limit}: {why.words}. The next goes on from the last checkpoint", True)
        else:
            failure = self._store.failure(request)
            reason = f" The trainer's reason: {failure.reason}" if failure and failure.reason not in why.words else ""
            look = f"kubectl -n {self._profile.namespace} describe {_title(body)}"
            raise AttemptsFailed(
                f"{request.asset} {request.partition}: {why.words}.{reason} "
                f"(attempt {failures} of {limit}; see: {look})",
                why,
                failures,
            )

    def _create(
        self, request: StageRequest, needs: Needs, attempt: int, messages_env: Mapping[str, str] | None
    ) -> None:
        kind = workload_of(needs, self._profile)
        body = render(request, needs, self._profile, self._run_id, attempt, messages_env)
        name = body["metadata"]["name"]
        created = self._api.create(kind, body)
        workload = self._api.get(kind, name)
        if workload is None:
            self._clock.sleep(self._profile.poll_seconds)  # the answer was lost, and the object too: once more
            return
        self._check_is_ours(workload, request)
        if service := render_service(request, needs, self._profile, workload):
            self._api.create_service(service)
        if created:
            self._attached.add(workload["metadata"]["uid"])
            amount = _amount(needs, self._profile)
            self._say(f"created {_title(workload)} in namespace {self._profile.namespace} for {amount}", False)

    def _wait_until_gone(self, kind: Workload, body: Body) -> None:
        self._say(
            f"{_title(body)} is being deleted; waiting until its pods are gone, so that no GPU is used twice", False
        )
        name, uid = body["metadata"]["name"], body["metadata"]["uid"]
        while (now := self._patient.get(kind, name)) is not None and now["metadata"]["uid"] == uid:
            self._clock.sleep(self._profile.poll_seconds)

    def _wait_for_manifest(self, request: StageRequest) -> Manifest | None:
        """The artifact of a complete workload; a network volume may show it some seconds late."""
        until = self._clock.now() + self._profile.patience.manifest
        while (manifest := self._store.find(request)) is None and self._clock.now() < until:
            self._clock.sleep(1)
        return manifest

    def _watch(self, kind: Workload, body: Body, facts: PodFacts) -> Ending | None:
        """Follow a live attempt; None where it is over or being deleted: its own state says what there is to say."""
        self._attach(kind, body)
        name, uid, title = body["metadata"]["name"], body["metadata"]["uid"], _title(body)
        logs = PodLogs(self._patient, kind.kind, self._profile.poll_seconds)
        previous = Situation("starting", "")
        since = self._clock.now()
        try:
            while True:
                now = self._patient.get(kind, name)
                if now is None:
                    return Ending("deleted", f"{title} was deleted by somebody (to stop it for good, cancel the run)")
                if now["metadata"]["uid"] != uid:
                    return Ending("replaced", f"{title} was deleted and created anew by somebody")
                pods = self._pods(now)
                facts.remember(pods)
                self._follow(logs, pods)
                if kind.terminal_state(now) is not None or "deletionTimestamp" in now["metadata"]:
                    return None
                current = self._situation(kind, now, pods)
                if current.phase != previous.phase:
                    since = self._clock.now()
                if current != previous:
                    previous = current
                    self._say(f"{title}: {current.words}", current.phase in ("image", "unschedulable", "lost"))
                self._be_patient(kind, now, current, self._clock.now() - since)
                self._check()
                self._clock.sleep(self._profile.poll_seconds)
        finally:
            self._follow(logs, [])
            logs.close()

    def _attach(self, kind: Workload, body: Body) -> None:
        launched_by = body["metadata"]["annotations"].get(naming.RUN)
        if launched_by != self._run_id and body["metadata"]["uid"] not in self._attached:
            self._attached.add(body["metadata"]["uid"])  # a later run may take it over from us; not the other way
            self._say(f"attached to {_title(body)}, which run {launched_by} launched; nothing is doubled", False)
            self._patient.annotate(kind, body["metadata"]["name"], {naming.RUN: self._run_id})

    def _follow(self, logs: PodLogs, pods: Sequence[Body]) -> None:
        for pod in pods:
            if pod.get("status", {}).get("phase") != "Pending":
                logs.watch(pod["metadata"]["name"])
        for line in logs.drain():
            self._show(line)

    def _pods(self, body: Body) -> list[Body]:
        labels = body["metadata"]["labels"]
        keys = (naming.REQUEST, naming.ATTEMPT)
        return self._patient.pods(",".join(f"{key}={labels[key]}" for key in keys))

    def _situation(self, kind: Workload, body: Body, pods: Sequence[Body]) -> Situation:
        pending = [pod["metadata"]["name"] for pod in pods if pod.get("status", {}).get("phase") == "Pending"]
        may_be_stuck = pending or not pods
        warnings = self._patient.warnings([body["metadata"]["name"], *pending]) if may_be_stuck else []
        queue = queue_words(self._patient, self._profile, body, warnings) if kind.is_suspended(body) else ""
        return situation(kind, body, pods, warnings, queue)

    def _be_patient(self, kind: Workload, body: Body, current: Situation, waited: float) -> None:
        limit = self._profile.patience.model_dump().get(current.phase)
        if limit is None or waited <= limit:
            return
        self._api.delete(kind, body["metadata"]["name"], body["metadata"]["uid"])
        raise AttemptsFailed(
            f"{_title(body)} waited {waited:.0f} s, longer than patience.{current.phase} of profile "
            f"{self._profile.name!r}, and is deleted: {current.words}",
            Ending("impatience", current.words),
            1,
        )

    def _why(self, kind: Workload, body: Body, facts: PodFacts) -> Ending:
        """Why a workload failed; its events are put into the run, because its pods will be gone when somebody asks."""
        facts.remember(self._pods(body))
        events = self._patient.warnings([body["metadata"]["name"], *facts.statuses])
        for line in events:
            self._say(f"{_title(body)}: event: {line}", True)
        return ending(kind, body, facts, events)


def _number(body: Body) -> int:
    return int(body["metadata"]["labels"].get(naming.ATTEMPT, 0))


def _title(body: Body) -> str:
    return f"{body['kind'].lower()}/{body['metadata']['name']}"


def _amount(needs: Needs, profile: ClusterProfile) -> str:
    spread = f" on {needs.nodes} nodes" if needs.nodes > 1 else ""
    gpus = f"{needs.gpus} GPUs, " if needs.gpus else ""
    price = (
        needs.gpus * profile.gpu_pool.price_per_hour
        if needs.gpus and profile.gpu_pool
        else needs.cpu * profile.cpu_pool.price_per_hour
    )
    cost = f", {price:.2f} USD an hour" if price else ""
    return f"{gpus}{needs.cpu:g} cores and {needs.memory}{spread}{cost}"
