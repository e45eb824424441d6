"""The Prometheus that watches the cluster: its one address, and the value of a query."""

from korean_llm_assets.http import get_json
from trainers.contract import BadRequest, ServiceMissing, settings
from trainers.contract.redaction import redacted


def address() -> str:
    """Where it answers, by KOREAN_LLM_PROMETHEUS_URL; may hold a user and password.

    Raises:
        BadRequest: the variable is not set.
    """
    page = settings.PROMETHEUS_URL.get()
    if not page:
        raise BadRequest(f"{settings.PROMETHEUS_URL.name} is not set; it names the Prometheus that watches the cluster")
    return page.rstrip("/")


def value(query: str, time: float | None = None) -> float | None:
    """The first sample of an instant query, now or at a time (Unix seconds); None where nothing matches.

    Raises:
        BadRequest: the variable is not set.
        ServiceMissing: no answer, or none of Prometheus' form.
    """
    page = address()
    answer = get_json("Prometheus", f"{page}/api/v1/query", {"query": query} | ({"time": time} if time else {}))
    try:
        samples = answer["data"]["result"]
        return float(samples[0]["value"][1]) if samples else None
    except (LookupError, TypeError, ValueError) as error:
        raise ServiceMissing(
            f"Prometheus at {redacted(page)} gave no answer of its form ({type(error).__name__}: {error})"
        ) from error
