"""Alerts on runs and assets: one message per incident, in Korean and English, through whatever channel is configured.

Metric alerts (GPU utilisation, stalled training, NaN loss, disk) are Prometheus rules; nothing is told by both.
Delivery is apprise's: Slack, Teams, Discord, Telegram, mail, webhooks and 100 services more, each by a URL.
The variables of the channels stand in trainers/contract/settings.py, group "Alerts".
"""

import hashlib
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from apprise import Apprise, AppriseAsset, NotifyBase, NotifyFormat, NotifyType
from apprise.plugins.email import NotifyEmail

from trainers.contract import BadRequest, settings
from trainers.contract.names import shown
from trainers.contract.variable import Variable

_SECONDS = 10.0
"""That a delivery may take, all in all."""
_LONGEST_TITLE = 150
_SENDER = "korean-llm"
_SLACK_CHANNEL = re.compile(r"[#@]?[A-Za-z0-9_-]{1,32}")
"""That apprise can reach: by ID, or by a name of this form."""
_ASSET = AppriseAsset(app_id=_SENDER, app_desc="Korean LLM platform", service_timeout=0)
_MOODS = {"failure": NotifyType.FAILURE, "success": NotifyType.SUCCESS, "recovery": NotifyType.SUCCESS}
_SCHEMAS = {"http": "json", "https": "jsons"}
_OWN_FIELDS = dict.fromkeys(("version", "title", "message", "attachments", "type"), "")
"""Of apprise's JSON; a field that is renamed to nothing is left out."""

_CALLS = re.compile(r"(?<!\w)@(?=\w)|<(?=[!@#])")
"""What pings people in one chat or another: @everyone, <!channel>, <@U123>."""
_HTTP_STATUS = re.compile(r"error=(\d{3})\b")
"""In apprise's log of a refusal."""
_WORDS = threading.local()
"""What apprise logs while a thread of ours delivers."""


def _kept_for_the_reason(record: logging.LogRecord) -> bool:
    if record.levelno >= logging.WARNING:
        getattr(_WORDS, "lines", []).append(record.getMessage())
    return False


# Both log addresses, and a webhook's is a secret. Filters, because they hold whatever logging is set up later.
logging.getLogger("apprise").addFilter(_kept_for_the_reason)
logging.getLogger("urllib3.connectionpool").addFilter(lambda record: record.levelno > logging.DEBUG)

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
    def title(self) -> str:
        """One line, for services that show one."""
        return self.english.splitlines()[0][:_LONGEST_TITLE]

    @property
    def text(self) -> str:
        """Both languages, and where to look."""
        return "\n".join(line for line in (self.korean, self.english, self.link) if line)


def quoted(text: str, longest: int = 800) -> str:
    """Words of a drop, a model or a process, for an alert: on one line, so that they begin none, and calling nobody."""
    return _CALLS.sub(lambda call: f"{call[0]}\u200b", shown(" ".join(text.split()))[:longest])


class NotDelivered(Exception):
    """A channel did not take a message, and why; the caller keeps it and tries again later."""


@dataclass(frozen=True)
class Channel:
    """One receiver.

    Args:
        name: what the outbox knows it by; says nothing secret, and is another one for another receiver.
        service: an alert's apprise URL, or the parts of one.
    """

    name: str
    service: Callable[[Alert], str | dict[str, Any]]

    def notifier(self, alert: Alert) -> NotifyBase | None:
        """Apprise's service for an alert; None where it knows none of this form."""
        try:
            service = Apprise.instantiate(self.service(alert), asset=_ASSET)
        except Exception:  # noqa: BLE001 - 140 plugins raise what they like, and its words may repeat the URL
            return None
        if service is None or (isinstance(service, NotifyEmail) and not service.targets):
            return None
        for limit in ("socket_connect_timeout", "socket_read_timeout"):
            vars(service).setdefault(limit, _SECONDS)  # apprise's 4 s would send again what a slow receiver took
        return service

    def send(self, alert: Alert) -> None:
        """Deliver, within 10 seconds.

        Raises:
            NotDelivered: the receiver is down, slow, or refuses.
        """
        results: list[str] = []
        # A thread of its own: a connection's limits are for each step of it, so that a receiver that drips its answer
        # would hold us for ever; and apprise's limit leaves such a one in a pool where all other channels queue.
        thread = threading.Thread(
            target=lambda: results.append(self._deliver(alert)), name=f"alert to {self.name}", daemon=True
        )
        thread.start()
        thread.join(_SECONDS)
        if not results:
            raise NotDelivered(f"{self.name} took nothing within {_SECONDS:.0f} s")
        if results[0]:
            raise NotDelivered(f"{self.name} {results[0]}")

    def _deliver(self, alert: Alert) -> str:
        """Send; what is wrong, and nothing where it was taken. An error's own words may repeat the URL."""
        service = self.notifier(alert)
        if service is None:
            return "is configured with something that is no address"
        _WORDS.lines = []
        try:
            taken = Apprise(service, asset=_ASSET).notify(
                body=alert.text,
                title=alert.title if service.title_maxlen else "",  # without a title, it would stand twice in the text
                notify_type=_MOODS.get(alert.kind, NotifyType.WARNING),
                body_format=NotifyFormat.TEXT,
            )
        except Exception as error:  # noqa: BLE001 - whatever a receiver answers
            return f"answers what nobody understands ({type(error).__name__})"
        statuses = _HTTP_STATUS.findall(" ".join(_WORDS.lines))
        return "" if taken else f"refuses (HTTP {statuses[-1]})" if statuses else "does not answer, or refuses"


def by_url(url: str) -> Channel:
    """Any service that apprise knows, by its URL."""
    name = f"{url.partition('://')[0]} {hashlib.sha256(url.encode()).hexdigest()[:8]}"
    return Channel(name, lambda alert: url)


def slack_webhook(url: str) -> Channel:
    """Slack's incoming webhook, or another that takes `{"text": ...}`."""
    return Channel("SlackWebhook", lambda alert: _json(url, {"text": escape(alert.text)}))


def plain_webhook(url: str) -> Channel:
    """A POST of the alert's fields; `key` lets a receiver know again what it has had."""
    return Channel("PlainWebhook", lambda alert: _json(url, asdict(alert)))


def slack_bot(token: str, channel: str) -> Channel:
    """Slack's Web API; a channel is an ID, or a name."""
    as_it_is = channel if channel.startswith(("#", "@")) else f"+{channel}"  # else apprise would put a # before an ID
    parts = {"schema": "slack", "access_token": token, "include_footer": False, "include_image": False}
    return Channel("SlackBot", lambda alert: {**parts, "targets": [as_it_is]})


def mail(address: str, host: str, port: int) -> Channel:
    """Mail to one recipient through a relay, so that one whom the relay refuses makes no other get it twice."""
    parts = {"schema": "mailto", "host": host, "port": port, "smtp_host": host, "from_addr": f"{_SENDER}@localhost"}
    return Channel(f"Mail to {address}", lambda alert: {**parts, "targets": [address]})


def configured_channels() -> list[Channel]:
    """The channels of the environment; none is allowed, half of one is not.

    Raises:
        BadRequest: a channel's second variable is missing, or a value is malformed (which is not repeated).
    """
    probe = Alert("probe", "probe", "확인", "probe")
    channels = []
    for variable, form, channel in _channels():
        if channel.notifier(probe) is None:
            raise BadRequest(
                f"{variable.name} has a value that cannot be used (it may be secret); it must be {form}. "
                "Correct it or unset it"
            )
        channels.append(channel)
    return channels


def _channels() -> Iterator[tuple[Variable[Any], str, Channel]]:
    """Each configured channel after its variable and the form that the value must have."""
    for number, url in enumerate(settings.ALERT_URLS.get(), start=1):
        form = f"URLs of services that apprise knows (https://appriseit.com/services); URL {number} is none"
        yield settings.ALERT_URLS, form, by_url(url)
    for variable, webhook in ((settings.SLACK_WEBHOOK, slack_webhook), (settings.ALERT_WEBHOOK, plain_webhook)):
        if address := variable.get():
            yield variable, variable.kind.allowed, webhook(address)
    if bot := _both(settings.SLACK_TOKEN, settings.SLACK_CHANNEL):
        if not _SLACK_CHANNEL.fullmatch(bot[1]):
            raise BadRequest(
                f"{settings.SLACK_CHANNEL.name} is {bot[1]!r}; it must be a channel's ID (C0123456789), or its name if "
                "that has at most 32 Latin letters, digits, - and _. Correct it or unset it"
            )
        yield settings.SLACK_TOKEN, "a bot's token (xoxb-...)", slack_bot(*bot)
    if relay := _both(settings.ALERT_EMAIL, settings.SMTP):
        for recipient in relay[0]:
            yield settings.ALERT_EMAIL, "mail addresses with commas between", mail(recipient, *relay[1])


def _both(one: Variable[_A | None], other: Variable[_B | None]) -> tuple[_A, _B] | None:
    """Both variables' values, or None where neither is set."""
    first, second = one.get(), other.get()
    if first and second:
        return first, second
    if first or second:
        present, missing = (one, other) if first else (other, one)
        raise BadRequest(f"{present.name} is set, but {missing.name} is not; this channel needs both")
    return None


def _json(url: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of apprise's `json` or `jsons` that post these fields, and none of its own, to an http(s) URL."""
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMAS or not parts.hostname:
        raise ValueError("no http(s) URL")
    return {
        "schema": _SCHEMAS[parts.scheme],
        "user": unquote(parts.username or "") or None,
        "password": unquote(parts.password or "") or None,
        "host": f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname,
        "port": parts.port,
        "fullpath": parts.path,
        "params": parse_qs(parts.query, keep_blank_values=True),
        "payload": {**_OWN_FIELDS, **fields},
    }
