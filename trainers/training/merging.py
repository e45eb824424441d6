"""Adapters merged into their base, and the merged model compared with adapter + base before it is published."""

from typing import Any

import torch

from trainers.contract import BadData

PROMPTS = (
    "안녕하세요. 오늘 날씨가 어떤지",
    "대한민국의 수도는 서울이며,",
    "김치찌개를 끓일 때에는 먼저 돼지고기를",
    "질문: 3 더하기 4는 얼마입니까? 답:",
)
"""Fixed Korean prompts that both models answer."""

_GREEDY_TOKENS = 16
_TOLERANCE = {torch.float32: (1e-2, 1e-4), torch.bfloat16: (1.0, 2e-2)}
"""By weight type: largest difference of a logit, and mean KL divergence (nats). bfloat16 keeps 8 bits of a
weight, so merging rounds; a merge that went wrong is off by tens of logits (unsloth#5410)."""


def merge(adapted: Any, tokenizer: Any) -> tuple[Any, dict[str, float]]:
    """Merge the adapters of a peft model; returns the plain model and how it compares with adapter + base.

    Raises:
        BadData: the merged model answers the fixed prompts differently.
    """
    adapted.eval()
    before = [_answer(adapted, tokenizer, prompt) for prompt in PROMPTS]
    merged = adapted.merge_and_unload().eval()
    after = [_answer(merged, tokenizer, prompt) for prompt in PROMPTS]
    figures = {
        "max_logit_difference": max(float((a[0] - b[0]).abs().max()) for a, b in zip(before, after, strict=True)),
        "mean_kl": sum(_kl(a[0], b[0]) for a, b in zip(before, after, strict=True)) / len(PROMPTS),
        "greedy_tokens_equal": sum(a[1] == b[1] for a, b in zip(before, after, strict=True)) / len(PROMPTS),
    }
    largest, divergence = _TOLERANCE[next(merged.parameters()).dtype]
    # Written so that a NaN fails too.
    if not (figures["max_logit_difference"] <= largest and figures["mean_kl"] <= divergence):
        raise BadData(
            f"the merged model differs from adapter + base on fixed prompts: {figures} (allowed: logits {largest}, "
            f"KL {divergence}). It is not published; the adapter is kept in the stage's scratch folder"
        )
    return merged, figures


def _answer(model: Any, tokenizer: Any, prompt: str) -> tuple[torch.Tensor, list[int]]:
    """Logits over the prompt (float32, tokens x vocabulary), and the greedy continuation."""
    encoded = tokenizer(prompt, return_tensors="pt", add_special_tokens=False).to(next(model.parameters()).device)
    with torch.no_grad():
        logits = model(**encoded).logits[0].float()
        ids = model.generate(**encoded, max_new_tokens=_GREEDY_TOKENS, do_sample=False)
    return logits, ids[0].tolist()


def _kl(reference: torch.Tensor, other: torch.Tensor) -> float:
    log_p, log_q = reference.log_softmax(-1), other.log_softmax(-1)
    return float((log_p.exp() * (log_p - log_q)).sum(-1).mean())
