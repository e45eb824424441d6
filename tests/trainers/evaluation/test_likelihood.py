"""Log-probabilities: the same as the plain way, whatever the batch; cheap where requests share their input."""

import random

import pytest
import torch
from transformers import AutoModelForCausalLM

from trainers.evaluation.likelihood import Continuation, Scorer, batches


@pytest.fixture(scope="module")
def model(model_folder):
    return AutoModelForCausalLM.from_pretrained(model_folder).eval()


def plain(model, request: Continuation) -> float:
    """One sequence at a time, all logits."""
    ids = torch.tensor([request.context + request.tokens])
    with torch.inference_mode():
        logs = model(ids).logits.log_softmax(-1)[0]
    start = len(request.context)
    return sum(float(logs[start + i - 1, token]) for i, token in enumerate(request.tokens))


def requests(count: int) -> list[Continuation]:
    source = random.Random(7)

    def tokens(most: int) -> tuple[int, ...]:
        return tuple(source.randrange(300) for _ in range(source.randint(1, most)))

    return [Continuation(tokens(40), tokens(9)) for _ in range(count)]


@pytest.mark.parametrize("budget", [64, 500, 100_000])
def test_batched_scores_are_the_plain_ones(model, budget):
    asked = requests(30)
    scores = Scorer(model, max_length=128, batch_tokens=budget).score(asked)
    assert scores == pytest.approx([plain(model, request) for request in asked], abs=1e-3)


def test_small_slices_of_logits_change_nothing(model, monkeypatch):
    asked = requests(10)
    whole = Scorer(model, 128, 500).score(asked)
    monkeypatch.setattr("trainers.evaluation.likelihood._LOGIT_BYTES", 4 * 400 * 3)
    assert Scorer(model, 128, 500).score(asked) == pytest.approx(whole, abs=1e-5)


def test_choices_of_one_token_share_a_pass(model):
    asked = [Continuation((5, 6, 7), (token,)) for token in range(20)]
    scorer = Scorer(model, 128, 1000)
    assert scorer.score(asked) == pytest.approx([plain(model, request) for request in asked], abs=1e-3)
    assert scorer.tokens == 3


def test_a_long_context_loses_its_left_and_is_counted(model):
    long = Continuation(tuple(range(100)), (1, 2))
    scorer = Scorer(model, 16, 1000)
    assert scorer.score([long]) == pytest.approx([plain(model, Continuation(tuple(range(85, 100)), (1, 2)))], abs=1e-3)
    assert scorer.truncated == 1


def test_batches_keep_the_budget_hold_everything_once_and_waste_little():
    source = random.Random(1)
    lengths = [source.randint(1, 90) for _ in range(500)] + [4000]
    groups = batches(lengths, 1000)
    assert sorted(index for group in groups for index in group) == list(range(501))
    assert groups[0] == [500]
    padded = sum(len(group) * max(lengths[i] for i in group) for group in groups[1:])
    assert all(len(group) * max(lengths[i] for i in group) <= 1000 for group in groups[1:])
    assert padded / sum(lengths[:500]) < 1.06
