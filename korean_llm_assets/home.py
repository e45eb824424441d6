"""Where state is kept: on a machine one folder, KOREAN_LLM_HOME; on a cluster the deployment's store and database."""

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from trainers.contract import BadRequest, ServiceMissing, attachments, settings, tracking_database
from trainers.contract.locks import locked

_DAGSTER_YAML = """\
# Written by `python -m korean_llm_assets`; your changes are kept. Storage is SQLite below this folder.
telemetry: {enabled: false}
nux: {enabled: false}
# A busy machine needs long to import a code location.
code_servers: {local_startup_timeout: 300}
# Runs wait for GPUs (or cores) in line, fairly by model (compute/pool.py): here is only what waits at once.
# A cancelled run gives its slot back. A run whose process died is made again; one whose stage failed is not.
concurrency:
  runs: {max_concurrent_runs: 8}
  pools: {default_limit: 8, granularity: op}
run_retries: {enabled: true, max_retries: 3, retry_on_asset_or_op_failure: false}
run_monitoring:
  enabled: true
  start_timeout_seconds: 300
  free_slots_after_run_end_seconds: 30
  poll_interval_seconds: 10
"""
CODE, LOCATION = "korean_llm_assets.definitions", "korean_llm"
"""The module that Dagster loads, and what it calls it."""
COMMAND = "python -m korean_llm_assets"
"""As a person types it."""
_WORKSPACE_YAML = f"load_from: [{{python_module: {{module_name: {CODE}, location_name: {LOCATION}}}}}]\n"


@dataclass(frozen=True)
class Home:
    """The folders of local state."""

    root: Path

    @classmethod
    def from_environment(cls) -> "Home":
        """KOREAN_LLM_HOME, or `var` in the working folder; in a cluster's pod what its deployment names."""
        return _Deployed.from_settings() if settings.ENV.get() == "cluster" else cls(settings.HOME.get().absolute())

    @property
    def dagster(self) -> Path:
        """DAGSTER_HOME."""
        return self.root / "dagster"

    @property
    def workspace(self) -> Path:
        """The workspace file for `dagster job launch` and the daemon."""
        return self.dagster / "workspace.yaml"

    def launch_line(self, job: str, partition: str | None) -> str:
        """How a person starts a job: here a command line as it is typed, of which the daemon makes a run."""
        tags = f" --tags {shlex.quote(json.dumps({'dagster/partition': partition}))}" if partition else ""
        return f"dagster job launch -w {self.workspace} -j {job}{tags}"

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
        """Make MLflow's database ready, where it is this machine's own."""
        if self._tracks_here:
            tracking_database.prepare(self.root / "mlflow" / "mlflow.db", self.environment())

    @property
    def _tracks_here(self) -> bool:
        """Whether MLflow's database is the one below this folder, and not another server's."""
        return os.environ.get("MLFLOW_TRACKING_URI") in (None, "", self.tracking_uri)

    def environment(self) -> dict[str, str]:
        """The variables that every process working on this state needs."""
        return {
            settings.HOME.name: str(self.root),
            "DAGSTER_HOME": str(self.dagster),
            "MLFLOW_TRACKING_URI": os.environ.get("MLFLOW_TRACKING_URI") or self.tracking_uri,
            **({attachments.FOLDER: str(self.tracking_files)} if self._tracks_here else {}),
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


@dataclass(frozen=True)
class _Deployed(Home):
    """A cluster's: artifacts and landing area on its store, Dagster by DAGSTER_HOME, MLflow by its address.

    Nothing is made beside them: a pod's own folders are nobody's state, and may not be writable.
    """

    store: Path
    landed: Path

    @classmethod
    def from_settings(cls) -> "_Deployed":
        store, landed = settings.ARTIFACTS.get(), settings.LANDING.get()
        if store is None or landed is None:
            raise BadRequest(
                f"KOREAN_LLM_ENV=cluster needs {settings.ARTIFACTS.name} and {settings.LANDING.name}; run this where "
                "they are set: kubectl -n llm-platform exec deploy/dagster-dagster-user-deployments-korean-llm -- ..."
            )
        return cls(store / ".home", store, landed)

    @property
    def artifacts(self) -> Path:
        """Artifact root."""
        return self.store

    @property
    def landing(self) -> Path:
        """Landing root."""
        return self.landed

    def launch_line(self, job: str, partition: str | None) -> str:
        """In words: a pod has no workspace file for `dagster job launch`."""
        return f"launch the job {job}{f' of {partition}' if partition else ''} in Dagster's UI"

    def environment(self) -> dict[str, str]:
        """What a child process needs beside what the pod's has: where to leave what is no artifact."""
        return {settings.HOME.name: str(self.root)}

    def prepare(self) -> Home:
        """Make the folder for reports; Dagster's and MLflow's own settings stay as the deployment made them."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ServiceMissing(
                f"the store is not writable for user {os.getuid()} ({error}): its files must belong to user 1000 "
                "(dagster_deploy/README.md, step 3)"
            ) from error
        os.environ.update(self.environment())
        return self
