"""Padding-free forward passes: the same logits and gradients where they are read, and hardly a cell without a token."""

import random

import pytest
import torch
from transformers import Qwen3ForCausalLM

from tests.support.small_model import small_config
from trainers.training.alignment.padding_free import PaddingFree, layout

LENGTHS = [23, 7, 41, 18, 30, 9]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return Qwen3ForCausalLM(small_config(vocabulary=50))


@pytest.fixture(scope="module")
def batch():
    torch.manual_seed(2)
    mask = (torch.arange(max(LENGTHS))[None] < torch.tensor(LENGTHS)[:, None]).long()
    return {"input_ids": torch.randint(1, 50, mask.shape) * mask, "attention_mask": mask}


@pytest.fixture(scope="module")
def answers(batch):
    """The last third of each sequence."""
    lengths = torch.tensor(LENGTHS)[:, None]
    return batch["attention_mask"] * (torch.arange(max(LENGTHS))[None] >= lengths * 2 // 3)


def test_logits_and_gradients_are_those_of_the_padded_batch(model, batch, answers):
    read = answers[:, 1:].bool()
    results = {}
    for name, forward in (("padded", model), ("packed", PaddingFree(model, model.lm_head, answers))):
        model.zero_grad()
        logits = forward(**batch, use_cache=False).logits[:, :-1]
        logits[read].log_softmax(-1)[..., 0].sum().backward()
        results[name] = logits.detach()[read], [weight.grad.clone() for weight in model.parameters()]
    torch.testing.assert_close(results["packed"][0], results["padded"][0], atol=1e-5, rtol=1e-5)
    for packed, padded in zip(results["packed"][1], results["padded"][1], strict=True):
        torch.testing.assert_close(packed, padded, atol=1e-4, rtol=1e-4)


def test_the_model_sees_hardly_a_cell_without_a_token_and_its_head_only_what_is_read(model, batch, answers):
    seen, headed = [], []
    hooks = [
        model.register_forward_pre_hook(lambda _, args, named: seen.append(named["input_ids"].shape), with_kwargs=True),
        model.lm_head.register_forward_hook(lambda _, args, logits: headed.append(logits.shape)),
    ]
    with torch.no_grad():
        PaddingFree(model, model.lm_head, answers)(**batch)
        model(**batch)  # as ever afterwards
    for hook in hooks:
        hook.remove()
    (rows, width), tokens = seen[0], sum(LENGTHS)
    assert tokens / batch["input_ids"].numel() < 0.55 and tokens / (rows * width) >= 0.99
    assert headed == [(1, answers[:, 1:].sum(), 50), (*batch["input_ids"].shape, 50)]


def test_every_layout_holds_each_sequence_once_and_is_full():
    source = random.Random(3)
    for _ in range(300):
        lengths = [source.randint(1, 400) for _ in range(source.randint(1, 20))]
        rows = layout(lengths)
        assert sorted(sequence for row in rows for sequence in row) == list(range(len(lengths)))
        width = max(sum(lengths[sequence] for sequence in row) for row in rows)
        assert sum(lengths) >= 0.99 * width * len(rows)
    assert layout([5, 5, 5]) == [[0], [1], [2]]  # nothing to gain: as many rows as sequences
