"""The one UI of a state: who is second, who finds it, and how it stops."""

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from argparse import Namespace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from korean_llm_assets.commands import remake
from korean_llm_assets.commands import ui as command
from korean_llm_assets.commands.running_ui import RunningUi, publish, running_ui, sole_ui
from korean_llm_assets.home import Home
from tests.support.served import Served
from trainers.contract import BadRequest, ServiceMissing, attachments

PAGES = {"Dagster": "http://127.0.0.1:3017", "MLflow": "http://127.0.0.1:5017"}
DEAF = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(flush=True); time.sleep(600)"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in ("KOREAN_LLM_DAGSTER_URL", "KOREAN_LLM_DAGSTER_SERVER"):
        monkeypatch.delenv(name, raising=False)
    return Home(tmp_path)


def deaf(*locks: int) -> "subprocess.Popen[bytes]":
    """A server that hears no Ctrl-C."""
    server = subprocess.Popen(
        [sys.executable, "-c", DEAF], pass_fds=locks, stdout=subprocess.PIPE, start_new_session=True
    )
    assert server.stdout is not None
    server.stdout.readline()
    return server


def test_a_second_one_is_refused_with_the_address_of_the_first(place: Home) -> None:
    with sole_ui(place):
        with pytest.raises(BadRequest, match="another `ui` is starting"), sole_ui(place):
            pass
        publish(place, RunningUi(PAGES, (os.getpid(),)))
        with pytest.raises(BadRequest, match=f"{PAGES['Dagster']}.*kill {os.getpid()}"), sole_ui(place):
            pass
    assert running_ui(place) is None
    with sole_ui(place):
        assert running_ui(place) is None, "what the last one noted is not this one's"


def test_servers_whose_command_was_killed_still_hold_the_state_and_are_named(place: Home) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    script = "import sys; from pathlib import Path; from korean_llm_assets.home import Home; "
    script += "from korean_llm_assets.commands.running_ui import sole_ui; import subprocess, os, signal\n"
    script += "with sole_ui(Home(Path(sys.argv[1]))) as lock:\n"
    script += f"    print(subprocess.Popen([sys.executable, '-c', {DEAF!r}], pass_fds=(lock,), "
    script += "stdout=subprocess.DEVNULL).pid, flush=True)\n    os.kill(os.getpid(), signal.SIGKILL)"
    killed = subprocess.run([sys.executable, "-c", script, str(place.root)], stdout=subprocess.PIPE, text=True)
    server = int(killed.stdout)
    try:
        publish(place, RunningUi(PAGES, (gone.pid, server)))
        with pytest.raises(BadRequest, match=f"left these: kill {server}"), sole_ui(place):
            pass
    finally:
        os.kill(server, signal.SIGKILL)


def test_remake_asks_the_ui_of_its_own_state_and_nobody_who_happens_to_listen(
    place: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ServiceMissing, match="start `make ui` with the same KOREAN_LLM_HOME"):
        remake._server(place)
    monkeypatch.setenv("KOREAN_LLM_DAGSTER_URL", "http://127.0.0.1:3000")
    assert remake._server(place) == "http://127.0.0.1:3000"
    with sole_ui(place):
        publish(place, RunningUi(PAGES, (os.getpid(),)))
        assert remake._server(place) == PAGES["Dagster"]
        monkeypatch.setenv("KOREAN_LLM_DAGSTER_SERVER", "http://dagster.internal:3000")
        assert remake._server(place) == "http://dagster.internal:3000", "named by a person"


def test_a_second_ctrl_c_ends_every_server_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    servers = [deaf(), deaf()]
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests were started with `&`, it is ignored
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    try:
        command._stop(servers)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert [server.returncode for server in servers] == [-signal.SIGKILL] * 2
    assert time.monotonic() - began < command._STOP_SECONDS, "nobody waited for the deaf ones"
    assert "Ctrl-C again ends all servers at once" in capsys.readouterr().out


def test_all_addresses_at_once_are_no_name(place: Home) -> None:
    with pytest.raises(BadRequest, match="name this machine as others do"):
        command.run(Namespace(host="0.0.0.0"), place)


def test_mlflow_is_told_the_name_by_which_others_reach_it(place: Home) -> None:
    words = command._mlflow(place, "gpu-box", "0.0.0.0", 5017)
    assert "gpu-box:*" in words[words.index("--allowed-hosts") + 1].split(",")
    assert words[words.index("--cors-allowed-origins") + 1] == "http://gpu-box:5017"


@pytest.mark.slow
def test_a_ui_beside_a_running_one_ends_with_its_address(ui: Served) -> None:
    words = [sys.executable, "-m", "korean_llm_assets", "ui"]
    second = subprocess.run(words, env=ui.environment, capture_output=True, text=True, timeout=120)
    assert second.returncode == 64 and ui.dagster in second.stderr, second.stderr


@pytest.mark.slow
def test_mlflow_serves_what_a_stage_left_without_a_server(ui: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(attachments.FOLDER, ui.environment[attachments.FOLDER])
    client = MlflowClient(ui.home.tracking_uri)
    run = client.create_run(client.create_experiment("served", artifact_location=attachments.ROOT)).info
    folder = Path(attachments.place(run.artifact_uri))
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("좋습니다")
    (folder / "MLmodel").write_text("flavors: {}")
    page = f"{ui.mlflow}/get-artifact?path=report.html&run_uuid={run.run_id}"
    with urllib.request.urlopen(page, timeout=60) as answer:
        assert answer.read().decode() == "좋습니다"
    client = MlflowClient(ui.mlflow, ui.mlflow)
    client.create_registered_model("signed")
    client.create_model_version("signed", run.artifact_uri, run_id=run.run_id)
    page = f"{ui.mlflow}/model-versions/get-artifact?path=MLmodel&name=signed&version=1"
    with urllib.request.urlopen(page, timeout=60) as answer:
        assert answer.read().decode() == "flavors: {}", "whence its page has a version's signature"
