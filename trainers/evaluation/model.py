"""A model under test: its weights, tokenizer and chat template, and the two things asked of it (score, generate)."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from trainers.contract import BadData, BadRequest, ModelFacts
from trainers.conversations.messages import Messages
from trainers.evaluation.likelihood import Continuation, Scorer, batches
from trainers.training.data.chat import as_text, encode
from trainers.training.data.turns import common_start
from trainers.training.model_facts import facts_in
from trainers.training.model_folder import ModelFolder


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder.

    Raises:
        BadData: the folder has no chat template, without which replies cannot be judged.
    """
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not tokenizer.chat_template:
        raise BadData(f"{folder} has no chat template; make the base_model asset again")
    return tokenizer


def check_comparable(folders: dict[str, Path]) -> dict[str, str]:
    """Tokenizer and template of the first stage's model, and of the others' where it has another: name -> hex sha256.

    One chat template is everybody's. A tokenizer may have more tokens than the one before it (`cpt.vocabulary`): each
    figure is of a text's bytes, of whole answers or of replies, and does not change its meaning with the tokens.

    Raises:
        BadRequest: a template differs, or a tokenizer lacks or renumbers a token; names both folders and hashes.
    """
    models = {stage: ModelFolder(folder).check(chat=True) for stage, folder in folders.items()}
    (first, before), *others = models.items()
    facts = {"tokenizer": before.tokenizer_hash, "chat template": str(before.template_hash)}
    for stage, model in others:
        if model.template_hash != before.template_hash:
            raise _not_comparable("chat template", first, stage, folders, (before.template_hash, model.template_hash))
        if model.tokenizer_hash != before.tokenizer_hash:
            if not before.vocabulary.items() <= model.vocabulary.items():
                raise _not_comparable("tokenizer", first, stage, folders, (before.tokenizer_hash, model.tokenizer_hash))
            facts[f"tokenizer from {stage} on"] = model.tokenizer_hash
        first, before = stage, model
    return facts


def _not_comparable(
    what: str, first: str, stage: str, folders: dict[str, Path], hashes: tuple[str | None, str | None]
) -> BadRequest:
    ours, theirs = (str(value)[:12] for value in hashes)
    return BadRequest(
        f"the {what} of {stage} ({theirs}) is not that of {first} ({ours}): {folders[stage]} against {folders[first]}. "
        "Figures would not be comparable; train all stages from one base"
    )


def _loaded(folder: Path) -> Any:
    """The model, ready to answer; its layers lie across the GPUs where there are several."""
    load = partial(AutoModelForCausalLM.from_pretrained, folder, local_files_only=True, dtype="auto")
    if torch.cuda.device_count() > 1:
        return load(device_map="auto").eval()
    return load().to("cuda" if torch.cuda.is_available() else "cpu").eval()


class ModelUnderTest:
    """One stage's model, loaded."""

    def __init__(
        self,
        folder: Path,
        max_length: int,
        batch_tokens: int,
        system_prompt: str | None = None,
        facts: ModelFacts | None = None,
    ):
        """`facts`: what the base model's stage settled; the folder is asked where nobody says."""
        self.tokenizer = load_tokenizer(folder)
        self.facts = facts or facts_in(folder)
        self.weights = _loaded(folder)
        window = min(max_length, self.facts.context_length)
        self.batch_tokens = batch_tokens
        self.window = window
        self.scorer = Scorer(self.weights, window, batch_tokens)
        self._system = [{"role": "system", "content": system_prompt}] if system_prompt else []

    def continuation(self, context: str, text: str) -> Continuation:
        """`text` after `context`, as plain text: what the tokenizer puts before a text comes first.

        Spaces between them count as the text's, as in lm_eval: many tokenizers write them into one token with it.
        """
        begun = context.rstrip()
        context_ids, ids = self._parted(begun, context[len(begun) :] + text)
        return Continuation((*self.facts.added_before, *context_ids) or (self.facts.begin,), ids)

    def _parted(self, context: str, text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Both tokenised together, as training did; a token across the border counts as text's.

        What is asked is text, as it was in training: it spells no control token.
        """
        encoded = self.tokenizer(
            context + text, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True
        )
        ids = tuple(encoded["input_ids"])
        border = next(i for i, (_, end) in enumerate(encoded["offset_mapping"]) if end > len(context))
        return ids[:border], ids[border:]

    def reply(self, messages: Messages, reply: Messages) -> Continuation:
        """The assistant's turn after a conversation, under the chat template, its end mark included.

        Raises:
            BadData: the template does not put the conversation before the reply unchanged.
        """
        prompt = tuple(self.prompt(messages))
        whole = tuple(encode([*self.opened(messages), *reply], self.tokenizer, ends_with_turn=True).ids)
        before, after = self.tokenizer.decode(prompt), self.tokenizer.decode(whole)
        if not after.startswith(before):
            raise BadData(f"the chat template rewrites the conversation before its reply: {before!r} against {after!r}")
        border = common_start([prompt, whole])  # a token across it counts as the reply's
        return Continuation(whole[:border], whole[border:])

    def prompt(self, messages: Messages) -> list[int]:
        """The conversation as token ids, up to where the assistant speaks; what people wrote is text in it."""
        return encode(self.opened(messages), self.tokenizer, add_generation_prompt=True).ids

    def opened(self, messages: Messages) -> Messages:
        """With the system prompt that SFT trained with, where the conversation has none of its own."""
        return messages if messages[0]["role"] == "system" else [*self._system, *messages]

    def window_requests(self, text: str) -> list[Continuation]:
        """A text cut into windows so that every token is predicted once, after the mark that begins a text.

        Each window follows the token before it; the last one as much before it as the model can read (as in lm_eval).
        """
        ids = (self.facts.begin, *as_text(text, self.tokenizer))
        ends = [min(at + self.window, len(ids) - 1) for at in range(0, len(ids) - 1, self.window)]
        starts = range(0, len(ids) - 1, self.window)
        return [
            Continuation(ids[max(0, end - self.window) : at + 1], ids[at + 1 : end + 1])
            for at, end in zip(starts, ends, strict=True)
        ]

    @torch.inference_mode()
    def generate(self, conversations: Sequence[Messages], new_tokens: int) -> list[str]:
        """Greedy replies, without special tokens, batched by length."""
        keep = max(1, self.window - new_tokens)
        prompts = [self.prompt(messages)[-keep:] for messages in conversations]
        replies = [""] * len(prompts)
        for group in batches([len(ids) + new_tokens for ids in prompts], self.batch_tokens):
            width = max(len(prompts[index]) for index in group)
            fed = torch.full((len(group), width), self.facts.pad)
            mask = torch.zeros((len(group), width), dtype=torch.long)
            for row, index in enumerate(group):
                fed[row, width - len(prompts[index]) :] = torch.tensor(prompts[index])
                mask[row, width - len(prompts[index]) :] = 1
            sequences = self.weights.generate(
                input_ids=fed.to(self.weights.device),
                attention_mask=mask.to(self.weights.device),
                max_new_tokens=new_tokens,
                do_sample=False,
                pad_token_id=self.facts.pad,
            )
            for index, text in zip(
                group, self.tokenizer.batch_decode(sequences[:, width:], skip_special_tokens=True), strict=True
            ):
                replies[index] = text
        return replies
