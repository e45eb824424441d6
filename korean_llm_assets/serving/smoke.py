"""The smoke test: real chat requests in Korean against any OpenAI-compatible server, whose answers are known."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from korean_llm_assets.http import post_json
from trainers.contract import ServiceMissing
from trainers.contract.replies import QUESTIONS, GreedyReply

_UNHEARD_TOKENS = 32
"""Of a reply that evaluation has not heard: enough to see Korean."""


@dataclass(frozen=True)
class Reply:
    """What one request gave; `error` says why it is no good answer, empty where it is one."""

    question: str
    text: str
    seconds: float
    error: str = ""
    ended: bool = False
    """By itself, before the limit of tokens."""


@dataclass
class SmokeResult:
    """All replies of a smoke test."""

    replies: list[Reply] = field(default_factory=list)
    error: str = ""
    """What is wrong with all of them together."""

    @property
    def errors(self) -> list[str]:
        """What went wrong, request by request, and in all."""
        each = [f"{reply.question!r}: {reply.error}" for reply in self.replies if reply.error]
        return [*each, self.error] if self.error else each


def chat(
    base_url: str, messages: list[dict[str, str]], max_tokens: int = _UNHEARD_TOKENS, timeout: float = 60
) -> Reply:
    """Ask greedily at `<base_url>/v1/chat/completions`; never raises for what a server can do wrong, and takes any
    text for an answer."""
    question = messages[-1]["content"]
    # Else vLLM samples at temperature 1, and other servers do not: no answer could be told from a wrong one.
    body: dict[str, Any] = {"messages": messages, "max_tokens": max_tokens, "temperature": 0}
    started = time.monotonic()
    try:
        answer = post_json("the server", f"{base_url}/v1/chat/completions", body, timeout)
        choice = answer["choices"][0]
        text, ended = choice["message"]["content"], choice["finish_reason"] == "stop"
    except ServiceMissing as error:
        return Reply(question, "", time.monotonic() - started, str(error))
    except (LookupError, TypeError) as error:
        return Reply(question, "", time.monotonic() - started, f"{type(error).__name__}: {error}")
    return Reply(question, text if isinstance(text, str) else "", time.monotonic() - started, ended=ended)


def ask(base_url: str, question: str, max_tokens: int = _UNHEARD_TOKENS, timeout: float = 60) -> Reply:
    """`chat` with a single question, to which the answer must be Korean."""
    reply = chat(base_url, [{"role": "user", "content": question}], max_tokens, timeout)
    return replace(reply, error=reply.error or _fault(reply.text))


def smoke_test(base_url: str, heard: Sequence[GreedyReply] = ()) -> SmokeResult:
    """Ask what evaluation asked, and hold the server to what it `heard`; where that is nothing, to Korean alone.

    A single reply that evaluation heard with broken letters is the model's, which the gate has judged; but of a model
    none of whose replies is Korean, or ends, none is served.
    """
    if not heard:
        return SmokeResult([ask(base_url, question) for question in QUESTIONS])
    replies = [_repeated(base_url, reply) for reply in heard]
    if any(reply.error for reply in replies):
        return SmokeResult(replies)
    if not any(reply.ended for reply in replies):
        return SmokeResult(replies, f"no reply ended within {heard[0].limit} tokens: what is served does not stop")
    if all(_fault(reply.text) for reply in replies):
        return SmokeResult(replies, f"none of the replies is Korean; of the first, {_fault(replies[0].text)}")
    return SmokeResult(replies)


def _repeated(base_url: str, heard: GreedyReply) -> Reply:
    reply = chat(base_url, heard.messages, heard.limit)
    own_fault = "" if _fault(heard.text) else _fault(reply.text)
    return replace(reply, error=reply.error or heard.contradiction(reply.text, reply.ended) or own_fault)


def _fault(text: str) -> str:
    """Why a text is no answer to a Korean question: empty, broken letters, or no Hangul at all."""
    if not text.strip():
        return "the reply is empty"
    if "�" in text.rstrip("�"):  # at the end it is only a letter that the token limit cut
        return f"the reply has broken letters: {text[:60]!r}"
    if not any("가" <= letter <= "힣" for letter in text):
        return f"the reply has no Korean: {text[:60]!r}"
    return ""
