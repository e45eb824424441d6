"""Rolling out a new version: start, warm, smoke-test, canary, then all traffic; any failure puts the old one back.

The steps are the same for the local server and for vLLM in a cluster; what differs is behind `Platform`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from korean_llm_assets.serving.smoke import SmokeResult, chat, smoke_test
from trainers.contract import ServiceMissing


class Platform(Protocol):
    """Where versions of a model are served behind one address."""

    def start(self, version: str) -> str:
        """Serve a version beside what is served; returns its own URL when it is ready. Raises ServiceMissing."""

    def route(self, shares: dict[str, float]) -> None:
        """Send this share of the traffic to each version; 0 or absent is none."""

    def requests(self, version: str) -> tuple[float, float]:
        """(failed, all) requests to this version since the last call of `route`."""

    def stop(self, version: str) -> None:
        """Serve the version no more."""

    def logs(self, version: str) -> str:
        """The end of its log."""


@dataclass(frozen=True)
class Policy:
    """How careful a rollout is."""

    canary_share: float = 0.1
    canary_seconds: float = 60
    most_errors: float = 0.02
    """Share of failed requests above which the canary is taken back."""


@dataclass
class Outcome:
    """What a rollout did, step by step."""

    promoted: bool
    steps: list[str] = field(default_factory=list)
    smoke: SmokeResult = field(default_factory=SmokeResult)
    logs: str = ""


def roll_out(
    platform: Platform,
    new: str,
    old: str | None,
    policy: Policy,
    promote: Callable[[], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Bring `new` into service in place of `old`. `promote` moves the registry's alias, last of all.

    Returns an outcome that says what failed where something did: then `old` has all traffic, and `new` is stopped.
    An exception of `promote` takes `new` back too, and passes on.
    """
    outcome = Outcome(promoted=False)
    try:
        url = platform.start(new)
    except ServiceMissing as error:
        told = str(error).splitlines()[0]  # what follows is the log, which the outcome carries anyway
        return _taken_back(platform, new, old, outcome, f"never became ready: {told}")
    outcome.steps.append(f"{new} answers at {url}")
    chat(url, "안녕하세요.", max_tokens=4)  # the first request compiles and allocates; its time is nobody's
    outcome.smoke = smoke_test(url)
    if outcome.smoke.errors:
        return _taken_back(platform, new, old, outcome, "smoke test failed: " + "; ".join(outcome.smoke.errors))
    outcome.steps.append(f"smoke test passed: {len(outcome.smoke.replies)} Korean answers")
    if old is not None:
        platform.route({new: policy.canary_share, old: 1 - policy.canary_share})
        sleep(policy.canary_seconds)
        failed, asked = platform.requests(new)
        if failed > policy.most_errors * asked:
            found = f"{failed / asked:.1%} of the canary's {asked:.0f} requests failed"
            why = f"{found}, at most {policy.most_errors:.1%} may"
            return _taken_back(platform, new, old, outcome, why)
        told = f"{failed:.0f} of {asked:.0f} requests failed" if asked else "nobody asked it, so its errors are unknown"
        outcome.steps.append(f"canary with {policy.canary_share:.0%} of the traffic: {told}")
    platform.route({new: 1.0})
    try:
        promote()
    except BaseException:  # an interrupt too must not leave all traffic on a model that the registry does not serve
        _taken_back(platform, new, old, outcome, "the registry did not promote it")
        raise
    outcome.promoted = True
    outcome.steps.append(f"{new} has all traffic")
    if old is not None:
        platform.stop(old)
    return outcome


def _taken_back(platform: Platform, new: str, old: str | None, outcome: Outcome, why: str) -> Outcome:
    outcome.logs = platform.logs(new)
    platform.route({old: 1.0} if old is not None else {})
    platform.stop(new)
    outcome.steps.append(f"{new} taken back: {why}")
    return outcome
