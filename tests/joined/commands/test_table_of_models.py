"""`status`, `explain`, `compare` and `trace` on small stages: what a person reads, and the same as JSON."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
import zstandard
from dagster import DagsterInstance

from korean_llm_assets.__main__ import main
from korean_llm_assets.commands.serve import versions_of
from korean_llm_assets.compute.local import LocalCompute
from korean_llm_assets.compute.overrides import Overrides, Step
from korean_llm_assets.compute.pool import LocalPool
from korean_llm_assets.home import Home
from korean_llm_assets.partitions.keys import cell_key
from korean_llm_assets.partitions.recipes import recipes
from korean_llm_assets.resources import Platform
from tests.korean_llm_assets.conftest import WHOLE, PlatformUnderTest, define, drop
from tests.support import small_stages
from trainers.contract import BadRequest, Manifest, StageRequest
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.recipe.loading import recipe_folders
from trainers.runner.stage import run_stage

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class InThisProcess(LocalCompute):
    """The small stages without a process each: what they leave is real; how they are launched is tested elsewhere."""

    def run(self, step: Step, request: StageRequest, launch: Overrides) -> Manifest:
        return run_stage(request, self.store, self.landing)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """tiny on r1 and, without a deployment, because its gate failed and its figure fell, on r2; r3 only landed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KOREAN_LLM_HOME", str(tmp_path_factory.mktemp("table") / "var"))
        patch.setenv("KOREAN_LLM_MODELS", "tiny")
        home = Home.from_environment()
        for name, value in home.environment().items():
            patch.setenv(name, value)
        home.prepare()
        patch.setattr("trainers.runner.stage._stage_function", lambda name: small_stages.run)
        patch.setattr("trainers.runner.tracking._tracking_is_on", lambda: False)
        pool = LocalPool.of_this_machine(home.root / "pool")
        compute = InThisProcess(ArtifactStore(home.artifacts), home.landing, pool)
        with DagsterInstance.get() as instance:
            platform = PlatformUnderTest(home, instance, define(compute=compute))
            for release, figure, gate in (("r1", "0.5", "pass"), ("r2", "0.3", "fail")):
                drop(home.landing, release, {**WHOLE, "corpus": f"글 {release}"})
                instance.add_dynamic_partitions("release", [release])
                patch.setenv("SMALL_STAGES_FIGURE", figure)
                patch.setenv("SMALL_STAGES_GATE", gate)
                for job, partition in (("data", release), ("base", "tiny"), ("training", cell_key("tiny", release))):
                    platform.run(job, partition)
            drop(home.landing, "r3", WHOLE)
            instance.add_dynamic_partitions("release", ["r3"])
        yield home
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture
def made(state: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """That state as this test's environment."""
    for name, value in {**state.environment(), "KOREAN_LLM_MODELS": "tiny"}.items():
        monkeypatch.setenv(name, value)
    return state


def output(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(list(arguments)) == code
    captured = capsys.readouterr()
    return captured.out + captured.err


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(output(capsys, *arguments, "--json"))


def test_status_is_a_table_of_model_and_release(made: Home, capsys: pytest.CaptureFixture[str]) -> None:
    lines = output(capsys, "status").splitlines()
    (head,) = [line for line in lines if line.startswith("model") and "rlhf" in line]
    assert head.split()[:7] == ["model", "release", "cpt", "sft", "rlhf", "evaluate", "export"]
    by_release = {line.split()[1]: line for line in lines if line.startswith("tiny ")}
    assert by_release["r1"].count("made") == 5 and "gate: 5 of 5 conditions hold" in by_release["r1"]
    assert "export: the gate failed: sft_over_cpt" in by_release["r2"]
    assert "cpt: waits for corpus" in by_release["r3"] and "made" not in by_release["r3"]
    assert "US dollars" in head


def test_status_as_json_says_the_same(made: Home, capsys: pytest.CaptureFixture[str]) -> None:
    answer = as_json(capsys, "status")
    states = {(row["asset"], row["model"], row["release"]): row for row in answer["states"]}
    assert states["eval_report", "tiny", "r1"]["state"] == "made" and states["corpus", None, "r3"]["since"] is None
    assert states["cpt_checkpoint", "tiny", "r1"]["figure"] == "loss 3.000 -> 2.500 in 2 steps"
    assert len(answer["runs"]) == 6 and isinstance(answer["attention"], list)
    (run, *_) = answer["runs"]
    assert as_json(capsys, "status", run.split()[0])["steps"][0]["seconds"] >= 0


def test_explain_names_the_value_that_changed_and_what_follows(
    made: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "nothing would be made" in output(capsys, "explain", "tiny", "r1")
    text = yaml.safe_load((recipe_folders()[0] / "tiny.yaml").read_text())
    before = text["sft"]["learning_rate"]
    text["sft"]["learning_rate"] = 0.123
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(text))
    monkeypatch.setenv("KOREAN_LLM_RECIPES", str(tmp_path))
    recipes.cache_clear()
    try:
        answer = as_json(capsys, "explain", "tiny", "r1")
        page = output(capsys, "explain", "tiny", "r1")
    finally:
        recipes.cache_clear()
    states = {row["asset"]: (row["state"], row["why"]) for row in answer["stages"]}
    assert states["sft_model"][0] == "outdated" and "changed since: recipe" in states["sft_model"][1]
    assert states["cpt_checkpoint"][0] == "made"
    assert answer["recipe"] == {"sft_model": {"learning_rate": [before, 0.123]}}
    made_again = [row["asset"] for row in answer["would be made"]]
    assert made_again == ["sft_model", "rlhf_model", "eval_report", "deployed_model"]
    assert f"learning_rate: {before} -> 0.123" in page and "the mean of 2 past runs" in page


def test_explain_knows_its_releases_and_models(made: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there are: r1, r2, r3" in output(capsys, "explain", "tiny", "nothing", code=64)
    assert "there is no recipe of a model 'huge'" in output(capsys, "explain", "huge", "r1", code=64)


def test_compare_says_what_became_worse(made: Home, capsys: pytest.CaptureFixture[str]) -> None:
    (figure,) = as_json(capsys, "compare", "tiny", "r1", "r2")["figures"]
    assert (figure["verdict"], figure["before"]["value"], figure["after"]["value"]) == ("WORSE", 0.5, 0.3)
    assert "better" in output(capsys, "compare", "tiny", "r2", "r1")
    page = output(capsys, "compare", "tiny", "r1", "r2")
    assert "0.3000 [0.2500, 0.3500] of 400  -0.2000" in page and "recipe: the same" in page
    assert "too close to tell" in output(capsys, "compare", "tiny", "r1", "r1")
    assert "no report of tiny on r3" in output(capsys, "compare", "tiny", "r1", "r3", code=64)


def test_trace_goes_from_the_model_to_the_drop(made: Home, capsys: pytest.CaptureFixture[str]) -> None:
    lines = output(capsys, "trace", "--model", "tiny", "--release", "r1").splitlines()
    assert lines[0].startswith("deployed_model tiny/r1 (")
    assert any(line.strip().startswith("landed r1/corpus") for line in lines)
    assert any(line.strip().startswith("base_model tiny (") and line.endswith(": built") for line in lines)
    nodes = as_json(capsys, "trace", "--model", "tiny", "--release", "r2")
    assert nodes[0]["what"].startswith("eval_report tiny/r2"), "the last that there is"
    assert "needs --release" in output(capsys, "trace", "--model", "tiny", code=64)


def test_trace_of_a_document_names_origin_and_what_was_made(made: Home, capsys: pytest.CaptureFixture[str]) -> None:
    (corpus,) = (made.artifacts / "corpus" / "r1").glob("*/manifest.json")
    (corpus.parent / "train").mkdir()
    row = {"id": "doc-7", "text": "안녕", "source": "news", "licence": "CC-BY"}
    packed = zstandard.ZstdCompressor().compress(json.dumps(row).encode())
    (corpus.parent / "train" / "0.jsonl.zst").write_bytes(packed)
    page = output(capsys, "trace", "--document", "doc-7")
    assert all(word in page for word in ("doc-7", "news", "CC-BY", "made from it: deployed_model/tiny/r1/"))
    assert "tiny/r2" not in page
    assert as_json(capsys, "trace", "--document", "doc-7")["places"][0]["licence"] == "CC-BY"
    assert "in nothing that is kept here" in output(capsys, "trace", "--document", "nobody", code=1)


def test_tables_and_labels_are_korean_where_that_is_chosen(made: Home, capsys: pytest.CaptureFixture[str]) -> None:
    commands = (["status"], ["explain", "tiny", "r2"], ["compare", "tiny", "r1", "r2"], ["costs"])
    pages = {arguments[0]: output(capsys, *arguments, "--lang", "ko") for arguments in commands}
    heads = {name: next(line for line in page.splitlines() if line) for name, page in pages.items()}
    assert heads["explain"].split() == ["에셋", "상태", "지표", "이유"]
    assert not [head for head in heads.values() if set(head.split()) & {"model", "asset", "suite", "figure", "hours"}]
    assert "완료" in pages["status"] and "나빠짐" in pages["compare"] and "합계" in pages["costs"]
    assert "made" in output(capsys, "status", "--lang", "en"), "chosen for each command"


def test_costs_and_an_estimate_are_told_to_programs_too(made: Home, capsys: pytest.CaptureFixture[str]) -> None:
    *rows, last = as_json(capsys, "costs")
    assert ("tiny", "r1") in {(row["model"], row["release"]) for row in rows} and last["model"] == "in all"
    answer = as_json(capsys, "remake", "--assets", "sft_model", "--models", "tiny", "--releases", "r1,r2")
    assert answer["partitions"] == ["tiny|r1", "tiny|r2"] and answer["backfill"] is None
    assert answer["of each release"][0]["source"] == "the mean of 2 past runs"
    assert as_json(capsys, "clean")["removed"] is False


def test_a_release_that_the_gate_refused_can_be_served_and_one_that_was_never_made_cannot(made: Home) -> None:
    registry = Platform.from_environment().registry
    versions = versions_of("tiny", "tiny", ["r1", "r2"], registry)
    assert [words for words, _ in versions.values()] == ["tiny · version 1 · r1", "tiny · not registered · r2"]
    assert versions["tiny:r2"][1].artifact.path.startswith("rlhf_model/tiny/r2/")
    with pytest.raises(BadRequest, match="there is no 'r3' of 'tiny' to serve"):
        versions_of("tiny", "tiny", ["r3"], registry)
