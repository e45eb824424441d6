"""A trained reward model as a reward function, beside those that can be verified."""

from statistics import fmean, pstdev
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from trainers.contract.recipe import TrainingSection
from trainers.conversations.messages import Messages
from trainers.training.alignment.pairs import PreferencePair
from trainers.training.alignment.rewards import Reward
from trainers.training.backends.transformers import frozen_dtype
from trainers.training.data.chat import encode
from trainers.training.model_folder import ModelFolder

_AT_ONCE = 16
_LEAST_SPREAD = 1e-6


def trained_reward(folder: ModelFolder, pairs: list[PreferencePair], section: TrainingSection) -> Reward:
    """The reward model in `folder` as TRL calls a reward, computed as the section's policy is; it gives 0 to 1.

    A reward model's scores have no zero and no unit (only differences are trained), so they are measured against those
    that the answers of `pairs` get: the logistic function of (score - their mean) / their deviation.
    """
    score = _scores(folder, frozen_dtype(section))
    answers = [pair.prompt + side for pair in pairs for side in (pair.chosen, pair.rejected)]
    usual = score(answers)
    mean, deviation = fmean(usual), max(pstdev(usual), _LEAST_SPREAD)

    def reward_model(prompts: list[Messages], completions: list[Messages], **_: Any) -> list[float | None]:
        scores = score([prompt + completion for prompt, completion in zip(prompts, completions, strict=True)])
        return [float(value) for value in torch.sigmoid((torch.tensor(scores) - mean) / deviation)]

    return reward_model


def _scores(folder: ModelFolder, dtype: torch.dtype) -> Any:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForSequenceClassification.from_pretrained(folder.path, dtype=dtype).to(device).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder.path, padding_side="right")
    model.config.pad_token_id = tokenizer.pad_token_id  # it reads the last token that is no padding

    def score(conversations: list[Messages]) -> list[float]:
        scores: list[float] = []
        for at in range(0, len(conversations), _AT_ONCE):
            ids = [encode(conversation, tokenizer).ids for conversation in conversations[at : at + _AT_ONCE]]
            batch = tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(device)
            with torch.no_grad():
                scores += model(**batch).logits[:, 0].float().tolist()
        return scores

    return score
