"""Log-probabilities: the same as the plain way, whatever the batch; cheap where requests share their input."""

import random
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from trainers.contract import BadRequest
from trainers.evaluation.likelihood import Continuation, Scorer, batches
from trainers.evaluation.logits import logits_of


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


_SHAPE = {
    **dict.fromkeys(("hidden_size", "head_dim"), 32),
    **dict.fromkeys(("num_hidden_layers", "num_attention_heads"), 2),
    **{"vocab_size": 320, "num_key_value_heads": 1, "intermediate_size": 64, "max_position_embeddings": 256},
    **{"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2},
}
_GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 256}
FAMILIES: dict[str, tuple[dict[str, Any], bool]] = {
    "llama": ({}, True),
    "mistral": ({"sliding_window": 16}, True),
    "qwen2": ({"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1}, True),
    "gemma2": ({"sliding_window": 16, "final_logit_softcapping": 2.0}, True),
    "gemma3_text": ({"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]}, True),
    "exaone4": ({"sliding_window": 16, "sliding_window_pattern": 2}, True),
    "phi3": ({"sliding_window": 16}, True),
    "granite": ({"logits_scaling": 8.0}, True),
    "cohere2": ({"sliding_window": 16, "logit_scale": 0.25}, True),
    "gpt_oss": ({"sliding_window": 16, "num_local_experts": 4}, True),
    "gpt_neox": ({}, True),
    "gpt2": (_GPT2, True),
    "opt": ({"ffn_dim": 64, "word_embed_proj_dim": 32}, True),
    "bloom": (_GPT2, False),  # a token's place is its index
    "lfm2": ({"layer_types": ["conv", "full_attention"]}, False),  # a state is handed on from token to token
    "falcon_h1": (
        {"mamba_d_ssm": 64, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 16, "mamba_chunk_size": 8},
        False,
    ),
}
"""Model type -> what is its own, and whether continuations can share their start; windows of 16 tokens."""


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_scored_as_its_own_forward_pass_and_its_own_loss_say(family):
    own, shares = FAMILIES[family]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **{**_SHAPE, **own})).eval()
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.data.normal_(0, 0.3)  # logits large enough for a cap or a scale to show
    scorer = Scorer(model, max_length=128, batch_tokens=500)
    requests = items(8, 3)
    assert any(len(request.context) > 20 for item in requests for request in item), "longer than a window"
    close(model, scorer.score(requests), requests)
    fed = sum(len(request.context + request.tokens) - 1 for item in requests for request in item)
    assert (scorer.tokens < fed) is shares

    ids = torch.tensor([requests[0][0].context + requests[0][0].tokens])
    (whole,) = scorer.score([[Continuation((int(ids[0, 0]),), tuple(ids[0, 1:].tolist()))]])[0]
    assert whole == pytest.approx(-float(model(ids, labels=ids).loss.detach()) * (ids.shape[1] - 1), abs=1e-3)


def test_a_model_that_goes_round_its_decoder_is_refused():
    class Roundabout(torch.nn.Linear):
        def get_decoder(self):
            return torch.nn.Identity()

        def forward(self, input_ids, use_cache):
            return SimpleNamespace(logits=torch.zeros(1, input_ids.shape[1], 320))

    with pytest.raises(BadRequest, match="Roundabout cannot be scored: it makes logits without its Identity"):
        logits_of(Roundabout(1, 1), SimpleNamespace(last_hidden_state=torch.zeros(1, 3, 32)), torch.tensor([0]))


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
