"""New data becomes one release and one run per content; conditions make the rest, for automatic models only."""

import json
import shutil
import sys
import time
from argparse import Namespace
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from subprocess import PIPE, Popen
from threading import Barrier
from typing import Any

import pytest
import yaml
from dagster import AssetKey, DagsterRun, SensorResult, build_sensor_context, evaluate_automation_conditions

from korean_llm_assets.landing.claims import claim
from korean_llm_assets.landing.folders import Landing
from korean_llm_assets.partitions.keys import cell_key
from tests.korean_llm_assets.conftest import WHOLE, PlatformUnderTest, define, drop
from trainers.contract import BadRequest
from trainers.contract.recipe.loading import recipe_folders


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
            platform.definitions.resolve_job_def("data"), tags={CONTENT_TAG: request.tags[CONTENT_TAG]}
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


@pytest.mark.parametrize("events", [100, pytest.param(1000, marks=pytest.mark.prove)])
def test_a_thousand_events_give_one_release_and_one_run_per_content(platform: PlatformUnderTest, events: int) -> None:
    """Re-uploads, renames, late files, duplicate events, a rewound cursor, two daemons.

    Dagster's rule for run keys is the launcher's here: of two daemons that ask at once for one key, one gets a run.
    """
    from korean_llm_assets.triggers.incidents import CONTENT_TAG
    from korean_llm_assets.triggers.sensors import new_releases

    random = Random(7)
    landing = Landing(platform.home.landing)
    launched: Counter[str] = Counter()
    seen: set[str] = set()
    cursors = [None]
    for number in range(events):
        names = list(landing.releases().values())
        event = random.choice(("new", "touch", "rename", "late", "tick", "rewind", "two daemons", "incomplete"))
        if (event == "new" and len(names) < 12) or not names:
            drop(platform.home.landing, f"drop {number}", {"corpus": random.choice("가나다라마바사아자차")})
        elif event == "touch":
            path = platform.home.landing / random.choice(names) / "corpus" / "a.jsonl"
            path.write_text(path.read_text())
        elif event == "rename":
            (platform.home.landing / random.choice(names)).rename(platform.home.landing / f"renamed {number}")
        elif event == "late":
            (platform.home.landing / random.choice(names) / "corpus" / "late.jsonl").write_text(
                str(random.randrange(100))
            )
        elif event == "incomplete":
            drop(platform.home.landing, f"incomplete {number}", {"corpus": f"{number}"}, ready=False)
        cursor = random.choice(cursors) if event == "rewind" else cursors[-1]
        daemons = []
        for _ in range(2 if event == "two daemons" else 1):
            context = build_sensor_context(
                instance=platform.instance,
                definitions=platform.definitions,
                resources=platform.definitions.resources,
                cursor=cursor,
            )
            daemons.append(new_releases(context))
        seen |= {landing.digest(name) for name in landing.releases().values() if landing.is_complete(name)}
        for result in daemons:
            for request in result.dynamic_partitions_requests or ():
                platform.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
            for request in result.run_requests or ():
                if not launched[request.run_key]:
                    platform.instance.add_run(
                        DagsterRun(
                            "data", tags={CONTENT_TAG: request.run_key, "dagster/partition": request.partition_key}
                        )
                    )
                    launched[request.run_key] += 1
            cursors.append(result.cursor)
    assert set(launched) == seen
    assert set(launched.values()) == {1}
    runs = platform.instance.get_runs()
    assert len(runs) == len(seen) > events / 50
    assert {run.tags["dagster/partition"] for run in runs} == set(platform.instance.get_dynamic_partitions("release"))


def requested(platform: PlatformUnderTest, cursor: Any) -> tuple[dict[str, set[str]], Any]:
    """What one tick of the conditions asks for: asset -> partitions."""
    result = evaluate_automation_conditions(platform.definitions, platform.instance, cursor=cursor)
    keys = platform.definitions.resolve_asset_graph().materializable_asset_keys
    partitions_by_asset = {key.to_user_string(): set(result.get_requested_partitions(key)) for key in keys}
    return {name: partitions for name, partitions in partitions_by_asset.items() if partitions}, result.cursor


def recipe(home: Path, name: str, **changes: object) -> None:
    """A recipe of the user's own: tiny's, with changes."""
    own = home / "recipes"
    own.mkdir(exist_ok=True)
    text = yaml.safe_load((recipe_folders()[0] / "tiny.yaml").read_text())
    (own / f"{name}.yaml").write_text(yaml.safe_dump({**text, "model": name, **changes}))


@pytest.mark.slow
def test_conditions_make_what_new_data_and_changed_recipes_ask_for_of_automatic_models(
    platform: PlatformUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe(platform.home.root, "asked", automation="ask")
    recipe(platform.home.root, "never", automation="off")
    monkeypatch.setenv("KOREAN_LLM_RECIPES", str(platform.home.root / "recipes"))
    platform.definitions = define(reload=True)
    cell = cell_key("tiny", "r1")
    chain = {"cpt_checkpoint", "sft_model", "rlhf_model", "eval_report", "deployed_model"}

    requests, cursor = requested(platform, None)
    assert requests == {"base_model": {"tiny"}}  # nothing is needed for it; there is no data to ask for others with

    drop(platform.home.landing, "r1", WHOLE)
    platform.instance.add_dynamic_partitions("release", ["r1"])
    assert platform.run("base", "tiny").success
    requests, cursor = requested(platform, cursor)
    assert requests == {}  # the data is not there yet
    assert platform.run("data", "r1").success
    requests, cursor = requested(platform, cursor)
    assert requests == {name: {cell} for name in chain - {"deployed_model"}}  # its report's checks have not passed yet
    assert platform.run("training", cell, asset_selection=[AssetKey(name) for name in requests]).success
    requests, cursor = requested(platform, cursor)
    assert requests == {"deployed_model": {cell}}
    assert platform.run("training", cell, asset_selection=[AssetKey("deployed_model")]).success
    requests, cursor = requested(platform, cursor)
    assert requests == {}

    changed = yaml.safe_load((recipe_folders()[0] / "tiny.yaml").read_text())["sft"] | {"learning_rate": 1.5e-3}
    recipe(platform.home.root, "tiny", sft=changed)
    platform.definitions = define(reload=True)
    requests, cursor = requested(platform, cursor)
    assert requests == {name: {cell} for name in chain - {"cpt_checkpoint"}}
    requests, cursor = requested(platform, cursor)
    assert requests == {}  # once

    _asked_models_wait_for_a_person_and_models_that_are_off_for_nobody(platform, cursor)


def _asked_models_wait_for_a_person_and_models_that_are_off_for_nobody(
    platform: PlatformUnderTest, cursor: Any
) -> None:
    from korean_llm_assets.assets.proposals import proposals, proposed_releases  # as `define(reload=True)` loaded it
    from korean_llm_assets.commands import start

    proposed = proposed_releases(platform.instance)
    assert proposed["asked"] == ["r1"] and "never" not in proposed and "tiny" not in proposed
    (alert,) = [alert for alert in proposals(platform.instance) if "asked r1" in alert.english]
    assert "start --model asked --release r1" in alert.english and "승인 대기" in alert.korean
    with pytest.raises(BadRequest, match="never says automation: off"):
        start.run(Namespace(model="never", release="r1"), platform.home)
    start.run(Namespace(model="asked", release="r1"), platform.home)
    requests, cursor = requested(platform, cursor)
    assert requests == {"base_model": {"asked"}}
    assert platform.run("base", "asked").success
    requests, cursor = requested(platform, cursor)
    assert set(requests) >= {"cpt_checkpoint", "sft_model", "rlhf_model", "eval_report"}
    assert {partition for partitions in requests.values() for partition in partitions} == {cell_key("asked", "r1")}
    assert "asked" not in proposed_releases(platform.instance)


@pytest.mark.slow
def test_an_expensive_stage_waits_for_the_checks_before_it_and_a_failure_is_not_repeated(
    platform: PlatformUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALL_STAGES_GATE", "fail")
    drop(platform.home.landing, "r1", WHOLE)
    platform.instance.add_dynamic_partitions("release", ["r1"])
    _, cursor = requested(platform, None)
    for job, partition in (("data", "r1"), ("base", "tiny"), ("training", cell_key("tiny", "r1"))):
        platform.run(job, partition)
    for _ in range(2):
        requests, cursor = requested(platform, cursor)
        assert requests == {}  # deployed_model is missing, but its report's checks did not pass
