"""Unsloth of the image's versions, in an environment of its own that also sees ours. `make unsloth-env` makes it."""

import re
from pathlib import Path

from tests.support.own_environment import install, own_environment

_LOCK = (Path(__file__).parents[2] / "requirements-gpu.lock").read_text(encoding="utf-8")
_NAMES = (
    *("unsloth", "unsloth-zoo", "bitsandbytes", "cut-cross-entropy", "diffusers", "einops"),
    *("hf-transfer", "msgspec", "torchao", "triton", "tyro"),
)
"""What Unsloth imports and our own environment has not; torchvision is not needed, and no xformers is in the image."""
PINS = [re.search(rf"^{name}==\S+", _LOCK, re.MULTILINE)[0] for name in _NAMES]


def unsloth_python() -> Path:
    """The interpreter of the environment, made where it is not there; skips the test, with the reason, if it cannot."""
    return own_environment(PINS[0].replace("==", "-"), lambda python: install(python, *PINS))


if __name__ == "__main__":
    print(unsloth_python())
