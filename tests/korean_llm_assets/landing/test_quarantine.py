"""A drop that cannot be used: its release's check fails, one message, the others go on; a corrected upload frees it."""

import pytest
from dagster import AssetCheckKey, AssetKey, DagsterEventType, DagsterRun

from korean_llm_assets.landing.quarantine import USABLE
from korean_llm_assets.triggers.incidents import CONTENT_TAG, alert_of
from tests.korean_llm_assets.assets.test_assets import metadata, why
from tests.korean_llm_assets.conftest import WHOLE, PlatformUnderTest, drop
from tests.korean_llm_assets.triggers.test_automation import keys, tick

pytestmark = pytest.mark.slow


def status(platform: PlatformUnderTest, asset: str) -> dict[str, tuple[bool, str]]:
    """Release -> what the newest evaluation of its check says."""
    records = platform.instance.event_log_storage.get_asset_check_execution_history(
        AssetCheckKey(AssetKey(asset), USABLE), limit=20
    )
    checks: dict[str, tuple[bool, str]] = {}
    for record in records:  # newest first
        event = record.event.dagster_event
        if event.event_type != DagsterEventType.ASSET_CHECK_EVALUATION:
            continue  # planned, at the run's start
        evaluation = event.asset_check_evaluation_data
        checks.setdefault(evaluation.partition, (evaluation.passed, evaluation.description))
    return checks


def test_a_bad_drop_is_quarantined_told_once_and_freed_by_a_corrected_upload(platform: PlatformUnderTest) -> None:
    bad = drop(platform.home.landing, "bad", WHOLE)
    (bad / "corpus" / "fail-65").touch()
    drop(platform.home.landing, "good", {**WHOLE, "corpus": "다른 글"})
    assert sorted(key or "" for key in keys(tick(platform))) == ["bad", "good"]
    content = {CONTENT_TAG: "bad's content"}
    first = platform.run("data", "bad", tags=content)
    assert not first.success and platform.run("data", "good").success
    assert set(metadata(first)) == {"benchmarks", "instructions", "preferences"}  # what can be made is made
    seen = status(platform, "corpus")
    assert seen["good"] == (True, "the drop was used")
    assert not seen["bad"][0] and "quarantined: corpus bad: exit 65" in seen["bad"][1]
    assert "row 7 has no text" in seen["bad"][1]
    assert status(platform, "instructions")["bad"][0]

    again = platform.run("data", "bad", tags=content)  # somebody tries the same content once more
    alerts = {alert.key: alert for run in (first, again) if (alert := alert_of(platform.instance, _run(platform, run)))}
    assert len(alerts) == 1, alerts
    (alert,) = alerts.values()
    assert alert.kind == "quarantine" and "row 7 has no text" in alert.english and "격리" in alert.korean

    (bad / "corpus" / "fail-65").unlink()
    (bad / "corpus" / "a.jsonl").write_text("고친 글")
    assert keys(tick(platform)) == ["bad"]
    fixed = platform.run("data", "bad", tags={CONTENT_TAG: "the corrected content"})
    assert fixed.success, why(fixed)
    assert status(platform, "corpus")["bad"] == (True, "the drop was used")
    recovered = alert_of(platform.instance, _run(platform, fixed))
    assert recovered is not None and recovered.kind == "recovery"


def test_a_release_inherits_nothing_from_a_quarantined_one(platform: PlatformUnderTest) -> None:
    for number, name in enumerate(("good", "bad", "later")):
        whole = {**WHOLE, "corpus": f"글 {number}", "instructions": f"질문 {number}"}
        drop(platform.home.landing, name, whole if name != "later" else {"corpus": "셋"})
        platform.instance.add_dynamic_partitions("release", [name])
    (platform.home.landing / "bad" / "instructions" / "fail-65").touch()
    assert platform.run("data", "good").success and not platform.run("data", "bad").success
    result = platform.run("data", "later")
    assert result.success, why(result)
    assert metadata(result)["instructions"]["inherited from release"] == "good"


def test_an_empty_drop_is_quarantined_too(platform: PlatformUnderTest) -> None:
    drop(platform.home.landing, "empty", {"benchmarks": "문제"})
    platform.instance.add_dynamic_partitions("release", ["empty"])
    result = platform.run("data", "empty", asset_selection=[AssetKey("corpus"), AssetKey("benchmarks")])
    passed, described = status(platform, "corpus")["empty"]
    assert not result.success and not passed and "empty/corpus, or nothing is in it" in described


def _run(platform: PlatformUnderTest, result: object) -> DagsterRun:
    run = platform.instance.get_run_by_id(result.run_id)  # type: ignore[attr-defined]
    assert run is not None
    return run
