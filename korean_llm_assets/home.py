"""Where this machine keeps its state: one folder, KOREAN_LLM_HOME, with everything below it."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from trainers.contract import ServiceMissing, settings
from trainers.contract.locks import locked

_DAGSTER_YAML = """\
# Written by `python -m korean_llm_assets`; your changes are kept. Storage is SQLite below this folder.
telemetry: {enabled: false}
nux: {enabled: false}
# A busy machine needs long to import a code location.
code_servers: {local_startup_timeout: 300}
# Runs wait for GPUs (or cores) in line, fairly by model (compute/pool.py): here is only what waits at once.
# A cancelled run gives its slot back.
concurrency:
  runs: {max_concurrent_runs: 8}
  pools: {default_limit: 8, granularity: op}
run_monitoring:
  enabled: true
  start_timeout_seconds: 300
  free_slots_after_run_end_seconds: 30
  poll_interval_seconds: 10
"""
_WORKSPACE_YAML = (
    "load_from: [{python_module: {module_name: korean_llm_assets.definitions, location_name: korean_llm}}]\n"
)


@dataclass(frozen=True)
class Home:
    """The folders of local state."""

    root: Path

    @classmethod
    def from_environment(cls) -> "Home":
        """KOREAN_LLM_HOME, or `var` in the working folder."""
        return cls(settings.HOME.get().absolute())

    @property
    def dagster(self) -> Path:
        """DAGSTER_HOME."""
        return self.root / "dagster"

    @property
    def workspace(self) -> Path:
        """The workspace file for `dagster job launch` and the daemon."""
        return self.dagster / "workspace.yaml"

    @property
    def artifacts(self) -> Path:
        """Artifact root."""
        return self.root / "artifacts"

    @property
    def landing(self) -> Path:
        """Landing root: one folder per release."""
        return self.root / "landing"

    @property
    def tracking_uri(self) -> str:
        """MLflow's store on this machine."""
        return f"sqlite:///{self.root / 'mlflow' / 'mlflow.db'}"

    @property
    def tracking_files(self) -> Path:
        """Where MLflow keeps reports and plots without a server."""
        return self.root / "mlflow" / "artifacts"

    def prepare_tracking(self) -> None:
        """Make MLflow's database, whole or not at all: a stage that ends while MLflow makes it leaves a broken one."""
        database = self.root / "mlflow" / "mlflow.db"
        if database.exists() or self.environment()["MLFLOW_TRACKING_URI"] != self.tracking_uri:
            return
        database.parent.mkdir(parents=True, exist_ok=True)
        with locked(database.parent / "making.lock"):
            if database.exists():
                return
            aside = database.with_suffix(".making")
            aside.unlink(missing_ok=True)
            command = [sys.executable, "-m", "mlflow", "db", "upgrade", f"sqlite:///{aside}"]
            upgrade = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **self.environment()})
            if upgrade.returncode:
                raise ServiceMissing(f"MLflow cannot make its database {database}: {upgrade.stderr.strip()[-500:]}")
            aside.rename(database)

    def environment(self) -> dict[str, str]:
        """The variables that every process working on this state needs."""
        return {
            settings.HOME.name: str(self.root),
            "DAGSTER_HOME": str(self.dagster),
            "MLFLOW_TRACKING_URI": os.environ.get("MLFLOW_TRACKING_URI") or self.tracking_uri,
            "MLFLOW_ARTIFACTS": str(self.tracking_files),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "1",
        }

    def prepare(self) -> "Home":
        """Make the folders and Dagster's settings (an existing file is kept), and set this process's environment."""
        for folder in (self.dagster, self.artifacts, self.landing, self.tracking_files):
            folder.mkdir(parents=True, exist_ok=True)
        for path, text in ((self.dagster / "dagster.yaml", _DAGSTER_YAML), (self.workspace, _WORKSPACE_YAML)):
            if not path.exists():
                path.write_text(text, encoding="utf-8")
        os.environ.update(self.environment())
        self._prepare_dagster()
        return self

    def _prepare_dagster(self) -> None:
        """Make Dagster's database, one process at a time: two that make its SQLite files at once fail."""
        marker = self.dagster / ".made"
        if marker.exists():
            return
        with locked(self.dagster / ".making.lock"):
            if not marker.exists():
                from dagster import DagsterInstance  # takes a second: only the first start pays for it here

                with DagsterInstance.get():
                    marker.touch()
