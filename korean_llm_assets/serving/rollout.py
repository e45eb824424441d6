"""Rolling out a new version: start, warm, smoke-test, canary, the alias, then all traffic; any failure puts it right.

The steps are the same for every platform; what differs is behind `ServingPlatform`. Nothing is remembered between two
tries: each reads anew what the platform runs and whom the registry calls champion. At every moment, even where the
process dies, traffic goes only to versions that are ready, and the champion, where it is ready, has a share of it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from korean_llm_assets.serving.smoke import SmokeResult, ask, smoke_test
from trainers.contract import ServiceMissing
from trainers.contract.replies import GreedyReply


class ServingPlatform(Protocol):
    """Where versions of a model are served behind one address; a platform that does not answer is a ServiceMissing."""

    def start(self, version: str) -> str:
        """Serve a version beside what is served; returns its own URL when it is ready, at once where it is already."""

    def versions(self) -> list[str]:
        """Every version that was started and not stopped, ready or not, by whichever process."""

    def is_ready(self, version: str) -> bool:
        """True while the version answers requests; False for one that was never started."""

    def route(self, shares: dict[str, float]) -> None:
        """Send this share of the traffic to each version; 0 or absent is none."""

    def requests(self, version: str) -> tuple[float, float]:
        """(failed, all) requests to this version through the one address since the last call of `route`."""

    def stop(self, version: str) -> None:
        """Serve the version no more; one that is not served is no error."""

    def logs(self, version: str) -> str:
        """The end of its log."""


class RolloutPolicy(BaseModel):
    """How careful a rollout is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    canary_share: float = Field(default=0.1, gt=0, lt=1, description="of the traffic, while the canary is watched")
    canary_seconds: float = Field(
        default=60, ge=0, description="0: no canary, the smoke test alone decides (a product without traffic yet)"
    )
    most_errors: float = Field(
        default=0.02, ge=0, le=1, description="share of failed requests above which the canary is taken back"
    )


@dataclass
class RolloutOutcome:
    """What a rollout did, step by step."""

    promoted: bool = False
    steps: list[str] = field(default_factory=list)
    smoke: SmokeResult = field(default_factory=SmokeResult)
    logs: str = ""


def roll_out(
    platform: ServingPlatform,
    new: str,
    policy: RolloutPolicy,
    promote: Callable[[], None],
    champion: Callable[[], str | None],
    heard: Sequence[GreedyReply] = (),
    sleep: Callable[[float], None] = time.sleep,
) -> RolloutOutcome:
    """Bring `new` into service in place of the version that `champion` names in the registry.

    `promote` moves the registry's alias to `new`, while both versions are ready and have traffic; only then `new` gets
    all of it, and the old one is stopped. A version that is the champion already is served, and nothing else.

    Returns an outcome that says what failed where `new` is unfit: then the champion has all traffic, and `new` is
    stopped. Any other exception is passed on, after the traffic went to the version that is the champion by then.
    """
    outcome = RolloutOutcome()
    old = champion()
    if old == new:
        settle(platform, new)
        outcome.promoted = True
        outcome.steps.append(f"{new} is the champion already and has all traffic")
        return outcome
    try:
        if why := _try_out(platform, new, old, policy, heard, sleep, outcome):
            return _taken_back(platform, new, old, outcome, why)
        promote()
        settle(platform, new)
    except BaseException as error:  # an interrupt too must not leave traffic on a model that is not the champion
        if undone := _put_right(platform, champion):
            error.add_note(undone)
        raise
    outcome.promoted = True
    outcome.steps.append(f"{new} has all traffic")
    return outcome


def settle(platform: ServingPlatform, champion: str | None) -> None:
    """All traffic to the champion, which is started where it is not ready, and an end to everything else.

    Safe to repeat after any failure. Until the champion is ready nothing else is stopped.

    Raises:
        ServiceMissing: the champion cannot be brought into service.
    """
    if champion is None:
        platform.route({})
    else:
        if not platform.is_ready(champion):
            platform.start(champion)
        _divide(platform, {champion: 1.0})
    for version in platform.versions():
        if version != champion:
            platform.stop(version)


def _try_out(
    platform: ServingPlatform,
    new: str,
    old: str | None,
    policy: RolloutPolicy,
    heard: Sequence[GreedyReply],
    sleep: Callable[[float], None],
    outcome: RolloutOutcome,
) -> str:
    """Start and test `new`, and divide the traffic between it and `old`; returns why it is unfit, or nothing."""
    if old is not None and platform.is_ready(old):
        settle(platform, old)  # what a try that died left behind would hold the GPUs that `new` needs
    try:
        url = platform.start(new)
    except ServiceMissing as error:
        return f"never became ready: {str(error).splitlines()[0]}"  # the rest is the log, which the outcome carries
    outcome.steps.append(f"{new} answers at {url}")
    ask(url, "안녕하세요.", max_tokens=4)  # the first request compiles and allocates; its time is nobody's
    outcome.smoke = smoke_test(url, heard)
    if outcome.smoke.errors:
        return "smoke test failed: " + "; ".join(outcome.smoke.errors)
    outcome.steps.append(
        f"smoke test passed: {len(outcome.smoke.replies)} Korean answers{', as evaluation heard them' if heard else ''}"
    )
    if old is None or not platform.is_ready(old):
        _divide(platform, {new: 1.0})
        outcome.steps.append("no canary: " + ("nothing was served" if old is None else f"{old} is not ready"))
        return ""
    _divide(platform, {new: policy.canary_share, old: 1 - policy.canary_share})
    if policy.canary_seconds:
        sleep(policy.canary_seconds)
        failed, total = platform.requests(new)
        if why := _fault(failed, total, policy):
            return why
        summary = f"{failed:.0f} of {total:.0f} requests failed"
        outcome.steps.append(f"canary with {policy.canary_share:.0%} of the traffic: {summary}")
    return "" if platform.is_ready(new) else "it is not ready any more"


def _fault(failed: float, total: float, policy: RolloutPolicy) -> str:
    """Why the canary's requests speak against it; empty where they do not."""
    if not total:
        return (
            f"the canary saw no request in {policy.canary_seconds:.0f} s, so nothing is known of it under traffic. "
            "Promote again while there is traffic; where there is none yet, set canary_seconds to 0: then the smoke "
            "test alone decides"
        )
    if failed > policy.most_errors * total:
        share = f"{failed / total:.1%} of the canary's {total:.0f} requests failed"
        return f"{share}, at most {policy.most_errors:.1%} may"
    return ""


def _divide(platform: ServingPlatform, shares: dict[str, float]) -> None:
    """The only place that sends traffic anywhere: never to a version that is not ready."""
    for version in shares:
        if not platform.is_ready(version):
            raise ServiceMissing(f"version {version} is not ready, so no traffic is sent to it")
    platform.route(shares)


def _taken_back(
    platform: ServingPlatform, new: str, old: str | None, outcome: RolloutOutcome, why: str
) -> RolloutOutcome:
    outcome.logs = platform.logs(new)
    outcome.steps.append(f"{new} taken back: {why}")
    if undone := _put_right(platform, lambda: old):
        outcome.steps.append(undone)
    return outcome


def _put_right(platform: ServingPlatform, champion: Callable[[], str | None]) -> str:
    """Settle after a failure, with a second try for a platform that hiccups; returns what could not be done."""
    for last in (False, True):
        try:
            settle(platform, champion())
        except Exception as error:  # noqa: BLE001 - the caller has an error or an outcome to tell, and this with it
            if last:
                return (
                    f"the traffic stays divided as it is until the next try, for the champion has no service: {error}"
                )
        else:
            break
    return ""
