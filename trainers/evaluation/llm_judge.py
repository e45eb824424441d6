"""An optional LLM judge over any OpenAI-compatible endpoint: two answers side by side, asked twice with places swapped.

Judges favour a place (Zheng et al. 2023, "Judging LLM-as-a-Judge", section 3.3): a verdict counts only where both
orders agree, else the pair is a draw; how often they agree is reported beside the result. Its figures are not
reproducible as the others are; the verdicts are kept with the items.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from trainers.contract import ServiceMissing
from trainers.contract.files import write_atomically
from trainers.contract.recipe.evaluation import JudgeSettings
from trainers.contract.settings import JUDGE_KEY
from trainers.evaluation.judge_questions import QUESTIONS, Question
from trainers.evaluation.results import ItemScore

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam

Judgement = Literal["first", "second", "draw"]
_TRIES = 3
_TIMEOUT_SECONDS = 120
_INSTRUCTION = (
    "당신은 한국어 답변을 견주는 공정한 심사자입니다. 질문과 좋은 답의 조건, 두 답변을 읽고 어느 쪽이 나은지 "
    "판정하세요. 길이나 놓인 순서는 보지 마세요. 마지막 줄에 [[A]], [[B]], [[비김]] 가운데 하나만 쓰세요."
)


def judge_rows(
    settings: JudgeSettings, subject: str, answers: Mapping[str, Sequence[str]], scratch: Path
) -> list[ItemScore]:
    """The rows of the stage `subject`: its wins over each stage named in the recipe, and the agreement of both orders.

    `answers` holds every stage's answers to QUESTIONS, in their order. Verdicts are kept in `scratch`, so that a
    second attempt asks only for what is missing.

    Raises:
        ServiceMissing: the endpoint does not answer, or not with a verdict.
    """
    rows: list[ItemScore] = []
    for other in settings.against:
        if other not in answers:
            continue
        for question, ours, theirs in zip(QUESTIONS, answers[subject], answers[other], strict=True):
            straight = _cached(settings, scratch / f"judge-{other}-{question.id}-1.json", question, ours, theirs)
            swapped = _cached(settings, scratch / f"judge-{other}-{question.id}-2.json", question, theirs, ours)
            agreed = _swap(swapped) == straight
            won = {"first": 1.0, "second": 0.0, "draw": 0.5}[straight] if agreed else 0.5
            verdicts = f"{straight} / swapped: {swapped}"
            rows.append(ItemScore(f"judge/over_{other}", "win_rate", question.id, won, 1.0, verdicts, ours))
            rows.append(
                ItemScore(f"judge/agreement_{other}", "agreement", question.id, float(agreed), 1.0, verdicts, theirs)
            )
    return rows


def _cached(settings: JudgeSettings, path: Path, question: Question, first: str, second: str) -> Judgement:
    if not path.exists():
        write_atomically(path, json.dumps(_judgement(settings, question, first, second)))
    judgement: Judgement = json.loads(path.read_text())
    return judgement


def _swap(judgement: Judgement) -> Judgement:
    swapped: dict[Judgement, Judgement] = {"first": "second", "second": "first", "draw": "draw"}
    return swapped[judgement]


def _judgement(settings: JudgeSettings, question: Question, first: str, second: str) -> Judgement:
    prompt = (
        f"[질문]\n{question.text}\n\n[좋은 답의 조건]\n{question.wanted}\n\n"
        f"[답변 A]\n{first}\n\n[답변 B]\n{second}\n\n[판정]"
    )
    reply = ""
    for _ in range(_TRIES):
        reply = _ask(settings, prompt)
        last = reply.strip().splitlines()[-1] if reply.strip() else ""
        for mark, judgement in (("[[A]]", "first"), ("[[B]]", "second"), ("[[비김]]", "draw")):
            if mark in last:
                return judgement  # type: ignore[return-value] # the pairs above are literals
    raise ServiceMissing(f"the judge {settings.model} at {settings.url} gave no verdict, but: {reply[-200:]!r}")


def _ask(settings: JudgeSettings, text: str) -> str:
    from openai import APIStatusError, OpenAI, OpenAIError

    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": _INSTRUCTION},
        {"role": "user", "content": text},
    ]
    # The client wants a key; an endpoint without one reads none.
    key = JUDGE_KEY.get() or "none"
    try:
        with OpenAI(base_url=settings.url, api_key=key, timeout=_TIMEOUT_SECONDS, max_retries=0) as client:
            answer = client.chat.completions.create(
                model=settings.model, messages=messages, temperature=0, seed=0, max_tokens=512
            )
        return str(answer.choices[0].message.content)
    except (OpenAIError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error.__cause__ or error}"
        if isinstance(error, APIStatusError):
            reason = f"HTTP {error.status_code}"  # its text repeats the answer, which may repeat the key
        raise ServiceMissing(f"the judge at {settings.url} does not answer: {reason}") from error
