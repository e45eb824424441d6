"""The trained reward model that scores another model's answers: an input that is resolved when the request is built."""

from dagster import AssetKey, DagsterInstance, Failure

from korean_llm_assets.partitions.keys import cell_key
from korean_llm_assets.partitions.pointers import latest
from korean_llm_assets.partitions.recipes import model_recipes
from korean_llm_assets.partitions.requests import as_input
from trainers.contract import STAGES, Input
from trainers.contract.recipe import RlhfSection

REWARD_MODEL = "reward_model"


def reward_model_inputs(instance: DagsterInstance, model: str, release: str) -> tuple[Input, ...]:
    """The reward model that the recipe's `rlhf.sampling.reward_model` names, of the same release; none where unset.

    Raises:
        Failure: there is no such recipe, it trains no reward model, or it has not been made for this release.
    """
    sampling = model_recipes()[model].section(RlhfSection).sampling
    name = sampling.reward_model if sampling else None
    if name is None:
        return ()
    key = "rlhf.sampling.reward_model"
    sections = {other: recipe.section(RlhfSection) for other, recipe in sorted(model_recipes().items())}
    trained = [other for other, section in sections.items() if section.algorithm == REWARD_MODEL]
    if name not in trained:
        raise Failure(
            f"recipe {model!r}: {key} names {name!r}, which trains no reward model (algorithm: reward_model); "
            f"these do: {', '.join(trained) or 'none'}",
            allow_retries=False,
        )
    artifact = latest(instance, AssetKey(STAGES["rlhf"].asset), cell_key(name, release))
    if artifact is None:
        raise Failure(
            f"recipe {model!r}: {key} names {name!r}, whose rlhf_model is not made for release {release!r}; "
            "materialize it first",
            allow_retries=False,
        )
    return (as_input(artifact, REWARD_MODEL),)
