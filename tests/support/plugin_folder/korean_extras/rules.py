"""Filter rules: `corpus.filter.rules: ["korean_extras.rules:too_many_ads"]`."""

from pathlib import Path

_ADS = Path(__file__).with_name("ads.txt").read_text(encoding="utf-8").split()


def too_many_ads(text: str) -> str | None:
    """Excludes a text of three advertising words or more."""
    seen = [word for word in _ADS if word in text]
    return ", ".join(seen) if len(seen) > 2 else None


def fails_on_rain(text: str) -> bool:
    """A rule with a fault."""
    return text.index("비가") > 0


def echoes_numbers(text: str) -> str | None:
    """A rule whose detail is the text itself."""
    return text if "문의" in text else None
