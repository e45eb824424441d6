"""What a release without some of its data takes: the newest earlier ones, and never those of a quarantined drop."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import AssetKey

from korean_llm_assets.partitions.pointers import latest
from tests.support.unattended import Unattended, unattended


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Unattended]:
    monkeypatch.setenv("KOREAN_LLM_HOME", str(tmp_path / "home"))
    with unattended(tmp_path / "state") as platform:
        yield platform


def inherited_from(platform: Unattended, release: str) -> str | None:
    """Whose instructions a release was made of."""
    pointer = latest(platform.instance, AssetKey("instructions"), release)
    assert pointer is not None
    return platform.compute.store.manifest(pointer).request.input("landing").inherited_from


def test_a_quarantined_drop_is_inherited_by_nobody(alone: Unattended) -> None:
    assert alone.drop("good")
    alone.compute.refusing |= {("instructions", "bad")}
    assert not alone.drop("bad", text="bad")
    assert alone.drop("poor", text="new", kinds=["corpus"])
    assert inherited_from(alone, "poor") == "good"
    alone.compute.refusing.clear()
    assert alone.drop("bad", text="corrected")
    assert alone.drop("later", text="newer", kinds=["corpus"])
    assert inherited_from(alone, "later") == "bad"


def test_a_refusal_of_inherited_files_says_whose_they_are(alone: Unattended) -> None:
    assert alone.drop("good")
    alone.compute.refusing |= {("instructions", "poor")}
    assert not alone.drop("poor", text="new", kinds=["corpus"])
    (run,) = alone.instance.get_runs(limit=1)
    failures = [
        entry.dagster_event.step_failure_data.user_failure_data.description
        for entry in alone.instance.all_logs(run.run_id)
        if entry.dagster_event is not None and entry.dagster_event.is_step_failure
    ]
    assert len(failures) == 1 and "the files are release good's: poor has none of its own" in failures[0]
