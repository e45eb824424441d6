"""The double's Job controller, scheduler and kubelet in one: pods of Jobs become processes of this machine."""

import os
import signal
import socket
import subprocess
import threading
import time
import uuid
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import psutil

Body = dict[str, Any]
INDEX = "batch.kubernetes.io/job-completion-index"
_TICK = 0.05
_NODE = "double-node"
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


class JobController:
    """Moves every Job and pod towards what it should be, twenty times a second."""

    def __init__(self, cluster: Any):
        self._cluster = cluster
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: dict[str, threading.Thread] = {}
        self._asked_to_stop: dict[str, float] = {}
        self._killed_for: dict[str, str] = {}
        self._lost: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the loop and every process."""
        self._over.set()
        self._thread.join()
        for process in self._processes.values():
            _signal(process, signal.SIGKILL)
            process.wait()

    def lose_node(self, pod: str) -> None:
        """The node of a pod dies: the cluster marks the pod, deletes it, and can do no more while nobody answers there.

        As seen on Kubernetes 1.36, the minutes of waiting in between left out.
        """
        body = self._pod(pod)
        states = {"Ready": "False", "ContainersReady": "True", "DisruptionTarget": "True"}
        body["status"]["conditions"] = [{"type": kind, "status": state} for kind, state in states.items()]
        body["status"]["conditions"][-1]["reason"] = "DeletionByTaintManager"
        self._lost.add(body["metadata"]["uid"])
        _signal(self._processes[body["metadata"]["uid"]], signal.SIGKILL)
        body["metadata"]["deletionTimestamp"] = stamp()

    def give_up_node(self) -> None:
        """Somebody deletes the lost node: its pods fail and are garbage-collected, their Jobs start others."""
        self._lost.clear()

    def _pod(self, name: str) -> Body:
        return next(body for body in self._cluster.find("pods") if body["metadata"]["name"] == name)

    def _run(self) -> None:
        while not self._over.wait(_TICK):
            with self._cluster.lock:
                for pod in self._cluster.find("pods"):
                    self._step_pod(pod)
                for job in self._cluster.find("jobs"):
                    self._step_job(job)

    def _step_job(self, job: Body) -> None:
        pods = [p for p in self._cluster.find("pods") if p["metadata"]["labels"]["job-uid"] == job["metadata"]["uid"]]
        if "deletionTimestamp" in job["metadata"]:
            for pod in pods:
                pod["metadata"].setdefault("deletionTimestamp", stamp())
            if not pods:
                self._cluster.remove("jobs", job)
            return
        if job["status"].get("conditions"):
            return
        spec = job["spec"]
        if spec.get("suspend"):
            return
        wanted = spec.get("completions", 1)
        phases = [pod["status"]["phase"] for pod in pods]
        failures = [pod for pod in pods if pod["status"]["phase"] == "Failed" and not _ignored(pod)]
        if failures:
            others = [pod for pod in pods if pod["status"]["phase"] in ("Pending", "Running")]
            for pod in others:
                pod["metadata"].setdefault("deletionTimestamp", stamp())
            if not others:  # as since 1.31: a Job has failed when its last pod is gone
                self._finish(job, "FailureTarget", "Failed", *_failure(failures[0], spec))
        elif phases.count("Succeeded") >= wanted:
            self._finish(job, "SuccessCriteriaMet", "Complete", "CompletionsReached", "Reached expected completions")
            job["status"]["succeeded"] = wanted
        else:
            live = [pod for pod in pods if pod["status"]["phase"] in ("Pending", "Running")]
            job["status"]["active"] = len(live)
            done = {pod["metadata"]["labels"]["index"] for pod in pods if pod["status"]["phase"] == "Succeeded"}
            taken = done | {pod["metadata"]["labels"]["index"] for pod in live}
            for index in range(spec.get("parallelism", 1)):
                if str(index) not in taken:
                    self._create_pod(job, index)

    def _finish(self, job: Body, first: str, last: str, reason: str, message: str) -> None:
        # The real controller appends the target condition first: the one that counts is not at index 0.
        conditions = [{"type": kind, "status": "True", "reason": reason, "message": message} for kind in (first, last)]
        job["status"] = {"conditions": conditions}
        self._cluster.put("jobs", job)

    def _create_pod(self, job: Body, index: int) -> None:
        template = job["spec"]["template"]
        name = f"{job['metadata']['name']}-{uuid.uuid4().hex[:5]}"
        labels = {**template["metadata"]["labels"], "job-uid": job["metadata"]["uid"], "index": str(index)}
        labels |= {"job-name": job["metadata"]["name"], "batch.kubernetes.io/job-name": job["metadata"]["name"]}
        annotations = {**template["metadata"].get("annotations", {}), INDEX: str(index)}
        metadata = {"name": name, "labels": labels, "annotations": annotations}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": deepcopy(template["spec"])}
        pod = self._cluster.create("pods", job["metadata"]["namespace"], body)
        pod["status"] = {"phase": "Pending"}

    def _step_pod(self, pod: Body) -> None:
        uid, phase = pod["metadata"]["uid"], pod["status"]["phase"]
        if uid in self._lost:
            return
        deleted = "deletionTimestamp" in pod["metadata"]
        process = self._processes.get(uid)
        if process is None:
            if deleted:
                self._cluster.remove("pods", pod)
            elif phase == "Pending" and self._may_start(pod):
                self._start(pod)
            return
        code = process.poll()
        if code is None:
            self._watch_memory(pod, process)
            if deleted:
                self._end_gracefully(pod, process)
            return
        if phase == "Running":
            self._ended(pod, code)
        elif deleted:
            self._cluster.remove("pods", pod)

    def _may_start(self, pod: Body) -> bool:
        container = pod["spec"]["containers"][0]
        free = self._cluster.gpus - sum(
            _gpus(other) for other in self._cluster.find("pods") if other["status"]["phase"] == "Running"
        )
        if _gpus(pod) > free:
            message = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
            scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
            self._say_once(pod, {"conditions": [scheduled]}, "FailedScheduling", message)
            return False
        if container["image"] not in self._cluster.images:
            waiting = {"reason": "ErrImagePull", "message": f"{container['image']}: not found"}
            status = {"containerStatuses": [_container_status(container, {"waiting": waiting})]}
            self._say_once(pod, status, "Failed", f"Failed to pull image: {container['image']}")
            return False
        return "subdomain" not in pod["spec"] or self._service(pod) is not None

    def _service(self, pod: Body) -> Body | None:
        """The headless Service that gives the pods of a Job their names."""
        return self._cluster.objects.get(("services", pod["metadata"]["namespace"], pod["spec"]["subdomain"]))

    def _names(self, pod: Body) -> dict[str, str]:
        """What cluster DNS does for a multi-node Job: every pod is on this machine, at a port that is free here."""
        service = self._service(pod) if "subdomain" in pod["spec"] else None
        if service is None:
            return {}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = service.setdefault("free port", str(probe.getsockname()[1]))
        return {"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": port}

    def _say_once(self, pod: Body, status: Body, reason: str, message: str) -> None:
        if pod["status"] != {"phase": "Pending", **status}:
            pod["status"] = {"phase": "Pending", **status}
            self._cluster.event(pod, reason, message)

    def _start(self, pod: Body) -> None:
        spec = pod["spec"]
        spec["nodeName"] = _NODE
        container = spec["containers"][0]
        env = {each["name"]: _value(each, pod) for each in container["env"]} | self._names(pod)
        for source in container.get("envFrom", []):
            name = source["secretRef"]["name"]
            env |= self._cluster.objects["secrets", pod["metadata"]["namespace"], name].get("stringData", {})
        env["JOB_COMPLETION_INDEX"] = pod["metadata"]["annotations"][INDEX]
        env |= {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        log = self._cluster.folder / f"{pod['metadata']['name']}.log"
        process = subprocess.Popen(
            container["command"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        keeper = threading.Thread(target=_keep_log, args=(process, log), daemon=True)
        keeper.start()
        self._logs[pod["metadata"]["uid"]] = keeper
        self._processes[pod["metadata"]["uid"]] = process
        pod["status"] = {
            "phase": "Running",
            "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}],
            "containerStatuses": [_container_status(container, {"running": {}})],
        }

    def _watch_memory(self, pod: Body, process: "subprocess.Popen[bytes]") -> None:
        limit = _bytes(pod["spec"]["containers"][0]["resources"]["limits"]["memory"])
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(process.pid).memory_info().rss > limit:
                self._killed_for[pod["metadata"]["uid"]] = "OOMKilled"
                _signal(process, signal.SIGKILL)

    def _end_gracefully(self, pod: Body, process: "subprocess.Popen[bytes]") -> None:
        uid = pod["metadata"]["uid"]
        if uid not in self._asked_to_stop:
            self._asked_to_stop[uid] = time.monotonic()
            _signal(process, signal.SIGTERM)
        elif time.monotonic() - self._asked_to_stop[uid] > pod["spec"]["terminationGracePeriodSeconds"]:
            _signal(process, signal.SIGKILL)

    def _ended(self, pod: Body, code: int) -> None:
        code = 128 - code if code < 0 else code
        self._logs[pod["metadata"]["uid"]].join(1)
        log = self._cluster.folder / f"{pod['metadata']['name']}.log"
        lines = (
            [line.partition(" ")[2] for line in log.read_text(errors="replace").splitlines()] if log.exists() else []
        )
        reason = self._killed_for.get(pod["metadata"]["uid"], "Completed" if code == 0 else "Error")
        terminated = {"exitCode": code, "reason": reason, "message": "\n".join(lines[-5:]) if code else ""}
        pod["status"]["containerStatuses"][0]["state"] = {"terminated": terminated}
        pod["status"]["phase"] = "Succeeded" if code == 0 else "Failed"
        self._cluster.put("pods", pod)


def _failure(pod: Body, spec: Body) -> tuple[str, str]:
    code = pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"]
    for rule in spec.get("podFailurePolicy", {}).get("rules", []):
        if code in rule.get("onExitCodes", {}).get("values", []):
            return "PodFailurePolicy", f"Container trainer for pod failed with exit code {code} matching FailJob rule"
    return "BackoffLimitExceeded", "Job has reached the specified backoff limit"


def _value(variable: Body, pod: Body) -> str:
    if "value" in variable:
        return str(variable["value"])
    path = variable["valueFrom"]["fieldRef"]["fieldPath"]
    return str(pod["metadata"]["annotations"][path.removeprefix("metadata.annotations['").removesuffix("']")])


def _container_status(container: Body, state: Body) -> Body:
    facts = {"image": container["image"], "imageID": "double", "ready": "running" in state, "restartCount": 0}
    return {"name": container["name"], "state": state, **facts}


def _ignored(pod: Body) -> bool:
    return any(condition["type"] == "DisruptionTarget" for condition in pod["status"].get("conditions", []))


def _gpus(pod: Body) -> int:
    return int(pod["spec"]["containers"][0].get("resources", {}).get("limits", {}).get("nvidia.com/gpu", 0))


def _bytes(text: str) -> float:
    return float(text[:-2]) * _UNITS[text[-2:]]


def _signal(process: "subprocess.Popen[bytes]", number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _keep_log(process: "subprocess.Popen[bytes]", path: Path) -> None:
    with path.open("w") as log:
        for line in process.stdout or ():
            log.write(f"{stamp()} {line.decode(errors='replace').rstrip()}\n")
            log.flush()


def stamp(when: float | None = None) -> str:
    """A time as the API server writes it, to the nanosecond as in logs; now where none is given."""
    when = time.time() if when is None else when
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(when)) + f".{int(when % 1 * 1e9):09d}Z"
