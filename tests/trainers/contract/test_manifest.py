"""Manifests: what restarts cost, what is refused after it was written, and that those of 0.1 are read as before."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainers.contract import (
    Artifact,
    Attempt,
    CorpusDetails,
    DatasetDetails,
    DiskTrouble,
    EvaluationDetails,
    GateResult,
    Manifest,
    StageRequest,
    TrainingDetails,
    lost_seconds,
)
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.layout import Place

OF_0_1 = Path(__file__).with_name("manifests_0.1")
"""One artifact of every stage as 0.1 made it; of the model stages and the report, the manifest alone."""
MANIFESTS_OF_0_1 = sorted(OF_0_1.rglob("manifest.json"))


def attempt(started: float, ended: float | None, saved: float | None = None) -> Attempt:
    return Attempt(number=1, started=started, ended=ended, resumed_from_time=saved)


@pytest.mark.parametrize(
    ("attempts", "lost"),
    [
        ([], 0),
        ([attempt(0, 100)], 0),
        ([attempt(0, 100), attempt(110, 200)], 100),  # began anew
        ([attempt(0, 100), attempt(110, 200, saved=70)], 30),
        ([attempt(0, 100), attempt(110, 200, saved=70), attempt(210, 300, saved=190)], 30 + 10),
        ([attempt(0, 100), attempt(110, 200, saved=70), attempt(210, 300, saved=70)], 30 + 90),  # saved nothing itself
        ([attempt(0, 100), attempt(110, 200, saved=70), attempt(210, 300)], 100 + 90),  # its checkpoint was rejected
        ([attempt(0, 100, saved=None), attempt(110, None, saved=100.5)], 0),  # saved while it was being stopped
    ],
)
def test_lost_time(attempts: list[Attempt], lost: float) -> None:
    assert lost_seconds(attempts) == lost


def report(passed: bool = False) -> Manifest:
    request = StageRequest(stage="evaluate", stage_version=1, model="tiny", release="r1")
    gate = [GateResult(name="loops", passed=passed, value=0.3, threshold=0.2, explanation="30%, at most 20%")]
    details = EvaluationDetails(suites={}, gate=gate, markdown="# report")
    metrics = {"gate_passed": float(passed)}
    return Manifest(request=request, request_digest=request.digest, files=(), metrics=metrics, details=details)


def pass_the_gate(written: dict[str, Any]) -> None:
    written["details"]["decides"]["gate"][0]["passed"] = True


def as_format_1(written: dict[str, Any]) -> None:
    pass_the_gate(written)
    written["format"] = 1


def better(written: dict[str, Any]) -> None:
    written["metrics"]["gate_passed"] = 1.0


def without_its_digest(written: dict[str, Any]) -> None:
    pass_the_gate(written)
    del written["digest"]


@pytest.mark.parametrize("change", [pass_the_gate, as_format_1, better, without_its_digest])
def test_a_verdict_that_was_changed_by_hand_is_refused_in_words(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    store, manifest = ArtifactStore(tmp_path), report()
    with store.workspace(manifest.request) as workspace:
        artifact = workspace.commit(manifest)
    path = Place(store.path(artifact)).manifest
    written = json.loads(path.read_text(encoding="utf-8"))
    change(written)
    path.write_text(json.dumps(written), encoding="utf-8")
    for read in (lambda: store.find(manifest.request), lambda: store.manifest(artifact)):
        with pytest.raises(DiskTrouble, match=r"manifest\.json was changed after it was written.*run the stage again"):
            read()


@pytest.mark.parametrize(("passed", "words"), [(False, "say passed.*is 0.0"), (True, "say failed.*is 1.0")])
def test_a_verdict_of_format_1_must_be_that_of_its_metrics(tmp_path: Path, passed: bool, words: str) -> None:
    store, manifest = ArtifactStore(tmp_path), report(passed).model_copy(update={"format": 1})
    with store.workspace(manifest.request) as workspace:
        artifact = workspace.commit(manifest)
    assert store.manifest(artifact) == manifest
    path = Place(store.path(artifact)).manifest
    written = json.loads(path.read_text(encoding="utf-8"))
    written["details"]["decides"]["gate"][0]["passed"] = not passed
    path.write_text(json.dumps(written), encoding="utf-8")
    assert Manifest.model_validate(written).digest == artifact.digest, "the old digest covers no verdict"
    with pytest.raises(DiskTrouble, match=f"changed after it was written: the conditions of its gate {words}"):
        store.manifest(artifact)


def test_a_verdict_and_its_digest_changed_by_hand_are_refused_by_whom_they_were_told(tmp_path: Path) -> None:
    store, manifest, forged = ArtifactStore(tmp_path), report(), report(passed=True)
    with store.workspace(manifest.request) as workspace:
        artifact = workspace.commit(manifest)
    Place(store.path(artifact)).manifest.write_text(forged.model_dump_json(), encoding="utf-8")
    assert forged.digest != artifact.digest
    with pytest.raises(DiskTrouble, match=f"has content {forged.digest}, not {artifact.digest}"):
        store.manifest(artifact)


@pytest.mark.parametrize("path", MANIFESTS_OF_0_1, ids=lambda path: path.relative_to(OF_0_1).parts[0])
def test_a_manifest_of_0_1_is_read_and_verified_with_the_digest_that_it_had(path: Path) -> None:
    written = json.loads(path.read_text(encoding="utf-8"))
    files = () if len(list(path.parent.iterdir())) > 1 else (path.name,)  # `only`: no file, where none is kept here
    manifest = ArtifactStore(OF_0_1).read(path.parent, written["request_digest"], written["digest"], only=files)
    assert manifest.format == 1
    assert manifest.digest == written["digest"] and manifest.request.digest == path.parent.name
    again = Manifest.model_validate_json(manifest.model_dump_json())
    assert again == manifest and again.digest == manifest.digest


def test_manifests_of_0_1_are_there_for_every_stage_and_lose_nothing() -> None:
    manifests = [Manifest.model_validate_json(path.read_text(encoding="utf-8")) for path in MANIFESTS_OF_0_1]
    by_digest = {Artifact.of(manifest).digest: manifest for manifest in manifests}
    named = {(item.name, item.digest) for manifest in manifests for item in manifest.request.inputs}
    assert len({manifest.request.stage for manifest in manifests}) == 10
    assert {name for name, digest in named if digest not in by_digest} == {"landing"}, "they name one another"
    of = {manifest.request.stage: manifest.details for manifest in manifests}
    corpora = {each.request.release: each.details for each in manifests if isinstance(each.details, CorpusDetails)}
    assert corpora["r2"].earlier == {"r1": 1} and corpora["r1"].excluded["near_duplicate"] == 1
    nouns = corpora["r2"].nouns
    assert nouns is not None and nouns.nouns > 0 and nouns.drift.keys() == {"r1"}
    assert corpora["r1"].plan and corpora["r1"].length and corpora["r1"].cluster_size
    assert isinstance(of["instructions"], DatasetDetails) and of["instructions"].masked == {"PHONE": 1}
    trained = [each.details for each in manifests if isinstance(each.details, TrainingDetails)]
    assert next(details.expansion for details in trained if details.expansion is not None).new_tokens > 0
    assert [p.continued_from for each in trained if (p := each.pretraining) is not None and p.continued_from]
    assert isinstance(of["rlhf"], TrainingDetails) and of["rlhf"].alignment is not None
    assert of["rlhf"].alignment.algorithm == "dpo"
    assert isinstance(of["evaluate"], EvaluationDetails) and of["evaluate"].gate_passed
