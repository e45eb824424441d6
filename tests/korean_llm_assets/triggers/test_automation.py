"""New data becomes one release and one run per content; conditions make the rest, for automatic models only."""

import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from subprocess import PIPE, Popen
from threading import Barrier
from typing import Any

import pytest
from dagster import DagsterRun, SensorResult, build_sensor_context
from sqlalchemy import event
from sqlalchemy.engine import Engine

from korean_llm_assets.landing.claims import claim
from korean_llm_assets.landing.folders import Landing
from tests.korean_llm_assets.conftest import WHOLE, PlatformUnderTest, drop
from trainers.contract.walk import walk


def tick(platform: PlatformUnderTest) -> SensorResult:
    """One evaluation, with what the daemon does of it: partitions added, runs recorded by their tags."""
    from korean_llm_assets.triggers.incidents import CONTENT_TAG
    from korean_llm_assets.triggers.sensors import new_releases

    context = build_sensor_context(
        instance=platform.instance, definitions=platform.definitions, resources=platform.definitions.resources
    )
    result = new_releases(context)
    assert isinstance(result, SensorResult)
    for request in result.dynamic_partitions_requests or ():
        platform.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
    for request in result.run_requests or ():
        platform.instance.create_run_for_job(
            platform.definitions.resolve_job_def("data"),
            tags={CONTENT_TAG: request.tags[CONTENT_TAG], "dagster/partition": str(request.partition_key)},
        )
    return result


def keys(result: SensorResult) -> list[str | None]:
    return [request.partition_key for request in result.run_requests or ()]


def test_a_complete_folder_becomes_a_release_and_a_run(platform: PlatformUnderTest) -> None:
    release = drop(platform.home.landing, "뉴스 11월", WHOLE, ready=False)
    assert keys(tick(platform)) == []
    (release / "_READY").touch()
    result = tick(platform)
    assert keys(result) == ["11-" + keys(result)[0].rsplit("-")[-1]]
    assert (result.run_requests or [])[0].tags["korean_llm/landed_as"] == "뉴스 11월"
    assert platform.instance.get_dynamic_partitions("release") == keys(result)
    assert keys(tick(platform)) == []


def test_a_folder_that_waits_is_looked_through_once_in_a_tick(
    platform: PlatformUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    walks: list[Path] = []
    monkeypatch.setattr("korean_llm_assets.landing.folders.walk", lambda path: (walks.append(path), walk(path))[1])
    release = drop(platform.home.landing, "뉴스", WHOLE, ready=False)
    reason = tick(platform).skip_reason
    assert walks == [release]
    assert reason is not None and (reason.skip_message or "").startswith("not complete yet: 뉴스 waits for _READY")


def test_the_same_content_under_another_name_is_not_new(platform: PlatformUnderTest) -> None:
    release = drop(platform.home.landing, "first", WHOLE)
    shutil.copytree(release, platform.home.landing / "copied")
    assert keys(tick(platform)) == ["copied"]
    release.rename(platform.home.landing / "renamed")
    assert keys(tick(platform)) == []
    assert platform.instance.get_dynamic_partitions("release") == ["copied"]


def test_late_files_are_new_content_of_the_same_release(platform: PlatformUnderTest) -> None:
    release = drop(platform.home.landing, "first", WHOLE)
    tick(platform)
    (release / "corpus" / "late.jsonl").write_text("늦은 글")
    result = tick(platform)
    assert keys(result) == ["first"]
    assert not result.dynamic_partitions_requests
    assert keys(tick(platform)) == []


def test_a_drop_put_back_to_earlier_content_is_made_again_and_uploading_it_again_starts_nothing(
    platform: PlatformUnderTest,
) -> None:
    release = drop(platform.home.landing, "first", {"corpus": "가"})
    contents = []
    for text in "가나가나나":
        (release / "corpus" / "a.jsonl").write_text(text)
        contents += [request.tags["korean_llm/content"] for request in tick(platform).run_requests or ()]
        assert keys(tick(platform)) == []
    assert len(contents) == 4 and contents[0] == contents[2] != contents[1] == contents[3]
    second = drop(platform.home.landing, "second", {"corpus": "다"})
    assert keys(tick(platform)) == ["second"]
    (second / "corpus" / "a.jsonl").write_text("가")
    assert keys(tick(platform)) == ["second"], "that another release once had this content says nothing of this one"


def test_of_two_daemons_that_see_a_drop_at_once_one_starts_its_run(platform: PlatformUnderTest) -> None:
    for number in range(3):
        drop(platform.home.landing, f"drop {number}", {"corpus": f"글 {number}"})
    both = Barrier(2)

    def daemon() -> list[str | None]:
        from korean_llm_assets.triggers.sensors import new_releases

        context = build_sensor_context(
            instance=platform.instance, definitions=platform.definitions, resources=platform.definitions.resources
        )
        both.wait(30)
        result = new_releases(context)
        assert isinstance(result, SensorResult)
        return [request.run_key for request in result.run_requests or ()]

    with ThreadPoolExecutor(2) as pool:
        keys = [future.result(60) for future in [pool.submit(daemon) for _ in range(2)]]
    assert len(keys[0] + keys[1]) == len({*keys[0], *keys[1]}) == 3


def test_processes_that_claim_one_content_at_once_have_one_winner_and_a_dead_winner_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import sys; from pathlib import Path; from korean_llm_assets.landing.claims import claim\n"
    code += "sys.stdin.readline(); print([claim(Path(sys.argv[1]), str(n)) for n in range(20)])"
    racers = [Popen([sys.executable, "-c", code, str(tmp_path)], stdin=PIPE, stdout=PIPE, text=True) for _ in range(2)]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    outputs = [racer.communicate(timeout=120)[0] for racer in racers]
    first, second = (json.loads(line.lower()) for line in outputs)
    assert all(one != other for one, other in zip(first, second, strict=True)), "each content has one winner"
    later = time.time() + 3600
    monkeypatch.setattr("korean_llm_assets.landing.claims.time.time", lambda: later)
    assert claim(tmp_path, "7") and not claim(tmp_path, "7")


def test_a_release_whose_run_was_deleted_is_made_again(platform: PlatformUnderTest) -> None:
    drop(platform.home.landing, "first", WHOLE)
    assert keys(tick(platform)) == ["first"]
    (run,) = platform.instance.get_runs()
    platform.instance.delete_run(run.run_id)
    (platform.home.landing / ".claims.json").unlink()  # it is older than ten minutes by then
    assert keys(tick(platform)) == ["first"]
    assert keys(tick(platform)) == []


def test_the_queries_of_a_tick_do_not_grow_with_the_releases(platform: PlatformUnderTest) -> None:
    """An instance has hundreds of releases, and a query of PostgreSQL is a connection."""
    from korean_llm_assets.triggers.sensors import automation_sensor, new_releases

    queries: dict[int, list[int]] = {}
    for number in (1, 2, 12):
        for name in range(number):
            drop(platform.home.landing, f"r{name}", {**WHOLE, "corpus": f"글 {name}"})
        tick(platform)
        for sensor in (new_releases, automation_sensor):
            context = build_sensor_context(
                instance=platform.instance, definitions=platform.definitions, resources=platform.definitions.resources
            )
            with counted_statements() as statements:
                sensor.evaluate_tick(context)
            queries.setdefault(number, []).append(len(statements))
    assert queries[2] == queries[12], queries
    assert all(0 < count < 150 for count in queries[12]), queries


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """Every statement that SQLAlchemy sends meanwhile."""
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.parametrize("events", [100, pytest.param(1000, marks=pytest.mark.prove)])
def test_a_thousand_events_give_one_run_per_content_that_a_release_changes_to(
    platform: PlatformUnderTest, events: int
) -> None:
    """Re-uploads, renames, late files, reverts, duplicate events, a rewound cursor, two daemons.

    Dagster's rule for run keys is the launcher's here: of two daemons that ask at once for one key, one gets a run.
    """
    from korean_llm_assets.triggers.incidents import CONTENT_TAG
    from korean_llm_assets.triggers.sensors import new_releases

    random = Random(7)
    landing = Landing(platform.home.landing)
    launched: Counter[str] = Counter()
    expected: Counter[str] = Counter()
    standing: dict[str, str] = {}
    cursors = [None]
    for number in range(events):
        names = list(landing.releases().values())
        happens = random.choice(
            ("new", "touch", "rename", "late", "tick", "rewind", "two daemons", "incomplete", "revert")
        )
        if (happens == "new" and len(names) < 12) or not names:
            drop(platform.home.landing, f"drop {number}", {"corpus": random.choice("가나다라마바사아자차")})
        elif happens == "touch":
            path = platform.home.landing / random.choice(names) / "corpus" / "a.jsonl"
            path.write_text(path.read_text())
        elif happens == "rename":
            (platform.home.landing / random.choice(names)).rename(platform.home.landing / f"renamed {number}")
        elif happens == "late":
            (platform.home.landing / random.choice(names) / "corpus" / "late.jsonl").write_text(
                str(random.randrange(100))
            )
        elif happens == "revert":
            (platform.home.landing / random.choice(names) / "corpus" / "late.jsonl").unlink(missing_ok=True)
        elif happens == "incomplete":
            drop(platform.home.landing, f"incomplete {number}", {"corpus": f"{number}"}, ready=False)
        cursor = random.choice(cursors) if happens == "rewind" else cursors[-1]
        daemons = []
        for _ in range(2 if happens == "two daemons" else 1):
            context = build_sensor_context(
                instance=platform.instance,
                definitions=platform.definitions,
                resources=platform.definitions.resources,
                cursor=cursor,
            )
            daemons.append(new_releases(context))
        for key, name in landing.releases().items():
            content = None if landing.incompleteness(name) else landing.digest(name)
            if content and standing.get(key) != content and (key in standing or content not in expected):
                standing[key] = content
                expected[content] += 1
        for result in daemons:
            for request in result.dynamic_partitions_requests or ():
                platform.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
            for request in result.run_requests or ():
                if not launched[request.run_key]:
                    platform.instance.add_run(
                        DagsterRun(
                            "data",
                            tags={
                                CONTENT_TAG: request.tags[CONTENT_TAG],
                                "dagster/partition": str(request.partition_key),
                            },
                        )
                    )
                    launched[request.run_key] += 1
            cursors.append(result.cursor)
    runs = platform.instance.get_runs()
    assert Counter(run.tags[CONTENT_TAG] for run in runs) == expected
    assert max(expected.values()) > 1, "no release was put back to earlier content"
    assert len(expected) > events / 50
    assert {run.tags["dagster/partition"] for run in runs} == set(platform.instance.get_dynamic_partitions("release"))
