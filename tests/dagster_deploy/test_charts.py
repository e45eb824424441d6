"""Our values against the published charts: what Helm would merge keeps the chart's schema, and no key is made up.

KOREAN_LLM_CHARTS names a folder with unpacked charts (`helm pull --untar`, or a chart's folder of its repository):
`<chart>/values.yaml`, its templates, values.schema.json where it has one, and subcharts below `charts/`.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from trainers.contract import settings

_VALUES = Path(__file__).parents[2] / "helm-values"
_LAYERS = {path.stem: [path.stem] for path in sorted(_VALUES.glob("*.yaml"))} | {
    "dagster-kind": ["dagster", "dagster-kind"]
}
"""Values files of one installation, the later over the earlier; the first is named after its chart."""


def _chart(layers: list[str]) -> Path:
    folder = (settings.CHARTS.get() or Path("/nowhere")) / layers[0]
    if not (folder / "values.yaml").exists():
        pytest.skip(f"no chart at {folder} (set KOREAN_LLM_CHARTS to a folder of unpacked charts)")
    return folder


def _read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def _merged(below: Any, above: Any) -> Any:
    """As Helm coalesces values: maps key by key, all else replaced; null removes a key."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    both = {key: _merged(below[key], above[key]) if key in below else above[key] for key in above}
    return {key: value for key, value in {**below, **both}.items() if value is not None or key not in above}


def _defaults(chart: Path) -> dict[str, Any]:
    """The chart's values, with those of its subcharts below their names."""
    values = _read(chart / "values.yaml")
    for sub in sorted((chart / "charts").glob("*/values.yaml")):
        name = sub.parent.name
        values[name] = _merged(_defaults(sub.parent), values.get(name) or {})
    return values


def _ours(layers: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for layer in layers:
        values = _merged(values, _read(_VALUES / f"{layer}.yaml"))
    return values


def _made_up(ours: Any, defaults: Any, templates: str, path: str = "") -> Iterator[str]:
    """Keys that neither the chart's values nor its templates know. Below an empty default, keys are the user's."""
    if not (isinstance(ours, dict) and isinstance(defaults, dict) and defaults):
        return
    for key, value in ours.items():
        here = f"{path}.{key}"
        if key in defaults:
            yield from _made_up(value, defaults[key], templates, here)
        elif not re.search(rf"\.Values{re.escape(here)}\b", templates):
            yield here.removeprefix(".")


@pytest.mark.parametrize("layers", _LAYERS.values(), ids=list(_LAYERS))
def test_no_key_is_made_up(layers: list[str]):
    chart = _chart(layers)
    templates = "".join(path.read_text(encoding="utf-8") for path in chart.rglob("templates/**/*") if path.is_file())
    assert list(_made_up(_ours(layers), _defaults(chart), templates)) == []


@pytest.mark.parametrize("layers", _LAYERS.values(), ids=list(_LAYERS))
def test_merged_values_keep_the_charts_schema(layers: list[str]):
    chart = _chart(layers)
    schema = chart / "values.schema.json"
    if not schema.exists():
        pytest.skip(f"chart {layers[0]} publishes no schema; its keys are checked above")
    jsonschema.validate(_merged(_defaults(chart), _ours(layers)), json.loads(schema.read_text(encoding="utf-8")))


def test_a_key_that_no_chart_knows_is_found():
    defaults = {"ingress": {"enabled": False}, "labels": {}}
    ours = {"ingress": {"enabled": True, "clas": "nginx", "className": "nginx"}, "labels": {"a": 1}, "replica": 2}
    assert list(_made_up(ours, defaults, "{{ .Values.ingress.className }}")) == ["ingress.clas", "replica"]
