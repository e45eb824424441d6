"""The same tasks on the nodes of a Ray cluster: one that runs already, by RAY_ADDRESS, or one of this machine alone.

Ray decides where a task runs; what became of it is decided here, as for a pool. A task whose worker or node was lost
is done again, nodes may come and go, and no more tasks are taken than the nodes that there are can soon begin.
"""

import math
import os
import pickle
import platform
import secrets
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import lru_cache
from typing import Any

from trainers.contract import BadRequest, DiskTrouble, DoesNotFit, Interrupted, Needs, ServiceMissing
from trainers.corpus.nodes import ADDRESS, QUIET, answers
from trainers.corpus.plan import code_digest
from trainers.corpus.tasks import MOST_DEATHS, Context, Done, EngineName, Task, attempt, died

_OBJECT_STORE_BYTES = 256 << 20
"""Of a Ray of this machine alone: the blocks that are on their way to a worker."""
_LOOK_SECONDS = 1.0
"""How often new nodes are looked for."""
_HEAD_SECONDS = 20
"""For which a head may be away. Ray waits for a minute, in any call that asks the head, and then ends the process."""


class Remote:
    """An engine of all nodes of a Ray cluster. It ends a Ray that it started, and no other.

    Args:
        say: told where Ray's dashboard is.
    """

    name: EngineName = "ray"

    def __init__(self, context: Context, needs: Needs, say: Callable[[str], None], warn: Callable[[str], None]):
        self._packed = pickle.dumps(context)
        self._code, self._cores = context.code, math.ceil(needs.cpu)
        self._bytes, self._memory = needs.memory_bytes // self._cores, needs.memory_bytes
        self._say, self._warn = say, warn
        self._work: Any = None
        self._head = ("", 0)
        self._room, self._looked = 0, 0.0
        self.repeated, self.dashboard = 0, ""

    def __enter__(self) -> "Remote":
        self._set_environment()
        import ray

        handler = signal.getsignal(signal.SIGTERM)
        try:
            self._connect()
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)  # Ray's own leaves at once, and with another exit code
        with ExitStack() as undone:
            undone.callback(ray.shutdown)
            self._work = ray.remote(num_cpus=1, memory=self._bytes, max_retries=0)(_work)
            self._check_room()
            self._check_versions()
            host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
            self._head = (host.strip("[]"), int(port))
            undone.pop_all()
        page = f", dashboard {self.dashboard}" if self.dashboard else ""
        self._say(f"Ray {ray.__version__}, {len(_alive())} nodes{page}")
        return self

    def __exit__(self, *error: object) -> None:
        import ray

        ray.shutdown()

    def run(self, tasks: Iterator[Task]) -> Iterator[tuple[Task, Done]]:
        """Do all tasks; gives each when it is done.

        Raises:
            DoesNotFit: a task's worker was killed three times.
            DiskTrouble: Ray's object store, or the disk that it falls back to, is full.
            Interrupted: the head is gone.
        """
        import ray

        running: dict[Any, tuple[Task, int]] = {}
        again: deque[tuple[Task, int]] = deque()
        try:
            while True:
                self._look()
                while len(running) < self._room:
                    task, deaths = again.popleft() if again else (next(tasks, None), 0)
                    if task is None:
                        break
                    running[self._work.remote(self._packed, task)] = (task, deaths)
                if not running:
                    return
                for reference in ray.wait([*running], timeout=_LOOK_SECONDS)[0]:
                    task, deaths = running.pop(reference)
                    try:
                        answer = ray.get(reference)
                    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
                        again.append((task, deaths + 1))
                        self._died(task, deaths + 1, error)
                    except (ray.exceptions.NodeDiedError, ray.exceptions.ObjectLostError) as error:
                        again.append((task, deaths))
                        self._lost(task, error)
                    else:
                        if isinstance(answer, BaseException):
                            raise answer
                        yield task, answer
        except (ray.exceptions.ObjectStoreFullError, ray.exceptions.OutOfDiskError) as error:
            raise DiskTrouble(
                f"Ray's object store or its disk is full: {_in_a_line(error)}. Give the pods more shared memory "
                "(`shared_memory` of the profile) or room in /tmp, then run again; finished work is kept"
            ) from error
        except (ray.exceptions.LocalRayletDiedError, ray.exceptions.RpcError) as error:
            raise Interrupted(_gone(_in_a_line(error))) from error

    def _set_environment(self) -> None:
        """What Ray reads when it is imported; one that is started here takes nobody without our token."""
        os.environ.update(QUIET)
        if not os.environ.get(ADDRESS):
            os.environ["RAY_AUTH_MODE"] = "token"
            if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
                os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)

    def _connect(self) -> None:
        """Reach the cluster, or start one here."""
        import ray

        address = os.environ.get(ADDRESS)
        own: dict[str, Any] = {}
        if not address:
            own = {"num_cpus": self._cores, "_memory": self._memory, "object_store_memory": _OBJECT_STORE_BYTES}
            own["include_dashboard"] = False
        try:
            connected = ray.init(address=address or "local", log_to_driver=False, configure_logging=False, **own)
        except (ConnectionError, ray.exceptions.RayError) as error:
            words = f"the Ray cluster at {address} cannot be reached: {_in_a_line(error)}"
            words += f" ({_in_a_line(error.__cause__)})" if error.__cause__ else ""
            raise ServiceMissing(f"{words}. See that it runs, and that the token is its own") from error
        except RuntimeError as error:
            if "ersion" not in str(error):
                raise
            raise BadRequest(f"the Ray cluster at {address} is of another version: {_in_a_line(error)}") from error
        except Exception as error:
            if type(error) is not Exception:  # all that Ray says of a node of its own that took longer than 30 s
                raise
            raise Interrupted(f"Ray did not start here: {_in_a_line(error)} Run again, with less beside it") from error
        self.dashboard = f"http://{connected.dashboard_url}" if connected.dashboard_url else ""

    def _check_room(self) -> None:
        """No task may wait for a node that never comes.

        Raises:
            DoesNotFit: no node has what a task needs.
        """
        there = [node["Resources"] for node in _alive()]
        if not any(node.get("CPU", 0) >= 1 and node.get("memory", 0) >= self._bytes for node in there):
            raise DoesNotFit(
                f"no node of the Ray cluster has a core and {self._bytes / 2**30:.1f} GiB of memory for it "
                f"(needs.memory / needs.cpu); they have {[round(node.get('memory', 0) / 2**30, 1) for node in there]}"
            )

    def _check_versions(self) -> None:
        """Refuse nodes whose code is not this process's: their blocks would not be those of this plan.

        Raises:
            BadRequest: names the nodes.
        """
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        probe = ray.remote(num_cpus=0, max_retries=3)(code_digest)
        answers = {
            node["NodeName"]: probe.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=True)
            ).remote()
            for node in _alive()
        }
        for name, answer in answers.items():
            try:
                code = ray.get(answer)
            except ray.exceptions.RayError as error:
                raise BadRequest(f"node {name} of the Ray cluster cannot run this code: {_in_a_line(error)}") from error
            if code != self._code:
                raise BadRequest(_of_another_version(name))

    def _look(self) -> None:
        """See how many tasks the nodes that there are can do at once; a few more wait, so that none is idle."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        while not answers(*self._head):
            if time.monotonic() - self._looked > _HEAD_SECONDS:
                raise Interrupted(_gone(f"nothing answers at {':'.join(map(str, self._head))}"))
            time.sleep(_LOOK_SECONDS)
        slots = sum(
            int(min(node["Resources"].get("CPU", 0), node["Resources"].get("memory", 0) // self._bytes))
            for node in _alive()
        )
        self._room = max(1, slots) + max(1, slots // 2)

    def _died(self, task: Task, deaths: int, error: Exception) -> None:
        if deaths >= MOST_DEATHS:
            raise DoesNotFit(died(task, deaths, _in_a_line(error)))
        self._lost(task, error)

    def _lost(self, task: Task, error: Exception) -> None:
        self.repeated += 1
        self._warn(f"{task.title} was lost with its worker or node; it is done again ({_in_a_line(error)})")


def _work(packed: bytes, task: Task) -> Done | Exception:
    """A task in a worker of some node."""
    import ray

    try:
        context = _unpacked(packed)
    except BadRequest as error:
        return error
    done = attempt(task, context)
    if isinstance(done, Exception):
        return done
    node = ray.get_runtime_context().get_node_id()[:8]
    return done._replace(process=f"{platform.node()}/{node}:{os.getpid()}")


@lru_cache(maxsize=1)
def _unpacked(packed: bytes) -> Context:
    """Once for each worker: what its cleaner has loaded stays."""
    context: Context = pickle.loads(packed)
    if code_digest() != context.code:
        raise BadRequest(_of_another_version(platform.node()))
    return context


def _of_another_version(node: str) -> str:
    return f"node {node} of the Ray cluster has other code of the corpus stage; give all nodes the same trainer image"


def _gone(why: str) -> str:
    return f"the head of the Ray cluster is gone ({why}); run again to go on"


def _alive() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def _in_a_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500] or type(error).__name__
