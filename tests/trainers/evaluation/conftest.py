"""Fixtures of the evaluation's tests."""

from pathlib import Path

import pytest

from tests.support.toy import build_model


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Path:
    """A model of random weights."""
    return build_model(tmp_path_factory.mktemp("model"), seed=1)
