"""The report: base, CPT, SFT and RLHF side by side, and the recipe's gate over them."""

import time
from collections.abc import Iterator

from dagster import AssetExecutionContext, MaterializeResult

from korean_llm_assets.assets.checks import gate_results, gate_specs
from korean_llm_assets.assets.stage_asset import make, result, stage_asset
from korean_llm_assets.compute.overrides import Overrides
from korean_llm_assets.costs import totals_metadata
from korean_llm_assets.partitions.recipes import registered_name
from korean_llm_assets.resources import PlatformResource
from korean_llm_assets.serving.approvals import approval_of
from trainers.contract import Artifact


@stage_asset(group="evaluation", kinds={"pytorch", "markdown"}, check_specs=gate_specs("eval_report"))
def eval_report(
    context: AssetExecutionContext,
    platform: PlatformResource,
    base_model: Artifact,
    cpt_checkpoint: Artifact,
    sft_model: Artifact,
    rlhf_model: Artifact,
    benchmarks: Artifact,
    corpus: Artifact,
) -> Iterator[MaterializeResult]:
    """Bits per byte, accuracies with intervals, and samples of every training stage; compared with the champion."""
    started = time.time()
    models = (base_model, cpt_checkpoint, sft_model, rlhf_model)
    assert rlhf_model.model is not None and rlhf_model.release is not None, "trained models have both"
    champion = platform.registry.champion(registered_name(rlhf_model.model), other_than=rlhf_model)
    manifest = make(context, platform, *models, benchmarks, corpus, *([champion] if champion else []))
    store, price = platform.store, platform.compute.price(Overrides.of(context))
    materialization = result(context, platform, manifest, started, gate_results(manifest, approval_of(store, manifest)))
    totals = totals_metadata(store, rlhf_model.model, rlhf_model.release, price)
    # Yielded, not returned: then a check of the gate that the recipe does not set may stay without a result.
    yield materialization._replace(metadata={**(materialization.metadata or {}), **totals})
