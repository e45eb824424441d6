"""A release that goes on from the one before it: which checkpoint becomes an input, and that nothing turns stale."""

import shutil
from pathlib import Path

import pytest
import yaml
from dagster import AssetKey

from korean_llm_assets.partitions.keys import cell_key
from korean_llm_assets.partitions.pointers import latest
from korean_llm_assets.partitions.takedown_list import remember_holders
from tests.korean_llm_assets.assets.test_assets import why
from tests.korean_llm_assets.conftest import PlatformUnderTest, define, drop
from trainers.contract import Manifest
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.recipe.loading import recipe_folders

pytestmark = pytest.mark.slow
CPT = AssetKey("cpt_checkpoint")


@pytest.fixture
def platform(platform: PlatformUnderTest, monkeypatch: pytest.MonkeyPatch) -> PlatformUnderTest:
    """Two releases with a corpus each, a base model, and a recipe that goes on."""
    configure(platform, monkeypatch, {})
    for release in ("r1", "r2"):
        drop(platform.home.landing, release, {"corpus": release, "benchmarks": "문제"})
        platform.instance.add_dynamic_partitions("release", [release])
        selection = [AssetKey("benchmarks"), AssetKey("corpus")]
        assert platform.run("data", release, asset_selection=selection).success
    assert platform.run("base", "tiny").success
    return platform


def configure(platform: PlatformUnderTest, monkeypatch: pytest.MonkeyPatch, cpt: dict[str, object]) -> None:
    own = platform.home.root / "recipes"
    own.mkdir(exist_ok=True)
    recipe = yaml.safe_load((recipe_folders()[0] / "tiny.yaml").read_text())
    recipe["cpt"] |= {"start_from": "previous_release", "replay_share": 0.05, **cpt}
    (own / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    monkeypatch.setenv("KOREAN_LLM_RECIPES", str(own))
    platform.definitions = define(anew=monkeypatch)


def made(platform: PlatformUnderTest, release: str) -> Manifest:
    """Make a release's checkpoint, or find it."""
    cell = cell_key("tiny", release)
    done = platform.run("training", cell, asset_selection=[CPT])
    assert done.success, why(done)
    pointer = latest(platform.instance, CPT, cell)
    assert pointer is not None
    return ArtifactStore(platform.home.artifacts).manifest(pointer)


def began(manifest: Manifest) -> dict[str, str]:
    return {item.name: item.digest for item in manifest.request.inputs if item.name.startswith("previous_")}


def test_a_release_goes_on_from_the_newest_earlier_checkpoint_and_stays_what_it_is(
    platform: PlatformUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = made(platform, "r2")
    assert began(second) == {}  # there is no earlier checkpoint: from the base
    first = made(platform, "r1")
    assert made(platform, "r2").request == second.request  # made already: it keeps what it began from

    configure(platform, monkeypatch, {"learning_rate": 2e-3})
    second = made(platform, "r2")
    corpus = first.request.input("corpus").digest
    assert began(second) == {"previous_checkpoint": first.digest, "previous_corpus": corpus}
    newer = made(platform, "r1")
    assert newer.digest != first.digest and began(newer) == {}
    assert made(platform, "r2").request == second.request  # and a new checkpoint before it changes nothing

    shutil.rmtree(Path(platform.home.artifacts) / newer.request.relative_path)
    configure(platform, monkeypatch, {"learning_rate": 1e-3})
    gone = platform.run("training", cell_key("tiny", "r2"), asset_selection=[CPT])
    assert not gone.success and "the checkpoint of release 'r1' is not in" in why(gone)


def test_no_release_goes_on_from_a_checkpoint_that_holds_what_was_taken_down_nor_is_trained_on_such_data(
    platform: PlatformUnderTest,
) -> None:
    first = made(platform, "r1")
    remember_holders([first.digest])
    assert began(made(platform, "r2")) == {}, "from the base, though an earlier release has a checkpoint"
    corpus = latest(platform.instance, AssetKey("corpus"), "r1")
    assert corpus is not None
    remember_holders([corpus.digest])
    refused = platform.run("training", cell_key("tiny", "r1"), asset_selection=[CPT])
    assert not refused.success and "holds documents that were taken down" in why(refused)
