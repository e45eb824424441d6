"""Items of suites in forms of their own: which format a row has, and its checked form."""

from typing import Any

from pydantic import ValidationError

from trainers.benchmarks.answers import answer_of, choices_of, marked_right
from trainers.benchmarks.checks import Check
from trainers.conversations.columns import Values, text_of
from trainers.conversations.messages import content, messages
from trainers.conversations.preferences import pair
from trainers.conversations.rows import Row
from trainers.text.records import Unusable


def item(row: Values) -> tuple[str, Row]:
    """Format and checked form of one item (the formats: multiple_choice, instruction, preference, text).

    Raises:
        Unusable: the row has none of the formats; says why.
        Shifted: its answer is a number that names none of its choices.
    """
    values = row.of
    if "messages" in values and not values.keys() & {"chosen", "rejected"}:
        return "instruction", _instruction(values)
    if "question" in values:
        choices, labels = choices_of(values, row.row)
        kept = {key: text_of(values[key]) for key in ("domain", "score", "subject") if values.get(key)}
        question = content(values["question"], "question")
        right = marked_right(values.get("choices"))
        answer = answer_of(values.get("answer"), choices, labels) if right is None else right
        return "multiple_choice", {"question": question, "choices": choices, "answer": answer, **kept}
    if values.keys() & {"chosen", "rejected"}:
        domain = {"domain": text_of(values["domain"])} if values.get("domain") else {}
        return "preference", {**pair(values), **domain}
    if "text" in values:
        return "text", {"text": content(values["text"], "text"), "domain": text_of(values.get("domain") or "unnamed")}
    raise row.unknown("benchmarks", ("question", "answer"))


def _instruction(values: dict[str, Any]) -> Row:
    prompt = messages(values["messages"])
    if prompt[-1]["role"] != "user":
        raise Unusable("roles_out_of_order", "the messages must end with the user")
    task = text_of(values.get("task") or "unnamed")
    if "checks" in values:
        return {"messages": prompt, "checks": _checks(values["checks"]), "task": task}
    answer = content(values.get("answer"), "answer")
    if "choices" not in values:
        return {"messages": prompt, "answer": answer, "task": task}
    choices, _ = choices_of(values, {})
    if answer not in choices:
        raise Unusable("bad_answer", "the answer is none of the choices")
    return {"messages": prompt, "answer": answer, "choices": choices, "task": task}


def _checks(checks: Any) -> list[dict[str, Any]]:
    try:
        return [Check.model_validate(check).model_dump() for check in checks]
    except (ValidationError, TypeError) as error:
        raise Unusable("bad_checks", str(error)[:200]) from error
