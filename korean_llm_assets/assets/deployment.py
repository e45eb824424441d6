"""Deployment: a model that passed its gate is exported and becomes the champion."""

import time

from dagster import AssetExecutionContext, Failure, MaterializeResult

from korean_llm_assets.assets.checks import gate_details, why_not
from korean_llm_assets.assets.stage_asset import make, result, stage_asset
from korean_llm_assets.partitions.keys import releases
from korean_llm_assets.partitions.recipes import model_recipe, registered_name
from korean_llm_assets.resources import PlatformResource
from korean_llm_assets.serving.approvals import approval_of
from korean_llm_assets.serving.events import event, record
from korean_llm_assets.serving.registry import CHAMPION, Version
from trainers.contract import Artifact, ExportDetails, sha256_of


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
    assert rlhf_model.model is not None and rlhf_model.release is not None, "trained models have both"
    name = registered_name(rlhf_model.model)
    serving = _newer_champion(context, registry.version(name, CHAMPION), rlhf_model.release)
    if serving is not None and approval is None:
        raise Failure(
            f"not deployed: {name} serves release {serving}, which is newer than {rlhf_model.release}. To let this one "
            f"take its place: python -m korean_llm_assets approve --model {rlhf_model.model} --release "
            f'{rlhf_model.release} --who NAME --why "REASON", then materialize deployed_model again',
            allow_retries=False,
        )
    exported = make(context, platform, rlhf_model, eval_report)
    forms = exported.details.formats if isinstance(exported.details, ExportDetails) else []
    tags = {
        "forms": ", ".join(forms),
        "dagster_run": context.run_id,
        "recipe": _recipe_digest(rlhf_model.model),
        "eval_report": report.digest,
        **({"commit": exported.environment.commit} if exported.environment.commit else {}),
    }
    if (failures or serving) and approval is not None:
        tags["approval"] = approval.in_words
    promotion = registry.promote(name, exported, report, store, tags)
    about = f"{promotion.name} version {promotion.version} ({exported.request.relative_path})"
    who = (
        f"{approval.who} (approval)" if "approval" in tags and approval is not None else f"Dagster run {context.run_id}"
    )
    done = event("promotion", about, who, tags.get("approval", "its gate passed"), str(context.partition_key))
    record(store, context.instance, done)
    registry.note(promotion.name, done.when, done.in_words)
    materialization = result(context, platform, exported, started)
    registered = {"registered as": f"{promotion.name} version {promotion.version}", "alias": "champion"}
    replaced = {"replaces version": promotion.replaces} if promotion.replaces else {}
    approved = {"gate overridden": tags["approval"]} if "approval" in tags else {}
    return materialization._replace(metadata={**(materialization.metadata or {}), **registered, **replaced, **approved})


def _newer_champion(context: AssetExecutionContext, champion: Version | None, release: str) -> str | None:
    """The champion's release, where that was registered after this one."""
    of = champion.tags.get("release") if champion else None
    registered = list(context.instance.get_dynamic_partitions(releases.name or ""))
    is_newer = of in registered and release in registered and registered.index(of) > registered.index(release)
    return of if is_newer else None


def _recipe_digest(model: str) -> str:
    return sha256_of(model_recipe(model).model_dump(mode="json"))
