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


def items(count: int, branches: int) -> list[list[Continuation]]:
    """Continuations that share a context and the start of what follows."""
    source = random.Random(7)

    def tokens(least: int, most: int) -> tuple[int, ...]:
        return tuple(source.randrange(300) for _ in range(source.randint(least, most)))

    requests = []
    for _ in range(count):
        context, start = tokens(1, 40), tokens(0, 3)
        requests.append([Continuation(context, start + tokens(1, 6)) for _ in range(branches)])
    return requests


def close(model, scores, requests):
    for got, item in zip(scores, requests, strict=True):
        assert got == pytest.approx([plain(model, request) for request in item], abs=1e-3)


@pytest.mark.parametrize("budget", [64, 500, 100_000])
@pytest.mark.parametrize("branches", [1, 4])
def test_batched_and_shared_scores_are_the_plain_ones(model, budget, branches):
    requests = items(20, branches)
    close(model, Scorer(model, max_length=128, batch_tokens=budget).score(requests), requests)


def test_a_choice_that_begins_another_is_scored_as_itself(model):
    requests = [[Continuation((5, 6), (7, 8)), Continuation((5, 6), (7, 8, 9)), Continuation((5, 6), (7,))]]
    close(model, Scorer(model, 128, 1000).score(requests), requests)


def test_contexts_that_differ_are_scored_as_themselves(model):
    requests = [[Continuation((5, 6), (7, 8)), Continuation((4, 6, 1), (7, 8, 9))]]
    close(model, Scorer(model, 128, 1000).score(requests), requests)


def test_small_slices_of_logits_change_nothing(model, monkeypatch):
    requests = items(10, 3)
    whole = Scorer(model, 128, 500).score(requests)
    monkeypatch.setattr("trainers.evaluation.likelihood._LOGIT_BYTES", 4 * 400 * 3)
    for ours, theirs in zip(Scorer(model, 128, 500).score(requests), whole, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)


def test_choices_share_the_pass_over_their_question(model):
    scorer = Scorer(model, 128, 1000)
    scorer.score([[Continuation((5, 6, 7), (token,)) for token in range(20)]])
    assert scorer.tokens == 3
    scorer.score([[Continuation(tuple(range(50)), (token, token, 3)) for token in range(60, 64)]])
    assert scorer.tokens == 3 + 50 + 4 * 2


def test_a_long_context_loses_its_left_and_is_counted(model):
    long = [Continuation(tuple(range(100)), (1, 2)), Continuation((3,), (4,))]
    scorer = Scorer(model, 16, 1000)
    close(model, scorer.score([long]), [[Continuation(tuple(range(85, 100)), (1, 2)), long[1]]])
    assert scorer.truncated == 1
    endless = Continuation((1,), tuple(range(100)))
    close(model, scorer.score([[endless]]), [[Continuation((83,), tuple(range(84, 100)))]])


def test_batches_keep_the_budget_hold_everything_once_and_waste_little():
    source = random.Random(1)
    lengths = [source.randint(1, 90) for _ in range(500)] + [4000]
    groups = batches(lengths, 1000)
    assert sorted(index for group in groups for index in group) == list(range(501))
    assert groups[0] == [500]
    padded = sum(len(group) * max(lengths[i] for i in group) for group in groups[1:])
    assert all(len(group) * max(lengths[i] for i in group) <= 1000 for group in groups[1:])
    assert padded / sum(lengths[:500]) < 1.06


def test_a_model_in_pieces_scores_the_same(model, model_folder, tmp_path):
    """Some layers lie elsewhere and are brought by accelerate's hooks, as where a model is spread over GPUs."""
    places = {name: "cpu" for name, _ in model.named_modules() if name and not name.startswith("model.layers")}
    places.pop("model")
    places |= {f"model.layers.{number}": "disk" for number in range(model.config.num_hidden_layers)}
    apart = AutoModelForCausalLM.from_pretrained(model_folder, device_map=places, offload_folder=tmp_path).eval()
    requests = items(6, 3) + items(6, 1)
    close(model, Scorer(apart, max_length=128, batch_tokens=500).score(requests), requests)
