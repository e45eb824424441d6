"""What was made from what, by the manifests: down from artifacts to all that rests on them, up to the drops."""

from collections.abc import Iterable, Iterator, Mapping

from trainers.contract import Input, Manifest
from trainers.contract.artifacts import ArtifactStore


def made_from(paths: Iterable[str], manifests: Mapping[str, Manifest]) -> set[str]:
    """Paths of these artifacts, and of all that was made from them.

    Args:
        manifests: of every artifact, by its path.
    """
    affected = {path for path in paths if path in manifests}
    while more := {
        path
        for path, manifest in manifests.items()
        if path not in affected
        and {manifests[one].digest for one in affected}
        & {item.digest for item in manifest.request.inputs if not item.is_compared_with}
    }:
        affected |= more
    return affected


def sources(store: ArtifactStore, manifest: Manifest, depth: int = 0) -> Iterator[tuple[int, Input, Manifest | None]]:
    """(depth, input, its manifest) of all that an artifact rests on, each once, its own inputs below it.

    The manifest is None for a landed folder, and for what is no longer in the store.
    """
    seen: set[str] = set()

    def below(manifest: Manifest, depth: int) -> Iterator[tuple[int, Input, Manifest | None]]:
        for item in manifest.request.inputs:
            source = store.read_manifest(item.path) if item.root == "artifacts" else None
            yield depth, item, source
            if source is not None and not item.is_compared_with and item.path not in seen:
                seen.add(item.path)
                yield from below(source, depth + 1)

    return below(manifest, depth)
