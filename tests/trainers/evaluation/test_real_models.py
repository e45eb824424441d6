"""Real pretrained models are scored as lm_eval scores them: SmolLM2 (no BOS) and Gemma 3 (BOS, sliding windows)."""

import gzip
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from tests.support.micro import Micro
from trainers.benchmarks.formats import MultipleChoice
from trainers.benchmarks.published import published_suites
from trainers.evaluation.model import ModelUnderTest

pytestmark = [pytest.mark.prove, pytest.mark.realmodel, pytest.mark.realdata, pytest.mark.timeout(3600)]

ROWS, TEXTS = 100, 20
WINDOW = 1024
NEAR = 1e-3
KOBEST = ("kobest_boolq", "kobest_copa", "kobest_hellaswag", "kobest_sentineg", "kobest_wic")


@pytest.fixture(scope="module", params=["smollm2", "gemma3"])
def model(request, tmp_path_factory) -> ModelUnderTest:
    file: Path = request.getfixturevalue(request.param)
    micro = Micro(tmp_path_factory.mktemp(request.param))
    template = {"smollm2": "chatml", "gemma3": "gemma"}[request.param]
    from_file = {"architecture": None, "vocabulary": None, "source": "folder", "folder": str(file)}
    micro.here("base_model", **from_file, template=template)
    return ModelUnderTest(micro.folder("base_model") / "model", WINDOW, 4 * WINDOW)


@pytest.fixture(scope="module")
def theirs(model) -> HFLM:
    """lm_eval over the same weights, with the tokens that the tokenizer adds by itself."""
    return HFLM(pretrained=model.weights, tokenizer=model.tokenizer, max_length=WINDOW, batch_size=4)


@pytest.mark.parametrize("name", KOBEST)
def test_kobest_is_answered_as_lm_eval_hears_it(model, theirs, testdata, name):
    items = [MultipleChoice.model_validate(row) for row in published_suites(testdata / "eval")[name][:ROWS]]
    ours = model.scorer.score([[model.continuation(i.question, f" {c}") for c in i.choices] for i in items])
    pairs = [(item.question, f" {choice}") for item in items for choice in item.choices]
    requests = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
    heard: Iterator[float] = (value for value, _ in theirs.loglikelihood(requests, disable_tqdm=True))
    for item, scores in zip(items, ours, strict=True):
        assert scores == pytest.approx(list(islice(heard, len(scores))), rel=NEAR, abs=NEAR), item.question


def test_texts_cost_what_lm_eval_reckons(model, testdata):
    """lm_eval is told to add no BOS: it puts one before a text anyway, and would count how likely a second one is."""
    with gzip.open(testdata / "corpus" / "raw_ko.jsonl.gz", "rt", encoding="utf-8") as stream:
        texts = [json.loads(line)["text"][:2000] for line in islice(stream, TEXTS)]
    plain = HFLM(
        pretrained=model.weights, tokenizer=model.tokenizer, max_length=WINDOW, batch_size=1, add_bos_token=False
    )
    requests = [Instance("loglikelihood_rolling", {}, (text,), number) for number, text in enumerate(texts)]
    heard = plain.loglikelihood_rolling(requests, disable_tqdm=True)
    ours = [sum(scores[0] for scores in model.scorer.score([[w] for w in model.window_requests(t)])) for t in texts]
    assert ours == pytest.approx(heard, rel=NEAR)


def test_a_conversation_is_asked_under_the_template_with_one_bos(model):
    talk = [{"role": "user", "content": "한국의 수도는 어디인가요?"}]
    reply = model.reply(talk, [{"role": "assistant", "content": "서울입니다."}])
    whole = model.tokenizer.apply_chat_template(talk, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert list(reply.context) == whole
    if model.facts.added_before:
        assert reply.context.count(model.facts.bos) == 1
    assert reply.tokens[-1] == model.facts.end_of_turn
