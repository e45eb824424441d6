"""Deployment: a model that passed its gate is exported and becomes the champion."""

import time

from dagster import AssetExecutionContext, Failure, MaterializeResult

from korean_llm_assets.assets.checks import gate_details, why_not
from korean_llm_assets.assets.stage_asset import make, result, stage_asset
from korean_llm_assets.partitions.recipes import model_recipes, registered_name
from korean_llm_assets.resources import PlatformResource
from korean_llm_assets.serving.approvals import approval_of
from trainers.contract import Artifact, sha256_of


@stage_asset(group="deployment", kinds={"huggingface", "mlflow"})
def deployed_model(
    context: AssetExecutionContext, platform: PlatformResource, rlhf_model: Artifact, eval_report: Artifact
) -> MaterializeResult:
    """The exported model, registered under the alias `champion` - only if its report's gate passed, in any run."""
    started = time.time()
    store, registry = platform.store, platform.registry
    report = store.manifest(eval_report)
    approval = approval_of(store, report)
    if (failures := why_not(gate_details(report))) and approval is None:
        raise Failure(f"not deployed, the gate of {eval_report.path} failed: {failures}", allow_retries=False)
    subject = report.request.input("rlhf_model").digest
    if subject != rlhf_model.digest:
        raise Failure(
            f"not deployed: the report judged rlhf_model {subject[:12]}, but the latest one is "
            f"{rlhf_model.digest[:12]}; materialize eval_report first",
            allow_retries=False,
        )
    exported = make(context, platform, rlhf_model, eval_report)
    tags = {"dagster_run": context.run_id, "recipe": _recipe_digest(rlhf_model.model), "eval_report": report.digest}
    if failures and approval is not None:
        tags["approval"] = approval.in_words
    promotion = registry.promote(registered_name(rlhf_model.model), exported, report, store, tags)
    materialization = result(context, platform, exported, started)
    registered = {"registered as": f"{promotion.name} version {promotion.version}", "alias": "champion"}
    replaced = {"replaces version": promotion.replaces} if promotion.replaces else {}
    approved = {"gate overridden": tags["approval"]} if "approval" in tags else {}
    return materialization._replace(metadata={**(materialization.metadata or {}), **registered, **replaced, **approved})


def _recipe_digest(model: str | None) -> str:
    assert model is not None, "models are partitioned by recipe"
    return sha256_of(model_recipes()[model].model_dump(mode="json"))
