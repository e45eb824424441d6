"""Stage `instructions`: landed instruction data (Alpaca, messages, ShareGPT) become checked conversations."""

from trainers.conversations import Row, collect, content, finish, messages
from trainers.corpus.records import Unusable
from trainers.recipe.data import InstructionsSection
from trainers.stage import StageContext, StageResult


def run(context: StageContext) -> StageResult:
    """Leave `train.jsonl`, `validation.jsonl` and `exclusions.jsonl`."""
    section: InstructionsSection = context.section
    result = collect(context.inputs["landing"], conversation, identity=("messages",))
    details = finish(result, _prompt, section.validation_share, section.max_bad_share, context.output, context.request)
    context.reporter.say(f"kept {details.kept:,} of {details.read:,} conversations")
    return StageResult(
        metrics={"rows": float(details.kept), "train": float(details.train), "validation": float(details.validation)},
        details=details,
    )


def conversation(row: Row) -> Row:
    """One landed row as `messages`, ending with the assistant.

    Raises:
        Unusable: the row is no conversation; says why.
    """
    turns = row.get("messages", row.get("conversations"))
    if "messages" in row or "conversations" in row:
        found = messages(turns)
    elif "instruction" in row:
        asked = content(row["instruction"], "instruction")
        given = row.get("input")
        if given not in (None, ""):
            asked = f"{asked}\n\n{content(given, 'input')}"
        found = [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": content(row.get("output"), "output")},
        ]
        if row.get("system"):
            found.insert(0, {"role": "system", "content": content(row["system"], "system")})
    else:
        raise Unusable(
            "unknown_schema", f"neither messages nor instruction; there are {', '.join(map(str, row))[:120]!r}"
        )
    if found[-1]["role"] != "assistant":
        raise Unusable("no_answer", "the last message is not the assistant's")
    return {"messages": found}


def _prompt(row: Row) -> object:
    return next(message for message in row["messages"] if message["role"] == "user")
