"""Languages of Latin script, told apart by a model where its package is installed."""

import sys

import pytest

from tests.support.corpus_landing import read_jsonl, run_data_stage, write_jsonl
from trainers.contract import BadRequest
from trainers.contract.recipe.data import CorpusSection
from trainers.contract.recipe.filters import FilterSettings
from trainers.corpus.clean import Cleaner
from trainers.text.latin_languages import identifier

KOREAN = "강가에 나무가 한 그루 있고 그 아래에서 아이들이 책을 읽다가 해가 지면 집으로 돌아갔습니다."
ENGLISH = "There was a tree by the river, and under it the children read their books until the sun went down."
GERMAN = "Am Fluss stand ein Baum, und unter ihm lasen die Kinder ihre Bücher, bis die Sonne untergegangen war."


def test_a_language_that_is_not_wanted_is_excluded_and_korean_is_never_asked(tmp_path):
    pytest.importorskip("py3langid", reason="pip install py3langid")
    texts = {"k1": KOREAN, "k2": KOREAN[::-1], "e": ENGLISH, "d": GERMAN}
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", [{"id": name, "text": text} for name, text in texts.items()])
    _, folder = run_data_stage("corpus", tmp_path, filter={"latin_languages": ["en"]})
    excluded = {row["id"]: (row["reason"], row["detail"]) for row in read_jsonl(folder / "exclusions.jsonl.zst")}
    assert excluded == {"d": ("language", "de, by py3langid")}


def test_a_missing_package_is_named_before_anything_is_read(monkeypatch):
    identifier.cache_clear()
    monkeypatch.setitem(sys.modules, "py3langid", None)
    with pytest.raises(BadRequest, match="pip install py3langid"):
        Cleaner(CorpusSection(filter=FilterSettings(latin_languages=("en",))), 16)
