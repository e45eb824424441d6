"""Landing in buckets: a real S3 protocol (moto's server), and what goes wrong there."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from dagster import DagsterInstance, build_sensor_context

from korean_llm_assets.__main__ import main
from korean_llm_assets.home import Home
from korean_llm_assets.landing.buckets import check_sources, mirror_sources
from korean_llm_assets.landing.folders import Landing
from korean_llm_assets.resources import Platform
from korean_llm_assets.triggers.sensors import new_releases
from tests.korean_llm_assets.conftest import WHOLE, drop
from tests.support.s3 import s3
from trainers.contract import ServiceMissing


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("KOREAN_LLM_LANDING_URLS", "s3://drops/korean")
    with s3(monkeypatch) as files:
        yield files


def put(files: Any, path: str, text: str) -> None:
    files.pipe_file(f"drops/korean/{path}", text.encode())


def test_a_complete_release_is_copied_once_and_again_when_it_changes(bucket: Any, tmp_path: Path) -> None:
    put(bucket, "뉴스/corpus/a.jsonl", '{"text": "글"}')
    put(bucket, "뉴스/corpus/deep/b.jsonl", '{"text": "둘"}')
    check_sources()
    assert mirror_sources(tmp_path) == []  # no marker yet, and not quiet for long
    put(bucket, "뉴스/_READY", "")
    assert mirror_sources(tmp_path) == ["뉴스"]
    assert mirror_sources(tmp_path) == []
    landing = Landing(tmp_path)
    assert list(landing.releases().values()) == ["뉴스"]
    assert (tmp_path / "뉴스/corpus/deep/b.jsonl").read_text() == '{"text": "둘"}'
    before = landing.digest("뉴스")
    put(bucket, "뉴스/corpus/late.jsonl", '{"text": "늦은 글"}')
    assert mirror_sources(tmp_path) == ["뉴스"]
    assert landing.digest("뉴스") != before


def test_a_bucket_that_does_not_exist_is_told_at_the_start(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOREAN_LLM_LANDING_URLS", "s3://no-such-bucket/x")
    with pytest.raises(ServiceMissing, match="s3://no-such-bucket/x"):
        check_sources()


class _Refuses(BaseHTTPRequestHandler):
    """An S3 that knows nobody."""

    def do_GET(self) -> None:
        body = b"<Error><Code>InvalidAccessKeyId</Code><Message>The key is unknown</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.mark.parametrize("url", ["s3://drops", "s3://drops/korean"])
def test_refused_credentials_are_told_at_the_start_and_stop_no_local_release(
    url: str, monkeypatch: pytest.MonkeyPatch, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    with HTTPServer(("127.0.0.1", 0), _Refuses) as server, DagsterInstance.ephemeral() as instance:
        Thread(target=server.serve_forever, daemon=True).start()
        for name, value in {
            "AWS_ACCESS_KEY_ID": "wrong",
            "AWS_SECRET_ACCESS_KEY": "canary-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "KOREAN_LLM_LANDING_URLS": url,
        }.items():
            monkeypatch.setenv(name, value)
        assert main(["check"]) == 69
        output = capsys.readouterr().err
        assert f"{url} refuses the credentials" in output and "AWS_ACCESS_KEY_ID" in output and "canary" not in output

        drop(home.landing, "local", WHOLE)
        context = build_sensor_context(instance=instance, resources={"platform": Platform.from_environment()})
        result = new_releases(context)
        assert [request.partition_key for request in result.run_requests] == ["local"]
        server.shutdown()


def test_the_check_tells_what_is_missing(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KOREAN_LLM_LANDING_URLS", str(home.landing))
    assert main(["check"]) == 0
    assert "alert channels: none" in capsys.readouterr().out
    monkeypatch.setenv("KOREAN_LLM_ALERT_WEBHOOK", "http://127.0.0.1:9/hook")
    assert main(["check"]) == 0
    assert "alert channels: PlainWebhook" in capsys.readouterr().out
    monkeypatch.setenv("KOREAN_LLM_SLACK_TOKEN", "xoxb-canary")
    assert main(["check"]) == 64
    assert "KOREAN_LLM_SLACK_CHANNEL is not" in capsys.readouterr().err
    monkeypatch.setenv("KOREAN_LLM_LANDING_URLS", str(home.landing / "nowhere"))
    assert main(["check"]) == 69
    assert "nowhere does not exist; create it or correct the variable" in capsys.readouterr().err


def test_a_server_that_is_down_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("KOREAN_LLM_LANDING_URLS", "s3://drops/x")
    with pytest.raises(ServiceMissing, match="s3://drops/x"):
        check_sources()


def test_an_unknown_protocol_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOREAN_LLM_LANDING_URLS", "ftpx://somewhere/x")
    with pytest.raises(ServiceMissing, match="ftpx"):
        check_sources()
