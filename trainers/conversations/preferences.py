"""Stage `preferences`: landed answers that people preferred over others become checked pairs."""

from typing import Any

from trainers.conversations.rows import Messages, Row, content, messages
from trainers.conversations.sets import make_set
from trainers.runner.stage import StageContext, StageResult
from trainers.text.records import Unusable


def run(context: StageContext) -> StageResult:
    """Leave `train.jsonl`, `validation.jsonl` and `exclusions.jsonl`."""
    return make_set(context, pair, identity=("prompt", "chosen", "rejected"), prompt=_prompt)


def pair(row: Row) -> Row:
    """One landed row as `prompt`, `chosen` and `rejected` messages.

    Sides are texts or messages; messages may repeat the prompt. `answers` with scores give the best and the worst.

    Raises:
        Unusable: the row is no pair; says why.
    """
    sides = _best_and_worst(row["answers"]) if "answers" in row else (row.get("chosen"), row.get("rejected"))
    prompt = _prompt_messages(row)
    chosen, rejected = (_answer(side, name, prompt) for side, name in zip(sides, ("chosen", "rejected"), strict=True))
    if chosen == rejected:
        raise Unusable("equal_sides", "chosen and rejected are the same")
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def _prompt_messages(row: Row) -> Messages:
    prompt = row.get("prompt")
    if prompt is None and isinstance(row.get("chosen"), list) and len(row["chosen"]) > 1:
        prompt = row["chosen"][:-1]
    if isinstance(prompt, list):
        turns = messages(prompt, "prompt")
        if turns[-1]["role"] != "user":
            raise Unusable("roles_out_of_order", "the prompt does not end with the user")
        return turns
    return [{"role": "user", "content": content(prompt, "prompt")}]


def _answer(side: Any, name: str, prompt: Messages) -> Messages:
    if not isinstance(side, list):
        return [{"role": "assistant", "content": content(side, name)}]
    repeated = len(side) > len(prompt)
    whole = messages(side if repeated else [*prompt, *side], name)
    if whole[: len(prompt)] != prompt:
        raise Unusable("other_prompt", f"{name} starts with another prompt")
    if whole[-1]["role"] != "assistant":
        raise Unusable("no_answer", f"{name} does not end with the assistant")
    return whole[len(prompt) :]


def _best_and_worst(answers: Any) -> tuple[Any, Any]:
    if not isinstance(answers, list) or len(answers) < 2:
        raise Unusable("too_few_answers", "scored answers need at least two")
    scored: list[tuple[float, Any]] = []
    for number, answer in enumerate(answers, 1):
        if not isinstance(answer, dict) or not isinstance(answer.get("score"), int | float):
            raise Unusable("no_score", f"answer {number}")
        scored.append((float(answer["score"]), answer.get("text")))
    best, worst = max(scored, key=lambda item: item[0]), min(scored, key=lambda item: item[0])
    if best[0] == worst[0]:
        raise Unusable("equal_scores", f"all answers score {best[0]:g}")
    return best[1], worst[1]


def _prompt(row: Row) -> object:
    return row["prompt"]
