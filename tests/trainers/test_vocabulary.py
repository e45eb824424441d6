"""Vocabulary expansion: fewer tokens for Korean, the same text back, new rows that are means of old ones."""

import json

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.trainers.evaluation.toy import build_model
from trainers.model_folder import ModelFolder
from trainers.vocabulary import expand, fertility, learn_merges

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


def test_merges_are_those_of_byte_pair_encoding(base):
    tokenizer = Tokenizer.from_file(str(base.path / "tokenizer.json"))
    merges = learn_merges(["abab abab abcab"] * 2, tokenizer, 3)
    assert merges[0] == ("a", "b")
    assert ("ab", "ab") in merges
