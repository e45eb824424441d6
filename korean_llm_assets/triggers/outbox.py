"""The outbox of alerts: every channel hears of each incident once, and none that is deaf keeps another from hearing.

It lies in Dagster's own storage (key-value), so that a key survives restarts and is shared by daemons.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime

from dagster import DagsterInstance

from korean_llm_assets.alerts import Alert, Channel, NotDelivered

GIVE_UP_SECONDS = 3 * 86400.0
"""A message that a channel has not taken for this long is given up, counted, and told through the others."""
_SENT, _GIVEN_UP = "korean_llm/alert/", "korean_llm/alerts_given_up/"
_LOG = logging.getLogger(__name__)


class Outbox:
    """Alerts to send and those that were sent, in the instance's storage."""

    def __init__(self, instance: DagsterInstance, channels: Sequence[Channel]):
        self._storage = instance.daemon_cursor_storage
        self._channels = channels
        self.troubles: dict[str, str] = {}
        """Channel -> why it took no message, as far as was tried; it is asked nothing more by this outbox."""

    def tell(self, alert: Alert) -> bool:
        """Send to every channel that has not had it; True once all have. Trouble is kept for the next outbox."""
        return all([self._deliver(alert, channel) for channel in self._channels])

    def catch_up(
        self, cursors: dict[str, float], incidents: Callable[[float], Iterable[tuple[float, Alert | None]]]
    ) -> Iterator[Alert]:
        """Tell each channel what it has not had, from where it was, and move its cursor; gives what arrived.

        Args:
            cursors: channel -> Unix time until when it has been told everything. A new one begins now.
            incidents: since a time, in order: when, and what to say of it (nothing: it needs no telling).
        """
        for channel in self._channels:
            begin = cursors.setdefault(channel.name, time.time())
            for when, alert in incidents(begin):
                if alert is not None and not self._deliver(alert, channel):
                    if time.time() - when < GIVE_UP_SECONDS:
                        break
                    self._give_up(channel)
                elif alert is not None:
                    yield alert
                cursors[channel.name] = when

    def _deliver(self, alert: Alert, channel: Channel) -> bool:
        key = _SENT + alert.key
        receivers = set(json.loads(self._storage.get_cursor_values({key}).get(key, "[]")))
        if channel.name in receivers:
            return True
        if channel.name in self.troubles:
            return False
        try:
            channel.send(alert)
        except NotDelivered as trouble:
            self.troubles[channel.name] = str(trouble)
            _LOG.warning("an alert was not delivered: %s", trouble)
            return False
        self._storage.set_cursor_values({key: json.dumps(sorted({*receivers, channel.name}))})
        return True

    def _give_up(self, channel: Channel) -> None:
        """Count a message that never arrives, and say so to whoever can be reached, once a day."""
        key = _GIVEN_UP + channel.name
        count = int(self._storage.get_cursor_values({key}).get(key, "0")) + 1
        self._storage.set_cursor_values({key: str(count)})
        why = self.troubles[channel.name]
        days = f"{GIVE_UP_SECONDS / 86400:.0f}"
        self.tell(
            Alert(
                f"deaf:{channel.name}:{datetime.now(UTC):%Y-%m-%d}",
                "alerts",
                f"[알림 전달 실패] {days}일 넘게 {count}건을 전달하지 못했습니다: {why}",
                f"[alerts are lost] {count} messages could not be delivered for {days} days: {why}",
            )
        )
