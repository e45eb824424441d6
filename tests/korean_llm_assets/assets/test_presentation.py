"""What a person sees of an artifact in the UI: its loss curve, samples, what is trained on; hostile text stays text."""

from pathlib import Path
from typing import Any

import pytest

from korean_llm_assets.assets.presentation import describe, headline
from korean_llm_assets.compute.profiles import Price
from korean_llm_assets.costs import Cost, report
from tests.korean_llm_assets.conftest import ended
from tests.support.hostile import HOSTILE, cells, markup
from trainers.contract import (
    Attempt,
    CorpusDetails,
    CorpusWork,
    EvaluationDetails,
    FileRecord,
    GateResult,
    Manifest,
    TrainingDetails,
)
from trainers.contract.artifacts import ArtifactStore

OF_0_1 = Path(__file__).parents[2] / "trainers" / "contract" / "manifests_0.1"

TRAINING: dict[str, Any] = {
    **{"method": "lora", "backend": "transformers", "steps": 2, "epochs": 1.0, "tokens_seen": 9, "tokens_trained": 9},
    **{"trainable_parameters": 9, "tokenizer_hash": "t"},
}
CORPUS: dict[str, Any] = {
    **{"read": 1, "kept": 1, "train_documents": 1, "validation_documents": 0, "characters": 1, "bytes": 1, "words": 1},
    "excluded": {},
}


def shown(details: Any, folder: Path) -> dict[str, Any]:
    manifest = ended(Attempt(number=1, started=1.0, ended=2.0), gpus=0).model_copy(update={"details": details})
    metadata = describe(manifest, ArtifactStore(folder), 0.0, 2.0)
    return {name: getattr(value, "value", value) for name, value in metadata.items()}


def test_the_loss_curve_is_a_picture_that_says_its_figures_and_fits_into_an_event(tmp_path: Path) -> None:
    loss = [(step, 6 - step / 1000) for step in range(1, 201)]
    picture = shown(TrainingDetails(**TRAINING, loss=loss, evaluation_loss=[(200, 5.9)]), tmp_path)["loss curve"]
    assert (
        picture.startswith("![loss: training, first 5.999 at step 1, last 5.8 at step 200, ")
        and "held out, first 5.9 at" in picture
    )
    assert "](data:image/svg+xml;base64," in picture and len(picture) < 10_000


@pytest.mark.parametrize("more", [{}, {"loss": [(1, float("nan"))]}])
def test_a_training_without_a_curve_says_so(more: dict[str, Any], tmp_path: Path) -> None:
    curve = shown(TrainingDetails(**TRAINING, **more), tmp_path)["loss curve"]
    assert "training (1 not finite)" in curve if more else curve == "no steps were trained"


def test_what_a_corpus_was_spread_over_is_shown_and_the_page_of_its_ray(tmp_path: Path) -> None:
    work = CorpusWork(engine="ray", nodes=3, repeated=1, peak_by_node={}, seconds={}, dashboard="http://head:8265")
    there = shown(CorpusDetails(**CORPUS, work=work), tmp_path)
    assert [there[name] for name in ("engine", "nodes", "tasks done again")] == ["ray", 3, 1]
    assert there["Ray dashboard"] == "http://head:8265"
    pool = work.model_copy(update={"engine": "pool", "dashboard": ""})
    assert "Ray dashboard" not in shown(CorpusDetails(**CORPUS, work=pool), tmp_path)


def test_hostile_samples_stay_text(tmp_path: Path) -> None:
    samples = shown(CorpusDetails(**CORPUS, samples=[HOSTILE, "# 둘째\n- 줄"]), tmp_path)["samples"]
    assert markup(samples) <= {"blockquote", "paragraph", "inline", "text", "text_special", "softbreak", "hr"}
    marked = shown(TrainingDetails(**TRAINING, mask_sample=f"```\n{HOSTILE}"), tmp_path)["what is trained on"]
    assert markup(marked) == {"fence"}


def test_hostile_releases_stay_text_in_the_costs() -> None:
    table = report([Cost("corpus", HOSTILE, HOSTILE, 3600.0, 0, 0, 0)], Price())
    name = " ".join(HOSTILE.replace("\x00", "\ufffd").split())
    assert cells(table)[1][:4] == [name, name, "1", "1.00"]


@pytest.mark.parametrize(
    "path", sorted(OF_0_1.rglob("manifest.json")), ids=lambda path: path.relative_to(OF_0_1).parts[0]
)
def test_artifacts_of_0_1_are_shown(path: Path) -> None:
    manifest = Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    metadata = describe(manifest, ArtifactStore(OF_0_1), 0.0, 1.0)
    assert headline(manifest.details)
    expanded = isinstance(manifest.details, TrainingDetails) and manifest.details.expansion is not None
    assert ("vocabulary by domain" in metadata) == expanded
    went_on = any(item.name == "previous_checkpoint" for item in manifest.request.inputs)
    assert ("continued from release" in metadata) == went_on


def test_what_came_out_stands_first_and_raw_counters_last(tmp_path: Path) -> None:
    rows = [
        GateResult(name=name, passed=name != "b", value=0.1, threshold=0.2, explanation="") for name in ("a", "b", "c")
    ]
    page = FileRecord(path="report.html", size=1, sha256="0" * 64)
    manifest = ended(Attempt(number=1, started=1.0, ended=2.0), gpus=0).model_copy(
        update={
            "details": EvaluationDetails(suites={}, gate=rows),
            "metrics": {"rlhf/facts": 0.5},
            "timings": {"seconds": 1.0, "cleaning_peak_bytes": 9.0},
            "files": (page,),
        }
    )
    shown = describe(manifest, ArtifactStore(tmp_path), 0.0, 2.0, {"US dollars": 1.0})
    names = list(shown)
    assert names[:4] == ["gate passed", "conditions that hold", "conditions", "gate"]
    assert names[-2:] == ["cleaning_peak_bytes", "rlhf/facts"] and names.index("US dollars") < names.index("reused")
    assert [row.data["name"] for row in shown["gate"].records] == ["b", "a", "c"]
    assert shown["report page"].url == f"/reports/{manifest.request.relative_path}"


def test_a_table_has_the_largest_first_with_separators_and_sums_up_its_tail(tmp_path: Path) -> None:
    counts = {f"source {number:02}": number * 1000 for number in range(1, 26)}
    table = describe(
        ended(Attempt(number=1, started=1.0, ended=2.0), gpus=0).model_copy(
            update={"details": CorpusDetails(**CORPUS, by_source=counts)}
        ),
        ArtifactStore(tmp_path),
        0.0,
        2.0,
    )["by source"]
    rows = [(row.data["what"], row.data["value"]) for row in table.records]
    assert rows[0] == ("source 25", "25,000") and len(rows) == 21
    assert rows[-1] == ("5 more, in the manifest", "15,000")
