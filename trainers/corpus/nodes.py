"""One pod of a corpus over several: index 0 starts Ray's head and then the stage, the others join it.

    python -m trainers.corpus.nodes --head HOST --cpu N --memory BYTES --token FILE corpus --request FILE ...

The signals and the exit code of index 0 are the stage's own. The others never end by themselves: a head that is not
there yet, or is gone, is waited for, until the Job is over. (`ray symmetric-run` forwards no SIGTERM, and a worker of
it that could not join ends with 0.) What authenticates them is a file on the shared volume that only their user reads.
"""

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from trainers.contract import ExitCode, ServiceMissing

ADDRESS = "RAY_ADDRESS"
"""Ray's own variable: where the cluster is."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}
"""Nothing is told to Ray's makers."""
_PATIENCE = {
    "RAY_agent_register_timeout_ms": "240000",
    "RAY_NUM_REDIS_GET_RETRIES": "240",
    "RAY_gcs_server_request_timeout_seconds": "240",
}
"""On a busy machine a head takes minutes to start. A node gives up on its own agents after 15 s; the stage on a head
that does not answer yet after 20, and on one that has no node yet after 60, with 69, which is not tried again."""
PORT = 6379
"""Of the head, on which nodes and the stage reach it."""
_SIGNAL_BASE = 128
_WAIT_SECONDS = 2.0
_NAME_TRIES = 60
_SHARED_MEMORY = Path("/dev/shm")
_SHARE_OF_SHARED_MEMORY = 0.8
_OBJECT_STORE = (75 << 20, 2 << 30)
"""Bytes: the least that Ray takes, in /tmp where there is less shared memory, and what is enough."""
_LAST_SECONDS = 10
"""That a node has to end."""


def main(arguments: Sequence[str]) -> int:
    """Be the pod of JOB_COMPLETION_INDEX; returns the stage's exit code, 128 + N where signal N ended it."""
    options = parser().parse_args(arguments)
    os.environ.update(QUIET, **_PATIENCE, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(options.token))
    if int(os.environ.get("JOB_COMPLETION_INDEX", "0")):
        _join(options)
    try:
        return _lead(options)
    except ServiceMissing as error:
        print(f"exit {int(error.code)}: {error}", file=sys.stderr, flush=True)  # the pod's last line is its reason
        return int(error.code)


def parser() -> argparse.ArgumentParser:
    """Of the command line that the Job's pods have."""
    parser = argparse.ArgumentParser(prog="python -m trainers.corpus.nodes", description=__doc__.splitlines()[0])
    parser.add_argument("--head", required=True, help="host name of index 0")
    parser.add_argument("--port", type=int, default=PORT, help="of the head (%(default)s)")
    parser.add_argument("--cpu", type=int, required=True, help="cores of this node")
    parser.add_argument("--memory", type=int, required=True, help="bytes of memory of this node")
    parser.add_argument("--token", type=Path, required=True, help="file of the token; index 0 makes it")
    parser.add_argument("stage", nargs=argparse.REMAINDER, help="the stage's command line")
    return parser


def _lead(options: argparse.Namespace) -> int:
    _make_token(options.token)
    host = _address_of(options.head)
    head = subprocess.Popen(
        [*_start(options, host), "--head", "--port", str(options.port), "--dashboard-host", "0.0.0.0"]
    )
    try:
        stage = subprocess.Popen(
            [sys.executable, "-m", "trainers", *options.stage],
            env={**os.environ, ADDRESS: f"{host}:{options.port}"},
        )
        signal.signal(signal.SIGTERM, lambda number, frame: stage.send_signal(signal.SIGTERM))
        while (code := stage.poll()) is None:
            if head.poll() is not None:  # nothing can be done any more; what is published is kept
                print(f"Ray's head ended (exit {head.returncode}); the stage is stopped", file=sys.stderr, flush=True)
                stage.terminate()
                stage.wait()
                return int(ExitCode.RESUMABLE)
            time.sleep(0.2)
    finally:
        _end(head)
    return _SIGNAL_BASE - code if code < 0 else code


def _join(options: argparse.Namespace) -> NoReturn:
    """Be a node of the head, over and over, until SIGTERM."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(_SIGNAL_BASE + number)

    signal.signal(signal.SIGTERM, leave)
    while True:
        if options.token.exists() and answers(options.head, options.port):
            here = socket.gethostbyname(socket.gethostname())
            node = subprocess.Popen([*_start(options, here), "--address", f"{options.head}:{options.port}"])
            try:
                node.wait()
            finally:
                _end(node)
            print(f"the head is gone, or was not to be joined (exit {node.returncode}); once more", flush=True)
        time.sleep(_WAIT_SECONDS)


def _start(options: argparse.Namespace, address: str) -> list[str]:
    """Ray's command for a node, that ends with SIGTERM and takes what it started along."""
    least, enough = _OBJECT_STORE
    shared = shutil.disk_usage(_SHARED_MEMORY).free if _SHARED_MEMORY.exists() else 0
    values: Mapping[str, object] = {
        "node-ip-address": address,
        "num-cpus": options.cpu,
        "memory": options.memory,
        "object-store-memory": max(least, min(enough, int(shared * _SHARE_OF_SHARED_MEMORY))),
        "temp-dir": "/tmp/ray",  # the pod's own emptyDir: the root filesystem is read-only
    }
    named = [part for name, value in values.items() for part in (f"--{name}", str(value))]
    return [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats", *named]


def _address_of(host: str) -> str:
    """Of this pod's own name, which the Service of its Job gives: that is made after the Job, and known a little later.

    Raises:
        ServiceMissing: the cluster's DNS does not know it.
    """
    for _ in range(_NAME_TRIES):
        try:
            return socket.gethostbyname(host)
        except socket.gaierror:
            time.sleep(_WAIT_SECONDS)
    raise ServiceMissing(
        f"the cluster's DNS does not know {host!r}, this pod's own name by the headless Service of its Job: "
        "is there a Service of the Job's name in its namespace, and does DNS answer there?"
    )


def answers(host: str, port: int) -> bool:
    """Whether a head takes connections there."""
    try:
        socket.create_connection((host, port), timeout=_WAIT_SECONDS).close()
    except OSError:
        return False
    return True


def _make_token(path: Path) -> None:
    """A random token that only this user may read; an earlier attempt's stays."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as stream:
        stream.write(secrets.token_hex(32))
    aside.rename(path)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a node of ours, and nobody else's: `ray stop` would end every Ray of the machine."""
    process.terminate()
    try:
        process.wait(_LAST_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
