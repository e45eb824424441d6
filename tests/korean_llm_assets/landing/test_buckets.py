"""Landing in buckets: a real S3 protocol (moto's server), and what goes wrong there."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from dagster import DagsterInstance, build_sensor_context

from korean_llm_assets.__main__ import main
from korean_llm_assets.home import Home
from korean_llm_assets.landing.buckets import check_sources, copy_release, look_elsewhere
from korean_llm_assets.landing.folders import Landing
from korean_llm_assets.resources import Platform
from korean_llm_assets.triggers.sensors import new_releases
from tests.korean_llm_assets.conftest import WHOLE, drop
from tests.support.s3 import s3
from trainers.contract import BadData, ServiceMissing


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("KOREAN_LLM_LANDING_URLS", "s3://drops/korean")
    with s3(monkeypatch) as files:
        yield files


def put(files: Any, path: str, text: str) -> None:
    files.pipe_file(f"drops/korean/{path}", text.encode())


def mirror_sources(landing: Path) -> list[str]:
    """What the sensor and the job `intake` do with it: list, then copy."""
    looked = look_elsewhere(landing)
    assert looked.unreachable == []
    for each in looked.waiting:
        copy_release(landing, each.url, each.name)
    return [each.name for each in looked.waiting]


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


HOSTILE = {
    "slashes//{outside}/file": "a part of it is empty",  # an absolute path to whoever joins it
    "/_READY": "a part of it is empty",  # a release without a name: the landing area itself
    "./_READY": "a part of it is '.'",
    "../_READY": "a part of it is '..'",
    "up/a/../../x": "a part of it is '..'",
    "long/" + "가" * 86: "258 bytes, at most 255",
    "file/corpus/a.txt": "is a file and the folder of",
    "line/줄\n바꿈": "it has control characters",
    "local/corpus/a.jsonl": "did not come from here",
}
"""Key -> why its release is refused."""


def test_a_key_writes_and_removes_nothing_but_its_own_release(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = [*(f"{key.partition('/')[0]}/_READY" for key in HOSTILE), "file/corpus"]
    planted += [key.format(outside=tmp_path / "outside") for key in HOSTILE]
    listed = type(bucket).find

    def find(self: Any, root: str, **options: Any) -> Any:
        """moto's server lets no client send such keys; S3 takes any."""
        entries = {f"{root}/{key}": {"name": f"{root}/{key}", "size": 6, "ETag": key} for key in planted}
        return listed(self, root, **options) | entries

    monkeypatch.setattr(type(bucket), "find", find)
    for key in (".mirrored.json/_READY", "litter/.git/hooks/x", "litter/corpus/a.jsonl", "litter/_READY"):
        put(bucket, key, "theirs")
    landing = tmp_path / "landing"
    drop(landing, "local", WHOLE)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    refused = look_elsewhere(landing).refused
    assert mirror_sources(landing) == ["litter"]
    assert set(refused) == {f"s3://drops/korean/{key.partition('/')[0]}" for key in HOSTILE}
    for key, reason in HOSTILE.items():
        assert reason in refused[f"s3://drops/korean/{key.partition('/')[0]}"]
        with pytest.raises(BadData, match=re.escape(reason)):
            copy_release(landing, "s3://drops/korean", key.partition("/")[0])
    after = {path.relative_to(landing).as_posix() for path in landing.rglob("*") if path.is_file()}
    mine = {path.relative_to(landing).as_posix() for path in before}
    state = {".mirrored.json", ".mirrored.lock"}
    assert after - mine - state == {"litter/.mirrored-from", "litter/_READY", "litter/corpus/a.jsonl"}
    assert all(path.read_bytes() == content for path, content in before.items())
    assert {path.name for path in tmp_path.iterdir()} == {"landing"}


def test_a_copy_that_was_interrupted_goes_on_where_it_was(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        put(bucket, f"drop/corpus/{number}.txt", f"글 {number}")
    put(bucket, "drop/_READY", "")
    fetched: list[str] = []
    get = type(bucket).get_file

    def breaks_off(self: Any, source: str, target: str) -> None:
        fetched.append(source)
        if len(fetched) == 3:
            raise ConnectionResetError("the line is dead")
        get(self, source, target)

    monkeypatch.setattr(type(bucket), "get_file", breaks_off)
    with pytest.raises(ConnectionResetError):
        mirror_sources(tmp_path)
    assert Landing(tmp_path).releases() == {}
    assert mirror_sources(tmp_path) == ["drop"]
    assert len(fetched) == len({*fetched}) + 1 == 5, "only what broke off is fetched again"
    assert sorted(path.name for path in (tmp_path / "drop/corpus").iterdir()) == ["0.txt", "1.txt", "2.txt"]


def test_two_who_copy_a_release_at_once_leave_it_whole(bucket: Any, tmp_path: Path) -> None:
    for number in range(20):
        put(bucket, f"drop/corpus/{number}.txt", f"글 {number}")
    put(bucket, "drop/_READY", "")
    with ThreadPoolExecutor(2) as copiers:
        at_once = [copiers.submit(copy_release, tmp_path, "s3://drops/korean", "drop") for _ in range(2)]
        for one in at_once:
            one.result()
    there = {path.name: path.read_text() for path in (tmp_path / "drop/corpus").iterdir()}
    assert there == {f"{number}.txt": f"글 {number}" for number in range(20)}
    assert list(Landing(tmp_path).releases().values()) == ["drop"]


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
