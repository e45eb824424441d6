"""Quarantine: a drop that cannot be used fails the check `usable` of its release, is told once, and stops nobody else.

Nothing is moved or deleted. What is corrected and uploaded again has another content, and so becomes a new run.
"""

import warnings
from collections.abc import Sequence

from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    Failure,
    MetadataValue,
)

from korean_llm_assets.partitions.keys import releases
from trainers.contract import Details, ExitCode, Unread

USABLE = "usable"
_EXIT_CODE = "exit code"


def usable_spec(asset: str) -> AssetCheckSpec:
    """The check of a data asset; it has a status by release."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Dagster calls partitioned checks a preview at every start
        return AssetCheckSpec(
            USABLE,
            asset=asset,
            description="what was dropped can be read, and not too much of it is broken",
            partitions_def=releases,
        )


def usable(details: Details) -> AssetCheckResult:
    """The check of a release whose data was made: that it was used, and by name what of it was not."""
    unread: list[Unread] = getattr(details, "unread", [])
    if not unread:
        return AssetCheckResult(passed=True, check_name=USABLE, description="the drop was used")
    files = {
        file.file: f"{file.bytes:,} bytes, about {file.rows:,} rows: {file.reason}: {file.detail}" for file in unread
    }
    words = "; ".join(f"{name}: {why}" for name, why in files.items())
    return AssetCheckResult(
        passed=True,
        check_name=USABLE,
        description=f"the drop was used, but for {len(files)} files that could not be read: {words}",
        metadata={name: MetadataValue.text(why) for name, why in files.items()},
    )


def quarantined(instance: DagsterInstance, asset: AssetKey, among: Sequence[str]) -> set[str]:
    """Of these releases, those whose drop this data asset refused when it last looked."""
    checks = instance.event_log_storage.get_asset_check_partition_info(
        [AssetCheckKey(asset, USABLE)], partition_keys=list(among)
    )
    return {str(check.partition_key) for check in checks if check.latest_execution_status.value == "FAILED"}


def is_bad_data(failure: Failure) -> bool:
    """True where a stage refused its data (exit 65), and did not fail for another reason."""
    code = failure.metadata.get(_EXIT_CODE)
    return code is not None and code.value == ExitCode.BAD_DATA


def quarantine(context: AssetExecutionContext, failure: Failure, inherited_from: str | None = None) -> Failure:
    """Report the failed check; gives back the failure, which ends the step.

    Args:
        inherited_from: the release whose files they are, where this one has none of its own.
    """
    whose = f"of release {inherited_from}, which this one inherits, " if inherited_from else ""
    advice = f"Correct the files {whose}and upload them again: their new content becomes a new run."
    if inherited_from:
        failure = Failure(
            f"{failure.description} (the files are release {inherited_from}'s: {context.partition_key} has none of its "
            "own and inherits them)",
            metadata=failure.metadata,
            allow_retries=False,
        )
    evaluation = AssetCheckEvaluation(
        asset_key=context.asset_key,
        check_name=USABLE,
        passed=False,
        severity=AssetCheckSeverity.ERROR,
        description=f"quarantined: {failure.description}",
        metadata={"reason": MetadataValue.text(failure.description or ""), "advice": MetadataValue.text(advice)},
        partition=context.partition_key,
    )
    # A step that fails cannot yield a check's result, and Dagster takes one without a run only once per partition.
    kind = DagsterEventType.ASSET_CHECK_EVALUATION.value
    event = DagsterEvent(kind, context.run.job_name, event_specific_data=evaluation, message="the drop is quarantined")
    context.instance.report_dagster_event(event, context.run_id)
    return failure


def bad_data(why: str) -> Failure:
    """The failure of data that no stage saw, because it is not there."""
    return Failure(why, metadata={_EXIT_CODE: int(ExitCode.BAD_DATA)}, allow_retries=False)
