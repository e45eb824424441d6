"""Who did what: written once, in order, by name and login, and seen in the UI."""

import pytest
from dagster import AssetKey, AssetRecordsFilter, DagsterInstance

from korean_llm_assets.serving.events import event, events, record
from trainers.contract.artifacts import ArtifactStore


def test_events_are_added_and_never_changed_and_the_asset_shows_them(tmp_path, monkeypatch):
    monkeypatch.setenv("LOGNAME", "hana")
    monkeypatch.delenv("SUDO_USER", raising=False)
    store = ArtifactStore(tmp_path)
    with DagsterInstance.ephemeral() as instance:
        first = event("approval", "report 1", "김하나", "for Friday's demonstration\n[promotion] FAKE", "r1|tiny")
        record(store, instance, first)
        written = (store.registry_locks / "events.jsonl").read_bytes()
        second = event("rollback", "toy to version 1")
        record(store, instance, second)
        assert (store.registry_locks / "events.jsonl").read_bytes().startswith(written)
        assert list(events(store)) == [first, second]
        assert (first.who, first.login, second.who) == ("김하나", "hana", "hana")
        assert len(first.in_words.splitlines()) == 1
        records = instance.fetch_observations(AssetRecordsFilter(asset_key=AssetKey("eval_report")), limit=5).records
        assert records[0].asset_observation.description == first.in_words


def test_what_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="what"):
        event("deletion", "everything")
