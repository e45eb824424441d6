"""Bad input, stage by stage: refused with the reason before any weight is loaded."""

import json
import shutil

import pytest

from tests.support.micro import Micro, conversation
from trainers.contract import BadData, BadRequest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Micro:
    return Micro.with_stand_ins(tmp_path_factory.mktemp("refusals"))


@pytest.fixture
def micro(whole, monkeypatch):
    """Loading weights fails the test."""
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    def load(*arguments, **named):
        raise AssertionError("weights were loaded")

    for kind in (AutoModelForCausalLM, AutoModelForSequenceClassification):
        monkeypatch.setattr(kind, "from_pretrained", load)
    before = dict(whole.made)
    yield whole
    whole.made = before


def missing_shard(folder):
    (folder / "model" / "model.safetensors").unlink()


def cut_shard(folder):
    path = folder / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def strange_tokenizer(folder):
    path = folder / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "vocab_size": 300}))


def other_marks(folder):
    (folder / "model" / "chat_template.jinja").write_text("{% generation %}<|eot_id|>{% endgeneration %}")


def no_marks(folder):
    (folder / "model" / "chat_template.jinja").write_text("{{ messages[0].content }}")


def adapter(folder):
    (folder / "model" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "another"}))


def no_document(folder):
    shutil.rmtree(folder / "train")


def no_row(folder):
    (folder / "train.jsonl").write_text("")


def nobody_answers(folder):
    rows = [{"id": str(number), "messages": conversation(number)[:1]} for number in range(4)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def long_answers(folder):
    for split in ("train", "validation"):
        path = folder / f"{split}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows[: len(rows) // 2]:
            row["messages" if "messages" in row else "chosen"][-1]["content"] *= 200
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


REFUSED = (
    ("cpt", "base_model", missing_shard, {}, BadData, "lacks model.safetensors"),
    ("cpt", "base_model", cut_shard, {}, BadData, "model.safetensors is cut short"),
    ("cpt", "base_model", strange_tokenizer, {}, BadData, "does not match its model"),
    ("cpt", "base_model", adapter, {}, BadRequest, "is an adapter of another"),
    ("cpt", "corpus", no_document, {}, BadData, "holds no document to train on"),
    ("cpt", None, None, {"max_length": 129}, BadRequest, "above the 128 positions"),
    ("sft", "cpt_checkpoint", missing_shard, {}, BadData, "lacks model.safetensors"),
    ("sft", "cpt_checkpoint", no_marks, {}, BadRequest, "no {% generation %} marks"),
    ("sft", "cpt_checkpoint", other_marks, {}, BadRequest, r"<\|eot_id\|>, which its tokenizer does not know"),
    ("sft", "instructions", no_row, {}, BadData, "train.jsonl has no usable row"),
    ("sft", "instructions", nobody_answers, {}, BadData, "no conversation in which the assistant speaks"),
    ("sft", "instructions", long_answers, {}, BadData, "36 of 72 conversations are longer than max_length 64"),
    ("sft", None, None, {"method": "qlora"}, BadRequest, "method: qlora needs a GPU"),
    ("rlhf", "sft_model", strange_tokenizer, {}, BadData, "does not match its model"),
    ("rlhf", "sft_model", no_marks, {}, BadRequest, "no {% generation %} marks"),
    ("rlhf", "preferences", no_row, {}, BadData, "train.jsonl has no usable row"),
    ("rlhf", "preferences", long_answers, {}, BadData, "28 of 56 pairs are longer than max_length 64"),
)


@pytest.mark.parametrize(
    ("stage", "name", "change", "settings", "kind", "reason"),
    [pytest.param(*case, id=f"{case[0]}-{case[2].__name__ if case[2] else next(iter(case[3]))}") for case in REFUSED],
)
def test_it_is_refused_before_any_weight_is_loaded(micro, stage, name, change, settings, kind, reason):
    if change is not None:
        micro.change(name, change)
    with pytest.raises(kind, match=reason):
        micro.here(stage, **settings)
