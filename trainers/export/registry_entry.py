"""What MLflow's registry shows of an exported model: an `MLmodel` file, with the signature of a chat and its forms.

The file is attached to the run of the export, where MLflow's page looks for it (the version's source is that run's
files). The weights stay in our store: nothing is uploaded a second time.
"""

from pathlib import Path

from trainers.contract import StageRequest

NAME = "MLmodel"
"""As MLflow wants it called."""


def write_registry_entry(folder: Path, request: StageRequest, forms: list[str]) -> Path:
    """Leave the file in a folder.

    Args:
        forms: in which the model is there: `huggingface`, `gguf q4_k_m`.
    """
    import mlflow  # noqa: F401 - takes seconds; the whole first: the tracker's thread may be at it, and a part would not wait
    from mlflow.models import Model, ModelSignature
    from mlflow.types.llm import CHAT_MODEL_INPUT_SCHEMA, CHAT_MODEL_OUTPUT_SCHEMA

    entry = Model(
        model_uuid=request.digest[:32],
        signature=ModelSignature(CHAT_MODEL_INPUT_SCHEMA, CHAT_MODEL_OUTPUT_SCHEMA),
        flavors={"korean_llm": {"artifact": request.relative_path, "forms": forms}},
        metadata={"task": "llm/v1/chat"},
    )
    path = folder / NAME
    entry.save(str(path))
    return path
