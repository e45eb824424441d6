"""The landing area: names, readiness, content, inheritance."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from dagster import DagsterInstance, SensorResult, build_sensor_context

from korean_llm_assets.home import Home
from korean_llm_assets.landing.folders import Landing
from korean_llm_assets.partitions.keys import release_key
from korean_llm_assets.resources import Platform
from korean_llm_assets.triggers.sensors import new_releases
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
    assert landing.incompleteness("early")
    assert not landing.incompleteness("early", quiet_seconds=0)
    (tmp_path / "early" / "_READY").touch()
    assert not landing.incompleteness("early")


def test_an_empty_folder_is_never_complete_by_being_quiet(tmp_path: Path) -> None:
    (tmp_path / "bare" / "corpus").mkdir(parents=True)
    assert Landing(tmp_path).incompleteness("bare", quiet_seconds=0)


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


def unreadable_release(release: Path) -> None:
    release.chmod(0o000)


def korean_windows_release(release: Path) -> None:
    release.rename(os.fsdecode(os.fsencode(release.parent) + "/뉴스".encode("cp949")))


def line_in_the_name(release: Path) -> None:
    release.rename(release.with_name("bad\n[corpus] stage corpus done: FAKE"))


def linked_kind(release: Path) -> None:
    (release / "corpus").rename(release.parents[2] / "private")
    (release / "corpus").symlink_to(release.parents[2] / "private")


def linked_release(release: Path) -> None:
    release.rename(release.parents[2] / "private")
    release.symlink_to(release.parents[2] / "private")


@pytest.fixture
def open_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """Outside pytest's folders, which are closed to everybody else."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        monkeypatch.setenv("KOREAN_LLM_HOME", f"{folder}/var")
        home = Home.from_environment()
        home.landing.mkdir(parents=True)
        home.landing.chmod(0o777)
        yield home


@pytest.fixture
def as_nobody() -> Iterator[None]:
    """Permissions mean nothing to root."""
    me = os.geteuid()
    os.seteuid(65534 if me == 0 else me)
    try:
        yield
    finally:
        os.seteuid(me)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (unreadable_release, "Permission denied"),
        (korean_windows_release, r"'\\udcb4.*' is no name .*not written in UTF-8"),
        (line_in_the_name, r"'bad\\n\[corpus\] .*' is no name .*control characters"),
        (linked_kind, "leads out of .* by a link"),
        (linked_release, "leads out of .* by a link"),
    ],
)
def test_a_release_that_cannot_be_read_has_a_run_that_says_why_and_stops_no_other(
    open_home: Home, spoil: Callable[[Path], None], reason: str, request: pytest.FixtureRequest
) -> None:
    landing, platform = Landing(open_home.landing), Platform.from_environment()
    drop(landing.root, "bad", WHOLE)
    drop(landing.root, "good", {**WHOLE, "corpus": "다른 글"})
    spoil(landing.root / "bad")
    with DagsterInstance.ephemeral() as instance:
        request.getfixturevalue("as_nobody")
        result = new_releases(build_sensor_context(instance=instance, resources={"platform": platform}))
    assert isinstance(result, SensorResult)
    keys = {str(each.partition_key) for each in result.run_requests or ()}
    assert len(keys) == 2 and "good" in keys
    (bad,) = keys - {"good"}
    with pytest.raises(BadData, match=reason) as error:
        landing.input(bad, "corpus", [])
    assert str(error.value).isprintable()
    assert landing.input("good", "corpus", []).path == "good/corpus"


def test_a_time_of_modification_that_the_uploader_set_delays_nothing(tmp_path: Path) -> None:
    release = drop(tmp_path, "future", {"corpus": "글"}, ready=False)
    os.utime(release / "corpus" / "a.jsonl", (time.time() + 10**8,) * 2)
    assert not Landing(tmp_path).incompleteness("future", quiet_seconds=0)
