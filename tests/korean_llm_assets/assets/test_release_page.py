"""A release's page: each kind's counts, rules with examples, lines before and after, the release before, the models."""

from pathlib import Path

import pytest
from dagster import DagsterInstance

from korean_llm_assets.assets.release_page import release_page
from tests.support.hostile import HOSTILE, read_page
from trainers.contract import (
    Attempt,
    BenchmarkDetails,
    CorpusDetails,
    DatasetDetails,
    Details,
    EvaluationDetails,
    FileRecord,
    GateResult,
    Input,
    LineChange,
    Manifest,
    RuleEffect,
    RuleExample,
    StageRequest,
    TextChange,
    Unread,
)
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.page_links import PAGE

REST = {"train_documents": 4, "validation_documents": 1, "characters": 9, "bytes": 9, "words": 3}
RULE = RuleEffect(
    **{"rule": "too_short", "limit": 30, "documents": 30, "bytes": 900, "alone": 20, "alone_bytes": 600},
    excluded=[RuleExample(value=2, text="짧다")],
    kept=[RuleExample(value=31, text="아직 남은 글")],
)
PHONE = TextChange(
    step="masked",
    kind="PHONE",
    documents=2,
    examples=[LineChange(before="전화 ▪▪▪-▪▪▪▪-▪▪▪▪", after="전화 [PHONE]")],
)
CORPUS = CorpusDetails(read=100, kept=60, excluded={"too_short": 30, "exact_duplicate": 10}, **REST)


@pytest.fixture
def instance():
    with DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("release", ["r1", "r2", "r3"])
        yield instance


def made(
    store: ArtifactStore,
    stage: str,
    release: str,
    details: Details,
    seed: int = 1,
    model: str | None = None,
    inherited_from: str | None = None,
) -> Manifest:
    """An artifact as its manifest says it; its later `seed` was made later."""
    landed = Input(name="landing", root="landing", path=release, digest="0" * 64, inherited_from=inherited_from)
    inputs = () if model else (landed,)
    request = StageRequest(stage=stage, stage_version=1, model=model, release=release, seed=seed, inputs=inputs)
    manifest = Manifest(
        request=request,
        request_digest=request.digest,
        files=(FileRecord(path=PAGE, size=1, sha256="0" * 64),) if stage in ("corpus", "evaluate") else (),
        metrics={},
        details=details,
        attempts=[Attempt(number=1, started=1.0, ended=float(seed))],
    )
    folder = store.folder(request)
    folder.mkdir(parents=True)
    store.beside(request).manifest.write_text(manifest.model_dump_json(), encoding="utf-8")
    return manifest


def test_a_release_of_which_nothing_is_made_has_no_page(tmp_path: Path, instance: DagsterInstance) -> None:
    assert release_page(ArtifactStore(tmp_path), instance, "r1") is None


def test_what_came_in_what_was_dropped_and_changed_and_what_is_new(tmp_path: Path, instance: DagsterInstance) -> None:
    store = ArtifactStore(tmp_path)
    made(store, "corpus", "r1", CorpusDetails(read=100, kept=95, excluded={"too_short": 5}, **REST))
    made(store, "corpus", "r3", CorpusDetails(read=1, kept=1, excluded={}, **REST))  # a later one is none before
    made(store, "corpus", "r2", CorpusDetails(read=7, kept=7, excluded={}, **REST))
    corpus = made(store, "corpus", "r2", CORPUS.model_copy(update={"rules": [RULE], "changes": [PHONE]}), seed=2)
    unread = [Unread(file="a.bin", reason="broken", detail="no text", bytes=12_000, rows=3)]
    chats = DatasetDetails(
        **{"read": 10, "kept": 9, "train": 8, "validation": 1},
        excluded={"no_answer": 1},
        dropped={"no_answer": ["a.jsonl:7: the last message is not the assistant's"]},
        masked={"EMAIL": 3},
        unread=unread,
    )
    made(store, "instructions", "r2", chats)
    made(
        store, "benchmarks", "r2", BenchmarkDetails(suites={"quiz": 8}, excluded={"bad_answer": 2}), inherited_from="r1"
    )
    gate = [GateResult(name="loops", passed=False, value=0.3, threshold=0.2, explanation="30%")]
    report = made(store, "evaluate", "r2", EvaluationDetails(suites={}, gate=gate), model="tiny")
    html = release_page(store, instance, "r2")
    assert html is not None
    read = read_page(html)
    assert "corpus: 60 of 100 kept (60.0%)" in read.text, "what was made last"
    assert "instructions: 9 of 10 kept (90.0%), NOT READ: 12,000 bytes" in read.text
    assert "benchmarks: 8 of 10 kept (80.0%), inherited from r1" in read.text
    assert "preferences: not made yet" in read.text and "benchmarks: what changed" not in read.text
    assert ["corpus", "too_short", "30", "30.0%", "5.0%"] in read.rows and '<td class="bad">30.0%</td>' in html
    assert ["instructions", "no_answer", "1", "10.0%", ""] in read.rows, "nothing before to compare with"
    assert "corpus: what changed against release r1" in read.text
    assert any(row[-3:] == ["5.0%", "30.0%", "+25.0 points"] for row in read.rows)
    assert any(row[-2:] == ["2: 짧다", "31: 아직 남은 글"] for row in read.rows)
    assert ["masked", "PHONE", "2", "전화 ▪▪▪-▪▪▪▪-▪▪▪▪", "전화 [PHONE]"] in read.rows
    assert ["no_answer", "a.jsonl:7: the last message is not the assistant's"] in read.rows
    assert ["[EMAIL]", "3"] in read.rows and ["instructions", "a.bin", "broken", "12,000", "no text"] in read.rows
    for link in (
        f"/reports/{corpus.request.relative_path}",
        f"/reports/{report.request.relative_path}",
        "/releases/r1",
        "/assets/instructions?view=partitions&amp;partition=r2",
    ):
        assert f'href="{link}"' in html
    assert "tiny: gate FAILED" in read.text


def test_hostile_text_in_every_field_stays_text(tmp_path: Path, instance: DagsterInstance) -> None:
    store = ArtifactStore(tmp_path)
    for release in ("r1", "r2"):
        counted = {name: {HOSTILE: 1} for name in ("excluded", "masked", "by_source", "by_licence", "by_task")}
        dropped = {HOSTILE: [HOSTILE]}
        chats = DatasetDetails(read=2, kept=1, train=1, validation=0, **counted, dropped=dropped)
        chats.unread = [Unread(file=HOSTILE, reason=HOSTILE, detail=HOSTILE, bytes=1, rows=1)]
        made(store, "instructions", release, chats)
    html = release_page(store, instance, "r2")
    assert html is not None and html.count("<script>") == 1
    assert read_page(html).text.count("<script>alert(1)</script>") > 8
