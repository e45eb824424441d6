"""What is held out: decided by the text itself, so releases of any seed never leak into each other's benchmarks."""

from hashlib import sha256

HELD_OUT_SHARE = 0.2


def is_held_out(text: str) -> bool:
    """True for the fifth of all prompts and sentences that only benchmarks may use."""
    return int.from_bytes(sha256(text.encode()).digest()[:4], "big") < HELD_OUT_SHARE * 2**32
