"""Details: typos are refused, they are written in two halves, and only what they decide is in the digest."""

import json

import pytest
from pydantic import BaseModel, ValidationError

from trainers.contract import (
    Alignment,
    BaseModelDetails,
    BenchmarkDetails,
    CorpusDetails,
    DatasetDetails,
    Details,
    EvaluationDetails,
    ExportDetails,
    GateResult,
    Interval,
    Manifest,
    Pretraining,
    StageRequest,
    TrainingDetails,
    VocabularyExpansion,
)
from trainers.contract.format_1 import details_of_format_1

COUNTS = {
    "read": 3,
    "kept": 2,
    "train_documents": 1,
    "validation_documents": 1,
    "characters": 9,
    "bytes": 20,
    "words": 4,
}
EXPANSION = {
    **{"new_tokens": 7, "first_new_token": 500, "tokens_saved": 0.1, "gpu": "h100"},
    **{name: {"site": 1.0} for name in ("tokens_per_word_before", "tokens_per_word_after", "gpu_hours_saved")},
}
TRAINING = {
    **{"method": "full", "backend": "transformers", "steps": 2, "epochs": 1.0, "tokens_seen": 9, "tokens_trained": 9},
    **{"trainable_parameters": 9, "tokenizer_hash": "t"},
}
GATE = GateResult(name="loops", passed=False, value=0.3, threshold=0.2, explanation="30%, at most 20%")
FIGURE = Interval(value=0.5, low=0.4, high=0.6, n=100)

CORPUS = CorpusDetails(**COUNTS, excluded={"empty": 1}, samples=["글"])
TRAINED = TrainingDetails(
    **TRAINING,
    pretraining=Pretraining(english_share=0.1),
    expansion=VocabularyExpansion(**EXPANSION),
    loss=[(1, 3.0), (2, 2.5)],
)
REPORT = EvaluationDetails(suites={"facts": {"rlhf": FIGURE}}, gate=[GATE], markdown="# report")


def manifest(details: Details) -> Manifest:
    request = StageRequest(stage="benchmarks", stage_version=1, release="r1")
    return Manifest(request=request, request_digest=request.digest, files=(), metrics={}, details=details)


@pytest.mark.parametrize("details", [CORPUS, TRAINED, REPORT])
def test_what_is_written_is_read_again_with_its_digest(details: Details) -> None:
    one = manifest(details)
    text = one.model_dump_json()
    assert json.loads(text)["details"].keys() == {"kind", "decides", "measured"}
    again = Manifest.model_validate_json(text)
    assert again.details == details and again.digest == one.digest == json.loads(text)["digest"]


def test_a_half_is_what_the_type_of_a_field_says() -> None:
    halves = TRAINED.model_dump(mode="json")
    assert {"backend", "trainable_parameters", "loss", "packing", "merge", "expansion"} <= halves["measured"].keys()
    assert {"steps", "tokenizer_hash", "lineage", "pretraining"} <= halves["decides"].keys()
    assert not halves["decides"].keys() & halves["measured"].keys()
    assert {"gate", "suites", "higher_is_better", "champion"} <= REPORT.model_dump()["decides"].keys()
    assert {"excluded", "masked", "kept"} <= CORPUS.model_dump()["decides"].keys()


HALVES = {
    BaseModelDetails: (
        "revision architecture parameters vocabulary tokenizer_hash template_hash fertility facts",
        "source",
    ),
    BenchmarkDetails: ("suites formats excluded unread ignored_fields", "dropped inherited_from"),
    CorpusDetails: (
        "read kept train_documents validation_documents characters bytes words excluded masked repaired removed_lines "
        "by_source by_licence by_language earlier contaminated unread ignored_fields",
        "rules changes samples plan length cluster_size dedup_bytes_per_document nouns work fertility",
    ),
    DatasetDetails: (
        "read kept train validation excluded unread ignored_fields contradicting unpaired masked by_source by_licence "
        "by_task honorifics",
        "dropped inherited_from samples",
    ),
    EvaluationDetails: ("suites higher_is_better gate champion replies contamination", "markdown"),
    ExportDetails: (
        "formats parameters tokenizer_hash template_hash model report facts replies",
        "gguf lineage model_card",
    ),
    TrainingDetails: (
        "method steps epochs best_step tokens_seen tokens_trained tokenizer_hash template_hash lineage pretraining "
        "alignment facts",
        "backend kernels trainable_parameters packing merge expansion loss evaluation_loss curves mask_sample",
    ),
}
"""Kind of details -> its fields that are decided, and those that are measured. What moves from the first to the second
is no longer guarded by the digest; what moves back gives every artifact another one."""


@pytest.mark.parametrize("kind", [kind for kind in Details.__subclasses__() if kind.__module__ == Details.__module__])
def test_no_field_changes_its_half_unseen(kind: type[Details]) -> None:
    names = [name for name in kind.model_fields if name != "kind"]
    halves = kind.model_construct(**dict.fromkeys(names, 0)).model_dump(warnings=False)
    assert tuple(" ".join(halves[half]) for half in ("decides", "measured")) == HALVES[kind]


@pytest.mark.parametrize(
    ("details", "change"),
    [
        (REPORT, {"gate": [GATE.model_copy(update={"passed": True})]}),
        (REPORT, {"suites": {"facts": {"rlhf": FIGURE.model_copy(update={"low": 0.2})}}}),
        (REPORT, {"champion": "d"}),
        (CORPUS, {"excluded": {"empty": 2}}),
        (CORPUS, {"masked": {"PHONE": 1}}),
        (TRAINED, {"alignment": Alignment(algorithm="dpo", stopped="kl 11")}),
        (TRAINED, {"tokenizer_hash": "u"}),
    ],
)
def test_the_digest_follows_what_is_decided(details: Details, change: dict[str, object]) -> None:
    assert manifest(details).digest != manifest(details.model_copy(update=change)).digest


@pytest.mark.parametrize(
    ("details", "change"),
    [
        (REPORT, {"markdown": "# other"}),
        (CORPUS, {"samples": [], "plan": "x", "length": {"8": 1}, "fertility": {"qwen": {"ko": 2.0}}}),
        (TRAINED, {"backend": "unsloth", "kernels": {"attention": "eager"}, "trainable_parameters": 4}),
        (TRAINED, {"loss": [(1, 3.1)], "packing": {"leakage": 1e-9}}),
    ],
)
def test_the_digest_does_not_follow_what_is_measured(details: Details, change: dict[str, object]) -> None:
    assert manifest(details).digest == manifest(details.model_copy(update=change)).digest


def test_a_field_that_a_later_version_adds_changes_no_digest() -> None:
    class Later(CorpusDetails):
        recovered: int = 0

    later = Later(**COUNTS, excluded={"empty": 1})
    assert later.decides == CORPUS.decides
    assert Later(**COUNTS, excluded={"empty": 1}, recovered=1).decides != CORPUS.decides


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (CorpusDetails, {**COUNTS, "excluded": {}, "sampels": []}),
        (CorpusDetails, {**COUNTS, "excluded": {}, "extra": {"plan": "x"}}),
        (TrainingDetails, {**TRAINING, "pretraining": {"english_share": 0.1, "continued": "r1"}}),
        (VocabularyExpansion, {**EXPANSION, "gpu_hours": 1}),
        (GateResult, {**GATE.model_dump(), "pass": True}),
        (Interval, {**FIGURE.model_dump(), "mean": 1}),
    ],
)
def test_a_typo_is_refused(kind: type[BaseModel], fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        kind.model_validate(fields)


def test_the_open_table_of_format_1_has_a_place_for_each_entry() -> None:
    old = {
        **{"kind": "training", **TRAINING, "lineage": ["a"]},
        "extra": {
            **{"english_share": 0.1, "replay_share": 0.2, "continued_from": "r1 (d)"},
            **{"algorithm": "grpo", "reward_model": "j", "stopped": "kl 11"},
            **EXPANSION,
        },
    }
    details = TrainingDetails.model_validate(details_of_format_1(old))
    assert details.pretraining == Pretraining(english_share=0.1, replay_share=0.2, continued_from="r1 (d)")
    assert details.alignment == Alignment(algorithm="grpo", reward_model="j", stopped="kl 11")
    assert details.expansion == VocabularyExpansion(**EXPANSION)
    with pytest.raises(ValidationError, match="typo"):
        TrainingDetails.model_validate(details_of_format_1({**old, "extra": {"typo": 1}}))


def test_a_kind_that_no_class_has_is_refused_with_those_there_are() -> None:
    written = json.loads(manifest(CORPUS).model_dump_json())
    written["details"]["kind"] = "corpse"
    with pytest.raises(ValidationError, match="no details are of kind 'corpse'; those there are: corpus, dataset"):
        Manifest.model_validate(written)
