"""Where a release's CPT begins: at the base model, or at the checkpoint of the newest earlier release."""

from dagster import AssetExecutionContext, AssetKey, DagsterInstance, Failure

from korean_llm_assets.partitions.keys import cell_key, cell_of, earlier_releases
from korean_llm_assets.partitions.pointers import latest
from korean_llm_assets.partitions.recipes import model_recipe
from korean_llm_assets.partitions.requests import as_input, stage_request
from korean_llm_assets.partitions.takedown_list import holders
from trainers.contract import STAGES, Artifact, Input, StageRequest
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.recipe import CptSection

CHECKPOINT, CORPUS = "previous_checkpoint", "previous_corpus"


def previous_inputs(
    context: AssetExecutionContext, store: ArtifactStore, base_model: Artifact, corpus: Artifact
) -> tuple[Input, ...]:
    """The previous release's checkpoint and its corpus, where the recipe says `start_from: previous_release`.

    None where no earlier release has a checkpoint made from this base model. They are resolved when the request is
    built and are no dependencies of the asset, so a checkpoint that is made again makes no later release stale; and a
    release that was made keeps what it began from, as long as the rest of its request is the same.

    Raises:
        Failure: the previous checkpoint is no longer on the disk.
    """
    model, release = cell_of(context)
    assert model is not None and release is not None, "cpt_checkpoint is partitioned by model and release"
    if model_recipe(model).section(CptSection).start_from == "base":
        return ()
    instance = context.instance
    if (previous := _kept(store, instance, model, release, (as_input(base_model), as_input(corpus)))) is not None:
        return previous
    for earlier in reversed(earlier_releases(instance, release)):
        checkpoint = _checkpoint(instance, model, earlier)
        if checkpoint is None:
            continue
        request = _request(store, checkpoint)
        if request is None:
            raise Failure(
                f"start_from: previous_release: the checkpoint of release {earlier!r} is not in "
                f"{store.path(checkpoint)}. Materialize it again, or say start_from: base in the recipe's cpt section",
                allow_retries=False,
            )
        if request.input("base_model").digest != base_model.digest:
            context.log.info(f"the checkpoint of release {earlier!r} was made from another base model: not continued")
            continue
        context.log.info(f"going on from the checkpoint of release {earlier!r}")
        return as_input(checkpoint, CHECKPOINT), request.input("corpus").model_copy(update={"name": CORPUS})
    context.log.info("no earlier release has a checkpoint of this model: starting from the base model")
    return ()


def _kept(
    store: ArtifactStore, instance: DagsterInstance, model: str, release: str, upstream: tuple[Input, ...]
) -> tuple[Input, ...] | None:
    """What this release's own checkpoint began from, where nothing else of its request has changed."""
    checkpoint = _checkpoint(instance, model, release)
    request = _request(store, checkpoint) if checkpoint else None
    if request is None:
        return None
    before = tuple(item for item in request.inputs if item.name in (CHECKPOINT, CORPUS))
    same = stage_request(STAGES["cpt"], model, release, (*upstream, *before)).digest == request.digest
    return before if same else None


def _checkpoint(instance: DagsterInstance, model: str, release: str) -> Artifact | None:
    """The latest one; none where it was trained on documents that were taken down."""
    checkpoint = latest(instance, AssetKey(STAGES["cpt"].asset), cell_key(model, release))
    return checkpoint if checkpoint is not None and checkpoint.digest not in holders() else None


def _request(store: ArtifactStore, artifact: Artifact) -> StageRequest | None:
    """What an artifact was made by, None where it is gone. Its files are verified where they are read: by the stage."""
    manifest = store.read_manifest(artifact.path)
    return manifest.request if manifest else None
