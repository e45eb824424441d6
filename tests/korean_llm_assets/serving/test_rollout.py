"""Rollouts on the local platform: real processes, real HTTP; a bad version is taken back while the old one serves."""

import re
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from dagster import Failure

from korean_llm_assets.serving.registry import CANDIDATE, CHAMPION, Registry
from korean_llm_assets.serving.rollout import RolloutPolicy, roll_out
from korean_llm_assets.serving.rollout_hook import rollout_on
from korean_llm_assets.serving.smoke import ask
from tests.korean_llm_assets.serving.test_registry import export_of, report_on
from tests.support.local_platform import LocalPlatform
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.replies import GreedyReply

FAKE = Path(__file__).parents[2] / "support" / "fake_server.py"
POLICY = RolloutPolicy(canary_share=0.3, canary_seconds=1.0, most_errors=0.05)
NUMBERED = {"1": "good-1", "2": "english-2", "3": "good-3"}
UNWATCHED = RolloutPolicy(canary_share=0.3, canary_seconds=0)


@pytest.fixture
def platform(tmp_path):
    """Versions are named `<mode>-<anything>`, or by the numbers of `NUMBERED`."""

    def command(folder: Path, port: int) -> list[str]:
        return [sys.executable, str(FAKE), folder.name.split("-")[0], str(port), folder.name]

    def folder_of(version: str) -> Path:
        return tmp_path / NUMBERED.get(version, version)

    local = LocalPlatform(folder_of, tmp_path / "logs", ready_seconds=60, command=command)
    yield local
    local.close()


def served(platform, count=20) -> Counter:
    replies = [ask(platform.url, "누구세요?", timeout=5) for _ in range(count)]
    return Counter(reply.text.split()[-1] if not reply.error else "error" for reply in replies)


def put_in_service(platform, version, old=None, policy=UNWATCHED, sleep=None, promote=lambda: None, heard=()):
    """A rollout whose registry calls `old` the champion until `promote` returned."""
    champion = [old]

    def move():
        promote()
        champion[0] = version

    return roll_out(platform, version, policy, move, lambda: champion[0], heard, sleep or (lambda seconds: None))


def test_the_first_version_gets_all_traffic(platform):
    promoted = []
    outcome = put_in_service(platform, "good-1", promote=lambda: promoted.append("good-1"))
    assert outcome.promoted and promoted == ["good-1"]
    assert served(platform) == {"good-1": 20}


def test_nothing_served_is_said(platform):
    assert "503" in ask(platform.url, "누구세요?").error


def test_a_canary_gets_its_share_and_then_everything(platform):
    put_in_service(platform, "good-1")
    during = []
    outcome = put_in_service(
        platform, "good-2", "good-1", POLICY, sleep=lambda seconds: during.append(served(platform, 100))
    )
    assert outcome.promoted
    assert 15 <= during[0]["good-2"] <= 45
    assert during[0]["good-1"] + during[0]["good-2"] == 100
    assert f"0 of {during[0]['good-2']} requests failed" in outcome.steps[-2]
    assert served(platform) == {"good-2": 20}


def test_a_canary_that_nobody_asked_is_not_promoted_and_says_what_to_do(platform):
    """The smoke test's own requests are no traffic."""
    put_in_service(platform, "good-1")
    promoted = []
    outcome = put_in_service(platform, "good-2", "good-1", POLICY, promote=lambda: promoted.append("good-2"))
    assert not outcome.promoted and promoted == []
    assert re.search("canary saw no request in 1 s.*set canary_seconds to 0", outcome.steps[-1])
    assert served(platform) == {"good-1": 20}
    assert platform.versions() == ["good-1"]
    assert put_in_service(platform, "good-2", "good-1", UNWATCHED).promoted, "deliberately, without traffic"
    assert served(platform) == {"good-2": 20}


def test_a_champion_that_is_not_ready_gets_no_traffic_and_is_replaced_without_a_canary(platform):
    put_in_service(platform, "good-1")
    platform.stop("good-1")
    outcome = put_in_service(platform, "good-2", "good-1", POLICY)
    assert outcome.promoted and "no canary: good-1 is not ready" in outcome.steps
    assert served(platform) == {"good-2": 20}


def test_a_champion_that_is_not_ready_is_brought_back_where_its_successor_is_unfit(platform):
    put_in_service(platform, "good-1")
    platform.stop("good-1")
    assert not put_in_service(platform, "english-2", "good-1", POLICY).promoted
    assert served(platform) == {"good-1": 20}


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("dead-2", "never became ready: the server ended with 1"),
        ("deaf-2", "never became ready: the server was not ready after 3 s"),
        ("english-2", "smoke test failed.*no Korean"),
    ],
)
def test_a_version_that_cannot_answer_is_taken_back_with_its_log(platform, bad, words):
    put_in_service(platform, "good-1")
    promoted = []
    platform.ready_seconds = 3 if bad == "deaf-2" else 60
    outcome = put_in_service(platform, bad, "good-1", promote=lambda: promoted.append(bad))
    assert not outcome.promoted and promoted == []
    assert re.search(words, outcome.steps[-1], re.DOTALL)
    assert f"mode {bad.split('-')[0]}" in outcome.logs
    assert served(platform) == {"good-1": 20}


def heard(text: str, ends: bool = True) -> list[GreedyReply]:
    """What evaluation heard: one reply, of which there was no doubt."""
    messages = [{"role": "user", "content": "누구세요?"}]
    return [GreedyReply(messages=messages, text=text, certain=len(text), ends=ends)]


def test_a_server_that_says_what_evaluation_heard_is_promoted(platform):
    """A server that samples unless it is told not to is asked greedily."""
    outcome = put_in_service(platform, "sampling-1", heard=heard("안녕하세요. sampling-1"))
    assert outcome.promoted and "smoke test passed: 1 Korean answers, as evaluation heard them" in outcome.steps


@pytest.mark.parametrize(
    ("version", "expected", "words"),
    [
        ("good-2", heard("안녕히 가세요."), "'안녕하세요. good-2', but evaluation heard '안녕히 가세요.'"),
        (
            "endless-2",
            heard("안녕하세요. endless-2"),
            "goes on after '안녕하세요. endless-2', where evaluation heard it end",
        ),
        ("endless-2", heard("안녕", ends=False), "no reply ended within 64 tokens: what is served does not stop"),
    ],
)
def test_a_server_that_says_something_else_or_never_stops_is_taken_back(platform, version, expected, words):
    put_in_service(platform, "good-1")
    outcome = put_in_service(platform, version, "good-1", heard=expected)
    assert not outcome.promoted and words in outcome.steps[-1]
    assert served(platform) == {"good-1": 20}


def test_a_canary_that_fails_requests_is_taken_back(platform):
    put_in_service(platform, "good-1")
    outcome = put_in_service(platform, "broken-2", "good-1", POLICY, sleep=lambda seconds: served(platform, 60))
    assert not outcome.promoted
    assert re.search(r"% of the canary's \d+ requests failed, at most 5\.0% may", outcome.steps[-1])
    assert served(platform) == {"good-1": 20}
    again = put_in_service(platform, "good-2", "good-1", POLICY, sleep=lambda seconds: served(platform, 20))
    assert again.promoted, "a later rollout works"


def test_a_registry_that_refuses_takes_the_version_back(platform):
    put_in_service(platform, "good-1")

    def refuse():
        raise RuntimeError("another champion")

    with pytest.raises(RuntimeError):
        put_in_service(platform, "good-2", "good-1", promote=refuse)
    assert served(platform) == {"good-1": 20}


def test_traffic_does_not_stop_while_versions_change(platform):
    put_in_service(platform, "good-1")
    replies, stop = [], threading.Event()

    def keep_asking():
        while not stop.is_set():
            replies.append(ask(platform.url, "누구세요?", timeout=5))

    asking = threading.Thread(target=keep_asking)
    asking.start()
    put_in_service(platform, "good-2", "good-1")
    stop.set()
    asking.join()
    assert len(replies) > 5
    assert [reply.error for reply in replies if reply.error] == []


def test_promotion_and_rollback_serve_the_version_first(platform, tmp_path):
    """The registry with real servers behind it: what fails to serve is never champion; rollback serves the old one."""
    registry = Registry(
        f"sqlite:///{tmp_path / 'mlflow.db'}",
        locks=tmp_path / "locks",
        rollout=rollout_on(lambda *_: platform, UNWATCHED, lambda version: []),
    )
    store = ArtifactStore(tmp_path / "artifacts")

    def promote(model, champion=None):
        return registry.promote("toy", export_of(model), report_on(model, champion), store, {})

    promote("1")
    first = export_of("1").digest
    with pytest.raises(Failure, match=r"(?s)version 2 was not promoted.*no Korean.*mode english"):
        promote("2", champion=first)
    assert registry.version("toy", CHAMPION).number == "1"
    assert registry.version("toy", CANDIDATE).number == "2"
    assert served(platform) == {"good-1": 20}
    promote("3", champion=first)
    assert served(platform) == {"good-3": 20}
    assert registry.roll_back("toy").number == "1"
    assert served(platform) == {"good-1": 20}
    promote("3", champion=first)
    assert registry.version("toy", CHAMPION).number == "3"
    assert served(platform) == {"good-3": 20}
