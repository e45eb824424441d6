"""Making a set of conversations: collected, refined, split by prompt, written, and described."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from trainers.contract import BadData, DatasetDetails, canonical_json
from trainers.contract.recipe.data import ConversationsSection
from trainers.conversations.quality import honorifics, refine
from trainers.conversations.rows import ConversationSet, Row, collect, write_jsonl
from trainers.runner.stage import StageContext, StageResult
from trainers.text.read import suite_files

_SAMPLES = 3


def make_set(
    context: StageContext, convert: Callable[[Row], Row], identity: tuple[str, ...], prompt: Callable[[Row], Any]
) -> StageResult:
    """The whole stage, of instructions and of preferences.

    Args:
        convert: one landed row in the form of the set; raises Unusable.
        identity: the fields by which two rows are the same.
        prompt: what decides on which side of the split a row lies.
    """
    result = collect(context.inputs["landing"], convert, identity)
    suites = context.inputs.get("benchmarks")
    masked = refine(result, context.section, suite_files(suites) if suites else ())
    details = _write(context, result, prompt, masked)
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
    broken = sum(excluded.values()) - excluded["exact_duplicate"] - excluded["contaminated"]
    if not result.kept or broken > section.max_bad_share * result.read:
        first = {row.reason: f"{row.file}:{row.line}" for row in reversed(result.exclusions)}
        reasons = ", ".join(f"{reason} ({n}, first at {first[reason]})" for reason, n in excluded.most_common(3))
        raise BadData(
            f"{request.stage} of release {request.release}: {broken} of {result.read} rows are broken (allowed: "
            f"{section.max_bad_share:.0%}); the biggest reasons: {reasons or 'the folder is empty'}"
        )
    train, validation = split(result.kept, prompt, section.validation_share)
    write_jsonl(output / "train.jsonl", train)
    write_jsonl(output / "validation.jsonl", validation)
    write_jsonl(output / "exclusions.jsonl", [asdict(row) for row in result.exclusions])
    return DatasetDetails(
        read=result.read,
        kept=len(result.kept),
        train=len(train),
        validation=len(validation),
        excluded=dict(excluded.most_common()),
        masked=dict(masked),
        by_source=dict(Counter(row["source"] for row in result.kept).most_common(200)),
        by_licence=dict(Counter(row["licence"] for row in result.kept).most_common()),
        inherited_from=request.input("landing").inherited_from,
        samples=[json.dumps(row, ensure_ascii=False)[:600] for row in train[:_SAMPLES]],
        by_task=dict(Counter(row["task"] for row in result.kept).most_common()),
        honorifics=honorifics(result.kept),
    )
