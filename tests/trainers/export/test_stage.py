"""The export stage: a model folder of its own, and a card that tells where it came from."""

import shutil

import pytest

from tests.support.hostile import HOSTILE, markup
from tests.support.toy import build_lineage
from trainers.contract import Artifact, BadRequest
from trainers.contract.digests import file_sha256
from trainers.export.model_card import model_card
from trainers.runner.stage import run_stage


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    lineage = build_lineage(tmp_path_factory.mktemp("export") / "artifacts")
    report = Artifact.of(run_stage(lineage.evaluate(), lineage.store))
    return lineage, report, run_stage(lineage.export(report), lineage.store)


def test_the_model_outlives_the_artifact_it_came_from(exported):
    lineage, _, manifest = exported
    folder = lineage.store.path(Artifact.of(manifest))
    source = lineage.store.path(lineage.artifacts["rlhf_model"])
    weights = folder / "model" / "model.safetensors"
    assert file_sha256(weights) == file_sha256(source / "model" / "model.safetensors")
    assert weights.stat().st_ino != (source / "model" / "model.safetensors").stat().st_ino
    assert manifest.details.parameters > 10_000
    (entry,) = (record for record in manifest.files if record.path == "MLmodel")
    assert not entry.is_content, "what MLflow shows says when it was written"


def test_it_carries_what_a_server_of_it_must_say(exported):
    lineage, report, manifest = exported
    replies = manifest.details.replies
    assert replies and replies == lineage.store.manifest(report).details.replies
    assert "replies" in manifest.details.decides, "rollouts act on them, so the digest covers them"


def test_the_card_tells_data_licences_recipe_results_limits_and_identity(exported):
    lineage, report, manifest = exported
    card = manifest.details.model_card
    for words in (
        "# toy, release r1",
        "30,000 parameters",
        "| CC0-1.0 | 72 |",
        "rlhf_model: lora (transformers), 2 steps",
        "against adapter + base, before it was published: mean_kl 1e-06",
        "The gate passed",
        "## Known limits",
        report.digest,
        *(lineage.artifacts[name].digest for name in ("base_model", "corpus", "cpt_checkpoint", "rlhf_model")),
    ):
        assert words in card, words


def test_the_card_names_the_licences_of_earlier_releases_that_it_went_on_from(exported):
    lineage, report, _ = exported
    manifests = [lineage.store.manifest(artifact) for artifact in lineage.artifacts.values()]
    corpus = lineage.store.manifest(lineage.artifacts["corpus"])
    earlier = corpus.model_copy(
        update={
            "request": corpus.request.model_copy(update={"release": "r0"}),
            "details": corpus.details.model_copy(update={"by_licence": {"KOGL-1": 5}}),
        }
    )
    card = model_card("toy", lineage.store.manifest(report), [*manifests, earlier])
    assert "| corpus r0 |" in card and "| KOGL-1 | 5 |" in card and "| CC0-1.0 | 72 |" in card


def test_a_report_about_another_model_is_refused(exported):
    lineage, report, _ = exported
    request = lineage.export(report)
    wrong = request.inputs[0].model_copy(
        update={"digest": lineage.artifacts["sft_model"].digest, "path": lineage.artifacts["sft_model"].path}
    )
    with pytest.raises(BadRequest, match="judges model"):
        run_stage(request.model_copy(update={"inputs": (wrong, request.inputs[1])}), lineage.store)


def test_a_lineage_whose_older_artifacts_are_gone_still_exports(tmp_path):
    lineage = build_lineage(tmp_path / "artifacts")
    report = Artifact.of(run_stage(lineage.evaluate(), lineage.store))
    shutil.rmtree(lineage.store.path(lineage.artifacts["corpus"]))
    assert run_stage(lineage.export(report), lineage.store).details.parameters > 0


def test_an_adapter_that_is_not_there_is_named(exported):
    lineage, report, _ = exported
    with pytest.raises(BadRequest, match="asks for 'adapter'"):
        run_stage(lineage.export(report, formats=["safetensors", "adapter"]), lineage.store)


def test_an_adapter_is_exported_beside_the_model_and_fits_its_base(tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    lineage = build_lineage(tmp_path / "artifacts", adapter_of="sft_model")
    report = Artifact.of(run_stage(lineage.evaluate(samples=0, behaviour_prompts=0), lineage.store))
    manifest = run_stage(lineage.export(report, formats=["safetensors", "adapter"]), lineage.store)
    folder = lineage.store.path(Artifact.of(manifest))
    assert manifest.details.formats == ["safetensors", "adapter"]
    assert {record.path for record in manifest.files} >= {
        "model/model.safetensors",
        "adapter/adapter_model.safetensors",
    }
    source = lineage.store.path(lineage.artifacts["rlhf_model"]) / "adapter"
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert file_sha256(folder / "adapter" / name) == file_sha256(source / name)
    base = AutoModelForCausalLM.from_pretrained(lineage.store.path(lineage.artifacts["sft_model"]) / "model")
    adapted = PeftModel.from_pretrained(base, folder / "adapter")
    assert any("lora_B" in name and weights.abs().sum() > 0 for name, weights in adapted.named_parameters())


def test_an_adapter_of_another_base_is_not_exported(tmp_path):
    lineage = build_lineage(tmp_path / "artifacts", adapter_of="cpt_checkpoint")
    report = Artifact.of(run_stage(lineage.evaluate(samples=0, behaviour_prompts=0), lineage.store))
    with pytest.raises(BadRequest, match="trained on"):
        run_stage(lineage.export(report, formats=["safetensors", "adapter"]), lineage.store)


def test_gguf_lies_beside_the_model_with_a_modelfile_and_its_figures(exported):
    lineage, report, _ = exported
    manifest = run_stage(lineage.export(report, gguf=["q4_k_m", "f16"]), lineage.store)
    files = {record.path for record in manifest.files}
    assert files >= {"model/model.safetensors", "gguf/toy-f16.gguf", "gguf/toy-q4_k_m.gguf", "gguf/Modelfile"}
    assert manifest.details.formats == ["safetensors", "gguf f16", "gguf q4_k_m"]
    written = manifest.details.gguf
    assert written["q4_k_m"].bytes < written["f16"].bytes
    assert written["q4_k_m"].perplexity == pytest.approx(written["f16"].perplexity, rel=0.05)
    assert written["f16"].replies_compared == len(manifest.details.replies) > 0
    text = (lineage.store.path(Artifact.of(manifest)) / "gguf" / "Modelfile").read_text()
    assert text.startswith("FROM ./toy-q4_k_m.gguf\nTEMPLATE ") and 'PARAMETER stop "<|im_end|>"' in text


def test_other_forms_than_f16_need_it_to_be_compared_with(exported):
    lineage, report, _ = exported
    with pytest.raises(BadRequest, match="the other forms are compared with f16: add it"):
        run_stage(lineage.export(report, gguf=["q8_0"]), lineage.store)


def test_names_and_licences_of_others_stay_text_in_the_card(exported):
    lineage, report, _ = exported
    corpus = lineage.store.manifest(lineage.artifacts["corpus"])
    named = {"by_licence": {HOSTILE: 5}, "by_source": {HOSTILE: 5}}
    corpus = corpus.model_copy(update={"details": corpus.details.model_copy(update=named)})
    card = model_card(HOSTILE, lineage.store.manifest(report), [corpus])
    assert "alert(1)" in card and not markup(card) & {"html_inline", "html_block", "image", "link"}
