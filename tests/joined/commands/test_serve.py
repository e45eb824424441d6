"""`serve` with Hugging Face's own server on CPU: the champion answers in Korean; a model of noise is refused."""

import shutil
from pathlib import Path

import pytest

from korean_llm_assets.commands.serve import serve
from korean_llm_assets.home import Home
from korean_llm_assets.serving.registry import Registry
from tests.korean_llm_assets.serving.test_registry import report_on
from tests.support.toy import build_model, teach
from trainers.contract import BadRequest, DiskTrouble, ExportDetails, Manifest, ServiceMissing, StageRequest
from trainers.contract.artifacts import ArtifactStore


def exported(store: ArtifactStore, folder: Path, release: str = "r1") -> Manifest:
    """Commit a model folder as an exported artifact."""
    request = StageRequest(stage="export", stage_version=1, model="toy", release=release)
    with store.workspace(request) as workspace:
        workspace.begin_attempt()
        shutil.copytree(folder, workspace.output / "model")
        manifest = Manifest(
            request=request,
            request_digest=request.digest,
            files=workspace.records(workspace.output),
            metrics={},
            details=ExportDetails(formats=["safetensors"], parameters=1, tokenizer_hash="0", model_card=""),
        )
        workspace.commit(manifest)
    return manifest


def deploy(home: Home, registry: Registry, folder: Path) -> Path:
    """Make a model folder the champion; returns its artifact's folder."""
    store = ArtifactStore(home.artifacts)
    manifest = exported(store, folder)
    registry.promote("toy", manifest, report_on("1"), store, {})
    return store.folder(manifest.request)


@pytest.fixture
def registry(home):
    return Registry(home.tracking_uri, locks=home.artifacts / ".registry")


def test_without_a_champion_it_is_said_what_to_do(home, registry):
    with pytest.raises(BadRequest, match="make demo"):
        serve(home, registry, "toy", port=0)


@pytest.mark.slow
def test_the_champion_answers_in_korean_and_a_changed_file_is_never_served(home, registry, tmp_path, capfd):
    folder = deploy(home, registry, teach(build_model(tmp_path / "toy", seed=1)))
    assert serve(home, registry, "toy", port=0, once=True) == 0
    output = capfd.readouterr().out
    assert "toy version 1" in output and "curl -s http://127.0.0.1" in output
    with (folder / "model" / "model.safetensors").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(DiskTrouble, match=r"model\.safetensors is not what the manifest says"):
        serve(home, registry, "toy", port=0, once=True)


@pytest.mark.slow
def test_a_model_of_noise_does_not_pass_the_smoke_test(home, registry, tmp_path):
    deploy(home, registry, build_model(tmp_path / "toy", seed=1))
    with pytest.raises(ServiceMissing, match="smoke test failed"):
        serve(home, registry, "toy", port=0, once=True)
