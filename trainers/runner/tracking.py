"""Experiment tracking with MLflow: one parent run per model and release, one nested run per stage request.

What a stage reports goes to a journal file first and from there to the server, on a side thread. A server that
is slow or down never holds training up: what was not sent stays in the journal, and the next stage sends it.
The journal's first line names the run, once there is one.
"""

import json
import os
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from filelock import Timeout

from trainers.contract import STAGES, Manifest, StageRequest, attachments, sha256_of
from trainers.contract.artifacts import Workspace
from trainers.contract.commit import code_commit
from trainers.contract.files import fsync_folder
from trainers.contract.locks import locked

EXPERIMENT = "korean-llm"
TABLE = ".table.json"
"""How the name of a file ends that holds a table as pandas writes one (`orient="split"`): MLflow compares those."""
_KIND = {"mlflow.experimentKind": "custom_model_development"}
"""By which MLflow's page opens on the runs of an experiment, and not on the traces that it has none of."""
_SEND_EVERY_SECONDS = 2.0
_LAST_CHANCE_SECONDS = 20.0
_TABLES = "mlflow.loggedArtifacts"
_MOST_PER_BATCH = 1000
"""Metrics that MLflow takes at once."""
_CLIENT_LIMITS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}


class Tracking:
    """One stage's record of parameters, metrics and small files."""

    def __init__(self, journal: "Journal", workspace: Workspace):
        self._journal = journal
        self._workspace = workspace
        self._stop = threading.Event()
        self._sender = threading.Thread(target=self._send_until_stopped, name="tracking", daemon=True)

    @classmethod
    @contextmanager
    def open(cls, request: StageRequest, workspace: Workspace) -> Iterator["Tracking"]:
        """Track one attempt; a resumed attempt goes on in the same run."""
        workspace.journal.parent.mkdir(parents=True, exist_ok=True)
        tracking = cls(Journal(workspace.journal), workspace)
        begin = {"begin": _tags(request), "parent": _parent(request), "datasets": _datasets(request)}
        tracking._journal.append({**begin, "time": time.time()})
        if _tracking_is_on():
            tracking._sender.start()
        try:
            yield tracking
        except BaseException as error:
            tracking._journal.append({"end": "KILLED", "error": type(error).__name__, "time": time.time()})
            raise
        finally:
            tracking._close()

    @property
    def run_id(self) -> str | None:
        """The MLflow run's id; None where tracking is off or the server does not answer."""
        if self._journal.run_id is None and _tracking_is_on():
            self._journal.send_if_possible()
        return self._journal.run_id

    def params(self, values: Mapping[str, object]) -> None:
        """Settings of the run; each is kept once."""
        self._journal.append({"params": {key: str(value)[:6000] for key, value in values.items()}})

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Figures at a step."""
        self._journal.append({"metrics": dict(values), "step": step, "time": time.time()})

    def attach(self, path: Path) -> None:
        """A small file, copied to the tracker."""
        name = path.relative_to(self._workspace.output)
        # Two places, because the commit renames the folder, perhaps before this is sent.
        self._journal.append({"attach": [str(path), str(self._workspace.final / name)]})

    def finish(self, manifest: Manifest) -> None:
        """Final figures; waits a moment for the server so that the manifest can name the run."""
        numbers, now = {**manifest.metrics, **manifest.timings}, time.time()
        self._journal.append({"metrics": numbers, "step": 0, "time": now})
        of_release = {f"{manifest.request.stage}/{name}": value for name, value in manifest.metrics.items()}
        seconds = {f"{manifest.request.stage}/seconds": manifest.timings.get("seconds", 0.0)}
        self._journal.append({"parent metrics": {**of_release, **seconds}, "time": now})
        self._journal.append({"end": "FINISHED", "time": now})

    def _send_until_stopped(self) -> None:
        self._journal.send_if_possible()
        while not self._stop.wait(_SEND_EVERY_SECONDS):
            self._journal.send_if_possible()
        for leftover in sorted(self._journal.path.parent.glob("*.jsonl")):
            if leftover != self._journal.path:
                Journal(leftover).send_if_possible()

    def _close(self) -> None:
        self._stop.set()
        if self._sender.is_alive():
            self._sender.join(_LAST_CHANCE_SECONDS)
        if _tracking_is_on():
            self._journal.send_if_possible()


class Journal:
    """A file of things to tell the tracker, and how far the telling has come."""

    def __init__(self, path: Path):
        self.path = path
        self._state_path = path.with_suffix(".state")
        self._writing = threading.Lock()
        self._known_run: str | None = None

    @property
    def run_id(self) -> str | None:
        """The run's id, if one was made."""
        return self._known_run or self._state().get("run_id")

    def append(self, entry: dict[str, Any]) -> None:
        """Keep an entry; a full disk must not be hidden by a missing line, so errors pass."""
        with self._writing, self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry, ensure_ascii=False) + "\n")

    def send_if_possible(self) -> None:
        """Send what is new; on any trouble of the server warn and keep it for later."""
        with ExitStack() as lock:
            try:
                lock.enter_context(locked(self.path.with_suffix(".lock"), wait=False))
            except Timeout:
                return  # another thread or process is sending this journal
            try:
                self._send()
            except Exception as error:  # noqa: BLE001 - mlflow raises its own, requests', and database errors here
                warnings.warn(f"tracking is kept in {self.path} and sent later: {error}", stacklevel=2)

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self._state_path.read_text()) if self._state_path.exists() else {}
        return state

    def _save(self, state: dict[str, Any]) -> None:
        aside = self._state_path.with_suffix(".aside")
        aside.write_text(json.dumps(state))
        aside.rename(self._state_path)

    def _send(self) -> None:
        if not self.path.exists():
            return
        state = self._state()
        with self.path.open("rb") as stream:
            stream.seek(state.get("offset", 0))
            lines = stream.readlines()
        lines = [line for line in lines if line.endswith(b"\n")]
        if not lines:
            return
        os.environ.update({key: os.environ.get(key, value) for key, value in _CLIENT_LIMITS.items()})
        from mlflow import MlflowClient

        client = MlflowClient()
        entries = [json.loads(line) for line in lines]
        if "run_id" not in state:
            first = entries[0]
            state["run_id"] = _create_run(client, first, self.path.parent)
            self._save(state)
        for entry in entries:
            _replay(client, state["run_id"], entry)
        state["offset"] = state.get("offset", 0) + sum(len(line) for line in lines)
        self._save(state)
        if entries[-1].get("end") == "FINISHED":
            self.path.unlink()
            self._save({"run_id": state["run_id"]})  # by which the artifact's page links to it, however late it came
            self._known_run = state["run_id"]


def _tracking_is_on() -> bool:
    return bool(os.environ.get("MLFLOW_TRACKING_URI"))


def _parent(request: StageRequest) -> str:
    return f"{request.model or 'data'}/{request.release or 'base'}"


def _tags(request: StageRequest) -> dict[str, str]:
    """What runs are told apart and filtered by; MLflow shows each as a column."""
    tags = {
        "asset": request.asset,
        "stage": request.stage,
        "stage_version": str(request.stage_version),
        "partition": request.partition,
        "request_digest": request.digest,
        "recipe_digest": sha256_of({"section": request.section, "seed": request.seed}),
        "mlflow.source.name": STAGES[request.stage].module,
        "mlflow.source.type": "JOB",
    }
    optional = {"model": request.model, "release": request.release, "mlflow.source.git.commit": code_commit()}
    return tags | {key: value for key, value in optional.items() if value}


def _datasets(request: StageRequest) -> list[dict[str, str]]:
    """The data that a stage reads, as MLflow has datasets: name, digest (which it cuts at 36 characters), source."""
    data = {stage.asset for stage in STAGES.values() if not stage.by_model}
    return [
        {"name": f"{item.name} {item.path.split('/')[1]}", "digest": item.digest[:36], "source": item.path}
        for item in request.inputs
        if item.name in data and item.root == "artifacts"
    ]


def _create_run(client: Any, first: dict[str, Any], folder: Path) -> str:
    tags, parent, begun = first["begin"], first["parent"], int(first["time"] * 1000)
    with locked(folder / "parents.lock"):  # two stages of one release start at once and want one parent
        experiment = client.get_experiment_by_name(EXPERIMENT)
        experiment_id = experiment.experiment_id if experiment else _create_experiment(client)
        if experiment and not _KIND.items() <= experiment.tags.items():  # made by an earlier version
            for name, kind in _KIND.items():
                client.set_experiment_tag(experiment_id, name, kind)
        parents = client.search_runs([experiment_id], f"tags.pipeline = '{parent}'", max_results=1)
        shared = {"pipeline": parent, **{name: tags[name] for name in ("model", "release") if name in tags}}
        run = parents[0] if parents else client.create_run(experiment_id, begun, shared, parent)
        if not parents:
            client.set_terminated(run.info.run_id)
    fsync_folder(folder)
    nested = client.create_run(
        experiment_id, begun, {**tags, "mlflow.parentRunId": run.info.run_id}, f"{tags['asset']} {tags['partition']}"
    )
    run_id: str = nested.info.run_id
    return run_id


def _create_experiment(client: Any) -> str:
    # Without a server, mlflow would keep the files in the working folder.
    location = attachments.ROOT if os.environ.get(attachments.FOLDER) else None
    experiment_id: str = client.create_experiment(EXPERIMENT, artifact_location=location, tags=_KIND)
    return experiment_id


def _attach(client: Any, run_id: str, path: str) -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    run = client.get_run(run_id)
    get_artifact_repository(attachments.place(run.info.artifact_uri)).log_artifact(path)
    if path.endswith(TABLE):  # as `MlflowClient.log_table` says it
        tables = json.loads(run.data.tags.get(_TABLES, "[]"))
        table = {"path": Path(path).name, "type": "table"}
        client.set_tag(run_id, _TABLES, json.dumps([*(each for each in tables if each != table), table]))


def _replay(client: Any, run_id: str, entry: dict[str, Any]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param

    if "begin" in entry:
        client.update_run(run_id, status="RUNNING")
        used = [InputTag("mlflow.data.context", "training")]
        datasets = [DatasetInput(Dataset(source_type="artifact", **each), used) for each in entry.get("datasets", ())]
        if datasets:
            client.log_inputs(run_id, datasets)
    elif "metrics" in entry:
        _log_metrics(client, run_id, entry["metrics"], entry["time"], entry["step"])
    elif "parent metrics" in entry:
        parent = client.get_run(run_id).data.tags["mlflow.parentRunId"]
        _log_metrics(client, parent, entry["parent metrics"], entry["time"], 0)
        client.set_terminated(parent, end_time=int(entry["time"] * 1000))  # it lasts as long as its stages
    elif "params" in entry:
        client.log_batch(run_id, params=[Param(key, value) for key, value in entry["params"].items()])
    elif "attach" in entry:
        for path in filter(os.path.exists, entry["attach"]):
            _attach(client, run_id, path)
            break
    elif "end" in entry:
        client.set_terminated(run_id, entry["end"], int(entry["time"] * 1000))


def _log_metrics(client: Any, run_id: str, values: Mapping[str, float], at: float, step: int) -> None:
    from mlflow.entities import Metric

    metrics = [Metric(key, float(value), int(at * 1000), step) for key, value in values.items()]
    for start in range(0, len(metrics), _MOST_PER_BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + _MOST_PER_BATCH])
