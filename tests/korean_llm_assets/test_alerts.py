"""Alert channels against a real HTTP receiver that fails in every way; what of their settings is refused, and how."""

import socket
from collections.abc import Callable
from dataclasses import asdict
from traceback import format_exception

import pytest
from apprise.plugins.custom_json import NotifyJSON

from korean_llm_assets.alerts import (
    Alert,
    Channel,
    NotDelivered,
    by_url,
    configured_channels,
    plain_webhook,
    slack_bot,
    slack_webhook,
)
from korean_llm_assets.commands.check import Surroundings
from korean_llm_assets.resources import cluster_sensors
from tests.support.alert_receiver import ALERT, CANARY, Receiver
from trainers.contract import BadRequest

CHANNELS: list[Callable[[Receiver], Channel]] = [
    lambda to: slack_webhook(to.url),
    lambda to: plain_webhook(to.url),
    lambda to: slack_bot("xoxb-1", "#llm"),
    lambda to: by_url(f"json://user:{CANARY}@{to.place}/hook"),
    lambda to: by_url(f"form://{to.place}/{CANARY}"),
]


def words(got: object) -> str:
    """All texts of what was received, however deep."""
    if isinstance(got, dict):
        return "\n".join(words(value) for value in got.values())
    return "\n".join(words(value) for value in got) if isinstance(got, list) else str(got)


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_message_arrives_in_both_languages(receiver: Receiver, channel: Callable[[Receiver], Channel]) -> None:
    channel(receiver).send(ALERT)
    (got,) = receiver.got
    assert "[실패] 손실이 NaN" in words(got) and "[failed] loss is NaN" in words(got)


def test_webhooks_get_the_documented_form_and_nothing_else(receiver: Receiver) -> None:
    slack_webhook(receiver.url).send(ALERT)
    plain_webhook(receiver.url).send(ALERT)
    plain_webhook(receiver.url).send(Alert("landing:1", "landing", "가", "a"))
    assert receiver.got == [
        {"text": ALERT.text, "authorization": ""},
        {**asdict(ALERT), "authorization": ""},
        {"key": "landing:1", "kind": "landing", "korean": "가", "english": "a", "link": None, "authorization": ""},
    ]
    assert set(receiver.paths) == {f"/{CANARY}?sig=a%2Fb"}


@pytest.mark.parametrize(
    ("channel", "sent"), [("#llm", "#llm"), ("@kim", "@kim"), ("C0123456789", "C0123456789"), ("llm", "llm")]
)
def test_slacks_bot_names_its_channel_as_it_is_configured(receiver: Receiver, channel: str, sent: str) -> None:
    slack_bot("xoxb-1", channel).send(ALERT)
    (got,) = receiver.got
    assert (got["channel"], got["authorization"]) == (sent, "Bearer xoxb-1")
    assert got["attachments"][0]["text"] == ALERT.text


def test_a_service_by_url_gets_title_text_and_weight(receiver: Receiver) -> None:
    for kind in ("failure", "success", "gate"):
        by_url(f"json://{receiver.place}/").send(Alert("1", kind, "가 <나> & 다", "[failed] a\n> b"))
    assert [(got["title"], got["message"], got["type"]) for got in receiver.got] == [
        ("[failed] a", "가 <나> & 다\n[failed] a\n> b", weight) for weight in ("failure", "success", "warning")
    ]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("behaviour", ["500", "403", "429", "hang", "close", "drip"])
def test_every_trouble_of_a_receiver_is_not_delivered_within_its_time(
    receiver: Receiver, channel: Callable[[Receiver], Channel], behaviour: str
) -> None:
    receiver.behaviour = behaviour
    with pytest.raises(NotDelivered):
        channel(receiver).send(ALERT)
    assert receiver.held == (behaviour in ("hang", "drip")), "it still holds the connection, and we go on"


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("behaviour", ["ok", "500", "close"])
def test_no_log_and_no_error_repeats_what_is_secret(
    receiver: Receiver, channel: Callable[[Receiver], Channel], behaviour: str, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.behaviour, trouble = behaviour, ""
    with caplog.at_level(1):
        try:
            channel(receiver).send(ALERT)
        except NotDelivered as error:
            trouble = str(error)
    assert trouble or behaviour == "ok"
    assert not any(secret in trouble + caplog.text + channel(receiver).name for secret in (CANARY, "xoxb-1"))


def test_whatever_a_channel_raises_is_not_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> bool:
        raise RuntimeError("a fault of the plugin")

    monkeypatch.setattr(NotifyJSON, "send", fail)
    with pytest.raises(NotDelivered, match="json [0-9a-f]{8} does not answer, or refuses"):
        by_url("json://127.0.0.1/").send(ALERT)


@pytest.mark.parametrize("behaviour", ["refuse", "garbage"])
def test_slack_says_ok_false_with_status_200(receiver: Receiver, behaviour: str) -> None:
    receiver.behaviour = behaviour
    with pytest.raises(NotDelivered, match=r"Slack"):
        slack_bot("xoxb-1", "#llm").send(ALERT)


def test_a_receiver_that_is_not_there() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(NotDelivered):
        plain_webhook(f"http://127.0.0.1:{port}/").send(ALERT)


def test_half_a_channel_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    assert configured_channels() == []
    monkeypatch.setenv("KOREAN_LLM_SLACK_TOKEN", "xoxb-1")
    with pytest.raises(BadRequest, match="KOREAN_LLM_SLACK_CHANNEL is not; this channel needs both"):
        configured_channels()
    monkeypatch.setenv("KOREAN_LLM_ENV", "cluster")
    with pytest.raises(BadRequest, match="needs both"):
        cluster_sensors()  # the code location does not even start


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ALERT_URLS": f"json://a/ {CANARY}://b"}, r"KOREAN_LLM_ALERT_URLS .* apprise knows .*; URL 2 is none"),
        ({"ALERT_URLS": CANARY}, r"KOREAN_LLM_ALERT_URLS .*; URL 1 is none"),
        ({"ALERT_URLS": f"slack://{CANARY}"}, r"KOREAN_LLM_ALERT_URLS .*; URL 1 is none"),
        ({"ALERT_URLS": f"mailto://host?to={CANARY}&from=a@b.c"}, r"KOREAN_LLM_ALERT_URLS .*; URL 1 is none"),
        ({"ALERT_URLS": f"json://[{CANARY}/"}, r"KOREAN_LLM_ALERT_URLS .*; URL 1 is none"),
        ({"SLACK_WEBHOOK": f"ftp://{CANARY}"}, r"KOREAN_LLM_SLACK_WEBHOOK .* must be an http\(s\) address"),
        ({"ALERT_WEBHOOK": f"http://host:{CANARY}/"}, r"KOREAN_LLM_ALERT_WEBHOOK .* must be an http\(s\) address"),
        ({"ALERT_WEBHOOK": f"https:///{CANARY}"}, r"KOREAN_LLM_ALERT_WEBHOOK .* must be an http\(s\) address"),
        ({"SLACK_TOKEN": CANARY, "SLACK_CHANNEL": "#llm"}, r"KOREAN_LLM_SLACK_TOKEN .* must be a bot's token"),
        ({"SLACK_TOKEN": f"xoxb-{CANARY}", "SLACK_CHANNEL": "#알림"}, r"KOREAN_LLM_SLACK_CHANNEL is '#알림'; .* ID"),
        ({"ALERT_EMAIL": f"a@b.c,{CANARY}", "SMTP": "host:25"}, r"KOREAN_LLM_ALERT_EMAIL .* must be mail addresses"),
        ({"ALERT_EMAIL": "a@b.c", "SMTP": "host"}, r"KOREAN_LLM_SMTP is 'host'; it must be host:port"),
    ],
)
def test_a_malformed_channel_is_told_by_check_without_its_value(
    settings: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"KOREAN_LLM_{name}", value)
    with caplog.at_level(1), pytest.raises(BadRequest, match=f"^{message}") as refusal:
        Surroundings.read()
    assert CANARY not in "".join(format_exception(refusal.value)) + caplog.text


def test_check_names_the_channels_and_nothing_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = f"discord://123456/{CANARY} tgram://123456789:{CANARY}_abcdefghijklmnopqrstuvwxyz/1\n json://a/ json://b/"
    monkeypatch.setenv("KOREAN_LLM_ALERT_URLS", urls)
    monkeypatch.setenv("KOREAN_LLM_SLACK_WEBHOOK", f"https://user:pass@hooks.slack.com/services/T/B/{CANARY}")
    line = Surroundings.read().in_words[-1]
    kinds = [name.split()[0] for name in line.removeprefix("alert channels: ").split(", ")]
    assert kinds == ["discord", "tgram", "json", "json", "SlackWebhook"] and CANARY not in line
    assert len({channel.name for channel in configured_channels()}) == 5, "each has a place in the outbox"
