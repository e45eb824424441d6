"""Drops that no tick can read: a run of their own reads them, once, and the next tick makes a release of them."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterRunStatus, RunRequest, SensorResult, build_sensor_context

from korean_llm_assets.triggers.intake import TICK_BYTES
from tests.korean_llm_assets.conftest import WHOLE, PlatformUnderTest, drop
from tests.support.s3 import s3
from trainers.contract.digests import file_sha256


@pytest.fixture
def read(platform: PlatformUnderTest, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file's bytes were read to hash them, by the modules of this platform's code location."""
    counts: Counter[str] = Counter()

    def counted(path: Path) -> str:
        counts[path.name] += 1
        return file_sha256(path)

    monkeypatch.setattr("korean_llm_assets.landing.file_digests.file_sha256", counted)
    return counts


def landing_of(platform: PlatformUnderTest) -> Any:
    from korean_llm_assets.landing.folders import Landing

    return Landing(platform.home.landing)


def tick(platform: PlatformUnderTest) -> list[RunRequest]:
    from korean_llm_assets.triggers.sensors import new_releases

    result = new_releases(
        build_sensor_context(
            instance=platform.instance, definitions=platform.definitions, resources=platform.definitions.resources
        )
    )
    assert isinstance(result, SensorResult)
    return list(result.run_requests or ())


def take_in(platform: PlatformUnderTest, request: RunRequest) -> bool:
    """The run that a tick asked for."""
    job = platform.definitions.resolve_job_def(request.job_name or "")
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    run = job.execute_in_process(
        instance=platform.instance,
        run_config={**request.run_config, **quiet},
        tags=dict(request.tags),
        raise_on_error=False,
        resources=platform.definitions.resources,
    )
    return run.success


def big_drop(platform: PlatformUnderTest, name: str, size: int) -> Path:
    """A release with one sparse file of this size beside its small ones."""
    release = drop(platform.home.landing, name, WHOLE, ready=False)
    with (release / "corpus" / "big.jsonl").open("wb") as stream:
        os.truncate(stream.fileno(), size)
    (release / "_READY").touch()
    return release


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(2 * 10**9, marks=pytest.mark.slow, id="2 GB"),
        pytest.param(200 * 10**9, marks=[pytest.mark.prove, pytest.mark.timeout(3600)], id="200 GB"),
    ],
)
def test_a_drop_that_no_tick_can_read_becomes_a_release_and_is_read_once(
    platform: PlatformUnderTest, read: Counter[str], size: int
) -> None:
    big_drop(platform, "large", size)
    drop(platform.home.landing, "small", WHOLE)
    intake, small = sorted(tick(platform), key=lambda request: request.partition_key or "")
    assert (intake.job_name, small.partition_key) == ("intake", "small"), "the small one does not wait for the large"
    assert read["big.jsonl"] == 0, "no tick reads it"
    assert take_in(platform, intake)
    (request,) = tick(platform)
    assert request.partition_key == "large"
    landing_of(platform).input("large", "corpus", [])
    assert read == {"big.jsonl": 1, "a.jsonl": 8}, "each of the nine files once, the asset's own look included"


def test_a_tick_reads_what_it_may_and_leaves_the_rest_to_later_ticks(
    platform: PlatformUnderTest, read: Counter[str]
) -> None:
    for number in range(3):
        release = big_drop(platform, f"drop-{number}", TICK_BYTES // 2 - 10**6)
        (release / "corpus" / "a.jsonl").write_text(f"글 {number}")
    assert [request.partition_key for request in tick(platform)] == ["drop-0", "drop-1"]
    assert read["big.jsonl"] == 2
    assert [request.partition_key for request in tick(platform)] == ["drop-2"]
    assert read["big.jsonl"] == 3


def test_a_reader_that_dies_is_followed_by_one_that_reads_the_rest_and_three_are_enough(
    platform: PlatformUnderTest, read: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    release = big_drop(platform, "large", TICK_BYTES + 1)
    with (release / "corpus" / "broken.jsonl").open("wb") as stream:
        os.truncate(stream.fileno(), TICK_BYTES + 1)
    monkeypatch.setattr("korean_llm_assets.landing.file_digests.file_sha256", lambda path: _refused(path, read))
    for attempt in range(3):
        (request,) = tick(platform)
        assert request.run_key is not None and request.run_key.endswith(f"#{attempt}")
        assert not take_in(platform, request)
    assert tick(platform) == [], "a person is told; nothing is tried for ever"
    assert read["big.jsonl"] == 1, "what was read before the failure is not read again"


def _refused(path: Path, read: Counter[str]) -> str:
    if path.name == "broken.jsonl":
        raise OSError("the server does not answer")
    read[path.name] += 1
    return file_sha256(path)


def test_a_reader_at_work_is_not_doubled(platform: PlatformUnderTest) -> None:
    big_drop(platform, "large", TICK_BYTES + 1)
    (request,) = tick(platform)
    platform.instance.create_run_for_job(
        platform.definitions.resolve_job_def("intake"),
        run_config=request.run_config,
        tags=dict(request.tags),
        status=DagsterRunStatus.STARTED,
    )
    assert tick(platform) == []


def test_a_file_that_changes_is_read_again_even_if_its_time_is_set_back(
    platform: PlatformUnderTest, read: Counter[str]
) -> None:
    release = drop(platform.home.landing, "r1", WHOLE)
    landing = landing_of(platform)
    path = release / "corpus" / "a.jsonl"
    before, times = landing.digest("r1"), path.stat()
    assert landing.digest("r1") == before and read["a.jsonl"] == 4
    path.write_text("귤")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert landing.digest("r1") != before and read["a.jsonl"] == 5


def test_a_release_in_a_bucket_is_copied_by_a_run_and_not_by_a_tick(
    platform: PlatformUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOREAN_LLM_LANDING_URLS", "s3://drops/korean")
    with s3(monkeypatch) as files:
        files.pipe_file("drops/korean/r1/corpus/a.jsonl", '{"text": "글"}'.encode())
        files.pipe_file("drops/korean/r1/_READY", b"")
        (intake,) = tick(platform)
        assert intake.job_name == "intake" and not (platform.home.landing / "r1").exists()
        assert take_in(platform, intake)
        assert [request.partition_key for request in tick(platform)] == ["r1"]
