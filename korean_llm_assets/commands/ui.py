"""Command `ui`: Dagster's UI and daemon, and MLflow's UI, on this machine's state."""

import os
import signal
import socket
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from korean_llm_assets.alerts import configured_channels
from korean_llm_assets.commands import webserver
from korean_llm_assets.commands.check import Surroundings
from korean_llm_assets.commands.demo import MODEL, RELEASE
from korean_llm_assets.commands.location import is_loaded, tell_location_trouble
from korean_llm_assets.commands.running_ui import RunningUi, publish, sole_ui
from korean_llm_assets.commands.webserver import LOCAL
from korean_llm_assets.home import CODE, COMMAND, LOCATION, Home
from korean_llm_assets.http import is_up
from korean_llm_assets.landing.folders import Landing
from korean_llm_assets.triggers import dead_runs
from korean_llm_assets.triggers.outbox import Outbox
from trainers.contract import BadRequest, attachments, settings
from trainers.contract.walk import READY_MARKER

_HOST = "127.0.0.1"
_ANY = ("0.0.0.0", "::")
_START_SECONDS = 240
_STOP_SECONDS = 30
_CODE_SECONDS = 5
"""For the server of the code: it keeps nothing, and with a run at work it does not end by itself."""
_LOOK_SECONDS = 30


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("ui", help="serve Dagster's and MLflow's UI on this machine's state")
    parser.add_argument(
        "--host",
        default=_HOST,
        help="name or address by which other machines reach this one's pages (%(default)s: none does)",
    )
    parser.add_argument("--dagster-port", type=int, default=3000, help="%(default)s, or a free one")
    parser.add_argument("--mlflow-port", type=int, default=5000, help="%(default)s, or a free one")
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Serve until Ctrl-C or SIGTERM. A port that is taken is replaced by a free one.

    Returns the exit code: 0 after a stop that was asked for, 1 when a server ended by itself.

    Raises:
        BadRequest: another `ui` serves this state, or the host is no name.
    """
    if options.host in _ANY:
        raise BadRequest(f"--host {options.host}: name this machine as others do; all of its addresses are served then")
    with sole_ui(home) as lock:
        print("\n".join(Surroundings.read().in_words))
        _go_on_after_a_crash()
        home.prepare_tracking()
        lay_down_the_sample(home)
        return _serve(options, home, lock)


def _serve(options: Namespace, home: Home, lock: int) -> int:
    # All addresses, not the name's own: on Debian a machine's name is 127.0.1.1 to itself.
    host, listen = options.host, options.host if options.host in LOCAL else _ANY[0]
    ports = {"Dagster": _free(options.dagster_port, listen), "MLflow": _free(options.mlflow_port, listen)}
    pages = {name: f"http://{host}:{port}" for name, port in ports.items()}
    addresses = {
        settings.MLFLOW_URL.name: pages["MLflow"],
        settings.DAGSTER_URL.name: pages["Dagster"],
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes for what we have none of
    }
    # Both set anew: what a script starts with `&` ignores Ctrl-C, and so would the servers, which we stop by it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    # Sessions of their own: Ctrl-C reaches us alone, and we stop all in order.
    servers: list[subprocess.Popen[bytes]] = []

    def start(*commands: list[str]) -> None:
        for command in commands:
            program, variables = [sys.executable, "-m", *command], {**os.environ, **addresses}
            servers.append(subprocess.Popen(program, env=variables, start_new_session=True, pass_fds=(lock,)))
        publish(home, RunningUi(pages, (os.getpid(), *(server.pid for server in servers))))

    code, pages_of_dagster, daemon = _dagster(home, listen, ports["Dagster"])
    dagster = f"http://{_HOST}:{ports['Dagster']}"
    try:
        start(code, pages_of_dagster, _mlflow(home, host, listen, ports["MLflow"]))
        for port in ports.values():
            _wait_until_served(f"http://{_HOST}:{port}", servers)
        print("\n" + "\n".join(f"{name:<8} {page}" for name, page in pages.items()), flush=True)
        if host not in LOCAL:
            print(f"whoever reaches {host} can start and delete here: neither page asks for a name", flush=True)
        print(first_steps(home, pages["Dagster"]), end="", flush=True)
        print(f"new data: put a folder into {home.landing}. Ctrl-C stops all.", flush=True)
        looked, is_whole = time.monotonic(), False
        while all(server.poll() is None for server in servers):
            time.sleep(0.5)
            # Not before there is code to run: what the daemon cannot retry at once after a crash, it never retries.
            if not is_whole and (is_whole := is_loaded(dagster)):
                start(daemon)
            if time.monotonic() - looked > _LOOK_SECONDS:
                tell_location_trouble(dagster)
                looked = time.monotonic()
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(servers)
        _tell_what_goes_on()


def _tell_what_goes_on() -> None:
    """The servers are gone; runs at work are processes of their own, and end what they began."""
    with DagsterInstance.get() as instance:
        working = instance.get_runs(RunsFilter(statuses=dead_runs.AT_WORK))
        waiting = instance.get_runs_count(RunsFilter(statuses=[DagsterRunStatus.QUEUED]))
        for run in working:
            if dead_runs.is_alive(instance, run):
                what = run.tags.get("dagster/partition", run.job_name)
                print(f"goes on without the pages: {what}; to stop it: {COMMAND} cancel {run.run_id}", flush=True)
    if waiting:
        print(f"{waiting} runs wait for the next `make ui`", flush=True)


def _go_on_after_a_crash() -> None:
    """End what died with its machine, so that it is retried and holds nothing; told once."""
    with DagsterInstance.get() as instance:
        for alert in dead_runs.alerts_of(dead_runs.bury(instance)):
            print(alert.english, flush=True)
            Outbox(instance, configured_channels()).tell(alert)


def _dagster(home: Home, host: str, port: int) -> Iterator[list[str]]:
    """What `dagster dev` starts, with our web server in the place of Dagster's: one server of the code, two clients."""
    code_port = _free(0, _HOST)
    server = {"host": _HOST, "port": code_port, "location_name": LOCATION}
    workspace = home.dagster / "served.yaml"
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}), encoding="utf-8")
    code = ["dagster", "code-server", "start", "-m", CODE, "-h", _HOST, "-p", str(code_port)]
    yield [*code, "--location-name", LOCATION, "--inject-env-vars-from-instance"]
    yield [webserver.__name__, "-h", host, "-p", str(port), "-w", str(workspace)]
    yield ["dagster._daemon", "run", "-w", str(workspace)]


def _mlflow(home: Home, host: str, listen: str, port: int) -> list[str]:
    """Its server, which alone knows in which folder the files lie: the database names none."""
    command = ["mlflow", "server", "--host", listen, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", home.tracking_uri]
    command += ["--artifacts-destination", str(home.tracking_files), "--default-artifact-root", attachments.ROOT]
    names = ",".join(f"{name}{end}" for name in (host, *LOCAL) for end in ("", ":*"))
    return [*command, "--allowed-hosts", names, "--cors-allowed-origins", f"http://{host}:{port}"]


def lay_down_the_sample(home: Home) -> None:
    """Where nothing has ever landed, something to begin with; nothing is made of it until somebody says so."""
    if not Landing(home.landing).releases():
        command = [sys.executable, "-m", "trainers.sample", str(home.landing), "--name", RELEASE, "--wait"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # by name: the assets import nothing that trains


def first_steps(home: Home, page: str) -> str:
    """What to press, while the sample waits."""
    if RELEASE not in Landing(home.landing).incomplete():
        return ""
    return (
        f"1. start:    touch {home.landing / RELEASE / READY_MARKER}  (a sample release; nothing trains before that)\n"
        f"2. watch:    {page}/asset-groups  (the data in a minute, then model {MODEL}: about ten minutes in all)\n"
        f"3. is it better?  {page}/assets/eval_report  (press the link at `report page`)\n"
    )


def _free(preferred: int, host: str) -> int:
    """The wanted port, or any free one."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                reason = error
                continue
            number: int = probe.getsockname()[1]
            return number
    raise BadRequest(f"nothing can be served at {host}: {reason}")


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
    """The server of the code last: it waits a minute for clients that still listen to it. Hurry ends all at once."""
    code, *clients = servers
    try:
        print(f"\nstopping, up to {_STOP_SECONDS + _CODE_SECONDS} s; Ctrl-C again ends all servers at once", flush=True)
        _interrupt(clients)
        for server in clients:
            _end(server, _STOP_SECONDS)
        _interrupt([code])
        _end_code(code, _CODE_SECONDS)
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # no hurry is left
        for server in clients:
            _end(server, 0)
        _end_code(code, 0)


def _interrupt(servers: list["subprocess.Popen[bytes]"]) -> None:
    for server in servers:
        if server.poll() is None:
            server.send_signal(signal.SIGINT)


def _end(server: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Wait for its end, or kill it with whatever it started."""
    try:
        server.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _end_code(server: "subprocess.Popen[bytes]", seconds: float) -> None:
    """As others, but for the runs: Dagster's server of the code has one child, which waits for those that it started.

    They are that child's children; killed with the session, they could not go on, nor save.
    """
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    try:
        server.wait(seconds)
    except subprocess.TimeoutExpired:
        for child in [int(pid) for pid in children.read_text().split()]:
            os.kill(child, signal.SIGKILL)
        server.kill()
        server.wait()
