"""Command `trace`: from a document down to the models made from it, or from a model up to its texts' sources.

Texts are read in the trainers' world (`python -m trainers trace`); here are manifests only.
"""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from dagster import AssetKey, DagsterInstance

from korean_llm_assets.commands.korean import label
from korean_llm_assets.commands.printing import add_output, print_json, table
from korean_llm_assets.home import Home
from korean_llm_assets.partitions.keys import partition_of
from korean_llm_assets.partitions.lineage import made_from, sources
from korean_llm_assets.partitions.pointers import latest
from korean_llm_assets.resources import Platform
from trainers.contract import (
    STAGES,
    BadRequest,
    BaseModelDetails,
    CorpusDetails,
    DatasetDetails,
    Input,
    Manifest,
)
from trainers.contract.artifacts import ArtifactStore

_MOST = 5
"""Sources and licences that a line names."""


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("trace", help="what was made from a document, or from what a model was made")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--document", metavar="ID", help="its id, or the sha256 of its text")
    which.add_argument("--model", help="with --release: down to sources and licences of the texts")
    parser.add_argument("--release")
    add_output(parser)
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """One direction of lineage or the other; exit 1 where a document is in nothing that is kept."""
    store = ArtifactStore(home.artifacts)
    if options.document is not None:
        return _document(options, store)
    if options.release is None:
        raise BadRequest("--model needs --release: a model is made of one release; `status` lists them")
    return _model(options, store)


def _document(options: Namespace, store: ArtifactStore) -> int:
    places = _places(store, options.document)
    manifests = {manifest.request.relative_path: manifest for manifest in store.manifests()}
    held = {place["artifact"] for place in places}
    made = sorted(made_from(held, manifests) - held)
    if options.json:
        print_json({"document": options.document, "places": places, "made from it": made})
    elif not places:
        print(f"{label('in nothing that is kept here', options.lang)}: {options.document}")
    else:
        columns = ("artifact", "id", "source", "licence", "url")
        rows = [[str(place.get(name, "")) for name in columns] for place in places]
        print("\n".join(table(columns, rows, options.lang)))
        for path in made:
            print(f"{label('made from it', options.lang)}: {path}")
    return 0 if places else 1


def _places(store: ArtifactStore, document: str) -> list[dict[str, Any]]:
    """Where the document lies.

    Raises:
        ServiceMissing: the trainers' world cannot be asked.
    """
    platform = Platform.from_environment()
    words = ["trace", f"--document={document}", "--artifacts", str(store.root)]
    places: list[dict[str, Any]] = platform.compute.ask(words)
    return places


def _model(options: Namespace, store: ArtifactStore) -> int:
    with DagsterInstance.get() as instance:
        top = _newest(instance, store, options.model, options.release)
    nodes = [_node(0, None, top), *(_node(depth, item, source) for depth, item, source in sources(store, top, 1))]
    if options.json:
        print_json(nodes)
        return 0
    for node in nodes:
        print(f"{'  ' * node['depth']}{node['what']}{': ' if node['origin'] else ''}{node['origin']}")
    return 0


def _newest(instance: DagsterInstance, store: ArtifactStore, model: str, release: str) -> Manifest:
    """What was made last of a model on a release: the deployment, or what there is before it.

    Raises:
        BadRequest: nothing was.
    """
    for stage in reversed([stage for stage in STAGES.values() if stage.by_model and stage.by_release]):
        pointer = latest(instance, AssetKey(stage.asset), partition_of(stage, model, release))
        if pointer and (manifest := store.read_manifest(pointer.path)):
            return manifest
    raise BadRequest(f"nothing was made of {model} on {release}, or none of it is kept; `status` shows what there is")


def _node(depth: int, item: Input | None, manifest: Manifest | None) -> dict[str, Any]:
    """One thing that a model rests on: what it is, and what its manifest says of its origin."""
    if manifest is not None:
        what = f"{manifest.request.asset} {manifest.request.partition} ({manifest.digest[:12]})"
        return {"depth": depth, "what": what, "digest": manifest.digest, "origin": _origin(manifest)}
    assert item is not None, "what has no manifest is an input of something"
    if item.root == "landing":
        inherited = f", inherited from {item.inherited_from}" if item.inherited_from else ""
        return {"depth": depth, "what": f"landed {item.path}", "digest": item.digest, "origin": inherited.lstrip(", ")}
    return {"depth": depth, "what": item.path, "digest": item.digest, "origin": "no longer kept"}


def _origin(manifest: Manifest) -> str:
    match manifest.details:
        case (
            CorpusDetails(by_source=by_source, by_licence=by_licence)
            | DatasetDetails(by_source=by_source, by_licence=by_licence)
        ):
            return "; ".join(_largest(name, of) for name, of in (("source", by_source), ("licence", by_licence)) if of)
        case BaseModelDetails(source=source, revision=revision):
            return f"{source} {revision or ''}".strip()
    return ""


def _largest(name: str, counts: Mapping[str, int]) -> str:
    """`licence: CC-BY 12,000, unknown 3 and 2 more`."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    more = f" and {len(ordered) - _MOST} more" if len(ordered) > _MOST else ""
    return f"{name}: {', '.join(f'{key} {count:,}' for key, count in ordered[:_MOST])}{more}"
