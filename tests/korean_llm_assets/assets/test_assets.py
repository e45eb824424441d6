"""The asset graph at work, with small stages: what is made, reused, inherited, stale, refused."""

import shutil
from pathlib import Path

import pytest
import yaml
from dagster import AssetCheckSeverity, AssetKey, DagsterInstance, Definitions, ExecuteInProcessResult

# Dagster has no public way to ask for staleness outside its web server.
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from korean_llm_assets.__main__ import main
from korean_llm_assets.assets.landing_assets import landing_key
from korean_llm_assets.home import Home
from korean_llm_assets.partitions.keys import cell_key
from korean_llm_assets.partitions.pointers import ARTIFACT
from tests.korean_llm_assets.conftest import WHOLE, PlatformUnderTest, define, drop
from tests.korean_llm_assets.triggers.test_automation import keys, tick
from tests.support.small_stages import CONDITIONS
from trainers.contract import DEDUP_INDEX, NOUNS, Artifact, Input
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.recipe.loading import recipe_folders

pytestmark = pytest.mark.slow

CELL = cell_key("tiny", "r1")


def make_all(platform: PlatformUnderTest, release: str = "r1") -> list[ExecuteInProcessResult]:
    platform.instance.add_dynamic_partitions("release", [release])
    partitions = (("data", release), ("base", "tiny"), ("training", cell_key("tiny", release)))
    return [platform.run(job, partition) for job, partition in partitions]


def metadata(result: ExecuteInProcessResult) -> dict[str, dict[str, object]]:
    return {
        event.asset_key.to_user_string(): {
            name: entry.value for name, entry in event.step_materialization_data.materialization.metadata.items()
        }
        for event in result.all_events
        if event.is_step_materialization
    }


def why(result: ExecuteInProcessResult) -> str:
    return " ".join(
        event.step_failure_data.user_failure_data.description or ""
        for event in result.all_events
        if event.is_step_failure and event.step_failure_data.user_failure_data
    )


def stale(definitions: Definitions, instance: DagsterInstance) -> set[str]:
    graph = definitions.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(
        instance=instance, asset_graph=graph, loading_context=LoadingContextForTest(instance)
    )
    places = {AssetKey("base_model"): "tiny"} | {
        AssetKey(name): "r1" for name in ("corpus", "instructions", "preferences", "benchmarks")
    }
    return {
        key.to_user_string()
        for key in graph.materializable_asset_keys
        if resolver.get_status(key, places.get(key, CELL)) != StaleStatus.FRESH
    }


def observe(platform: PlatformUnderTest) -> None:
    """As the sensor `recipes` does."""
    from korean_llm_assets.assets.recipe_assets import observe_recipes  # as `define(anew=...)` loaded it
    from korean_llm_assets.partitions.recipes import recipes_now

    observe_recipes(platform.instance, recipes_now())


def test_everything_is_made_once_and_then_reused(platform: PlatformUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(platform.home.landing, "r1", WHOLE)
    observe(platform)
    first = make_all(platform)
    assert [result.success for result in first] == [True, True, True], [why(result) for result in first]
    made = {name: entry for result in first for name, entry in metadata(result).items()}
    assert len(made) == 10
    assert not any(entry["reused"] for entry in made.values())
    checks = first[2].get_asset_check_evaluations()
    conditions = {*(name.split("/")[0] for name in CONDITIONS), "gate"}
    assert {check.check_name for check in checks} == conditions and all(check.passed for check in checks)
    assert checks[-1].partition == CELL and {"value": 0.3, "wanted": 0.2} in [
        {name: entry.value for name, entry in check.metadata.items()} for check in checks
    ]

    again = make_all(platform)
    repeated = {name: entry for result in again for name, entry in metadata(result).items()}
    assert all(entry["reused"] for entry in repeated.values())
    assert {name: entry[ARTIFACT] for name, entry in repeated.items()} == {
        name: entry[ARTIFACT] for name, entry in made.items()
    }
    assert stale(platform.definitions, platform.instance) == set()

    by_text = platform.definitions.resolve_job_def("training").execute_in_process(
        instance=platform.instance, tags={"dagster/partition": "tiny|r1"}, raise_on_error=False
    )
    assert by_text.success, "the form of `dagster job launch` is another one of the same partition"

    _changed_sft_makes_exactly_what_depends_on_it_stale(platform, monkeypatch)


def _changed_sft_makes_exactly_what_depends_on_it_stale(
    platform: PlatformUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = platform.home.root / "recipes"
    own.mkdir()
    recipe = yaml.safe_load((recipe_folders()[0] / "tiny.yaml").read_text())
    recipe["sft"]["learning_rate"] *= 1.5
    recipe["cpt"]["needs"]["memory"] = "6Gi"  # more memory gives no other result
    (own / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    monkeypatch.setenv("KOREAN_LLM_RECIPES", str(own))
    platform.definitions = define(anew=monkeypatch)
    observe(platform)
    changed = {"sft_model", "rlhf_model", "eval_report", "deployed_model"}
    assert stale(platform.definitions, platform.instance) == changed
    remade = metadata(platform.run("training", CELL))
    assert {name for name, entry in remade.items() if not entry["reused"]} == changed
    assert stale(platform.definitions, platform.instance) == set()


def test_what_a_person_sees(platform: PlatformUnderTest) -> None:
    drop(platform.home.landing, "r1", WHOLE)
    data, base, training = (metadata(result) for result in make_all(platform))
    assert data["corpus"]["kept"] == 2
    assert data["corpus"]["landed folder"] == "r1/corpus"
    assert data["corpus"]["excluded"].records[0].data == {"what": "empty", "value": "1"}
    assert "안녕" in data["corpus"]["samples"]
    assert base["base_model"]["parameters"] == 10
    assert "data:image/svg+xml;base64," in training["sft_model"]["loss curve"]
    assert training["deployed_model"]["registered as"] == "tiny version 1"
    store = ArtifactStore(platform.home.artifacts)
    for entry in {**data, **base, **training}.values():
        artifact = Artifact.model_validate(entry[ARTIFACT])
        assert entry["artifact location"] == str(store.path(artifact))
        assert store.manifest(artifact).digest == artifact.digest
    assert training["sft_model"]["goodput"] == 1.0 and training["sft_model"]["US dollars"] == 0.0
    in_report = str(training["eval_report"]["cost of this release"])
    assert all(f"| {name} | 1 |" in in_report for name in ("corpus", "base_model", "cpt_checkpoint", "eval_report"))


def test_a_release_inherits_and_says_so(platform: PlatformUnderTest) -> None:
    drop(platform.home.landing, "r1", WHOLE)
    drop(platform.home.landing, "r2", {"corpus": "새 글"})
    make_all(platform)
    second = make_all(platform, "r2")
    assert all(result.success for result in second)
    data = metadata(second[0])
    assert data["instructions"]["inherited from release"] == "r1"
    assert "inherited from release" not in data["corpus"]


def test_a_corpus_is_compared_with_earlier_releases_and_outdates_none_of_them(platform: PlatformUnderTest) -> None:
    store = ArtifactStore(platform.home.artifacts)

    def made(release: str) -> tuple[Artifact, dict[str, Input], bool]:
        platform.instance.add_dynamic_partitions("release", [release])
        result = platform.run("data", release, asset_selection=[AssetKey("benchmarks"), AssetKey("corpus")])
        entry = metadata(result)["corpus"]
        artifact = Artifact.model_validate(entry[ARTIFACT])
        return artifact, {item.name: item for item in store.manifest(artifact).request.inputs}, bool(entry["reused"])

    for release in ("r1", "r2", "r3"):
        drop(platform.home.landing, release, {"corpus": f"{release}의 글", "benchmarks": "문제"})
    first, inputs, _ = made("r1")
    assert set(inputs) == {"landing", "benchmarks"}
    second, inputs, _ = made("r2")
    assert (inputs["earlier_r1"].digest, inputs["earlier_r1"].only) == (first.digest, (DEDUP_INDEX, NOUNS))
    assert [made(release)[2] for release in ("r1", "r2")] == [True, True]
    shutil.rmtree(store.path(first))  # an old corpus that was cleared away is left out, and that is said
    _, inputs, _ = made("r3")
    assert set(inputs) == {"landing", "benchmarks", "earlier_r2"} and inputs["earlier_r2"].digest == second.digest


def test_a_folder_that_holds_something_else_by_now_outdates_what_was_made_of_it_alone(
    platform: PlatformUnderTest,
) -> None:
    drop(platform.home.landing, "r1", WHOLE)
    assert keys(tick(platform)) == ["r1"]
    make_all(platform)
    assert stale(platform.definitions, platform.instance) == set()
    drop(platform.home.landing, "r1", {"instructions": "다른 질문"})
    assert keys(tick(platform)) == ["r1"]
    assert stale(platform.definitions, platform.instance) == {"instructions"}
    record = platform.instance.get_latest_data_version_record(landing_key("instructions"), partition_key="r1")
    assert (
        record and record.asset_observation and record.asset_observation.metadata["folder"].value == "r1/instructions"
    )
    assert keys(tick(platform)) == []


def test_a_missing_folder_fails_in_words(platform: PlatformUnderTest) -> None:
    drop(platform.home.landing, "r1", {"instructions": "질문", "benchmarks": "문제"})
    result = make_all(platform)[0]
    assert not result.success
    assert "r1/preferences, or nothing is in it" in why(result)
    assert "instructions" in metadata(result)  # what can be made is made


def test_a_model_that_learned_nothing_is_not_deployed_in_this_run_nor_in_a_later_one(
    platform: PlatformUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALL_STAGES_GATE", "fail")
    drop(platform.home.landing, "r1", WHOLE)
    training = make_all(platform)[2]
    assert not training.success or "deployed_model" not in metadata(training)
    failed = {check.check_name for check in training.get_asset_check_evaluations() if not check.passed}
    assert failed == {*(name.split("/")[0] for name in CONDITIONS), "gate"}
    assert "deployed_model" not in metadata(training)

    later = platform.run("training", CELL, asset_selection=[AssetKey("deployed_model")])
    assert not later.success
    assert "the gate of eval_report/tiny/r1" in why(later)
    assert all(f"{name}: 30 points, wanted 20" in why(later) for name in CONDITIONS)


def test_a_named_approval_deploys_in_spite_of_the_gate_and_is_shown(
    platform: PlatformUnderTest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SMALL_STAGES_GATE", "fail")
    drop(platform.home.landing, "r1", WHOLE)
    make_all(platform)
    command = ["approve", "--model", "tiny", "--release", "r1", "--who", "김하나", "--why", "shown on Friday, not used"]
    assert main(command) == 0
    advice = capsys.readouterr().out.splitlines()[-1]
    assert advice == platform.home.launch_line("training", CELL), "a door that test_doors.py opens"
    again = platform.run("training", CELL)
    assert again.success
    assert metadata(again)["deployed_model"]["gate overridden"].startswith("approved by 김하나")
    failed = [check for check in again.get_asset_check_evaluations() if not check.passed]
    assert {check.check_name for check in failed} == {*(name.split("/")[0] for name in CONDITIONS), "gate"}
    assert all(check.severity == AssetCheckSeverity.WARN and "김하나" in (check.description or "") for check in failed)


def test_a_pointer_to_something_that_changed_on_the_disk_is_refused(platform: PlatformUnderTest) -> None:
    drop(platform.home.landing, "r1", WHOLE)
    data = make_all(platform)[0]
    folder = Path(str(metadata(data)["corpus"]["artifact location"]))
    (folder / "result.json").write_text("tampered")
    again = platform.run("data", "r1")
    assert not again.success
    assert "is not what the manifest says" in why(again)


def test_moving_the_home_makes_nothing_stale(platform: PlatformUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(platform.home.landing, "r1", WHOLE)
    make_all(platform)
    moved = Home(platform.home.root.with_name("moved"))
    shutil.copytree(platform.home.root, moved.root)
    monkeypatch.setenv("KOREAN_LLM_HOME", str(moved.root))
    for name, value in moved.environment().items():
        monkeypatch.setenv(name, value)
    with DagsterInstance.get() as instance:
        there = PlatformUnderTest(moved, instance, define())
        assert stale(there.definitions, instance) == set()
        assert all(entry["reused"] for entry in metadata(there.run("training", CELL)).values())
