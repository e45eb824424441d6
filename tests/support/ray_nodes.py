"""A Ray cluster of several small nodes on this machine, real processes; nodes can be killed and added."""

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from trainers.corpus.nodes import ADDRESS, QUIET

_MEGABYTE = 1 << 20
_TOKEN = secrets.token_hex(32)
"""Ray reads it once in the life of a process, which may have several clusters, one after the other."""
OBJECT_STORE = 80 * _MEGABYTE
"""Of a node; Ray takes no less than 75 MiB."""
PATIENCE = {"RAY_raylet_start_wait_time_s": "300", "RAY_agent_register_timeout_ms": "300000"}
"""With nodes that start on a busy machine."""


class Nodes:
    """The nodes; the first is the head, which stays."""

    def __init__(self, count: int, memory: int):
        from ray.cluster_utils import Cluster

        self._amounts = {"num_cpus": 1, "memory": memory, "object_store_memory": OBJECT_STORE}
        self._amounts |= {"include_log_monitor": False, "no_monitor": True}  # a node can do without
        head = {**self._amounts, **_ports(), "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self._others: list[Any] = []
        for _ in range(count - 1):
            self.add()

    def add(self) -> None:
        self._others.append(self.cluster.add_node(wait=False, **self._amounts, **_ports()))

    def kill(self) -> None:
        """Kill the oldest node other than the head, with all that runs there."""
        self.cluster.remove_node(self._others.pop(0), allow_graceful=False)

    def lose_head(self) -> None:
        """Kill what holds the cluster together; nothing comes back in its place."""
        self.cluster.head_node.kill_gcs_server(check_alive=False)


def _ports() -> dict[str, int]:
    """Of a node's agents: a raylet that is not told them waits for its agents to say them, and not for long."""
    names = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in names]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return {name: each.getsockname()[1] for name, each in zip(names, sockets, strict=True)}


@contextmanager
def ray_nodes(count: int, folder: Path, memory: int = 1 << 30, **settings: str) -> Iterator[Nodes]:
    """`count` nodes that corpora run on, because RAY_ADDRESS names them; token authentication is on.

    `settings`: Ray's own, as its environment has them.
    """
    token = folder / "token"
    token.write_text(_TOKEN)
    before = dict(os.environ)
    os.environ.update(QUIET, **PATIENCE, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token), **settings)
    nodes = None
    try:
        pytest.importorskip("ray", reason="pip install -e '.[ray]'")  # it reads those variables when it is imported
        nodes = Nodes(count, memory)
        os.environ[ADDRESS] = nodes.cluster.address
        yield nodes
    finally:
        if nodes is not None:
            nodes.cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)
