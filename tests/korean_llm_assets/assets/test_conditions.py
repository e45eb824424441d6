"""What each tick of the conditions asks for: after drops, edits, failures, cancellations; with a stored cursor."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import AssetCheckKey, AssetKey

from korean_llm_assets.assets.ledger import Ledger
from korean_llm_assets.assets.proposals import agree, offered, proposals, proposed_releases
from korean_llm_assets.assets.states import Board
from tests.support.unattended import Unattended, unattended
from trainers.contract import STAGES
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.recipe.loading import PACKAGED

CHAIN = frozenset({"cpt_checkpoint", "sft_model", "rlhf_model", "eval_report", "deployed_model"})
CELL = "tiny|r1"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own recipes; `tiny` and `tiny-wide` are made by themselves, `qwen2.5-7b` asks."""
    monkeypatch.setenv("KOREAN_LLM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KOREAN_LLM_RECIPES", str(tmp_path))
    for model, automation in (("tiny", "auto"), ("tiny-wide", "off"), ("qwen2.5-7b", "ask")):
        edit(tmp_path, model, automation=automation)
    return tmp_path


@pytest.fixture
def alone(folder: Path) -> Iterator[Unattended]:
    with unattended(folder / "state") as platform:
        yield platform


def edit(folder: Path, model: str, **changes: Any) -> None:
    """Change a recipe: tiny's text, with changes by section."""
    path = folder / f"{model}.yaml"
    page = yaml.safe_load((path if path.exists() else PACKAGED / "tiny.yaml").read_text())
    for section, values in changes.items():
        page[section] = {**page[section], **values} if isinstance(values, dict) else values
    path.write_text(yaml.safe_dump({**page, "model": model}))
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))


def test_new_data_is_made_into_a_deployed_model_and_then_there_is_rest(alone: Unattended) -> None:
    assert alone.tick() == {"tiny": frozenset({"base_model"})}, "nothing is needed for it"
    alone.drop("r1")
    assert alone.tick() == {"tiny": frozenset({"base_model"})}, "its cells wait for it"
    alone.make("tiny", ["base_model"])
    assert alone.settle() == [{CELL: CHAIN}]
    alone.drop("r2")
    assert alone.settle() == [{"tiny|r2": CHAIN}]
    assert alone.registry.versions["tiny"][-1].tags["release"] == "r2"


@pytest.mark.parametrize("asset", sorted(CHAIN - {"deployed_model"}))
def test_making_one_cell_again_is_reuse_and_asks_for_nothing(alone: Unattended, asset: str) -> None:
    alone.drop("r1")
    alone.settle()
    made = list(alone.compute.ran)
    assert alone.make(CELL, [asset])
    assert alone.settle() == [] and alone.compute.ran == made


def test_a_changed_recipe_asks_for_the_newest_release_of_that_model_and_offers_the_older_ones(
    alone: Unattended, folder: Path
) -> None:
    edit(folder, "tiny-wide", automation="auto")
    for release in ("r1", "r2", "r3"):
        alone.drop(release, text=release)
    alone.settle()
    edit(folder, "tiny-wide", sft={"learning_rate": 7.7e-4})
    assert alone.settle() == [{"tiny-wide|r3": CHAIN - {"cpt_checkpoint"}}]
    ledger = Ledger.of(alone.instance)
    assert offered(ledger, "tiny-wide") == {"r1": ["sft_model"], "r2": ["sft_model"]} and offered(ledger, "tiny") == {}
    edit(folder, "tiny", base_model={"vocabulary": 3000})
    assert alone.settle() == [{"tiny": frozenset({"base_model"})}, {"tiny|r3": CHAIN}]
    assert not any(partition == "tiny|r1" for _, partition in alone.compute.ran[-5:])


def test_a_model_that_comes_later_begins_with_the_newest_release(alone: Unattended, folder: Path) -> None:
    for release in ("r1", "r2"):
        alone.drop(release, text=release)
    alone.settle()
    edit(folder, "tiny-wide", automation="auto")
    assert alone.settle() == [{"tiny-wide": frozenset({"base_model"})}, {"tiny-wide|r2": CHAIN}]
    assert list(offered(Ledger.of(alone.instance), "tiny-wide")) == ["r1"]
    alone.drop("r1", text="new")
    assert alone.settle() == [{"tiny-wide|r1": CHAIN - {"deployed_model"}, CELL: CHAIN - {"deployed_model"}}]


def test_late_files_of_an_older_release_train_it_and_leave_the_newer_champion(alone: Unattended) -> None:
    for release in ("r1", "r2"):
        alone.drop(release, text=release)
        alone.settle()
    alone.drop("r1", text="corrected")
    assert alone.settle() == [{CELL: CHAIN - {"deployed_model"}}]
    assert not alone.make(CELL, ["deployed_model"]), "an older release replaces a newer one only where approved"
    assert alone.registry.versions["tiny"][-1].tags["release"] == "r2"


def test_a_failed_gate_stops_its_own_cell_and_a_later_pass_frees_only_that(alone: Unattended, folder: Path) -> None:
    edit(folder, "tiny-wide", automation="auto")
    alone.compute.below |= {("tiny-wide", "r1")}
    alone.drop("r1")
    alone.settle()
    assert [name for name, versions in alone.registry.versions.items() if versions] == ["tiny"]
    keys = [AssetCheckKey(AssetKey("eval_report"), name) for name in ("gate", "loops", "rlhf_preference")]
    records = alone.instance.event_log_storage.get_asset_check_partition_info(keys)
    statuses = {(info.check_key.name, info.partition_key): info.latest_execution_status.value for info in records}
    assert statuses["gate", "tiny|r1"] == statuses["loops", "tiny|r1"] == "SUCCEEDED"
    assert statuses["gate", "tiny-wide|r1"] == statuses["loops", "tiny-wide|r1"] == "FAILED"
    assert statuses["rlhf_preference", "tiny|r1"] == "PLANNED", "what no recipe asks for is neither green nor red"
    alone.compute.below.clear()
    edit(folder, "tiny-wide", rlhf={"beta": 0.2})
    assert alone.settle() == [{"tiny-wide|r1": frozenset({"rlhf_model", "eval_report", "deployed_model"})}]
    assert alone.registry.versions["tiny-wide"]


def test_what_failed_is_not_repeated_until_its_recipe_or_its_data_change(alone: Unattended, folder: Path) -> None:
    alone.compute.failing |= {("sft_model", CELL)}
    alone.drop("r1")
    alone.settle()
    alone.compute.failing.clear()
    assert alone.tick() == {}
    alone.make("r1", ["corpus"])
    assert alone.tick() == {}, "reuse is no news"
    edit(folder, "tiny", rlhf={"beta": 0.2})
    assert alone.tick() == {}, "the failed step does not read that"
    edit(folder, "tiny", sft={"learning_rate": 7.7e-4})
    assert alone.settle() == [{CELL: CHAIN - {"cpt_checkpoint"}}]


def test_what_a_person_cancelled_is_not_started_again(alone: Unattended) -> None:
    alone.drop("r1")
    alone.make("tiny", ["base_model"])
    requests = alone.tick()
    run = alone.wait(CELL, requests[CELL])
    assert alone.tick() == {}, "it waits in line"
    alone.cancel(run)
    assert alone.tick() == {}
    alone.drop("r1", text="new")
    assert alone.settle() == [{CELL: CHAIN}]


def test_data_that_were_made_while_a_run_waited_do_not_bring_it_back_when_it_is_cancelled(alone: Unattended) -> None:
    """It would have read them, as the person who cancelled it could know."""
    alone.drop("r1")
    alone.make("tiny", ["base_model"])
    run = alone.wait(CELL, alone.tick()[CELL])
    alone.make("r1", ["instructions"])
    alone.cancel(run)
    assert alone.tick() == {}
    alone.drop("r1", text="new")
    assert alone.settle() == [{CELL: CHAIN}], "what is made after it counts"


def test_what_was_skipped_is_not_made_from_the_half_that_its_run_had_made(alone: Unattended, folder: Path) -> None:
    alone.drop("r1")
    alone.settle()
    alone.compute.failing = {("sft_model", CELL)}
    edit(folder, "tiny", cpt={"epochs": 2})
    assert alone.settle() == [{CELL: CHAIN}]
    assert [place for place in alone.compute.ran if place[0] == "eval_report"] == [("eval_report", CELL)]


def test_a_changed_recipe_of_the_data_makes_the_newest_release_again(alone: Unattended, folder: Path) -> None:
    for release in ("r1", "r2"):
        alone.drop(release, text=release)
    alone.settle()
    (folder / "corpus.yaml").write_text("corpus: {mask_addresses: true}")
    assert alone.settle() == [{"r2": frozenset({"corpus"})}, {"tiny|r2": CHAIN}]


def test_a_model_that_asks_waits_for_a_person_and_tells_it_once_for_all_releases(alone: Unattended) -> None:
    for release in ("r1", "r2", "r3"):
        alone.drop(release, text=release)
    alone.make("tiny", ["base_model"])
    assert not any(partition.startswith("qwen2.5-7b") for partition in alone.tick())
    ledger = Ledger.of(alone.instance)
    assert proposed_releases(ledger) == {"qwen2.5-7b": ["r1", "r2", "r3"]}
    board = Board(ledger, ArtifactStore(Path("/nowhere")), proposed_releases(ledger))
    why = board.state(STAGES["base_model"], "qwen2.5-7b").why
    assert why == "waits for approval: `start --model qwen2.5-7b --release r3`", "its cells wait, and so does it"
    (alert,) = proposals(alone.instance, ledger)
    assert "start --model qwen2.5-7b --release r3" in alert.english and "외 2건" in alert.korean
    agree(alone.instance, "qwen2.5-7b", "r2")
    starts = [each for each in alone.settle() for each in each.items() if each[0].startswith("qwen2.5-7b")]
    assert starts == [("qwen2.5-7b", frozenset({"base_model"})), ("qwen2.5-7b|r2", CHAIN)]
    assert proposed_releases(Ledger.of(alone.instance)) == {"qwen2.5-7b": ["r3"]}


def test_one_recipe_that_cannot_be_used_stops_its_own_model_with_words(alone: Unattended, folder: Path) -> None:
    edit(folder, "tiny-wide", automation="auto", sft={"learning_rat": 1})
    alone.drop("r1")
    assert alone.settle() == [{"tiny": frozenset({"base_model"})}, {CELL: CHAIN}]
    assert "learning_rat" in Ledger.of(alone.instance).recipes.problems["tiny-wide"]
    assert not alone.make("tiny-wide", ["base_model"])


def test_the_stored_cursor_does_not_grow_with_the_releases(alone: Unattended) -> None:
    sizes = []
    for number in range(6):
        alone.drop(f"2026-{number:02}", text=f"{number}")
        alone.settle()
        sizes.append(len(str(alone.cursor)))
    assert sizes[-1] - sizes[1] < 100, sizes
