"""Dagster's web server on a cluster: it is the one behind the guard, and answers to the names by which it is called."""

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from korean_llm_assets.commands import webserver
from tests.conftest import ROOT
from tests.support import charts
from tests.support.charts import Body, find, ours, public
from trainers.contract import settings
from trainers.contract.page_links import PAGE, report_link

_FACTS = charts.facts(hosts={"viewers": "look.example.com"})
_SERVERS = ("dagster-dagster-webserver", "dagster-dagster-webserver-read-only")


def _image_step() -> str:
    """What the image does to the name that the chart starts."""
    text = (ROOT / "dagster_deploy" / "images" / "code-location.Dockerfile").read_text(encoding="utf-8")
    (step,) = re.findall(r'^RUN (.+ > "\$\(command -v dagster-webserver\)")$', text, re.MULTILINE)
    return str(step)


def _executable(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def _started(bin_: Path, command: list[str]) -> list[str]:
    """The arguments with which a command starts Python in the image."""
    environment = {"PATH": f"{bin_}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", _image_step()], env=environment, check=True)
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A folder of programs as the image has them: Dagster's own server, and a Python that says what it is to do."""
    _executable(tmp_path / "dagster-webserver", 'echo "unguarded $@"')
    _executable(tmp_path / "python", r'printf "%s\n" "$@"')
    return tmp_path


def test_the_name_that_the_chart_starts_is_the_guard_in_the_image(image: Path) -> None:
    started = _started(image, ["dagster-webserver", "-h", "0.0.0.0", "--workspace", "a file"])
    assert started == ["-m", webserver.__name__, "-h", "0.0.0.0", "--workspace", "a file"]


@pytest.mark.parametrize("name", _SERVERS)
def test_so_it_is_by_the_charts_own_command(image: Path, name: str) -> None:
    (container,) = find(public("dagster", _FACTS), "Deployment", name)["spec"]["template"]["spec"]["containers"]
    started = _started(image, container["command"])
    assert started[:2] == ["-m", webserver.__name__]
    assert ("--read-only" in started) is name.endswith("read-only")
    assert {"configMapRef": {"name": "korean-llm-settings"}} in container["envFrom"]


def _called(objects: list[Body]) -> set[tuple[str, str]]:
    """(Host, Origin) of all who call it: commands in a pod, the pages behind their logins, a forwarded port."""
    data = find(objects, "ConfigMap", "korean-llm-settings")["data"]
    routes = [find(objects, "HTTPRoute", f"korean-llm-{page}") for page in ("dagster", "viewers")]
    hosts = [host for route in routes for host in route["spec"]["hostnames"]]
    return {
        (urlsplit(data["KOREAN_LLM_DAGSTER_SERVER"]).netloc, ""),
        ("localhost:3000", "http://localhost:3000"),
        *((host, f"https://{host}") for host in hosts),
    }


def test_it_answers_to_every_name_by_which_it_is_called_and_to_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = ours(_FACTS)
    for name, value in find(objects, "ConfigMap", "korean-llm-settings")["data"].items():
        monkeypatch.setenv(name, value)
    page = Route("/graphql", lambda request: PlainTextResponse("passed"), methods=["POST"])
    client = TestClient(Starlette(routes=[page], middleware=webserver.guarded([])))
    strangers = {("evil.example.com", "https://evil.example.com"), ("look.example.com", "https://evil.example.com")}
    answers = {
        (host, origin): client.post("/graphql", headers={"host": host} | ({"origin": origin} if origin else {})).text
        for host, origin in _called(objects) | strangers
    }
    assert {who for who, answer in answers.items() if answer == "passed"} == _called(objects)


def test_no_login_rewrites_the_name_that_the_browser_said() -> None:
    for page in ("dagster", "viewers"):
        configuration = find(ours(_FACTS), "ConfigMap", f"login-{page}")["data"]["oauth2_proxy.cfg"]
        assert "pass_host_header" not in configuration, "the guard compares it with the page's origin"


def test_an_assets_report_is_shown_from_the_store_that_both_servers_mount(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    data = find(ours(_FACTS), "ConfigMap", "korean-llm-settings")["data"]
    for name in _SERVERS:
        (container,) = find(public("dagster", _FACTS), "Deployment", name)["spec"]["template"]["spec"]["containers"]
        mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert any(Path(data[settings.ARTIFACTS.name]).is_relative_to(path) for path in mounted)
    for name, value in data.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(settings.ARTIFACTS.name, str(tmp_path))
    report = tmp_path / "eval_report" / "tiny" / "r1" / ("0" * 64) / PAGE
    report.parent.mkdir(parents=True)
    report.write_text("the report", encoding="utf-8")
    client = TestClient(Starlette(middleware=webserver.guarded([])))
    assert client.get(report_link(str(report.parent.relative_to(tmp_path)))).text == "the report"
