"""Command `takedown`: exclude documents from every later build, tell what was made from them, and remove what is left.

What holds them is matched in the trainers' world, which reads drops and texts (`python -m trainers takedown`):
here, or in a Job of the cluster.
"""

import json
import sys
import uuid
from argparse import Namespace
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dagster import DagsterInstance

from korean_llm_assets.commands.printing import add_json, print_json
from korean_llm_assets.commands.purge import purge
from korean_llm_assets.home import Home
from korean_llm_assets.partitions.lineage import made_from
from korean_llm_assets.partitions.takedown_list import ids_in, remember_holders, takedown_file, taken_down
from korean_llm_assets.resources import Platform
from korean_llm_assets.serving.events import event, record
from korean_llm_assets.serving.registry import CHAMPION, Version
from trainers.contract import BadRequest
from trainers.contract.files import write_atomically


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("takedown", help="exclude documents from every later build; list what has them")
    parser.add_argument(
        "--ids", type=Path, required=True, help="a file, or - for standard input: one id or text sha256 per line"
    )
    parser.add_argument("--who", default="", help="the person who answers for it (whoever is logged in)")
    parser.add_argument("--purge", action="store_true", help="remove what holds them, and leave a certificate")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Add ids to the list; says which data sets, models and deployments were made from these documents."""
    ids = _ids(options.ids)
    if not ids:
        raise BadRequest(f"--ids {options.ids} names no document; write one id or text sha256 per line")
    write_atomically(takedown_file(), "\n".join(sorted({*taken_down(), *ids})) + "\n")
    platform = Platform.from_environment()
    held = _held(platform, ids)
    manifests = {manifest.request.relative_path: manifest for manifest in platform.store.manifests()}
    about = f"{len(ids)} documents ({takedown_file()})"
    with DagsterInstance.get() as instance:
        record(platform.store, instance, event("takedown", about, options.who))
    affected = made_from(held["artifacts"], manifests)
    remember_holders(manifests[path].digest for path in affected)
    serving = [version for version in platform.registry.live() if version.artifact.path in affected]
    outcome: dict[str, Any] = {
        "list": str(takedown_file()),
        "ids": sorted(ids),
        "held": held,
        "made_from_them": sorted(affected),
        "still_trained_on_them": [_served(platform, version) for version in serving],
        "in_nothing": sorted(ids - {name for kind in held.values() for names in kind.values() for name in names}),
    }
    if options.purge:
        removal = purge(platform, [manifests[path] for path in sorted(affected)], held, serving)
        outcome |= {"when": datetime.now(UTC).isoformat(timespec="seconds"), **removal}
        proof = takedown_file().with_name(f"takedown-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json")
        write_atomically(proof, json.dumps(outcome, ensure_ascii=False, indent=1) + "\n")
        outcome["certificate"] = str(proof)
    if options.json:
        print_json(outcome)
    else:
        print("\n".join(_in_words(outcome)))
    return 0


def _served(platform: Platform, version: Version) -> dict[str, str]:
    role = CHAMPION if platform.registry.version(version.name, CHAMPION) == version else "kept"
    return {"model": version.name, "version": version.number, "role": role, "artifact": version.artifact.path}


def _in_words(outcome: dict[str, Any]) -> Iterator[str]:
    held = outcome["held"]
    yield f"{len(outcome['ids'])} ids are excluded from every later build ({outcome['list']})"
    for path in outcome["made_from_them"]:
        note = f"  holds {', '.join(held['artifacts'][path])}" if path in held["artifacts"] else ""
        yield f"made from them: {path}{note}"
    for path, names in held["landed"].items():
        yield f"landed: {path}  holds {', '.join(names)}"
    for each in outcome["still_trained_on_them"]:
        yield f"trained on them and {each['role']}: {each['model']} version {each['version']} ({each['artifact']})"
    if outcome["in_nothing"]:
        yield f"in nothing that is kept here: {', '.join(outcome['in_nothing'])}"
    if "certificate" in outcome:
        yield f"certificate: {outcome['certificate']}"
        for kind in ("removed", "left"):
            for place, why in outcome[kind].items():
                yield f"  {kind}: {place}  ({why})"


def _ids(path: Path) -> set[str]:
    if str(path) == "-":
        return ids_in(sys.stdin.read())
    if not path.is_file():
        raise BadRequest(f"--ids {path}: there is no such file; it holds one id or text sha256 per line")
    return ids_in(path.read_text(encoding="utf-8"))


def _held(platform: Platform, ids: set[str]) -> Any:
    """What holds the documents, as the trainers' world tells it; the names lie beside the list, where it can read them.

    Raises:
        ServiceMissing: it cannot be asked.
    """
    names = takedown_file().with_name(f"takedown-{uuid.uuid4().hex[:12]}.ids")
    write_atomically(names, "\n".join(sorted(ids)) + "\n")
    try:
        where = ["--artifacts", str(platform.store.root), "--landing", str(platform.landing.root)]
        return platform.compute.ask(["takedown", "--ids", str(names.absolute()), *where])
    finally:
        names.unlink()
