"""More positions than a model was trained on: YaRN (Peng et al. 2024), in its config, where all stages read it."""

import json
from pathlib import Path

from trainers.contract import BadRequest
from trainers.training.base_model.whole_model import text_config_of


def stretch_positions(folder: Path, factor: float) -> None:
    """Give the model in a folder `factor` times its positions; its weights stay what they are, and are to be trained.

    Raises:
        BadRequest: its positions are scaled already, or those of each kind of layer otherwise.
    """
    config = text_config_of(folder)
    rope = getattr(config, "rope_parameters", None) or {}
    if not rope or any(isinstance(value, dict) for value in rope.values()):
        raise BadRequest(
            f"base_model's key 'yarn': a model of type {config.model_type!r} has not one kind of rotary positions for "
            "all its layers; remove it"
        )
    if (kind := rope.get("rope_type", "default")) != "default":
        raise BadRequest(f"base_model's key 'yarn': the model's positions are scaled already ({kind}); remove it")
    trained = config.max_position_embeddings
    scaled = {**rope, "rope_type": "yarn", "factor": factor, "original_max_position_embeddings": trained}
    path = folder / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for earlier_form in ("rope_scaling", "rope_theta"):
        content.pop(earlier_form, None)
    content |= {"rope_parameters": scaled, "max_position_embeddings": int(trained * factor)}
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
