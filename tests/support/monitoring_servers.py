"""Debian's own Prometheus, Pushgateway and Alertmanager, started for a test and asked over HTTP."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

_PATIENCE_SECONDS = 60


def needs(program: str) -> pytest.MarkDecorator:
    """Skip, with the command to run, where a program of a Debian package is not installed."""
    package = "prometheus" if program == "promtool" else program
    missing = shutil.which(program) is None
    return pytest.mark.skipif(missing, reason=f"no {program}; install it with: apt-get install -y {package}")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(ask: Callable[[], Any], what: str) -> Any:
    """The first true answer; a server that is still starting is asked again."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            if answer := ask():
                return answer
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"not within {_PATIENCE_SECONDS} s: {what}")


def fetch(url: str) -> bytes:
    """The body that a server answers with."""
    with urlopen(url, timeout=10) as answer:
        body: bytes = answer.read()
        return body


def query(page: str, expression: str, **more: float) -> list[dict[str, Any]]:
    """A Prometheus server's answer to a PromQL query."""
    answer = json.loads(fetch(f"{page}/api/v1/query?{urlencode({'query': expression, **more})}"))
    series: list[dict[str, Any]] = answer["data"]["result"]
    return series


@contextmanager
def running(*command: str, ready: str) -> Iterator[None]:
    """A server, from the moment its `ready` address answers to the end of the block."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(lambda: fetch(ready) is not None, f"{command[0]} is ready")
            yield
        finally:
            server.terminate()


@contextmanager
def prometheus(folder: Path, *jobs: dict[str, Any], **settings: Any) -> Iterator[str]:
    """A Prometheus server with these scrape jobs; yields its address."""
    page = f"http://127.0.0.1:{free_port()}"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump({"scrape_configs": list(jobs), **settings}))
    flags = [f"--config.file={config}", f"--storage.tsdb.path={folder}/data"]
    with running("prometheus", *flags, f"--web.listen-address={page[7:]}", ready=f"{page}/-/ready"):
        yield page


@contextmanager
def pushgateway() -> Iterator[str]:
    """A Pushgateway; yields its address."""
    page = f"http://127.0.0.1:{free_port()}"
    forgets = "--persistence.file="  # Debian's build would keep what it got on this machine
    with running("prometheus-pushgateway", forgets, f"--web.listen-address={page[7:]}", ready=f"{page}/-/ready"):
        yield page


def scrape(name: str, port: int, interval: str = "200ms", **more: Any) -> dict[str, Any]:
    """A scrape job of one port of this machine."""
    targets = [{"targets": [f"127.0.0.1:{port}"]}]
    return {
        "job_name": name,
        "scrape_interval": interval,
        "scrape_timeout": interval,
        "static_configs": targets,
        **more,
    }
