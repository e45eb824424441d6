"""`python -m trainers prompts`: conversations as a served model's own template writes them, one a line in and out.

What serves a model renders the same way: a person who looks at an answer sees what the model was really asked.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError
from transformers import AutoTokenizer


def run_prompts() -> str:
    """Answer what comes in, line by line, until it ends; returns the last line to say."""
    for prompt in prompts(sys.stdin):
        print(prompt, flush=True)
    return "prompts done"


def prompts(lines: Iterable[str]) -> Iterator[str]:
    """For each line `{"model": FOLDER, "messages": [...]}` one of `{"prompt": TEXT}`, or of `{"error": REASON}` where
    the template refuses the conversation."""
    for line in lines:
        conversation = json.loads(line)
        try:
            answer = {
                "prompt": _tokenizer(conversation["model"]).apply_chat_template(
                    conversation["messages"], tokenize=False, add_generation_prompt=True
                )
            }
        except (TemplateError, TypeError) as error:
            answer = {"error": f"the chat template refuses this conversation: {error}"}
        yield json.dumps(answer, ensure_ascii=False)


@lru_cache
def _tokenizer(folder: str) -> Any:
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)
