"""MLflow's database on this machine: made whole or not at all, and without a path that a move would break."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from trainers.contract import ServiceMissing
from trainers.contract.attachments import ROOT
from trainers.contract.locks import locked

_MAKE = """\
import sys
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
SqlAlchemyStore(*sys.argv[1:])
"""
_FOLDERS = "SELECT experiment_id, artifact_location FROM experiments WHERE artifact_location LIKE '%/mlflow/artifacts'"
_RUNS = """\
UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) WHERE experiment_id = ? AND substr(artifact_uri, 1, ?) = ?
"""
_EXPERIMENT = "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?"
_VERSIONS = """\
UPDATE model_versions SET source = 'korean-llm:/' || tag.value, storage_location = 'korean-llm:/' || tag.value
FROM model_version_tags AS tag
WHERE tag.name = model_versions.name AND tag.version = model_versions.version AND tag.key = 'artifact_path'
AND model_versions.source LIKE 'file:///%'
"""


def prepare(database: Path, environment: Mapping[str, str]) -> None:
    """Make it where it is missing; one that an earlier release made loses its absolute paths.

    Args:
        environment: what MLflow needs beside this process's own.

    Raises:
        ServiceMissing: MLflow cannot make it.
    """
    database.parent.mkdir(parents=True, exist_ok=True)
    with locked(database.parent / "making.lock"):
        if database.exists():
            make_movable(database)
        else:
            _make(database, environment)


def _make(database: Path, environment: Mapping[str, str]) -> None:
    """Aside first: a stage that ends while MLflow makes it would leave a broken one."""
    aside = database.with_suffix(".making")
    aside.unlink(missing_ok=True)
    command = [sys.executable, "-c", _MAKE, f"sqlite:///{aside}", ROOT]
    made = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if made.returncode:
        raise ServiceMissing(f"MLflow cannot make its database {database}: {made.stderr.strip()[-500:]}")
    aside.rename(database)


def make_movable(database: Path) -> None:
    """Turn the paths of an earlier release's experiment, runs and model versions into names without a place."""
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for experiment, folder in connection.execute(_FOLDERS).fetchall():
            below = f"{folder}/"
            connection.execute(_RUNS, (ROOT, len(below) + 1, experiment, len(below), below))
            connection.execute(_EXPERIMENT, (ROOT, experiment))
        connection.execute(_VERSIONS)
