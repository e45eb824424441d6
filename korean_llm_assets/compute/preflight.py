"""Preflight: can these needs be met on this cluster at all? Arithmetic only, before anything is launched."""

from korean_llm_assets.compute.profiles import ClusterProfile, quantity
from trainers.contract import STAGES, DoesNotFit, Needs, StageRequest
from trainers.contract.memory import Setting, loaded_memory
from trainers.contract.model_shape import Shape
from trainers.contract.planner import Gpu, refusal
from trainers.contract.recipe import TrainingSection


def check_fit(request: StageRequest, needs: Needs, profile: ClusterProfile, shape: Shape | None = None) -> None:
    """Compare needs with the profile, and what the planner reckons with the profile's GPU.

    Args:
        shape: of the model that the stage starts from, where it is known.

    Raises:
        DoesNotFit: with the arithmetic, and what would fit.
    """
    problems = [*_node_problems(needs, profile), *_gpu_problems(request, needs, profile)]
    if needs.nodes > 1 and STAGES[request.stage].spread is None:
        problems.append(f"it asks for {needs.nodes} nodes, but a stage like {request.stage} uses one")
    if not problems and shape and needs.gpus and profile.gpu_pool and STAGES[request.stage].parent:
        problems = _memory_problems(request, needs, profile.gpu_pool.gpu, shape)
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
            if needs.nodes == 1 or STAGES[request.stage].spread == "tasks"
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


def _memory_problems(request: StageRequest, needs: Needs, gpu: Gpu, shape: Shape) -> list[str]:
    stage = STAGES[request.stage]
    if not stage.trains:
        loaded = loaded_memory(shape, needs.gpus, gpu.memory)
        return [] if loaded.fits else [f"{stage.name} on {needs.gpus} x {gpu.name} does not fit: {loaded.arithmetic}"]
    section = stage.section.model_validate(request.section)
    assert isinstance(section, TrainingSection), "stages that train have such a section"
    if needs.gpus % section.context_parallel:
        return [f"{needs.gpus} GPUs cannot be divided by context_parallel: {section.context_parallel}"]
    problem = refusal(stage.name, shape, Setting.of(section, needs.gpus), gpu.memory)
    return [problem] if problem else []
