"""Stage `preferences`: landed answers that people preferred over others, or judged one by one, become checked rows."""

from collections.abc import Sequence
from typing import Any

from trainers.contract import canonical_json
from trainers.conversations.columns import PREFERENCE, Values
from trainers.conversations.instructions import opening, tools_of, with_system
from trainers.conversations.messages import (
    Messages,
    check_order,
    content,
    human_and_assistant,
    message,
    messages,
    refuse_pictures,
)
from trainers.conversations.ranked import best_and_worst, refuse_contrary, winner_and_loser
from trainers.conversations.rows import Row
from trainers.conversations.sets import make_set
from trainers.runner.stage import StageContext, StageResult
from trainers.text.records import Unusable

_TRUTH = {
    **dict.fromkeys(("true", "1", "1.0", "yes", "y", "t", "good", "chosen", "positive", "desirable", "like"), True),
    **dict.fromkeys(("thumbs_up", "thumbs up", "up", "+1", "👍", "좋음", "좋아요", "예", "긍정", "o"), True),
    **dict.fromkeys(("false", "0", "0.0", "no", "n", "f", "bad", "rejected", "negative", "undesirable"), False),
    **dict.fromkeys(("-1", "-1.0", "dislike", "thumbs_down", "thumbs down", "down", "👎"), False),
    **dict.fromkeys(("나쁨", "싫어요", "아니요", "아니오", "부정", "x"), False),
}
"""Labels by how they are spelt, in any case; a grade (1 to 5) is none."""


def run(context: StageContext) -> StageResult:
    """Leave `train.jsonl`, `validation.jsonl` and `exclusions.jsonl`."""
    identity = ("prompt", "chosen", "rejected", "completion", "label")
    return make_set(context, PREFERENCE, preference, identity, prompt=_prompt, contradictions=contradictions)


def preference(row: Values) -> Row:
    """One landed row as a pair (`prompt`, `chosen`, `rejected`), or as one judged answer (`completion`, `label`).

    Raises:
        Unusable: the row is neither; says why.
    """
    values = row.of
    refuse_pictures(row)
    if "winner" in values and (sides := winner_and_loser(row.row, values["winner"])):
        values = {**values, "chosen": sides[0], "rejected": sides[1]}
    elif _is_pair_of_texts(values.get("response")) and "label" not in values:  # LLaMA-Factory's first form
        values = {**values, "chosen": values["response"][0], "rejected": values["response"][1]}
    if not values.keys() & {"chosen", "rejected", "answers"}:
        if "label" in values and values.keys() & {"response", "messages"}:
            return {**_judged(values), **tools_of(values)}
        raise row.unknown("preferences", ("chosen", "rejected"))
    return {**pair(values), **tools_of(values)}


def _is_pair_of_texts(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(each, str) for each in value)


def pair(values: dict[str, Any]) -> Row:
    """A pair by what its columns mean.

    Sides are texts, messages or lists of them; lists may repeat the prompt, or hold it alone: it is what both begin
    with. `answers` with scores give the best and the worst; scores beside the sides must not say the contrary.

    Raises:
        Unusable: it is none; says why.
    """
    if "answers" in values and not values.keys() & {"chosen", "rejected"}:
        chosen, rejected = best_and_worst(values)
    else:
        chosen, rejected = values.get("chosen"), values.get("rejected")
        refuse_contrary(values)
    sides = {name: _turns(side, name) for name, side in (("chosen", chosen), ("rejected", rejected))}
    prompt = _prompt_of(values, sides)
    better, worse = (_rest(turns, prompt, name) for name, turns in sides.items())
    if better == worse:
        raise Unusable("equal_sides", "chosen and rejected are the same")
    return {"prompt": prompt, "chosen": better, "rejected": worse}


def _turns(side: Any, name: str) -> Messages:
    if isinstance(side, list):
        if not side:
            raise Unusable("field_empty", name)
        if len(side) == 1 and isinstance(side[0], str):
            return _turns(side[0], name)
        return [message(each, f"{name}, message {number}") for number, each in enumerate(side, 1)]
    if isinstance(side, dict):
        return [message(side, name)]
    if isinstance(side, str) and (turns := human_and_assistant(side)):
        return turns
    return [{"role": "assistant", "content": content(side, name)}]


def _prompt_of(values: dict[str, Any], sides: dict[str, Messages]) -> Messages:
    """The row's own prompt, else what both sides begin with, up to the user's last turn there."""
    whole = messages(values["messages"]) if "messages" in values else []
    if whole and (whole[-1]["role"] in ("user", "tool") or "prompt" not in values):
        prompt = with_system(whole, values)
        if prompt == sides["chosen"]:  # the better conversation once more
            prompt = prompt[:-1]
    elif "prompt" in values:
        prompt = opening(values)
        chosen = sides["chosen"]
        if chosen[0]["role"] == "system" and prompt[0]["role"] != "system" and chosen[1 : len(prompt) + 1] == prompt:
            prompt = [chosen[0], *prompt]
    else:
        shared = 0
        chosen, rejected = sides.values()
        while shared < min(len(chosen), len(rejected)) and chosen[shared] == rejected[shared]:
            shared += 1
        while shared and chosen[shared - 1]["role"] not in ("user", "tool"):
            shared -= 1
        if not shared:
            raise Unusable("field_missing", "prompt: the sides do not begin with one, either")
        prompt = with_system(chosen[:shared], values)
        for name in sides:
            sides[name] = [*prompt, *sides[name][shared:]]
    check_order(prompt, "prompt")
    if prompt[-1]["role"] not in ("user", "tool"):
        raise Unusable("roles_out_of_order", "the prompt does not end with the user")
    return prompt


def _rest(turns: Messages, prompt: Messages, name: str) -> Messages:
    """What a side says after the prompt."""
    if turns[0]["role"] in ("system", "user"):
        if turns[: len(prompt)] != prompt:
            raise Unusable("other_prompt", f"{name} starts with another prompt")
        turns = turns[len(prompt) :]
    if not turns or turns[-1]["role"] != "assistant":
        raise Unusable("no_answer", f"{name} does not end with the assistant")
    check_order([*prompt, *turns], name)
    return turns


def _judged(values: dict[str, Any]) -> Row:
    """An answer that was judged by itself."""
    label = values["label"]
    wanted = label if isinstance(label, bool) else _TRUTH.get(str(label).strip().casefold())
    if wanted is None:
        raise Unusable("bad_label", f"label {str(label)[:40]!r}; it must be true or false")
    if "messages" in values:
        turns = with_system(messages(values["messages"]), values)
        prompt, completion = turns[:-1], turns[-1:]
    else:
        prompt, completion = opening(values), _turns(values["response"], "completion")
    if not prompt or completion[-1]["role"] != "assistant":
        raise Unusable("no_answer", "the last message is not the assistant's")
    check_order([*prompt, *completion], "the conversation")
    return {"prompt": prompt, "completion": completion, "label": wanted}


def contradictions(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Ids of rows of which one says the contrary of the other: the sides changed, or the label."""
    statements: dict[str, str] = {}
    pairs = []
    for row in rows:
        sides = ("chosen", "rejected") if "chosen" in row else ("completion", "label")
        mine, contrary = (row[sides[0]], row[sides[1]]), (row[sides[1]], row[sides[0]])
        if "completion" in row:
            contrary = (row["completion"], not row["label"])
        if (other := statements.get(canonical_json([row["prompt"], *contrary]))) is not None:
            pairs.append((other, row["id"]))
        statements[canonical_json([row["prompt"], *mine])] = row["id"]
    return pairs


def _prompt(row: Row) -> object:
    return row["prompt"]
