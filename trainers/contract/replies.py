"""Greedy replies: what evaluation heard a model say, and every server of it must say again.

Greedy decoding is deterministic up to rounding: another kernel, batch or width of number can turn the choice between
two tokens that are almost equally likely, and all that follows. So a reply says how far its model was in no such doubt
(trainers/evaluation/served_replies.py), and a server is held to exactly that.
"""

from pydantic import BaseModel, ConfigDict, Field

QUESTIONS = (
    "안녕하세요. 오늘 하루를 어떻게 시작하면 좋을까요?",
    "'크다'의 반대말은 무엇인가요?",
    "김치찌개를 맛있게 끓이는 방법을 알려 주세요.",
    "높임말로 바꾸세요. 지금 날씨가 좋아.",
    "대한민국의 수도는 어디인가요? 한 단어로 답해 주세요.",
    "다음 문장을 한 문장으로 요약해 주세요. 어제는 비가 와서 집에서 책을 읽고 저녁에는 가족과 만두를 만들었다.",
)
"""What every model is asked, for greetings, facts, and the forms of a Korean sentence."""
REPLY_TOKENS = 64
"""Tokens of a reply, at most."""
_CUT_LETTER = "\ufffd"
"""How some servers write a letter of which the limit left only some bytes, and others leave it out."""


class GreedyReply(BaseModel):
    """One conversation, and what the model says to it at temperature 0."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    messages: list[dict[str, str]] = Field(description="as they are sent, with the system turn of the training")
    text: str
    certain: int = Field(ge=0, description="characters of the text before the first token of which it was in doubt")
    ends: bool = Field(description="it ended by itself, and of neither text nor end was there any doubt")
    limit: int = Field(default=REPLY_TOKENS, ge=1, description="tokens, at most")

    @property
    def question(self) -> str:
        """The last thing that was said to the model."""
        return self.messages[-1]["content"]

    def contradiction(self, text: str, ended: bool) -> str:
        """Why a text cannot be this model's greedy reply; empty where it can.

        Args:
            text: what was said to the same messages, without special tokens.
            ended: whether it ended by itself, within the same limit of tokens.
        """
        expected, got = self.text[: self.certain].strip(), text.strip().rstrip(_CUT_LETTER)
        if not got.startswith(expected) or (self.ends and got != expected):
            return f"the reply is {got[:80]!r}, but evaluation heard {self.text.strip()[:80]!r}"
        if self.ends and not ended:
            return f"the reply goes on after {expected[:80]!r}, where evaluation heard it end"
        return ""
