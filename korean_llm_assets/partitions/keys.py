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

from korean_llm_assets.partitions.recipes import model_recipes
from trainers.contract import STAGES, Stage

_KEPT_CHARACTERS = 48
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+|\.{2,}")


releases = DynamicPartitionsDefinition(name="release")
models = StaticPartitionsDefinition(sorted(model_recipes()))
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
    stage = stage_of(context.asset_key.to_user_string())
    key = context.partition_key
    if isinstance(key, MultiPartitionKey):
        return key.keys_by_dimension["model"], key.keys_by_dimension["release"]
    return (key, None) if stage.by_model else (None, key)


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
