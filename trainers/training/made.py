"""What of a model's chain is made: the newest artifacts, and the model that a stage would go on with."""

from trainers.contract import Stage
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.layout import Place


def newest(store: ArtifactStore, stage: Stage, model: str, release: str) -> Place | None:
    """The last committed artifact of a stage for this model and release."""
    cell = store.cell(stage, model if stage.by_model else None, release if stage.by_release else None)
    committed = (place for place in cell.places if place.manifest.exists())
    return max(committed, key=lambda place: place.manifest.stat().st_mtime, default=None)


def model_before(store: ArtifactStore, stage: Stage, model: str, release: str) -> Place | None:
    """The model that a stage goes on with, or the nearest one before it that is made."""
    before = [each for each in stage.lineage[:-1] if each.column]
    made = (newest(store, each, model, release) for each in reversed(before))
    return next((place for place in made if place is not None), None)
