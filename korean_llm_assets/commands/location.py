"""Whether Dagster's server has loaded the code location: where it has not, none of its sensors can say so."""

import time
from typing import Any

from korean_llm_assets.alerts import configured_channels
from korean_llm_assets.http import post_json
from trainers.contract import ServiceMissing

_QUERY = """{ workspaceOrError { ... on Workspace { locationEntries { loadStatus
  locationOrLoadError { ... on PythonError { message causes { message } } } } } } }"""
_SECONDS = 10


def location_errors(page: str) -> list[str]:
    """Why locations do not load, as the server at this address has it; empty where they do, or it does not answer."""
    errors = [entry["locationOrLoadError"] or {} for entry in _entries(page)]
    # What Dagster says of it is the same whatever happened; the innermost cause is the reason.
    return [[error, *error["causes"]][-1]["message"] for error in errors if "message" in error]


def is_loaded(page: str) -> bool:
    """Whether the server at this address has the code location, and no error in its place."""
    entries = _entries(page)
    return bool(entries) and all(
        entry["loadStatus"] == "LOADED" and "message" not in (entry["locationOrLoadError"] or {}) for entry in entries
    )


def _entries(page: str) -> list[dict[str, Any]]:
    try:
        answer = post_json("Dagster's server", f"{page}/graphql", {"query": _QUERY}, _SECONDS)
    except ServiceMissing:
        return []
    entries: list[dict[str, Any]] = answer["data"]["workspaceOrError"].get("locationEntries", [])
    return entries


def tell_location_trouble(page: str) -> None:
    """Tell each reason once, by alert, and here for as long as it lasts."""
    for error in location_errors(page):
        from dagster import DagsterInstance  # takes a second, and most often nothing is to be told

        from korean_llm_assets.triggers.outbox import Outbox
        from korean_llm_assets.triggers.watch import location_trouble

        alert = location_trouble(error)
        print(f"{time.strftime('%H:%M:%S')} {alert.english}", flush=True)
        with DagsterInstance.get() as instance:
            Outbox(instance, configured_channels()).tell(alert)
