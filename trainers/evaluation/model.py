"""A model under test: its weights, tokenizer and chat template, and the two things asked of it (score, generate)."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from trainers.contract import BadData, BadRequest
from trainers.conversations.rows import Messages
from trainers.evaluation.likelihood import Continuation, Scorer, batches
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


def check_same_tokenizer(folders: dict[str, Path]) -> tuple[str, str]:
    """The one tokenizer hash and template hash that all stages share.

    Raises:
        BadRequest: two stages differ; the message names both and their hashes.
    """
    hashes: dict[str, tuple[str, str]] = {}
    for stage, folder in folders.items():
        files = ModelFolder(folder).check(chat=True)
        hashes[stage] = (files.tokenizer_hash, str(files.template_hash))
    first = next(iter(hashes))
    for stage, pair in hashes.items():
        for what, ours, theirs in zip(("tokenizer", "chat template"), hashes[first], pair, strict=True):
            if ours != theirs:
                raise BadRequest(
                    f"the {what} of {stage} ({theirs[:12]}) is not that of {first} ({ours[:12]}): {folders[stage]} "
                    f"against {folders[first]}. Figures would not be comparable; train all stages from one base"
                )
    return hashes[first]


def _loaded(folder: Path) -> Any:
    """The model, ready to answer; its layers lie across the GPUs where there are several."""
    load = partial(AutoModelForCausalLM.from_pretrained, folder, local_files_only=True, dtype="auto")
    if torch.cuda.device_count() > 1:
        return load(device_map="auto").eval()
    return load().to("cuda" if torch.cuda.is_available() else "cpu").eval()


class ModelUnderTest:
    """One stage's model, loaded."""

    def __init__(self, folder: Path, max_length: int, batch_tokens: int, system_prompt: str | None = None):
        self.tokenizer = load_tokenizer(folder)
        self.weights = _loaded(folder)
        window = min(max_length, self.weights.config.max_position_embeddings)
        self.batch_tokens = batch_tokens
        self.window = window
        self.scorer = Scorer(self.weights, window, batch_tokens)
        self._system = [{"role": "system", "content": system_prompt}] if system_prompt else []
        self._end = self.tokenizer.eos_token_id

    def continuation(self, context: str, text: str) -> Continuation:
        """`text` after `context`, tokenised together, as training did; a token across the border counts as text's."""
        encoded = self.tokenizer(context + text, add_special_tokens=False, return_offsets_mapping=True)
        ids = tuple(encoded["input_ids"])
        border = next(i for i, (_, end) in enumerate(encoded["offset_mapping"]) if end > len(context))
        return Continuation(ids[:border] or (self._end,), ids[border:])

    def reply(self, messages: Messages, reply: Messages) -> Continuation:
        """The assistant's turn after a conversation, under the chat template, its end mark included.

        Raises:
            BadData: the template does not put the conversation before the reply unchanged.
        """
        prompt = self.prompt(messages)
        whole = str(self.tokenizer.apply_chat_template([*self._opened(messages), *reply], tokenize=False))
        if not whole.startswith(prompt):
            raise BadData(f"the chat template rewrites the conversation before its reply: {prompt!r} against {whole!r}")
        return self.continuation(prompt, whole[len(prompt) :].rstrip("\n"))

    def prompt(self, messages: Messages) -> str:
        """The conversation as text, up to where the assistant speaks."""
        return str(
            self.tokenizer.apply_chat_template(self._opened(messages), tokenize=False, add_generation_prompt=True)
        )

    def _opened(self, messages: Messages) -> Messages:
        """With the system prompt that SFT trained with, where the conversation has none of its own."""
        return messages if messages[0]["role"] == "system" else [*self._system, *messages]

    def window_requests(self, text: str) -> list[Continuation]:
        """A text cut into windows so that every token is predicted once, each window after the token before it."""
        ids = (self._end, *self.tokenizer(text, add_special_tokens=False)["input_ids"])
        starts = range(0, len(ids) - 1, self.window)
        return [Continuation(ids[at : at + 1], ids[at + 1 : at + 1 + self.window]) for at in starts]

    @torch.inference_mode()
    def generate(self, conversations: Sequence[Messages], new_tokens: int) -> list[str]:
        """Greedy replies, without special tokens, batched by length."""
        keep = max(1, self.window - new_tokens)
        prompts = [
            self.tokenizer(self.prompt(messages), add_special_tokens=False)["input_ids"][-keep:]
            for messages in conversations
        ]
        replies = [""] * len(prompts)
        for group in batches([len(ids) + new_tokens for ids in prompts], self.batch_tokens):
            width = max(len(prompts[index]) for index in group)
            fed = torch.full((len(group), width), self._end)
            mask = torch.zeros((len(group), width), dtype=torch.long)
            for row, index in enumerate(group):
                fed[row, width - len(prompts[index]) :] = torch.tensor(prompts[index])
                mask[row, width - len(prompts[index]) :] = 1
            sequences = self.weights.generate(
                input_ids=fed.to(self.weights.device),
                attention_mask=mask.to(self.weights.device),
                max_new_tokens=new_tokens,
                do_sample=False,
                pad_token_id=self._end,
            )
            for index, text in zip(
                group, self.tokenizer.batch_decode(sequences[:, width:], skip_special_tokens=True), strict=True
            ):
                replies[index] = text
        return replies
