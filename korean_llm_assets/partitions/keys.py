"""Partitions: releases of data (dynamic), models (one recipe each), and cells of model x release."""

import hashlib
import re
import unicodedata

from dagster import (
    AssetExecutionContext,
    DagsterInstance,
    DynamicPartitionsDefinition,
    MultiPartitionKey,
    MultiPartitionsDefinition,
    PartitionsDefinition,
    StaticPartitionsDefinition,
)

from korean_llm_assets.partitions.recipes import DATA, recipes
from trainers.contract import STAGES, BadRequest, Stage

_KEPT_CHARACTERS = 48
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+|\.{2,}")


releases = DynamicPartitionsDefinition(name="release")
# A model whose recipe cannot be used keeps its partition: what was made of it stays in sight.
models = StaticPartitionsDefinition(sorted({*recipes().models, *recipes().problems} - {DATA}))
cells = MultiPartitionsDefinition({"model": models, "release": releases})


def partitions_of(stage: Stage) -> PartitionsDefinition:
    """How a stage's asset is partitioned."""
    if stage.by_model and stage.by_release:
        return cells
    return models if stage.by_model else releases


def stage_of(asset: str) -> Stage:
    """The stage that makes an asset."""
    return next(stage for stage in STAGES.values() if stage.asset == asset)


def cell_of(context: AssetExecutionContext) -> tuple[str | None, str | None]:
    """(model, release) of a running step, None where its asset is not partitioned by it."""
    return model_and_release(stage_of(context.asset_key.to_user_string()), context.partition_key)


def model_and_release(stage: Stage, partition: str) -> tuple[str | None, str | None]:
    """(model, release) of a partition of a stage's asset, None where that is not partitioned by it.

    Dagster hands a cell over as a MultiPartitionKey or as its text `model|release` (from a run's tag, the command
    line, a cursor), and nobody can know as which: this is the one place that reads them.

    Raises:
        BadRequest: the partition of a cell does not name both.
    """
    if not (stage.by_model and stage.by_release):
        return (partition, None) if stage.by_model else (None, partition)
    names = partition.split("|")
    if len(names) != 2 or not all(names):
        raise BadRequest(f"{partition!r} is no partition of {stage.asset}; those are written MODEL|RELEASE")
    return names[0], names[1]


def partition_of(stage: Stage, model: str | None, release: str | None) -> str:
    """The partition of a stage's asset for a model and a release; the other way round of `model_and_release`.

    A cell's is the text of its `cell_key`, which Dagster takes many times as long to make: a tick asks for thousands.
    """
    if stage.by_model and stage.by_release:
        return f"{model}|{release}"
    return str(model if stage.by_model else release)


def earlier_releases(instance: DagsterInstance, release: str) -> list[str]:
    """The releases that were registered before this one, oldest first."""
    registered = list(instance.get_dynamic_partitions(releases.name or ""))
    return registered[: registered.index(release)] if release in registered else registered


def cell_key(model: str, release: str) -> MultiPartitionKey:
    """The partition key of one cell."""
    return MultiPartitionKey({"model": model, "release": release})


def release_key(name: str) -> str:
    """The partition key of a landed folder: its name where that is safe, else made safe with a short hash of it.

    Safe is: ASCII letters, digits, '.', '_', '-'; begins with a letter or digit; at most 57 characters. The
    hash keeps names apart that become the same text; Unicode forms of one name (NFC, NFD) give one key.
    """
    name = unicodedata.normalize("NFC", name)
    safe = _UNSAFE.sub("-", name).strip("-._")[:_KEPT_CHARACTERS].rstrip("-._")
    if safe == name:
        return name
    return f"{safe or 'release'}-{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"
