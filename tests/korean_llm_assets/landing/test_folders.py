"""The landing area: names, readiness, content, inheritance."""

from pathlib import Path

import pytest

from korean_llm_assets.landing.folders import Landing
from korean_llm_assets.partitions.keys import release_key
from tests.korean_llm_assets.conftest import WHOLE, drop
from trainers.contract import BadData


def test_releases_are_found_by_their_safe_keys_below_subfolders_too(tmp_path: Path) -> None:
    for name in ("plain", "뉴스 11월", "2026/10"):
        drop(tmp_path, name, {"corpus": "글"})
    (tmp_path / "unrelated").mkdir()
    names = {"plain", "뉴스 11월", "2026/10"}
    assert Landing(tmp_path).releases() == {release_key(name): name for name in names}


def test_a_release_is_complete_with_its_marker_or_after_the_quiet_time(tmp_path: Path) -> None:
    drop(tmp_path, "early", {"corpus": "글"}, ready=False)
    landing = Landing(tmp_path)
    assert not landing.is_complete("early")
    assert landing.is_complete("early", quiet_seconds=0)
    (tmp_path / "early" / "_READY").touch()
    assert landing.is_complete("early")


def test_an_empty_folder_is_never_complete_by_being_quiet(tmp_path: Path) -> None:
    (tmp_path / "bare" / "corpus").mkdir(parents=True)
    assert not Landing(tmp_path).is_complete("bare", quiet_seconds=0)


def test_the_digest_is_of_content_not_of_names_or_markers(tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    drop(tmp_path, "one", WHOLE)
    drop(tmp_path, "renamed", WHOLE, ready=False)
    drop(tmp_path, "other", {**WHOLE, "corpus": "다른 글"})
    assert landing.digest("one") == landing.digest("renamed") != landing.digest("other")


def test_instructions_are_inherited_from_the_newest_earlier_release_that_has_some(tmp_path: Path) -> None:
    drop(tmp_path, "first", WHOLE)
    drop(tmp_path, "second", {"corpus": "둘", "instructions": "새 질문"})
    drop(tmp_path, "third", {"corpus": "셋"})
    landing = Landing(tmp_path)
    earlier = ["first", "second"]
    assert landing.input("third", "instructions", earlier).inherited_from == "second"
    assert landing.input("third", "preferences", earlier).inherited_from == "first"
    assert landing.input("third", "preferences", earlier).path == "first/preferences"
    assert landing.input("second", "instructions", ["first"]).inherited_from is None


def test_a_corpus_is_never_inherited(tmp_path: Path) -> None:
    drop(tmp_path, "first", WHOLE)
    drop(tmp_path, "second", {"instructions": "질문"})
    with pytest.raises(BadData, match=r"release 'second': there is no folder .*second/corpus"):
        Landing(tmp_path).input("second", "corpus", ["first"])


@pytest.mark.parametrize("make_empty_folder", [False, True])
def test_nothing_to_read_is_said_in_words(tmp_path: Path, make_empty_folder: bool) -> None:
    if make_empty_folder:
        (tmp_path / "bare" / "instructions").mkdir(parents=True)
    with pytest.raises(BadData, match="none of the earlier releases \\(none\\) has one.*Put files there"):
        Landing(tmp_path).input("bare", "instructions", [])
