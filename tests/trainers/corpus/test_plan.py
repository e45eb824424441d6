"""A corpus plan: its digest covers all code that decides what a cleaned block holds."""

from pathlib import Path

import pytest

import trainers
from trainers.contract.recipe.data import CorpusSection
from trainers.contract.walk import Walk
from trainers.corpus.plan import CorpusPlan


def plan():
    return CorpusPlan(CorpusSection(), Walk({}, {}))


@pytest.mark.parametrize("file", ("corpus/clean.py", "text/normalise.py", "contract/recipe/filters.py"))
def test_changed_code_is_another_plan_whose_blocks_are_not_those_of_the_old_one(file, monkeypatch):
    changed, read, before = Path(trainers.__file__).parent / file, Path.read_bytes, plan().digest
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + b"# changed" * (path == changed))
    assert changed.is_file() and plan().digest != before
