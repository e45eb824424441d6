"""The smoke test: real chat requests in Korean against any OpenAI-compatible server."""

import time
from dataclasses import dataclass, field
from typing import Any

from korean_llm_assets.http import post_json
from trainers.contract import ServiceMissing

QUESTIONS = (
    "안녕하세요. 오늘 하루를 어떻게 시작하면 좋을까요?",
    "'크다'의 반대말은 무엇인가요?",
    "김치찌개를 맛있게 끓이는 방법을 알려 주세요.",
    "높임말로 바꾸세요. 지금 날씨가 좋아.",
)


@dataclass(frozen=True)
class Reply:
    """What one request gave; `error` says why it is no good answer, empty where it is one."""

    question: str
    text: str
    seconds: float
    error: str = ""


@dataclass
class SmokeResult:
    """All replies of a smoke test."""

    replies: list[Reply] = field(default_factory=list)

    @property
    def errors(self) -> list[str]:
        """What went wrong, request by request."""
        return [f"{reply.question!r}: {reply.error}" for reply in self.replies if reply.error]


def chat(base_url: str, question: str, model: str | None = None, max_tokens: int = 32, timeout: float = 60) -> Reply:
    """Ask one question at `<base_url>/v1/chat/completions`; never raises for what a server can do wrong."""
    body: dict[str, Any] = {"messages": [{"role": "user", "content": question}], "max_tokens": max_tokens}
    body |= {"model": model} if model else {}
    started = time.monotonic()
    try:
        answer = post_json("the server", f"{base_url}/v1/chat/completions", body, timeout)
        text = answer["choices"][0]["message"]["content"]
    except ServiceMissing as error:
        return Reply(question, "", time.monotonic() - started, str(error))
    except (LookupError, TypeError) as error:
        return Reply(question, "", time.monotonic() - started, f"{type(error).__name__}: {error}")
    return Reply(question, text or "", time.monotonic() - started, _fault(text))


def smoke_test(base_url: str, model: str | None = None) -> SmokeResult:
    """Ask every question once."""
    return SmokeResult([chat(base_url, question, model) for question in QUESTIONS])


def _fault(text: Any) -> str:
    """Why a text is no answer to a Korean question: empty, broken letters, or no Hangul at all."""
    if not isinstance(text, str) or not text.strip():
        return "the reply is empty"
    if "�" in text.rstrip("�"):  # at the end it is only a letter that the token limit cut
        return f"the reply has broken letters: {text[:60]!r}"
    if not any("가" <= letter <= "힣" for letter in text):
        return f"the reply has no Korean: {text[:60]!r}"
    return ""
