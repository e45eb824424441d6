"""Charts rendered by Helm's own library, as an installation would: ours with facts, public ones with helm-values/."""

import json
import re
import runpy
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from tests.conftest import ROOT
from trainers.contract import settings

DEPLOY = ROOT / "dagster_deploy"
KIND = DEPLOY / "kind" / "facts.yaml"
INSTALL = runpy.run_path(str(DEPLOY / "install"))
"""The names of the installing script."""
CHARTS = {entry["name"]: entry for entry in yaml.safe_load((DEPLOY / "charts.yaml").read_text())["charts"]}
"""The entries of charts.yaml, by release name."""
Body = dict[str, Any]
_REMOTE = re.compile(r'"\$ref": "https?://kubernetesjsonschema\.dev[^"]*"')


def facts(*files: Path, **changes: Any) -> Body:
    """The facts of an installation: the chart's, the files', and what a test changes."""
    given: Body = INSTALL["merged"](INSTALL["read_facts"](list(files)), changes)
    given["images"]["tag"] = given["images"]["tag"] or "abc123"
    return given


def ours(given: Body | None = None, upgrade: bool = False) -> list[Body]:
    """Every object of our own chart, hooks included."""
    return _objects(str(DEPLOY / "chart"), json.dumps(given or facts()), "korean-llm", "default", upgrade)


def public(release: str, given: Body | None = None) -> list[Body]:
    """Every object of a public chart, with the values that `install` would give it; skips where the chart is absent."""
    entry, given = CHARTS[release], given or facts()
    values = INSTALL["values_of"](entry, given)
    return _objects(str(chart_folder(entry)), json.dumps(values), release, entry["namespace"], False)


@cache
def _objects(folder: str, values: str, release: str, namespace: str, upgrade: bool) -> list[Body]:
    with helm_python.Chart.load(folder) as chart:
        rendered = chart.render(
            json.loads(values), name=release, namespace=namespace, is_upgrade=upgrade, is_install=not upgrade
        )
    texts = [text for path, text in sorted(rendered.items()) if not path.endswith(("NOTES.txt", ".tpl"))]
    return [body for text in texts for body in yaml.safe_load_all(text) if body]


def chart_folder(entry: Body) -> Path:
    """An unpacked public chart (KOREAN_LLM_CHARTS), its schemas without what they would fetch from elsewhere."""
    name = entry.get("chart", entry["name"])
    folder = (settings.CHARTS.get() or Path("/nowhere")) / name
    if not (folder / "Chart.yaml").exists():
        pytest.skip(f"no chart at {folder} (set {settings.CHARTS.name} to a folder of unpacked charts)")
    return _offline(folder)


@cache
def _offline(folder: Path) -> Path:
    copy = Path(tempfile.mkdtemp()) / folder.name
    shutil.copytree(folder, copy)
    for schema in copy.rglob("values.schema.json"):
        schema.write_text(_REMOTE.sub('"description": "elsewhere"', schema.read_text(encoding="utf-8")))
    about = yaml.safe_load((copy / "Chart.yaml").read_text(encoding="utf-8"))
    if not (copy / "charts").exists() and about.pop("dependencies", None):  # databases, which our values leave off
        (copy / "Chart.yaml").write_text(yaml.safe_dump(about), encoding="utf-8")
        (copy / "Chart.lock").unlink(missing_ok=True)
    return copy


def find(objects: list[Body], kind: str, name: str) -> Body:
    """The one object of a kind and name."""
    (body,) = [each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return body


def profiles(given: Body | None = None) -> dict[str, str]:
    """File name -> text of the cluster profiles that an installation brings."""
    data: dict[str, str] = find(ours(given), "ConfigMap", "korean-llm-profiles")["data"]
    return data


def pods(objects: list[Body]) -> dict[str, Body]:
    """Pod spec by "Kind name" of everything that makes pods."""
    specs = {}
    for body in objects:
        if (spec := body.get("spec", {}).get("template", {}).get("spec")) or body["kind"] == "Pod":
            specs[f"{body['kind']} {body['metadata']['name']}"] = spec or body["spec"]
    return specs
