"""Nouns of a release, and what is new in it."""

from tests.trainers.corpus.landing import run_data_stage, write_jsonl
from trainers.corpus.vocabulary import drift, read


def test_drift_is_what_no_earlier_release_has():
    mine = {"사과": 5, "우주선": 3, "바다": 2}
    assert drift(mine, [{"사과": 1}, {"바다": 9}]) == {"nouns": 3, "new_words": {"우주선": 3}, "new_word_share": 0.3}
    assert drift(mine, [])["new_words"] == {}


def test_nouns_are_found_where_the_recipe_asks(tmp_path):
    endings = ("가", "는", "를", "에서", "에게", "와", "의", "도", "로", "만")
    text = " ".join(f"바다{one} 거북이{two} 보았다." for one in endings for two in endings)
    rows = [{"text": f"{number}번째 이야기. {text} {'끝' * (number % 2)} {number * 7919}"} for number in range(30)]
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", rows)
    section = {"near_dedup": {"enabled": False}, "filter": {"max_repeated_ngram_share": 1}}
    manifest, folder = run_data_stage("corpus", tmp_path, noun_statistics=20, **section)
    assert "거북이" in read(folder)
    assert manifest.details.extra["nouns"] == len(read(folder))
    _, plain = run_data_stage("corpus", tmp_path, **section)
    assert read(plain) is None
