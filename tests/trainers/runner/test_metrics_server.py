"""The exporter: series are absent until they are known; a Pushgateway in any trouble never touches the stage."""

import socketserver
import threading
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.support.monitoring_servers import fetch, free_port, needs, pushgateway
from trainers.contract import Attempt, StageRequest
from trainers.runner.metrics_server import PUSHED_JOB, SERIES, Exporter, exporting

REQUEST = StageRequest(stage="cpt", stage_version=1, model="tiny", release="r1")
STEP = {"loss": 3.5, "learning_rate": 1e-3, "tokens_seen": 512.0, "tokens_per_second": 3700.0, "epoch": 0.1}


def samples(exporter: Exporter) -> dict[str, float]:
    samples = [sample for family in exporter.collect() for sample in family.samples]
    assert all(sample.labels == {"model": "tiny", "release": "r1", "stage": "cpt"} for sample in samples)
    return {sample.name: sample.value for sample in samples}


def test_what_is_not_known_is_absent() -> None:
    exporter = Exporter(REQUEST)
    assert samples(exporter) == {}
    exporter.step(1, STEP)
    seen = samples(exporter)
    assert seen["korean_llm_loss"] == 3.5 and seen["korean_llm_tokens_total"] == 512
    absent = {
        "held_out_loss",
        "replay_loss",
        "gradient_norm",
        "step_seconds",
        "checkpoint_age_seconds",
        "gpu_memory_bytes",
        "share_done",
        "bytes_per_second",
        "eta_seconds",
    }
    assert seen.keys() == SERIES.keys() - {f"korean_llm_{name}" for name in absent} - {"korean_llm_goodput_ratio"}


def test_times_are_measured_and_ages_grow_between_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 130.0, 130.0, 160.0, 175.0])
    monkeypatch.setattr("trainers.runner.metrics_server.time.time", lambda: next(clock))
    exporter = Exporter(REQUEST, [Attempt(number=1, started=0.0, ended=25.0), Attempt(number=2, started=75.0)])
    exporter.step(10, STEP)
    exporter.step(20, {"loss": 3.0})
    exporter.checkpoint_saved()
    exporter.pulse()
    seen = samples(exporter)  # at 175 s: 25 s of a lost attempt, then 100 s of this one
    assert seen["korean_llm_last_progress_timestamp_seconds"] == 160.0
    assert seen["korean_llm_step_seconds"] == 3.0
    assert seen["korean_llm_checkpoint_age_seconds"] == 45.0
    assert seen["korean_llm_goodput_ratio"] == pytest.approx(100 / 125)
    monkeypatch.undo()
    exporter.left(90.0)
    assert samples(exporter)["korean_llm_eta_seconds"] == 90.0
    exporter.training_ended()
    ended = {"korean_llm_last_progress_timestamp_seconds", "korean_llm_eta_seconds"}
    assert not ended & samples(exporter).keys(), "merging is no stall, and nobody knows how long it takes"


@pytest.mark.parametrize(
    ("variables", "address"), [({}, "127.0.0.1"), ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "0.0.0.0")]
)
def test_only_a_pod_listens_to_others(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], address: str) -> None:
    port = free_port()
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    for name, value in {**variables, "KOREAN_LLM_METRICS_PORT": str(port)}.items():
        monkeypatch.setenv(name, value)
    with exporting(REQUEST):
        listening = [socket.laddr for socket in psutil.Process().net_connections() if socket.status == "LISTEN"]
    assert [place.ip for place in listening if place.port == port] == [address]


def test_a_port_that_is_taken_ends_no_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOREAN_LLM_METRICS_PORT", str(free_port()))
    with (
        exporting(REQUEST),
        pytest.warns(UserWarning, match="metrics are not served on port"),
        exporting(REQUEST) as two,
    ):
        assert two is not None
        two.step(1, STEP)


@pytest.mark.parametrize("settings", [{}, {"RANK": "1", "KOREAN_LLM_METRICS_PORT": "1"}])
def test_nothing_is_opened_without_being_asked_nor_by_followers(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with exporting(REQUEST) as exporter:
        assert exporter is None


@needs("prometheus-pushgateway")
def test_a_pushgateway_keeps_the_last_values_of_each_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    with pushgateway() as page:
        monkeypatch.setenv("KOREAN_LLM_PUSHGATEWAY", page)
        for release in ("r1", None):  # a base model has no release
            with exporting(REQUEST.model_copy(update={"release": release})) as exporter:
                assert exporter is not None
                exporter.step(1, STEP)
                exporter.checkpoint_saved()
                exporter.left(1.0)
        kept = fetch(f"{page}/metrics").decode()
    lines = [line for line in kept.splitlines() if line.startswith("korean_llm_")]
    assert len([line for line in lines if line.startswith("korean_llm_loss{")]) == 2
    assert all(f'job="{PUSHED_JOB}"' in line and 'model="tiny"' in line for line in lines)
    assert 'release="r1"' in kept
    names = {line.partition("{")[0] for line in lines}
    only_live = ("last_progress_timestamp_seconds", "checkpoint_age_seconds", "eta_seconds")
    assert not names & {f"korean_llm_{name}" for name in only_live}, "it has ended"


class _Bad(socketserver.BaseRequestHandler):
    """Answers a push with the server's fault."""

    def handle(self) -> None:
        match self.server.fault:  # type: ignore[attr-defined]
            case "hangs":
                time.sleep(1)
            case "closes":
                return
            case "garbage":
                self.request.recv(65536)
                self.request.sendall(b"what?\r\n\r\n")
            case "refuses":
                self.request.recv(65536)
                self.request.sendall(b"HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n")


@pytest.fixture
def faulty(request: pytest.FixtureRequest) -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Bad) as server:
        server.fault = request.param  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("faulty", ["hangs", "closes", "garbage", "refuses"], indirect=True)
def test_a_pushgateway_that_fails_is_told_and_forgotten(faulty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainers.runner.metrics_server._PUSH_SECONDS", 0.3)
    _push_is_only_warned_about(faulty, monkeypatch)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no such host:9091", "127.0.0.1:port"])
def test_a_pushgateway_that_is_not_there_is_told_and_forgotten(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _push_is_only_warned_about(address, monkeypatch)


def _push_is_only_warned_about(address: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("KOREAN_LLM_PUSHGATEWAY", address)
    with pytest.warns(UserWarning, match="were not pushed"), exporting(REQUEST) as exporter:
        assert exporter is not None
        exporter.step(1, STEP)
