"""Preflight: can these needs be met on this cluster at all? Arithmetic only, before anything is launched."""

from korean_llm_assets.compute.profiles import ClusterProfile, quantity
from trainers.contract import STAGES, DoesNotFit, Needs, StageRequest

_FROZEN = {"lora": 1.15, "qlora": 4.127 / 16 + 0.15}
_USABLE = 0.9
"""Of a GPU's memory: the CUDA context, NCCL's buffers and fragmentation take the rest."""


def training_factor(request: StageRequest) -> float:
    """GPU memory a stage needs for certain, in multiples of its bf16 weights.

    full: weights and gradients 2 bytes each, AdamW's two moments 4 each, fp32 master 4 = 16 bytes for 2 (Rajbhandari
    et al. 2020, section 3.1). lora: frozen weights, and 15% for adapters, their optimizer and the least activations;
    qlora: the same with the weights in 4 bits (Dettmers et al. 2023: 0.127 bits more per parameter for constants).
    A reference model (DPO, GRPO without adapters) is one more copy. Other stages hold the weights only.
    """
    if not STAGES[request.stage].trains:
        return 1.0
    method = request.section.get("method", "lora")
    if method == "full":
        return 9.0 if request.stage == "rlhf" else 8.0
    return _FROZEN[method]


def joining_needs(request: StageRequest, needs: Needs) -> Needs:
    """What the Job that makes the artifact needs: where slices went before it, one node."""
    return needs.model_copy(update={"nodes": 1}) if _is_sliced(request) else needs


def _is_sliced(request: StageRequest) -> bool:
    return STAGES[request.stage].spread == "slices"


def check_fit(request: StageRequest, needs: Needs, profile: ClusterProfile, weight_bytes: int | None = None) -> None:
    """Compare needs with the profile.

    Args:
        weight_bytes: size of the model that the stage starts from, where it is known.

    Raises:
        DoesNotFit: with the arithmetic, and what would fit.
    """
    problems = [*_node_problems(needs, profile), *_gpu_problems(request, needs, profile)]
    if needs.nodes > 1 and STAGES[request.stage].spread is None:
        problems.append(f"it asks for {needs.nodes} nodes, but a stage like {request.stage} uses one")
    if not problems and weight_bytes and needs.gpus and profile.gpu_pool and STAGES[request.stage].parent:
        problems = _memory_problems(request, needs, profile, weight_bytes)
    if problems:
        what = f"{request.asset} {request.partition}".strip()
        raise DoesNotFit(
            f"{what} cannot run with profile {profile.name!r}: {'; '.join(problems)}. Nothing was launched. "
            "Change `needs` in the recipe, the launch's overrides, or the profile."
        )


def _node_problems(needs: Needs, profile: ClusterProfile) -> list[str]:
    pool = profile.gpu_pool if needs.gpus and profile.gpu_pool else profile.cpu_pool
    problems = []
    if needs.nodes > pool.nodes:
        problems.append(f"it asks for {needs.nodes} nodes, the pool has {pool.nodes}")
    if needs.cpu > pool.cpu:
        problems.append(f"it asks for {needs.cpu:g} cores per node, a node has {pool.cpu:g}")
    if quantity(needs.memory) > quantity(pool.memory):
        problems.append(f"it asks for {needs.memory} of memory per node, a node has {pool.memory}")
    return problems


def _gpu_problems(request: StageRequest, needs: Needs, profile: ClusterProfile) -> list[str]:
    pool = profile.gpu_pool
    if not needs.gpus:
        return (
            []
            if needs.nodes == 1 or _is_sliced(request)
            else [f"it asks for {needs.nodes} nodes but no GPU; several nodes need GPUs"]
        )
    if pool is None:
        return [f"it asks for {needs.gpus} GPUs, the profile has none"]
    if needs.gpus % needs.nodes:
        return [f"{needs.gpus} GPUs cannot be divided over {needs.nodes} nodes"]
    each = needs.gpus // needs.nodes
    if each > pool.per_node:
        nodes = -(-needs.gpus // pool.per_node)
        return [
            f"{needs.gpus} GPUs / {needs.nodes} node(s) = {each} per node, a {pool.type} node has {pool.per_node}; "
            f"at least {nodes} nodes are needed"
        ]
    return []


def _memory_problems(request: StageRequest, needs: Needs, profile: ClusterProfile, weight_bytes: int) -> list[str]:
    pool = profile.gpu_pool
    assert pool is not None  # check_fit asked
    factor = training_factor(request)
    usable = quantity(pool.gpu_memory) * _USABLE
    wanted = weight_bytes * factor
    if wanted <= usable * needs.gpus:
        return []
    least = -int(-wanted // usable)
    method = request.section.get("method", "lora")
    return [
        f"weights {weight_bytes / 1e9:.1f} GB x {factor:g} ({method}) = {wanted / 1e9:.1f} GB, but {needs.gpus} x "
        f"{pool.gpu_memory} x {_USABLE:g} = {usable * needs.gpus / 1e9:.1f} GB; at least {least} GPUs are needed"
    ]
