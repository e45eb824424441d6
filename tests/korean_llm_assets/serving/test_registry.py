"""The registry on a real MLflow store: aliases, one winner, rollback, and a registry that is down."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from dagster import Failure
from mlflow import MlflowClient

from korean_llm_assets.serving.registry import CANDIDATE, CHAMPION, PREVIOUS, Registry
from trainers.contract import (
    Artifact,
    BadRequest,
    EvaluationDetails,
    ExportDetails,
    Input,
    Manifest,
    ServiceMissing,
    StageRequest,
)
from trainers.contract.artifacts import ArtifactStore


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory):
    """MLflow's migrations take seconds; each test gets a copy of their result."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    Registry(f"sqlite:///{path}", locks=path.parent).version("none", CHAMPION)
    return path


@pytest.fixture
def registry(tmp_path, empty_database):
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    return Registry(f"sqlite:///{tmp_path / 'mlflow.db'}", locks=tmp_path / "locks", retry_seconds=())


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "artifacts")


def pointer(name: str, content: str) -> Input:
    return Input(name=name, digest=content * 64, path=f"{name}/{content}")


def report_on(model: str, champion: str | None = None) -> Manifest:
    inputs = [pointer("rlhf_model", model), pointer("corpus", "c")]
    inputs += [Input(name=CHAMPION, digest=champion, path="deployed_model/x")] if champion else []
    request = StageRequest(stage="evaluate", stage_version=1, model="toy", release="r1", inputs=tuple(inputs))
    details = EvaluationDetails(suites={}, gate=[])
    return Manifest(request=request, request_digest=request.digest, files=(), metrics={}, details=details)


def export_of(model: str) -> Manifest:
    request = StageRequest(
        stage="export", stage_version=1, model="toy", release="r1", inputs=(pointer("rlhf_model", model),)
    )
    details = ExportDetails(formats=[], parameters=1, tokenizer_hash="0", model_card="# card of " + model)
    return Manifest(request=request, request_digest=request.digest, files=(), metrics={}, details=details)


def promote(registry, store, model, champion=None):
    return registry.promote("toy", export_of(model), report_on(model, champion), store, {"recipe": "r"})


def number(registry, alias):
    version = registry.version("toy", alias)
    return version and version.number


def test_the_first_model_becomes_the_champion_with_its_lineage(registry, store):
    made = promote(registry, store, "1")
    version = registry.version("toy", CHAMPION)
    assert (made.version, made.replaces, version.number) == ("1", None, "1")
    assert version.tags["corpus"] == "c" * 64
    assert version.tags["rlhf_model"] == "1" * 64
    assert version.tags["recipe"] == "r"
    (described,) = MlflowClient(registry.uri).search_model_versions("name = 'toy'")
    assert described.description == "# card of 1"
    assert (number(registry, CANDIDATE), number(registry, PREVIOUS)) == (None, None)


def test_a_second_model_makes_the_first_previous_and_the_first_can_come_back(registry, store):
    promote(registry, store, "1")
    promote(registry, store, "2", champion=export_of("1").digest)
    assert (number(registry, CHAMPION), number(registry, PREVIOUS)) == ("2", "1")
    assert registry.roll_back("toy").number == "1"
    assert (number(registry, CHAMPION), number(registry, PREVIOUS)) == ("1", "2")
    again = promote(registry, store, "2", champion=export_of("1").digest)
    assert (again.version, number(registry, CHAMPION), number(registry, PREVIOUS)) == ("2", "2", "1")
    promote(registry, store, "3", champion=export_of("2").digest)
    assert {(version.number, version.artifact.digest) for version in registry.live()} == {
        (model, export_of(model).digest)
        for model in ("1", "2", "3")  # what `previous` replaced is kept too
    }


def test_promoting_the_champion_again_changes_nothing(registry, store):
    promote(registry, store, "1")
    assert promote(registry, store, "1").version == "1"
    assert (number(registry, CHAMPION), number(registry, PREVIOUS)) == ("1", None)


def test_the_challenger_is_compared_with_what_it_would_replace(registry, store):
    promote(registry, store, "1")
    promote(registry, store, "2", champion=export_of("1").digest)
    two = Artifact(stage="rlhf", request_digest="x", digest="2" * 64, path="p")
    assert registry.champion("toy", other_than=two).digest == export_of("1").digest
    three = two.model_copy(update={"digest": "3" * 64})
    assert registry.champion("toy", other_than=three).digest == export_of("2").digest
    assert registry.champion("nothing", other_than=two) is None


def test_two_promotions_at_once_have_one_winner(registry, store):
    promote(registry, store, "1")
    first = export_of("1").digest

    def attempt(model):
        try:
            return promote(registry, store, model, champion=first).version
        except Failure as error:
            return error.description

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(attempt, "abcd"))
    won = [outcome for outcome in outcomes if outcome.isdigit()]
    lost = [outcome for outcome in outcomes if not outcome.isdigit()]
    assert (len(won), len(lost)) == (1, 3)
    assert all("Materialize eval_report again" in words for words in lost)
    assert number(registry, CHAMPION) == won[0]
    assert number(registry, PREVIOUS) == "1"


def test_there_is_nothing_to_go_back_to(registry, store):
    promote(registry, store, "1")
    with pytest.raises(BadRequest, match="no version under the alias 'previous'"):
        registry.roll_back("toy")


def test_a_registry_that_is_down_is_asked_again_and_then_named(tmp_path, store, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    waits = []
    monkeypatch.setattr("korean_llm_assets.serving.registry.time.sleep", waits.append)
    registry = Registry("http://127.0.0.1:9", locks=Path(tmp_path), retry_seconds=(1, 5))
    with pytest.raises(Failure, match=r"127\.0\.0\.1:9.*exported model is kept"):
        promote(registry, store, "1")
    assert waits == [1, 5]
    with pytest.raises(ServiceMissing):
        registry.version("toy", CHAMPION)
