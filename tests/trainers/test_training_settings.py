"""What a recipe's training keys do, on a model of a few thousand weights, in this process."""

import pytest

from tests.trainers.micro import Micro

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def started(tmp_path_factory) -> Micro:
    micro = Micro(tmp_path_factory.mktemp("settings"))
    micro.here("base_model")
    return micro


@pytest.fixture
def micro(started):
    """Stages that a test makes are its own; those made before it are there."""
    before = dict(started.made)
    yield started
    started.made = before


def test_cpt_goes_on_from_the_previous_release_with_its_tokenizer_and_replay(micro):
    vocabulary = {"tokens": 40, "new_tokens_first": 0.5}
    going_on = {"start_from": "previous_release", "replay_share": 0.2, "vocabulary": vocabulary, "max_steps": 4}
    base = micro.made["base_model"].digest
    first = micro.here("cpt", **going_on)
    assert "continued_from" not in first.details.extra
    assert first.details.lineage == [base]
    assert first.details.extra["new_tokens"] > 0

    micro.made["previous_checkpoint"] = micro.made["cpt_checkpoint"].model_copy(update={"name": "previous_checkpoint"})
    micro.made["previous_corpus"] = micro.made["corpus"].model_copy(update={"name": "previous_corpus"})
    second = micro.here("cpt", **going_on)
    assert second.details.extra["continued_from"] == f"r1 ({first.digest})"
    assert second.details.lineage == [base, first.digest]
    assert second.details.tokenizer_hash == first.details.tokenizer_hash  # expanded once
    assert "new_tokens" not in second.details.extra
    assert second.details.extra["replay_share"] == pytest.approx(0.2, abs=0.03)
    assert second.details.loss[0][1] < first.details.loss[0][1]
