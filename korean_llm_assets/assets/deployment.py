"""Deployment: a model that passed its gate is exported and becomes the champion."""

import time

from dagster import AssetExecutionContext, Failure, MaterializeResult

from korean_llm_assets.checks import gate_details, why_not
from korean_llm_assets.partitions import model_recipes
from korean_llm_assets.stage_asset import make, result, stage_asset
from trainers.contract import Artifact


def registered_name(model: str | None) -> str:
    """The model's name in the registry."""
    assert model is not None, "models are partitioned by recipe"
    return model_recipes()[model].export.registered_name or model


@stage_asset(group="deployment", kinds={"huggingface", "mlflow"})
def deployed_model(context: AssetExecutionContext, rlhf_model: Artifact, eval_report: Artifact) -> MaterializeResult:
    """The exported model, registered under the alias `champion` - only if its report's gate passed, in any run."""
    started = time.time()
    store, registry = context.resources.store, context.resources.registry
    report = store.manifest(eval_report)
    if failed := why_not(gate_details(report)):
        raise Failure(f"not deployed, the gate of {eval_report.path} failed: {failed}", allow_retries=False)
    judged = report.request.input("rlhf_model").digest
    if judged != rlhf_model.digest:
        raise Failure(
            f"not deployed: the report judged rlhf_model {judged[:12]}, but the latest one is "
            f"{rlhf_model.digest[:12]}; materialize eval_report first",
            allow_retries=False,
        )
    exported = make(context, rlhf_model, eval_report)
    promotion = registry.promote(registered_name(rlhf_model.model), exported, eval_report, store)
    made = result(context, exported, started)
    registered = {"registered as": f"{promotion.name} version {promotion.version}", "alias": "champion"}
    replaced = {"replaces version": promotion.replaces} if promotion.replaces else {}
    return made._replace(metadata={**(made.metadata or {}), **registered, **replaced})
