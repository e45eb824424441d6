"""Stages as Kubernetes Jobs: what the Dagster run does around the launcher."""

import json
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import (
    DagsterExecutionInterruptedError,
    DagsterRunStatus,
    Failure,
    MetadataValue,
    PipesEnvContextInjector,
    open_pipes_session,
)
from dagster_k8s import K8sConfigMergeBehavior, execute_k8s_job

from korean_llm_assets.compute.cluster.cluster_check import check_cluster
from korean_llm_assets.compute.cluster.command_job import ask_in_a_job
from korean_llm_assets.compute.cluster.job_spec import CONTAINER, render_job
from korean_llm_assets.compute.cluster.kube_api import KubeApi, connect
from korean_llm_assets.compute.cluster.launcher import AttemptsFailed, Launcher
from korean_llm_assets.compute.cluster.utilisation import gpu_utilisation
from korean_llm_assets.compute.cluster.workloads import Body
from korean_llm_assets.compute.messages import MessagesFileReader
from korean_llm_assets.compute.now import Now
from korean_llm_assets.compute.outcome import in_words, what_now
from korean_llm_assets.compute.overrides import Overrides, Step
from korean_llm_assets.compute.preflight import check_fit
from korean_llm_assets.compute.profiles import ClusterProfile, Price, load_profile
from korean_llm_assets.partitions.recipes import model_recipes
from trainers.contract import STAGES, BadRequest, Manifest, Needs, StageError, StageRequest
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.files import write_atomically
from trainers.contract.model_shape import Shape


class KubernetesCompute:
    """Runs stages as Jobs of the cluster that a profile describes."""

    def __init__(self, store: ArtifactStore, landing: Path, profile: str):
        self.store = store
        self.landing = landing
        self.profile = profile

    def run(self, step: Step, request: StageRequest, launch: Overrides) -> Manifest:
        """See the request to its artifact: attach to its Job, or create it; survives whatever happens to this run.

        Raises:
            Failure: in words, when the Job cannot be launched or did not succeed.
        """
        try:
            return self._run(step, request, launch)
        except StageError as error:
            metadata: dict[str, Any] = {"exit code": int(error.code), "meaning": error.code.meaning}
            if isinstance(error, AttemptsFailed):
                metadata |= {"ended by": error.ending.kind, "attempts": error.attempts}
                if (status := error.ending.status) is not None:
                    metadata |= {"exit code": error.ending.exit_code, "meaning": in_words(status)}
                    metadata["what now"] = what_now(status)
            metadata["work kept in"] = MetadataValue.path(self.store.beside(request).partial)
            raise Failure(str(error), metadata=metadata, allow_retries=False) from error

    def ask(self, words: Sequence[str]) -> Any:
        """What a command prints, in a Job of the default profile; how that stands is printed for who waits.

        Raises:
            ServiceMissing: the Job did not end well, or the cluster does not answer or let us.
        """
        profile = load_profile(self.profile)
        self._check_paths(profile)
        api = KubeApi(connect(profile.context), profile.namespace, profile.patience.api)
        check_cluster(api, profile, Needs())
        return ask_in_a_job(api, profile, words, lambda line: print(line, file=sys.stderr, flush=True))

    def price(self, launch: Overrides) -> Price:
        """What a launch with these overrides pays."""
        return self._profile(launch).price

    def observed(self, manifest: Manifest, launch: Overrides) -> dict[str, Any]:
        """What the cluster saw of a finished request, as metadata."""
        if not manifest.request.needs.gpus:
            return {}
        return {"GPU utilisation (%)": gpu_utilisation(manifest, self._profile(launch).namespace)}

    def _profile(self, launch: Overrides) -> ClusterProfile:
        return launch.apply_to_profile(load_profile(launch.profile or self.profile))

    def _run(self, step: Step, request: StageRequest, launch: Overrides) -> Manifest:
        profile = self._profile(launch)
        needs = launch.apply_to_needs(request.needs)
        self._check_paths(profile)
        check_fit(request, needs, profile, self._shape(request))
        api = KubeApi(connect(profile.context), profile.namespace, profile.patience.api)
        check_cluster(api, profile, needs)
        path = self.store.beside(request).request
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, request.model_copy(update={"needs": needs}).model_dump_json(indent=1))
        if profile.launch == "k8s_job_op":
            return self._run_as_op(step, request, needs, profile)
        return self._run_durably(step, request, needs, profile, api)

    def _run_durably(
        self,
        step: Step,
        request: StageRequest,
        needs: Needs,
        profile: ClusterProfile,
        api: KubeApi,
    ) -> Manifest:
        now = Now(step, request)

        def say(line: str, is_warning: bool) -> None:
            (step.log.warning if is_warning else step.log.info)(line)
            now.show(line)

        def show(line: str) -> None:
            print(line, flush=True)

        def check() -> None:
            # A signal that lands in a garbage collector's callback is lost (seen once); the run's status is not.
            if _is_cancelled(step):
                raise DagsterExecutionInterruptedError

        launcher = Launcher(api, profile, self.store, step.run_id, say, show, check)
        with open_pipes_session(
            step, PipesEnvContextInjector(), self._reader(request, now, replay=launcher.is_live(request, needs))
        ) as session:
            try:
                return launcher.run(request, needs, session.get_bootstrap_env_vars())
            except (
                Exception
            ):  # the stage's or the cluster's own failure, not an interrupt: the Job needs nothing from us
                raise
            except BaseException:  # an interrupt: either somebody cancelled the run, or this worker has to go
                with undisturbed():
                    if _is_cancelled(step):
                        launcher.cancel(request, needs)
                    else:
                        step.log.warning("this worker is being stopped; the Job goes on, the next run attaches to it")
                raise

    def _run_as_op(self, step: Step, request: StageRequest, needs: Needs, profile: ClusterProfile) -> Manifest:
        """The same Job through dagster-k8s's op body. What that cannot do is told in dagster_deploy/README.md."""
        with open_pipes_session(
            step, PipesEnvContextInjector(), self._reader(request, Now(step, request), replay=False)
        ) as session:
            alone = needs.model_copy(update={"nodes": 1}) if STAGES[request.stage].spread == "tasks" else needs
            job = render_job(request, alone, profile, step.run_id, 1, session.get_bootstrap_env_vars())
            execute_op_body(step, job, profile)
        manifest = self.store.find(request)
        if manifest is None:
            raise BadRequest(f"the Job is complete, but there is no artifact at {self.store.folder(request)}")
        return manifest

    def _reader(self, request: StageRequest, now: Now, replay: bool) -> MessagesFileReader:
        path = self.store.beside(request).messages
        return MessagesFileReader(path, 0 if replay or not path.exists() else path.stat().st_size, now.show)

    def _check_paths(self, profile: ClusterProfile) -> None:
        for what, here, there in (
            ("artifact root", self.store.root, profile.artifacts_path),
            ("landing root", self.landing, profile.landing_path),
        ):
            if str(here) != there:
                raise BadRequest(
                    f"the {what} is {here} here but {there} in profile {profile.name!r}; mount the shared volume "
                    "at the same path in run workers and training pods"
                )

    def _shape(self, request: StageRequest) -> Shape | None:
        """Of the model that the stage starts from: as the recipe says it, else as its own folder does."""
        recipe, parent = model_recipes().get(request.model or ""), STAGES[request.stage].parent
        shape = Shape.said_by(recipe) if recipe else None
        if shape is not None or parent is None:
            return shape
        for item in request.inputs:
            config = self.store.root / item.path / "model" / "config.json"
            if item.name == parent.asset and config.exists():
                try:
                    return Shape.of_config(json.loads(config.read_text(encoding="utf-8")))
                except KeyError:
                    return None  # a family whose sizes have other names: nothing is reckoned, as for a missing file
        return None


def execute_op_body(step: Step, job: Body, profile: ClusterProfile) -> None:
    """Hand a rendered Job to `execute_k8s_job`, the body of `k8s_job_op`."""
    pod, container = job["spec"]["template"], job["spec"]["template"]["spec"]["containers"][0]
    execute_k8s_job(
        step.op_execution_context,
        image=container["image"],
        command=container["command"],
        namespace=profile.namespace,
        load_incluster_config="KUBERNETES_SERVICE_HOST" in os.environ,
        container_config=_without(container, "image", "command") | {"name": CONTAINER},
        pod_template_spec_metadata=pod["metadata"],
        pod_spec_config=_without(pod["spec"], "containers"),
        job_metadata=_without(job["metadata"], "name", "namespace"),
        job_spec_config=_without(job["spec"], "template"),
        k8s_job_name=job["metadata"]["name"],
        merge_behavior=K8sConfigMergeBehavior.SHALLOW,
        delete_failed_k8s_jobs=False,
    )


def _without(body: Body, *keys: str) -> Body:
    return {key: value for key, value in body.items() if key not in keys}


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore further signals: one that lands while a cancellation is carried out left the Job running (seen once)."""
    if threading.current_thread() is not threading.main_thread():
        yield  # no handler runs here
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_cancelled(step: Step) -> bool:
    """Whether a person ended the run. A drained worker's run is still STARTED; then the Job must live."""
    try:
        run = step.instance.get_run_by_id(step.run_id)
    except Exception as error:  # noqa: BLE001 - whatever ails Dagster's database, a training does not end for it
        step.log.warning(f"Dagster's database does not say whether this run is wanted ({error}); the Job goes on")
        return False
    statuses: Iterable[DagsterRunStatus] = (DagsterRunStatus.CANCELING, DagsterRunStatus.CANCELED)
    return run is not None and run.status in statuses


def cluster_compute(store: ArtifactStore, landing: Path, profile: str) -> KubernetesCompute:
    """The compute of KOREAN_LLM_ENV=cluster.

    Raises:
        BadRequest: there is no such profile, or it is wrong.
    """
    load_profile(profile)
    return KubernetesCompute(store, landing, profile)
