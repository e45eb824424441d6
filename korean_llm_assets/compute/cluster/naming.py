"""Names and labels of Kubernetes objects: derived from the request, so that the same request finds the same Job."""

import re

from trainers.contract import StageRequest

DOMAIN = "korean-llm"
ASSET, MODEL, RELEASE, REQUEST, RUN, ATTEMPT = (
    f"{DOMAIN}/{key}" for key in ("asset", "model", "release", "request", "run", "attempt")
)
DIGEST = f"{DOMAIN}/request-digest"
"""Annotation with the whole digest; the label holds as much of it as a label may."""
COMMAND = f"{DOMAIN}/command"
"""Label of a Job that is no stage: a person's command, which waits for it itself."""
MANAGED = "app.kubernetes.io/managed-by"
MANAGER = "korean-llm-assets"

_READABLE = 36
"""Letters of the readable part: with digest, attempt and a pod's index a name stays under 63."""


def dns_label(text: str) -> str:
    """Text as a DNS label's letters: lower case, digits, single dashes; other scripts fall away."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def base_name(request: StageRequest) -> str:
    """The request's own name, at most 49 letters: readable start, then 12 letters of its digest."""
    readable = dns_label("-".join([request.asset, request.model or "", request.release or ""]))
    return f"{readable[:_READABLE].strip('-')}-{request.digest[:12]}"


def job_name(request: StageRequest, attempt: int) -> str:
    """Name of an attempt's Job, a DNS label for any partition key."""
    return f"{base_name(request)}-{attempt}"


def label_value(text: str) -> str:
    """Text as a label's value: at most 63 letters, ends alphanumeric."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:63].strip("-_.")


def labels(request: StageRequest, run_id: str, attempt: int) -> dict[str, str]:
    """Labels of the Job and its pods."""
    values = {
        MANAGED: MANAGER,
        ASSET: request.asset,
        MODEL: request.model,
        RELEASE: request.release,
        REQUEST: request.digest[:32],
        RUN: run_id,
        ATTEMPT: str(attempt),
    }
    return {key: label_value(value) for key, value in values.items() if value}


def selector(request: StageRequest) -> str:
    """Label selector of every attempt at a request."""
    return f"{REQUEST}={request.digest[:32]}"
