"""A step's rows: as many as the request says, whatever number of processes it meets."""

import pytest

from trainers.contract import BadRequest
from trainers.contract.recipe import CptSection, SftSection
from trainers.contract.recipe.loading import section_dict
from trainers.training.steps import Batching, batching_of, readers, row_multiple, step_rows

FULL = {"method": "full", "learning_rate": 1e-4}
SHARING = {"shard_weights": True, "layout": "rows", "context_parallel": 2}


def test_batching_says_its_rows():
    assert Batching(4, 2).rows == 8


@pytest.mark.parametrize(
    ("here", "each"), ((1, Batching(6, 8)), (2, Batching(6, 4)), (4, Batching(6, 2)), (8, Batching(6, 1)))
)
def test_a_step_is_the_one_that_was_asked_for_on_fewer_gpus_and_on_more(monkeypatch, here, each):
    """A recipe for four GPUs: the same request, and so the same model, wherever it is made."""
    recipe = CptSection(**FULL, batch_size=6, accumulation=2, needs={"gpus": 4})
    section = CptSection.model_validate(section_dict(recipe))
    monkeypatch.setenv("WORLD_SIZE", str(here))
    assert step_rows(section) == 48 and batching_of(section) == each
    monkeypatch.delenv("WORLD_SIZE")
    assert batching_of(section, here) == each, "reckoned elsewhere"


def test_where_no_more_micro_batches_are_left_they_are_smaller(monkeypatch):
    section = CptSection(**FULL, batch_size=6, processes=4)
    monkeypatch.setenv("WORLD_SIZE", "12")
    assert batching_of(section) == Batching(2, 1)
    monkeypatch.setenv("WORLD_SIZE", "5")
    with pytest.raises(BadRequest, match="a step has 24 rows .* cannot be divided among 5"):
        batching_of(section)


def test_those_who_share_rows_count_as_one(monkeypatch):
    section = CptSection(**FULL, **SHARING, batch_size=3)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert (readers(section), step_rows(section), row_multiple(section)) == (2, 6, 4)
    assert row_multiple(CptSection(**FULL)) == 1
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(BadRequest, match="context_parallel: 2 .* which 3 cannot be divided into"):
        readers(section)


@pytest.mark.parametrize(
    ("changes", "message"),
    (
        ({"shard_weights": False}, "needs shard_weights"),
        ({"layout": "packed"}, "needs a document to a row"),
        ({"attention": "flex_attention"}, "does not go with attention: flex_attention"),
        ({"liger": True}, "does not go with liger"),
        ({"needs": {"gpus": 3}}, "must divide the number of GPUs"),
    ),
)
def test_rows_that_cannot_be_shared_are_refused(changes, message):
    with pytest.raises(ValueError, match=f"context_parallel: 2 {message}"):
        CptSection(**{**FULL, **SHARING, **changes})


def test_what_reckons_with_whole_conversations_does_not_share_them():
    sharing = {**FULL, **SHARING, "layout": "buckets"}
    for key, value in (("replay", {}), ("neftune_alpha", 5.0)):
        with pytest.raises(ValueError, match=f"does not go with {key}"):
            SftSection(**sharing, **{key: value})
