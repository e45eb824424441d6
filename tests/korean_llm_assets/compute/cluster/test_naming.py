"""Names of Kubernetes objects: DNS labels for any partition, the same for the same request."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from korean_llm_assets.compute.cluster import naming
from korean_llm_assets.partitions.keys import release_key
from trainers.contract import STAGES, StageRequest

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def _request(stage: str, model: str, release: str) -> StageRequest:
    kind = STAGES[stage]
    keys = {"model": model if kind.by_model else None, "release": release if kind.by_release else None}
    return StageRequest(stage=stage, stage_version=1, **keys)


@given(st.text(min_size=1, max_size=300), st.sampled_from(sorted(STAGES)), st.integers(1, 999))
def test_any_partition_gives_a_dns_label(folder: str, stage: str, attempt: int):
    request = _request(stage, "qwen2.5-72b", release_key(folder))
    name = naming.job_name(request, attempt)
    assert _DNS_LABEL.fullmatch(name) and len(name) <= 53, name
    assert _DNS_LABEL.fullmatch(f"{name}-31")  # a pod of an Indexed Job
    for key, value in naming.labels(request, "0d1f", attempt).items():
        assert _LABEL_VALUE.fullmatch(value), (key, value)


@pytest.mark.parametrize("release", ["한국어-말뭉치-2024", "x" * 300, "2024.01_a", "가", "신문 2024/봄"])
def test_korean_and_long_releases(release: str):
    request = _request("cpt", "tiny", release_key(release))
    assert _DNS_LABEL.fullmatch(naming.job_name(request, 1))


def test_the_name_follows_the_digest():
    a, b = _request("cpt", "tiny", "r1"), _request("cpt", "tiny", "r2")
    assert naming.job_name(a, 1) == naming.job_name(a.model_copy(), 1)
    assert naming.job_name(a, 1) != naming.job_name(b, 1)
    assert naming.job_name(a, 1)[:-2] == naming.job_name(a, 2)[:-2]
