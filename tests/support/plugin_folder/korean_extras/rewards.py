"""Rewards: `rlhf.sampling.rewards: ["korean_extras.rewards:short_words"]`."""


def short_words(question: str, answer: str) -> float:
    """1 for an answer of words of three characters at most, 0 for one of longer words only."""
    words = answer.split()
    return sum(len(word) <= 3 for word in words) / len(words) if words else 0.0
