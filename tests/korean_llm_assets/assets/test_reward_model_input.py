"""Which artifact judges: the reward model that the recipe names, of the same release; anything else is refused."""

import pytest
from dagster import AssetMaterialization, DagsterInstance, Failure

from korean_llm_assets.assets import reward_model_input as judges
from korean_llm_assets.partitions.keys import cell_key
from korean_llm_assets.partitions.pointers import ARTIFACT
from korean_llm_assets.partitions.recipes import model_recipes
from trainers.contract import Artifact
from trainers.contract.recipe import RlhfSection


def configure(monkeypatch: pytest.MonkeyPatch, judge: str) -> None:
    sampling = {"reward_model": judge, "generations": 4}
    own = RlhfSection(learning_rate=1e-4, method="full", algorithm="grpo", sampling=sampling)  # type: ignore[arg-type]
    trains = RlhfSection(learning_rate=1e-4, method="full", algorithm="reward_model")
    tiny = model_recipes()["tiny"]
    recipes = {"own": tiny.model_copy(update={"rlhf": own}), "judge": tiny.model_copy(update={"rlhf": trains})}
    monkeypatch.setattr(judges, "model_recipes", lambda: {**recipes, "tiny": tiny})


def test_the_newest_reward_model_of_the_release_is_an_input(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, "judge")
    with DagsterInstance.ephemeral() as instance:
        assert judges.reward_model_inputs(instance, "tiny", "r1") == ()
        with pytest.raises(Failure, match="not made for release 'r1'"):
            judges.reward_model_inputs(instance, "own", "r1")
        for digest in ("old", "new"):
            made = Artifact(
                stage="rlhf", model="judge", release="r1", request_digest=digest, digest=digest, path=f"a/{digest}"
            )
            event = AssetMaterialization(
                "rlhf_model", partition=cell_key("judge", "r1"), metadata={ARTIFACT: made.to_json()}
            )
            instance.report_runless_asset_event(event)
        (reward_model,) = judges.reward_model_inputs(instance, "own", "r1")
        assert (reward_model.name, reward_model.digest, reward_model.path) == ("reward_model", "new", "a/new")


@pytest.mark.parametrize("judge", ("tiny", "nobody"))
def test_a_recipe_that_trains_no_reward_model_is_refused(monkeypatch: pytest.MonkeyPatch, judge: str) -> None:
    configure(monkeypatch, judge)
    with (
        DagsterInstance.ephemeral() as instance,
        pytest.raises(Failure, match="trains no reward model.*these do: judge"),
    ):
        judges.reward_model_inputs(instance, "own", "r1")
