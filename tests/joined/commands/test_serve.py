"""`serve` with Hugging Face's own server on CPU: the champion answers in Korean; a model of noise is refused."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from korean_llm_assets.commands.serve import serve, versions_of
from korean_llm_assets.home import Home
from korean_llm_assets.serving.registry import Registry
from tests.korean_llm_assets.serving.test_registry import report_on
from tests.support.toy import build_model, teach
from trainers.contract import BadRequest, DiskTrouble, ExportDetails, Manifest, ServiceMissing, StageRequest
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.replies import GreedyReply
from trainers.evaluation.model import ModelUnderTest
from trainers.evaluation.served_replies import greedy_replies


def heard_of(folder: Path) -> list[GreedyReply]:
    """What evaluation hears a model say."""
    return greedy_replies(ModelUnderTest(folder, max_length=256, batch_tokens=2048))


def exported(store: ArtifactStore, folder: Path, release: str = "r1", heard: Sequence[GreedyReply] = ()) -> Manifest:
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
            details=ExportDetails(
                formats=["safetensors"], parameters=1, tokenizer_hash="0", model_card="", replies=list(heard)
            ),
        )
        workspace.commit(manifest)
    return manifest


def deploy(home: Home, registry: Registry, folder: Path, heard: Sequence[GreedyReply] = ()) -> Path:
    """Make a model folder the champion; returns its artifact's folder."""
    store = ArtifactStore(home.artifacts)
    manifest = exported(store, folder, heard=heard)
    registry.promote("toy", manifest, report_on("1"), store, {})
    return store.folder(manifest.request)


@pytest.fixture
def registry(home):
    return Registry(home.tracking_uri, locks=home.artifacts / ".registry")


def serve_once(home: Home, registry: Registry, *which: str) -> int:
    return serve(home, versions_of("toy", "toy", which, registry), port=0, once=True)


def test_without_a_champion_it_is_said_what_to_do(registry):
    with pytest.raises(BadRequest, match="make demo"):
        versions_of("toy", "toy", (), registry)


def test_one_serves_the_champion_and_what_it_replaced_or_what_is_named(home, registry):
    store, champion = ArtifactStore(home.artifacts), None
    for release in ("r1", "r2"):
        folder = home.root / release
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(release)
        manifest = exported(store, folder, release)
        registry.promote("toy", manifest, report_on("1", champion), store, {})
        champion = manifest.digest

    def words(*which: str) -> dict[str, str]:
        return {name: words for name, (words, _) in versions_of("toy", "toy", which, registry).items()}

    both = {"toy:champion": "toy · version 2 · r2 · champion", "toy:previous": "toy · version 1 · r1 · previous"}
    assert words() == both
    assert words("r1", "champion") == {"toy:r1": "toy · version 1 · r1", "toy:champion": both["toy:champion"]}


@pytest.mark.slow
def test_the_champion_answers_in_korean_and_a_changed_file_is_never_served(home, registry, tmp_path, capfd):
    taught = teach(build_model(tmp_path / "toy", seed=1))
    heard = heard_of(taught)
    assert any(reply.ends for reply in heard)
    folder = deploy(home, registry, taught, heard)
    assert serve_once(home, registry) == 0
    output = capfd.readouterr().out
    assert all(repr(reply.text.strip()) in output for reply in heard if reply.ends)
    assert "toy · version 1" in output and "curl -s http://127.0.0.1" in output
    with (folder / "model" / "model.safetensors").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(DiskTrouble, match=r"model\.safetensors is not what the manifest says"):
        serve_once(home, registry)


@pytest.mark.slow
def test_a_server_of_other_weights_than_evaluation_heard_is_refused(home, registry, tmp_path):
    """Korean words, but another model's: what a server that reads a config wrongly says."""
    heard = heard_of(teach(build_model(tmp_path / "heard", seed=1)))
    deploy(home, registry, teach(build_model(tmp_path / "toy", seed=2)), heard)
    with pytest.raises(ServiceMissing, match="but evaluation heard"):
        serve_once(home, registry)


@pytest.mark.slow
def test_a_model_of_noise_does_not_pass_the_smoke_test(home, registry, tmp_path):
    deploy(home, registry, build_model(tmp_path / "toy", seed=1))
    with pytest.raises(ServiceMissing, match="smoke test failed"):
        serve_once(home, registry)
