"""Alerts on runs and assets: one message per incident, in Korean and English, through whatever channel is configured.

Metric alerts (GPU utilisation, stalled training, NaN loss, disk) are Prometheus rules; nothing is told by both.

    KOREAN_LLM_SLACK_WEBHOOK                    Slack incoming webhook
    KOREAN_LLM_SLACK_TOKEN + _CHANNEL           Slack bot
    KOREAN_LLM_ALERT_WEBHOOK                    plain JSON POST
    KOREAN_LLM_ALERT_EMAIL + KOREAN_LLM_SMTP    recipients, and host:port
"""

import json
import smtplib
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from typing import Protocol, TypeVar
from urllib.error import URLError
from urllib.request import Request, urlopen

from trainers.contract import BadRequest, settings
from trainers.contract.settings import Variable

_TIMEOUT_SECONDS = 10
_SLACK_API = "https://slack.com/api/chat.postMessage"

_A = TypeVar("_A")
_B = TypeVar("_B")


@dataclass(frozen=True)
class Alert:
    """One message. `key` names the incident: the same key is told once."""

    key: str
    kind: str
    korean: str
    english: str
    link: str | None = None

    @property
    def text(self) -> str:
        """Both languages, and where to look."""
        return "\n".join(line for line in (self.korean, self.english, self.link) if line)


class NotDelivered(Exception):
    """A channel did not take a message; the caller keeps it and tries again later."""


class Notifier(Protocol):
    """A channel."""

    def send(self, alert: Alert) -> None:
        """Deliver, within 10 seconds.

        Raises:
            NotDelivered: the receiver is down, slow, or refuses.
        """
        ...


def _post(url: str, body: object, headers: dict[str, str] | None = None) -> bytes:
    data = json.dumps(body, ensure_ascii=False).encode()
    request = Request(url, data, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})
    try:
        with urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
            answered: bytes = answer.read(65536)
            return answered
    except (URLError, TimeoutError, ConnectionError, ValueError) as error:
        # The URL of a webhook is a secret: it is not repeated here.
        raise NotDelivered(f"{type(error).__name__}: {getattr(error, 'reason', error)}") from error


@dataclass(frozen=True)
class SlackWebhook:
    """Slack's incoming webhook."""

    url: str

    def send(self, alert: Alert) -> None:
        """Deliver."""
        _post(self.url, {"text": alert.text})


@dataclass(frozen=True)
class SlackBot:
    """Slack's Web API with a bot token."""

    token: str
    channel: str
    api: str = _SLACK_API

    def send(self, alert: Alert) -> None:
        """Deliver; Slack answers 200 with `ok: false` for what it refuses."""
        body = {"channel": self.channel, "text": alert.text}
        try:
            answer = json.loads(_post(self.api, body, {"Authorization": f"Bearer {self.token}"}))
        except ValueError as error:
            raise NotDelivered("Slack's answer is no JSON") from error
        if not answer.get("ok"):
            raise NotDelivered(f"Slack refused: {answer.get('error', 'no reason given')}")


@dataclass(frozen=True)
class PlainWebhook:
    """The alert's fields as JSON."""

    url: str

    def send(self, alert: Alert) -> None:
        """Deliver."""
        _post(self.url, asdict(alert))


@dataclass(frozen=True)
class Mail:
    """Mail through a relay."""

    recipients: tuple[str, ...]
    host: str
    port: int

    def send(self, alert: Alert) -> None:
        """Deliver."""
        message = EmailMessage()
        message["Subject"] = alert.english.splitlines()[0][:150]
        message["From"] = "korean-llm@localhost"
        message["To"] = ", ".join(self.recipients)
        message.set_content(alert.text)
        try:
            with smtplib.SMTP(self.host, self.port, timeout=_TIMEOUT_SECONDS) as relay:
                relay.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            raise NotDelivered(f"{type(error).__name__}: {error}") from error


def configured_notifiers() -> list[Notifier]:
    """The channels of the environment; none is allowed, half of one is not.

    Raises:
        BadRequest: a channel's second variable is missing or malformed.
    """
    found: list[Notifier] = []
    if url := settings.SLACK_WEBHOOK.get():
        found.append(SlackWebhook(url))
    if url := settings.ALERT_WEBHOOK.get():
        found.append(PlainWebhook(url))
    if bot := _both(settings.SLACK_TOKEN, settings.SLACK_CHANNEL):
        found.append(SlackBot(*bot))
    if mail := _both(settings.ALERT_EMAIL, settings.SMTP):
        recipients, (host, port) = mail
        found.append(Mail(recipients, host, port))
    return found


def _both(one: Variable[_A | None], other: Variable[_B | None]) -> tuple[_A, _B] | None:
    """Both variables' values, or None where neither is set."""
    first, second = one.get(), other.get()
    if first and second:
        return first, second
    if first or second:
        given, missing = (one, other) if first else (other, one)
        raise BadRequest(f"{given.name} is set, but {missing.name} is not; this channel needs both")
    return None
