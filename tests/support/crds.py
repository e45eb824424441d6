"""Custom resource schemas (Kueue, Kubeflow, KEDA, Gateway API), strict, for tests of what we render."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from trainers.contract import settings

_DEFAULT = Path(__file__).parents[3] / "shared" / "schemas"
SCHEMAS = settings.SCHEMAS.get() or (_DEFAULT,)
"""The folders that hold them."""


def crd_schema(name: str, version: str) -> dict[str, Any]:
    """The JSON schema of a CRD file at a version; skips the test, with the reason, where the file is absent."""
    path = next((folder / name for folder in SCHEMAS if (folder / name).exists()), None)
    if path is None:
        pytest.skip(f"no {name} in {', '.join(map(str, SCHEMAS))} (set {settings.SCHEMAS.name})")
    versions = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]["versions"]
    schema = next(each["schema"]["openAPIV3Schema"] for each in versions if each["name"] == version)
    strict: dict[str, Any] = _strict(schema)
    strict["properties"]["metadata"] = {"type": "object"}
    return strict


def _strict(schema: Any) -> Any:
    """Refuses unknown keys as the API server's strict validation does; an int-or-string may be either."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _strict(value) for key, value in schema.items() if not str(key).startswith("x-kubernetes")}
    if schema.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
        closed.pop("format", None)
    is_object = schema.get("type") == "object" and isinstance(schema.get("properties"), dict)
    if is_object and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed
