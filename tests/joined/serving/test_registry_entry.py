"""What the export attaches to its run is what MLflow's registry shows of the version: signature, forms, card."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.models import Model
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from korean_llm_assets.serving.registry import CHAMPION, Registry
from tests.korean_llm_assets.serving.test_registry import export_of, report_on
from trainers.contract import attachments
from trainers.contract.artifacts import ArtifactStore
from trainers.export.registry_entry import NAME, write_registry_entry


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.setenv(attachments.FOLDER, str(tmp_path / "files"))
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    return MlflowClient(uri, uri)


def test_mlflow_reads_the_signature_and_the_forms_of_a_version(client: MlflowClient, tmp_path: Path) -> None:
    exported = export_of("1")
    run = client.create_run(client.create_experiment("e", artifact_location=attachments.ROOT)).info
    entry = write_registry_entry(tmp_path, exported.request, ["huggingface", "gguf q4_k_m"])
    get_artifact_repository(attachments.place(run.artifact_uri)).log_artifact(str(entry))
    registry = Registry(client.tracking_uri, locks=tmp_path / "locks", retry_seconds=())
    exported = exported.model_copy(update={"tracking_run": run.run_id})
    registry.promote("toy", exported, report_on("1"), ArtifactStore(tmp_path / "artifacts"), {})
    version = client.get_model_version_by_alias("toy", CHAMPION)
    assert version.run_id == run.run_id and version.description == "# card of 1"
    files = get_artifact_repository(attachments.place(version.source))
    shown = Model.load(files.download_artifacts(NAME))
    assert shown.signature.inputs.input_names()[0] == "messages" and "choices" in shown.signature.outputs.input_names()
    assert shown.flavors == {
        "korean_llm": {"artifact": exported.request.relative_path, "forms": ["huggingface", "gguf q4_k_m"]}
    }


def test_a_tracker_that_was_begun_anew_keeps_no_model_from_its_place(client: MlflowClient, tmp_path: Path) -> None:
    registry = Registry(client.tracking_uri, locks=tmp_path / "locks", retry_seconds=())
    exported = export_of("1").model_copy(update={"tracking_run": "f" * 32})
    registry.promote("toy", exported, report_on("1"), ArtifactStore(tmp_path / "artifacts"), {})
    version = client.get_model_version_by_alias("toy", CHAMPION)
    assert version.source == f"korean-llm:/{exported.request.relative_path}"
