"""How fast weights learn: the schedule of the rate, and rates of their own for embeddings and LoRA's B matrices."""

from typing import Any

from trainers.contract.recipe import TrainingSection


def schedule_name(section: TrainingSection) -> str:
    """transformers' name of the section's schedule."""
    if section.schedule == "cosine" and section.final_rate_share:
        return "cosine_with_min_lr"
    return "warmup_stable_decay" if section.schedule == "wsd" else section.schedule


def schedule_settings(section: TrainingSection, steps: int) -> dict[str, float]:
    """What transformers' schedule is told beside its name, in a training of so many steps."""
    if section.decay_share is not None:  # WSD (Hu et al. 2024) decays over the last share of the steps
        return {"num_decay_steps": round(steps * section.decay_share), "min_lr_ratio": section.final_rate_share}
    return {"min_lr_rate": section.final_rate_share} if section.final_rate_share else {}


def set_rates(optimizer: Any, model: Any, section: TrainingSection) -> None:
    """Move weights into parameter groups of their own, with the rates that the section names for them."""
    if section.lora is not None and section.lora.plus_ratio is not None:
        _set_apart(optimizer, _b_matrices(model), section.learning_rate * section.lora.plus_ratio)
    if section.embedding_learning_rate is not None:
        _set_apart(optimizer, embeddings(model), section.embedding_learning_rate)


def _b_matrices(model: Any) -> set[Any]:
    """Hayou et al. 2024: https://arxiv.org/abs/2402.12354"""
    return {weight for name, weight in model.named_parameters() if "lora_B" in name and weight.requires_grad}


def embeddings(model: Any) -> set[Any]:
    """The weights of the embeddings and the head that learn."""
    layers = (model.get_input_embeddings(), model.get_output_embeddings())  # a reward model has no output's
    return {weight for layer in layers if layer is not None for weight in layer.parameters() if weight.requires_grad}


def _set_apart(optimizer: Any, weights: set[Any], rate: float) -> None:
    for group in list(optimizer.param_groups):
        moved = [weight for weight in group["params"] if weight in weights]
        if moved:
            group["params"] = [weight for weight in group["params"] if weight not in weights]
            optimizer.add_param_group({**group, "params": moved, "lr": rate, "initial_lr": rate})
