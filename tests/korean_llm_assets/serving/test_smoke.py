"""The smoke test: a server is held to what evaluation heard, broken letters included; and one reply must be Korean."""

import re

import pytest

from korean_llm_assets.serving import smoke
from korean_llm_assets.serving.smoke import smoke_test
from trainers.contract.replies import QUESTIONS, GreedyReply

BROKEN = "악\ufffd절"


def heard(text: str, number: int = 0, sure: bool = True) -> GreedyReply:
    messages = [{"role": "user", "content": QUESTIONS[number]}]
    return GreedyReply(messages=messages, text=text, certain=len(text) if sure else 0, ends=sure)


def served(monkeypatch: pytest.MonkeyPatch, *texts: str | None) -> None:
    """A server that says these, one after the other, and ends each by itself."""
    left = iter(texts)

    def answer(*_: object) -> dict[str, object]:
        return {"choices": [{"message": {"content": next(left)}, "finish_reason": "stop"}]}

    monkeypatch.setattr(smoke, "post_json", answer)


def test_broken_letters_that_evaluation_heard_are_the_models(monkeypatch):
    served(monkeypatch, "안녕", BROKEN)
    assert smoke_test("", [heard("안녕"), heard(BROKEN, 1)]).errors == []


@pytest.mark.parametrize(
    ("texts", "expected", "reason"),
    [
        (("안녕", BROKEN), (heard("안녕"), heard("악절", 1)), "but evaluation heard '악절'"),
        (("안녕", BROKEN), (heard("안녕"), heard("악절", 1, sure=False)), "broken letters"),
        (("안녕", None), (heard("안녕"), heard("악절", 1, sure=False)), "the reply is empty"),
        (("안녕", "Hello"), (heard("안녕"), heard("악절", 1, sure=False)), "no Korean"),
        ((BROKEN, ""), (heard(BROKEN), heard("", 1)), "none of the replies is Korean; of the first, .*broken letters"),
    ],
)
def test_what_the_server_breaks_itself_or_is_never_korean_is_refused(monkeypatch, texts, expected, reason):
    served(monkeypatch, *texts)
    assert re.search(reason, "; ".join(smoke_test("", expected).errors))


def test_a_model_that_nobody_heard_is_held_to_korean(monkeypatch):
    served(monkeypatch, *["안녕하세요."] * (len(QUESTIONS) - 1), BROKEN)
    assert smoke_test("").errors == [f"{QUESTIONS[-1]!r}: the reply has broken letters: {BROKEN!r}"]
