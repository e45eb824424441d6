"""Making a set of conversations: collected, refined, split by prompt, written, and described."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from trainers.contract import BadData, DatasetDetails, canonical_json
from trainers.contract.recipe.data import ConversationsSection
from trainers.contract.takedown import TakeDown
from trainers.conversations.columns import Columns
from trainers.conversations.quality import honorifics, refine
from trainers.conversations.rows import ConversationSet, Convert, Row, collect, first_dropped, write_jsonl
from trainers.runner.stage import StageContext, StageResult
from trainers.text.losses import biggest, unread_in_words, warn_of
from trainers.text.read import suite_files

_SAMPLES = 3


def make_set(
    context: StageContext,
    columns: Columns,
    convert: Convert,
    identity: tuple[str, ...],
    prompt: Callable[[Row], Any],
    contradictions: Callable[[Sequence[Row]], list[tuple[str, str]]] | None = None,
) -> StageResult:
    """The whole stage, of instructions and of preferences.

    Args:
        columns: what the columns of a row are called.
        convert: one landed row in the form of the set; raises Unusable.
        identity: the fields by which two rows are the same.
        prompt: what decides on which side of the split a row lies.
        contradictions: ids of rows of which one says the contrary of the other: they stay, and are told.
    """
    fields, takedown = context.section.fields.model_dump(), TakeDown(context.section.takedown)
    result = collect(context.inputs["landing"], columns, fields, convert, identity, takedown)
    suites = context.inputs.get("benchmarks")
    masked = refine(result, context.section, suite_files(suites) if suites else ())
    details = _write(context, result, prompt, masked)
    if contradicting := contradictions(result.kept) if contradictions else []:
        details.contradicting = len(contradicting)
        shown = ", ".join(f"{one} and {other}" for one, other in contradicting[:_SAMPLES])
        context.reporter.warn(f"{len(contradicting)} pairs contradict another one, which both stay: {shown}")
    warn_of(details, context.reporter)
    context.reporter.say(f"kept {details.kept:,} of {details.read:,} rows")
    return StageResult(
        metrics={"rows": float(details.kept), "train": float(details.train), "validation": float(details.validation)},
        details=details,
    )


def split(rows_: list[Row], prompt: Callable[[Row], Any], share: float) -> tuple[list[Row], list[Row]]:
    """Training and validation rows: rows of one prompt stay together, chosen by the prompt's hash.

    At least one prompt is held out where there are two and `share` is not 0.
    """
    places = [int(hashlib.sha256(canonical_json(prompt(row)).encode()).hexdigest()[:16], 16) for row in rows_]
    limit = share * 2**64
    if share and len(set(places)) > 1:
        limit = max(limit, min(places) + 1)
    pairs = list(zip(rows_, places, strict=True))
    return [row for row, place in pairs if place >= limit], [row for row, place in pairs if place < limit]


def _first(result: ConversationSet) -> str:
    """The first row of each of the biggest reasons, in words; empty where there is none."""
    first = {row.reason: row for row in reversed(result.exclusions) if row.reason != "exact_duplicate"}
    rows_ = (first[reason] for reason, _ in result.excluded.most_common() if reason in first)
    reasons = [f"{row.file}:{row.line}: {row.reason}: {row.detail}" for row in list(rows_)[:_SAMPLES]]
    return f"; first at {'; '.join(reasons)}" if reasons else ""


def _write(
    context: StageContext, result: ConversationSet, prompt: Callable[[Row], Any], masked: Counter[str]
) -> DatasetDetails:
    """Split, write `train.jsonl`, `validation.jsonl` and `exclusions.jsonl`, and give the manifest's details.

    Raises:
        BadData: nothing is usable, or more rows are broken than the recipe allows; names the biggest reasons.
    """
    section: ConversationsSection = context.section
    request, output = context.request, context.output
    excluded = result.excluded
    what = f"{request.stage} of release {request.release}"
    if not result.kept:
        raise BadData(
            f"{what}: of {result.losses.rows} rows none is usable; the biggest reasons: "
            f"{biggest(excluded) or 'the folder is empty'}{_first(result)}{unread_in_words(result.losses.files)}"
        )
    result.losses.refuse(section.max_bad_share, what, excluded, _first(result))
    train, validation = split(result.kept, prompt, section.validation_share)
    write_jsonl(output / "train.jsonl", train)
    write_jsonl(output / "validation.jsonl", validation)
    write_jsonl(output / "exclusions.jsonl", [asdict(row) for row in result.exclusions])
    return DatasetDetails(
        read=result.losses.rows,
        kept=len(result.kept),
        train=len(train),
        validation=len(validation),
        excluded=dict(excluded.most_common()),
        unread=result.losses.files,
        ignored_fields=dict(result.ignored.most_common()),
        unpaired=sum("completion" in row for row in result.kept),
        masked=dict(masked),
        by_source=dict(Counter(row["source"] for row in result.kept).most_common(200)),
        by_licence=dict(Counter(row["licence"] for row in result.kept).most_common()),
        dropped=first_dropped(result.exclusions),
        inherited_from=request.input("landing").inherited_from,
        samples=[json.dumps(row, ensure_ascii=False)[:600] for row in train[:_SAMPLES]],
        by_task=dict(Counter(row["task"] for row in result.kept).most_common()),
        honorifics=honorifics(result.kept),
    )
