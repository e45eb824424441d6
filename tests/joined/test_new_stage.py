"""A stage is added by one entry, its module and its asset: then every table knows it."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Literal

import pytest
from dagster import AssetExecutionContext, AssetKey, MaterializeResult
from pydantic import ValidationError

from korean_llm_assets.assets.presentation import describe, headline
from korean_llm_assets.assets.recipe_assets import recipe_key
from korean_llm_assets.assets.stage_asset import materialize, stage_asset
from korean_llm_assets.compute.cluster.job_spec import command_of
from korean_llm_assets.compute.preflight import check_fit
from korean_llm_assets.compute.profiles import load_profile
from korean_llm_assets.costs import all_costs, estimate
from korean_llm_assets.partitions.keys import cells, partitions_of, stage_of
from korean_llm_assets.partitions.recipes import model_recipes, recipes
from korean_llm_assets.partitions.requests import stage_request
from trainers.__main__ import main
from trainers.contract import (
    STAGES,
    Artifact,
    BadRequest,
    Details,
    DoesNotFit,
    EvaluationDetails,
    Interval,
    Manifest,
    Needs,
    Stage,
    StageRequest,
)
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.details import Measured
from trainers.contract.planner import GPUS, plan_recipe
from trainers.contract.recipe import LoraSettings, TrainingSection
from trainers.contract.recipe.loading import load_model_recipes
from trainers.evaluation.report import Report, colours, parents, subject
from trainers.evaluation.report_page import report_page
from trainers.evaluation.results import ItemScore, Results
from trainers.export.model_card import model_card
from trainers.runner.stage import StageContext, StageResult


class DistillSection(TrainingSection):
    """A section that a recipe may leave out."""

    learning_rate: float = 1e-4
    lora: LoraSettings | None = LoraSettings()
    needs: Needs = Needs(gpus=1)


class DistillDetails(Details):
    """A kind of its own."""

    kind: Literal["distill"] = "distill"
    layers_left: int
    teachers: dict[str, float]
    why: str | None = None
    seconds_of_teaching: Measured[float]


DISTILL = Stage(
    name="distill",
    asset="distilled_model",
    version=7,
    section=DistillSection,
    module="a_new_stage",
    reads=("rlhf", "instructions"),
    spread="processes",
    column="small",
)


def run(context: StageContext) -> StageResult:
    (context.output / "model").write_text(f"learned at {context.section.learning_rate}")
    return StageResult({"loss": 1.0}, DistillDetails(layers_left=6, teachers={"rlhf": 0.5}, seconds_of_teaching=2.5))


@pytest.fixture(autouse=True)
def entry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The one entry, and its module."""
    module = ModuleType("a_new_stage")
    module.run = run
    monkeypatch.setitem(sys.modules, "a_new_stage", module)
    monkeypatch.setitem(STAGES, "distill", DISTILL)
    recipes.cache_clear()
    yield
    recipes.cache_clear()


def request(**more: object) -> StageRequest:
    return StageRequest(stage="distill", stage_version=7, model="qwen2.5-7b", release="r1", **more)


def test_a_request_knows_its_asset_and_partitions() -> None:
    assert request().relative_path.startswith("distilled_model/qwen2.5-7b/r1/")
    with pytest.raises(ValidationError, match="'distill' needs a release"):
        StageRequest(stage="distill", stage_version=7, model="m")


def test_recipes_have_its_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_model_recipes()["tiny"].section(DistillSection) == DistillSection()
    monkeypatch.setenv("KOREAN_LLM_RECIPES", str(tmp_path))
    tiny = Path("trainers/recipes/tiny.yaml").read_text(encoding="utf-8")
    (tmp_path / "tiny.yaml").write_text(tiny + "distill: {learning_rate: 0.5}\n", encoding="utf-8")
    assert load_model_recipes()["tiny"].section(DistillSection).learning_rate == 0.5
    (tmp_path / "tiny.yaml").write_text(tiny + "distill: {temperature: 2}\n", encoding="utf-8")
    with pytest.raises(BadRequest, match=r"unknown key 'distill\.temperature'; allowed here: needs, backend"):
        load_model_recipes()


def test_its_asset_is_partitioned_and_versioned() -> None:
    @stage_asset(group="training", kinds=set())
    def distilled_model(
        context: AssetExecutionContext, rlhf_model: Artifact, instructions: Artifact
    ) -> MaterializeResult:
        """Made smaller."""
        return materialize(context, rlhf_model, instructions)

    (spec,) = distilled_model.specs
    assert partitions_of(DISTILL) == spec.partitions_def == cells
    assert stage_of("distilled_model") == DISTILL
    assert spec.code_version == str(DISTILL.version)
    read = {dep.asset_key for dep in spec.deps}
    assert read == {AssetKey(STAGES[name].asset) for name in DISTILL.reads} | {recipe_key(DISTILL)}


def test_preflight_and_the_job_know_how_it_is_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    profile, two = load_profile("h100"), Needs(gpus=16, nodes=2)
    check_fit(request(), two, profile)
    assert command_of(request(), two, profile)[: len(profile.launcher)] == list(profile.launcher)
    monkeypatch.setitem(STAGES, "distill", DISTILL.model_copy(update={"spread": None}))
    with pytest.raises(DoesNotFit, match="2 nodes, but a stage like distill uses one"):
        check_fit(request(), two, profile)


def test_the_planner_and_the_estimate_plan_it() -> None:
    planned = plan_recipe(model_recipes()["qwen2.5-7b"], "h100", 4)["stages"]
    assert "lora rank 16" in planned["distill"]["setting"] and planned["distill"]["hours"] > 0
    (row,) = estimate(["distilled_model"], "qwen2.5-7b", [], GPUS["h100"])
    assert row.source == "the planner's arithmetic" and row.gpu_hours > 0


def test_it_runs_by_its_name_and_what_it_took_is_counted(tmp_path: Path) -> None:
    request = stage_request(DISTILL, "qwen2.5-7b", "r1", [])
    (tmp_path / "request.json").write_text(request.model_dump_json())
    arguments = ["distill", "--request", str(tmp_path / "request.json"), "--artifacts", str(tmp_path / "artifacts")]
    assert main(arguments) == 0
    store = ArtifactStore(tmp_path / "artifacts")
    assert (store.folder(request) / "model").read_text() == "learned at 0.0001"
    assert [(row.asset, row.model) for row in all_costs(store)] == [("distilled_model", "qwen2.5-7b")]
    manifest = store.find(request)
    assert manifest is not None and isinstance(manifest.details, DistillDetails)
    changed = manifest.details.model_copy(update={"layers_left": 5})
    assert manifest.model_copy(update={"details": changed}).digest != manifest.digest
    assert headline(manifest.details) == "layers left 6"
    metadata = describe(manifest, store, 0.0, 1.0)
    assert (metadata["layers left"], metadata["seconds of teaching"]) == (6, 2.5)
    assert metadata["teachers"].value == {"rlhf": 0.5} and "why" not in metadata


def test_the_report_compares_it_with_its_parent_once_evaluation_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = STAGES["evaluate"]
    monkeypatch.setitem(STAGES, "evaluate", evaluate.model_copy(update={"reads": (*evaluate.reads, "distill")}))
    rows = {
        name: [ItemScore("facts", "accuracy", str(n), n % 2) for n in range(8)] for name in ("base", "rlhf", "small")
    }
    report = Report("t", Results(rows, {}, 0), [], [], {"small": [(1, 2.0), (2, 1.0)]}, {})
    assert ("small", "rlhf") in {(stage, other) for _, stage, other, _ in report.comparisons()}
    assert len(set(colours().values())) == len(colours()) == 7
    assert colours()["small"] in report_page(report, {})
    json.dumps(report.to_json())


def test_the_report_and_the_card_are_about_it_once_it_is_what_is_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, reads in (("evaluate", (*STAGES["evaluate"].reads, "distill")), ("export", ("distill", "evaluate"))):
        monkeypatch.setitem(STAGES, name, STAGES[name].model_copy(update={"reads": reads}))
    assert (subject(), parents()[subject()]) == ("small", "rlhf")
    figures = {
        name: Interval(value=value, low=value, high=value, n=9) for name, value in (("base", 0.1), ("small", 0.7))
    }
    evaluation = StageRequest(stage="evaluate", stage_version=1, model="tiny", release="r1")
    report = EvaluationDetails(suites={"facts": figures}, gate=[])
    card = model_card(
        "t", Manifest(request=evaluation, request_digest=evaluation.digest, files=(), metrics={}, details=report), []
    )
    assert "| facts | 0.1000 | 0.7000 |" in card and "Not measurably better" not in card
