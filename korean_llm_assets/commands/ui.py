"""Command `ui`: Dagster's UI and daemon, and MLflow's UI, on this machine's state."""

import os
import signal
import socket
import subprocess
import sys
import time
from argparse import Namespace
from types import FrameType
from typing import Any

from korean_llm_assets.commands.check import tell_what_is_missing
from korean_llm_assets.home import Home
from korean_llm_assets.http import is_up
from trainers.contract import settings

_HOST = "127.0.0.1"
_START_SECONDS = 240
_STOP_SECONDS = 30


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("ui", help="serve Dagster's and MLflow's UI on this machine's state")
    parser.add_argument("--dagster-port", type=int, default=3000, help="%(default)s, or a free one")
    parser.add_argument("--mlflow-port", type=int, default=5000, help="%(default)s, or a free one")
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Serve until Ctrl-C or SIGTERM. A port that is taken is replaced by a free one.

    Returns the exit code: 0 after a stop that was asked for, 1 when a server ended by itself.
    """
    tell_what_is_missing()
    dagster_port, mlflow_port = _free(options.dagster_port), _free(options.mlflow_port)
    pages = {"Dagster": f"http://{_HOST}:{dagster_port}", "MLflow": f"http://{_HOST}:{mlflow_port}"}
    dagster = ["dagster", "dev", "-w", str(home.workspace), "-h", _HOST, "-p", str(dagster_port)]
    mlflow = ["mlflow", "server", "--host", _HOST, "--port", str(mlflow_port), "--workers", "1"]
    mlflow += ["--backend-store-uri", home.tracking_uri, "--default-artifact-root", str(home.tracking_files)]
    addresses = {settings.MLFLOW_URL.name: pages["MLflow"], settings.DAGSTER_URL.name: pages["Dagster"]}
    signal.signal(signal.SIGTERM, _as_keyboard_interrupt)
    # Sessions of their own: Ctrl-C reaches us alone, and we stop both in order.
    servers = [
        subprocess.Popen([sys.executable, "-m", *command], env={**os.environ, **addresses}, start_new_session=True)
        for command in (dagster, mlflow)
    ]
    try:
        for page in pages.values():
            _wait_until_served(page, servers)
        print("\n" + "\n".join(f"{name:<8} {page}" for name, page in pages.items()), flush=True)
        print(f"new data: put a folder into {home.landing}. Ctrl-C stops both.", flush=True)
        while all(server.poll() is None for server in servers):
            time.sleep(0.5)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(servers)


def _as_keyboard_interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _free(preferred: int) -> int:
    """The wanted port, or any free one."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            number: int = probe.getsockname()[1]
            return number
    raise RuntimeError(f"no free port on {_HOST}")


def _wait_until_served(page: str, servers: list["subprocess.Popen[bytes]"]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if any(server.poll() is not None for server in servers):
            raise SystemExit("a server ended before it answered; its messages are above")
        if is_up(page):
            return
        time.sleep(0.5)
    raise SystemExit(f"{page} did not answer within {_START_SECONDS} s")


def _stop(servers: list["subprocess.Popen[bytes]"]) -> None:
    for server in servers:
        if server.poll() is None:
            server.send_signal(signal.SIGINT)
    for server in servers:
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
