"""Nouns of a release: who finds them, what is new, and how far it is from the release before; tokens per word."""

import importlib

import pytest

from tests.support.corpus_landing import data_request, run_data_stage, write_jsonl
from trainers.contract import Artifact, BadRequest, Input
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.recipe.data import CorpusSection
from trainers.corpus.nouns import Vocabulary, divergence, drift
from trainers.corpus.statistics import statistics
from trainers.runner.stage import run_stage
from trainers.text import taggers
from trainers.text.taggers import nouns_of

ENDINGS = ("가", "는", "를", "에서", "에게", "와", "의", "도", "로", "만")
SETTINGS = {"near_dedup": {"enabled": False}, "filter": {"max_repeated_ngram_share": 1}, "noun_statistics": 20}


def rows(*nouns):
    text = " ".join(f"{noun}{one} 바다{two} 보았다." for one in ENDINGS for two in ENDINGS for noun in nouns)
    return [{"text": f"{number}번째 이야기. {text} {'끝' * (number % 2)} {number * 7919}"} for number in range(30)]


def test_drift_is_what_no_earlier_release_has():
    mine = Vocabulary("kiwi", {"사과": 5, "우주선": 3, "바다": 2})
    earlier = {"r1": Vocabulary("kiwi", {"사과": 1}), "r2": Vocabulary("kiwi", {"바다": 9})}
    statistics = drift(mine, {**earlier, "r3": Vocabulary("soynlp", {"우주선": 1})})  # another tagger's says nothing
    assert statistics.new_words == {"우주선": 3} and statistics.new_word_share == 0.3
    assert statistics.drift == {"r2": round(divergence(mine.nouns, {"바다": 9}), 4)}
    assert drift(mine, {}).new_words == drift(mine, {}).drift == {}


def test_divergence_goes_from_nothing_to_one_bit():
    assert divergence({"가": 2, "나": 4}, {"가": 1, "나": 2}) == pytest.approx(0)
    assert divergence({"가": 3}, {"나": 5}) == divergence({"가": 3}, {}) == pytest.approx(1)
    one, other = {"가": 3, "나": 1}, {"가": 1, "나": 1}
    assert 0 < divergence(one, other) < 1
    assert divergence(one, other) == pytest.approx(divergence(other, one))


def test_a_release_is_compared_with_the_nouns_that_the_last_one_kept(tmp_path):
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", rows("거북이"))
    first, folder = run_data_stage("corpus", tmp_path, **SETTINGS)
    assert "거북이" in Vocabulary.read(folder).nouns
    assert first.details.nouns.new_words == {}
    write_jsonl(tmp_path / "landing/r2/corpus/a.jsonl", rows("거북이", "우주선"))
    request = data_request("corpus", tmp_path / "landing", release="r2", **SETTINGS)
    parts = ("dedup_index", "vocabulary.json")
    earlier = Input(name="earlier_r1", digest=first.digest, path=Artifact.of(first).path, only=parts)
    request = request.model_copy(update={"inputs": (*request.inputs, earlier)})
    second = run_stage(request, ArtifactStore(tmp_path / "artifacts"), tmp_path / "landing")
    assert "우주선" in second.details.nouns.new_words and "거북이" not in second.details.nouns.new_words
    assert 0 < second.details.nouns.drift["r1"] < 1
    report = (ArtifactStore(tmp_path / "artifacts").folder(request) / "report.md").read_text()
    assert "Jensen-Shannon divergence from r1" in report and "우주선" in report
    _, plain = run_data_stage("corpus", tmp_path, **{**SETTINGS, "noun_statistics": 0})
    assert Vocabulary.read(plain) is None


@pytest.mark.parametrize(("tagger", "module"), [("soynlp", "soynlp"), ("kiwi", "kiwipiepy"), ("konlpy", "konlpy")])
def test_every_tagger_finds_nouns(tagger, module):
    pytest.importorskip(module, reason=f"pip install {module}")
    texts = [row["text"] for row in rows("거북이")[:5]]
    try:
        nouns = nouns_of(tagger, texts)
    except BadRequest as error:
        if "JDK" not in str(error):
            raise
        pytest.skip(str(error))
    assert nouns["거북이"] > 0 and all(len(noun) > 1 for noun in nouns)


def test_a_tagger_that_is_not_installed_is_named(monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    for tagger, package in (("kiwi", "kiwipiepy"), ("konlpy", "konlpy")):
        with pytest.raises(BadRequest, match=f"pip install {package}"):
            taggers.nouns_of(tagger, ["글"])


def test_a_tagger_without_documents_to_read_is_refused():
    with pytest.raises(ValueError, match="noun_tagger has no effect"):
        CorpusSection(noun_tagger="kiwi")


def test_tokens_per_word_by_language_and_source(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    model = tmp_path / "model"
    model.mkdir()
    tokenizer.save(str(model / "tokenizer.json"))
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", [{**row, "source": "site@1:a"} for row in rows("거북이")])
    section = {**SETTINGS, "noun_statistics": 0, "fertility_of": [str(model)]}
    manifest, folder = run_data_stage("corpus", tmp_path, **section)
    assert manifest.details.fertility == {str(model): {"ko, site": 1.0}}
    for report in ("report.md", "report.html"):
        assert f"Tokens per word, {model}" in (folder / report).read_text()
    with pytest.raises(BadRequest, match="there is no tokenizer"):
        statistics(CorpusSection(fertility_of=(str(tmp_path / "none"),)), folder, {})
