"""Vocabulary expansion: fewer tokens for Korean, the same text back, new rows that are means of old ones."""

import gzip
import json
from itertools import islice

import pytest
import torch
import zstandard
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support.micro import Micro
from tests.support.toy import build_model
from trainers.contract.memory import Setting
from trainers.contract.model_shape import Shape
from trainers.contract.planner import GPUS, plan
from trainers.contract.recipe import CptSection
from trainers.text.fertility import fertility
from trainers.training.model_folder import ModelFolder
from trainers.training.vocabulary_expansion import expand, expanded

TEXTS = ["대한민국의 수도는 서울특별시입니다.", "서울특별시는 대한민국에서 가장 큽니다.", "대한민국, 서울특별시!"] * 3


@pytest.fixture
def base(tmp_path):
    return ModelFolder(build_model(tmp_path / "base", seed=1))


def test_korean_costs_fewer_tokens_and_reads_the_same(base, tmp_path):
    added = expand(base, TEXTS, 60, tmp_path / "new")
    old, new = (Tokenizer.from_file(str(path / "tokenizer.json")) for path in (base.path, tmp_path / "new"))
    assert new.get_vocab_size() == old.get_vocab_size() + added
    text = "대한민국의 서울특별시에서 만나요. New text 123"
    assert len(new.encode(text).ids) < len(old.encode(text).ids)
    assert new.decode(new.encode(text).ids) == old.decode(old.encode(text).ids)
    before, after = (fertility([("ko", text) for text in TEXTS], tokenizer)["ko"] for tokenizer in (old, new))
    assert after < 0.7 * before


def test_new_rows_begin_as_the_mean_of_their_pieces(base, tmp_path):
    added = expand(base, TEXTS, 10, tmp_path / "new")
    old_rows = AutoModelForCausalLM.from_pretrained(base.path).get_input_embeddings().weight
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "new")
    old = Tokenizer.from_file(str(base.path / "tokenizer.json"))
    content = json.loads((tmp_path / "new" / "tokenizer.json").read_text())
    for token, number in list(content["model"]["vocab"].items())[-added:]:
        pieces = [piece.id for piece in old.model.tokenize(token)]
        torch.testing.assert_close(model.get_input_embeddings().weight[number], old_rows[pieces].mean(0))
    assert AutoTokenizer.from_pretrained(tmp_path / "new").chat_template
    assert ModelFolder(tmp_path / "new").check(chat=True)


def test_the_report_says_by_domain_what_the_new_tokens_are_worth(base, tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    rows = [
        {"source": name, "text": text}
        for name, texts in (("news", TEXTS), ("code", ["x = 1 + 2"] * 3))
        for text in texts * 4
    ]
    packed = zstandard.compress("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    (corpus / "00000.jsonl.zst").write_bytes(packed)
    section = CptSection(method="full", learning_rate=1e-3, max_length=64, epochs=2)
    folder, report = expanded(base, corpus, tmp_path / "new", 60, section)

    old, new = (Tokenizer.from_file(str(path / "tokenizer.json")) for path in (base.path, folder.path))
    for name in ("news", "code"):
        texts = [row["text"] for row in rows if row["source"] == name]
        hours = [
            2 * sum(len(tokenizer.encode(text).ids) for text in texts) * seconds_per_token(model, section) / 3600
            for tokenizer, model in ((old, base), (new, folder))
        ]
        assert report.gpu_hours_saved[name] == pytest.approx(hours[0] - hours[1], rel=5e-3)
    assert report.gpu_hours_saved["news"] > 0
    assert report.tokens_per_word_after["news"] < report.tokens_per_word_before["news"]


def seconds_per_token(folder, section):
    """What the planner says of one H100."""
    setting = Setting.of(section, 1)
    step = plan(Shape.of_config(folder.config), setting, GPUS["h100"], 1.0).step_seconds
    return step / (setting.row_tokens * setting.accumulation)


@pytest.mark.prove
@pytest.mark.realmodel
@pytest.mark.realdata
def test_smollm2_writes_korean_in_less_than_half_the_tokens(smollm2, testdata, tmp_path):
    with gzip.open(testdata / "corpus" / "raw_ko.jsonl.gz", "rt", encoding="utf-8") as stream:
        texts = [json.loads(line)["text"] for line in islice(stream, 400)]
    micro = Micro(tmp_path / "micro")
    micro.here("base_model", architecture=None, vocabulary=None, source="folder", folder=str(smollm2))
    base = ModelFolder(micro.folder("base_model") / "model")
    added = expand(base, texts[:330], 4000, tmp_path / "new")
    old, new = (Tokenizer.from_file(str(path / "tokenizer.json")) for path in (base.path, tmp_path / "new"))
    before, after = (fertility([("ko", text) for text in texts[330:]], one)["ko"] for one in (old, new))
    assert after < 0.4 * before, f"{before} tokens a word, {after} with {added} new ones"
    assert new.encode("The cat is here.").ids == old.encode("The cat is here.").ids
    model, tokenizer = (kind.from_pretrained(tmp_path / "new") for kind in (AutoModelForCausalLM, AutoTokenizer))
    prompt = tokenizer(texts[330][:80], return_tensors="pt")
    assert tokenizer.decode(model.generate(**prompt, max_new_tokens=8)[0]).startswith(texts[330][:60])
