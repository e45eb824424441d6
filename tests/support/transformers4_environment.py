"""The last transformers 4, in an environment of its own that also sees ours."""

from pathlib import Path

from tests.support.own_environment import install, own_environment

VERSION = "4.57.6"
_PACKAGES = (f"transformers=={VERSION}", "huggingface-hub==0.36.2", "tokenizers==0.22.2")


def transformers4_python() -> Path:
    """The interpreter of the environment, made where it is not there; skips the test, with the reason, if it cannot."""
    return own_environment(f"transformers-{VERSION}", lambda python: install(python, *_PACKAGES))
