"""What a version must answer: what evaluation heard, as its export says, or the report of what is not exported."""

import json
from pathlib import Path
from typing import Any

import pytest

from korean_llm_assets.serving.registry import Version
from korean_llm_assets.serving.rollout_hook import cluster_rollout, heard
from tests.support.toy import commit, pointer
from trainers.contract import Artifact, BadRequest, EvaluationDetails, ExportDetails, TrainingDetails
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.replies import GreedyReply

REPLY = GreedyReply(messages=[{"role": "user", "content": "안녕?"}], text="안녕하세요.", certain=6, ends=True)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path)


def trained(store: ArtifactStore, name: str) -> Artifact:
    counts = {"steps": 1, "epochs": 1, "tokens_seen": 1, "tokens_trained": 1, "trainable_parameters": 1}
    details = TrainingDetails(method="full", tokenizer_hash="t", backend="transformers", **counts)
    return commit(store, "rlhf", details, lambda folder: (folder / "model").write_text(name), model=name)


def version(artifact: Artifact) -> Version:
    return Version("toy", "", pointer(artifact), {})


def test_what_is_exported_is_heard_by_its_own_manifest(store: ArtifactStore) -> None:
    details = ExportDetails(formats=["safetensors"], parameters=1, tokenizer_hash="t", replies=[REPLY], model_card="")
    exported = commit(store, "export", details, lambda folder: (folder / "model").write_text("m"))
    assert heard(store, version(exported)) == [REPLY]


def test_what_is_not_exported_is_heard_by_the_report_of_just_this_model(store: ArtifactStore) -> None:
    """Its release is served before the gate let it be a version, or although it did not."""
    model, other = trained(store, "toy"), trained(store, "toy-2")
    assert heard(store, version(model)) == [], "nobody has evaluated it yet"
    for subject, replies in ((other, []), (model, [REPLY])):
        details = EvaluationDetails(suites={}, gate=[], replies=replies)
        commit(store, "evaluate", details, lambda folder: (folder / "report.md").write_text("r"), inputs=(subject,))
    assert heard(store, version(model)) == [REPLY]
    assert heard(store, version(other)) == [], "a report of another model is not its own"


_WITHOUT = {"autoscaler": "hpa", "rollout": {"canary_seconds": 0}}


@pytest.mark.parametrize("changes", [{}, {"autoscaler": "keda"}, {"rollout": {}}])
def test_a_prometheus_that_is_wanted_and_not_named_is_told_at_once_with_the_way_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
):
    """Loading the code location reads it: a cluster without monitoring had no automation at all."""
    monkeypatch.delenv("KOREAN_LLM_PROMETHEUS_URL", raising=False)
    monkeypatch.setenv("KOREAN_LLM_PROFILE", "h100")
    file = tmp_path / "settings.yaml"
    monkeypatch.setenv("KOREAN_LLM_SERVING", str(file))
    file.write_text(json.dumps({**_WITHOUT, **changes}))
    if not changes:
        assert cluster_rollout(ArtifactStore(tmp_path)) is not None
        return
    with pytest.raises(BadRequest, match=r"PROMETHEUS_URL is not set.*autoscaler: hpa.*canary_seconds: 0"):
        cluster_rollout(ArtifactStore(tmp_path))
