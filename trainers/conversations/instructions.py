"""Stage `instructions`: landed instruction data (Alpaca, messages, ShareGPT) become checked conversations."""

from trainers.conversations.rows import Row, content, messages
from trainers.conversations.sets import make_set
from trainers.runner.stage import StageContext, StageResult
from trainers.text.records import Unusable
from trainers.text.speech_levels import LEVELS

_HEAVIEST = 1000


def run(context: StageContext) -> StageResult:
    """Leave `train.jsonl`, `validation.jsonl` and `exclusions.jsonl`."""
    return make_set(context, conversation, identity=("messages",), prompt=_prompt)


def conversation(row: Row) -> Row:
    """One landed row as `messages`, ending with the assistant; its `weight` and `honorific` level where it has them.

    Raises:
        Unusable: the row is no conversation; says why.
    """
    landed = row.get("messages", row.get("conversations"))
    if "messages" in row or "conversations" in row:
        turns = messages(landed)
    elif "instruction" in row:
        question = content(row["instruction"], "instruction")
        context = row.get("input")
        if context not in (None, ""):
            question = f"{question}\n\n{content(context, 'input')}"
        turns = [
            {"role": "user", "content": question},
            {"role": "assistant", "content": content(row.get("output"), "output")},
        ]
        if row.get("system"):
            turns.insert(0, {"role": "system", "content": content(row["system"], "system")})
    else:
        raise Unusable(
            "unknown_schema", f"neither messages nor instruction; there are {', '.join(map(str, row))[:120]!r}"
        )
    if turns[-1]["role"] != "assistant":
        raise Unusable("no_answer", "the last message is not the assistant's")
    return {"messages": turns, **_marks(row)}


def _marks(row: Row) -> Row:
    marks = {name: row[name] for name in ("weight", "honorific") if row.get(name) is not None}
    weight, level = marks.get("weight", 1), marks.get("honorific")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= _HEAVIEST:
        raise Unusable("bad_weight", f"weight {weight!r} must be a number above 0, at most {_HEAVIEST}")
    if level not in (None, *LEVELS):
        raise Unusable("unknown_honorific", f"honorific {level!r}; there are {', '.join(LEVELS)}")
    return marks


def _prompt(row: Row) -> object:
    return next(message for message in row["messages"] if message["role"] == "user")
