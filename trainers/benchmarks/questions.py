"""How published benchmarks ask, whatever file an item lies in: the builders of their questions, choices and answers."""

from collections.abc import Iterator

from trainers.conversations.rows import Row

_NO_YES = ["아니오", "예"]
_NEGATIVE_POSITIVE = ["부정", "긍정"]
_CONNECTORS = {"원인": "왜냐하면", "결과": "그래서"}
NLI = {"entailment": 0, "neutral": 1, "contradiction": 2}
TOPICS = ["IT과학", "경제", "사회", "생활문화", "세계", "스포츠", "정치"]
"""KLUE's topics of news, in the order of their labels on the hub."""


def choice(identity: str, question: str, choices: list[str], answer: int, **more: str) -> Row:
    """An item in our form."""
    return {"id": identity, "question": question, "choices": choices, "answer": answer, **more}


def boolq(identity: str, text: str, question: str, answer: int) -> Row:
    """KoBEST: is it so, by the text?"""
    return choice(identity, f"{text} 질문: {question} 답변: ", _NO_YES, answer, score="sum")


def copa(identity: str, premise: str, relation: str, choices: list[str], answer: int) -> Row:
    """KoBEST: cause or effect of the premise; two spaces, as lm_eval asks."""
    return choice(identity, f"{premise}  {_CONNECTORS[relation]}", choices, answer, score="sum")


def hellaswag(identity: str, context: str, endings: list[str], answer: int) -> Row:
    """KoBEST: how a story goes on."""
    return choice(identity, f"문장: {context}", endings, answer)


def sentiment(identity: str, text: str, label: int) -> Row:
    """KoBEST's SentiNeg and NSMC: does somebody like it?"""
    return choice(identity, f"문장: {text} 긍부정:", _NEGATIVE_POSITIVE, label, score="sum")


def word_in_context(identity: str, word: str, contexts: tuple[str, str], answer: int) -> Row:
    """KoBEST: has the word one meaning in both?"""
    question = f"문장1: {contexts[0]} 문장2: {contexts[1]} 두 문장에서 {word}가 같은 뜻으로 쓰였나?"
    return choice(identity, question, _NO_YES, answer, score="sum")


def inference(identity: str, premise: str, hypothesis: str, label: int) -> Row:
    """KLUE and KorNLI."""
    question = f"{premise} 질문: {hypothesis} 이 말은 참인가, 거짓인가, 알 수 없는가? 답변:"
    return choice(identity, question, ["참", "알 수 없음", "거짓"], label)


def similarity(identity: str, first: str, second: str, label: int) -> Row:
    """KLUE and KorSTS."""
    question = f"문장1: {first} 문장2: {second} 두 문장은 같은 뜻인가? 답변:"
    return choice(identity, question, _NO_YES, label, score="sum")


def topic(identity: str, title: str, label: int) -> Row:
    """KLUE's YNAT: what a headline is about."""
    return choice(identity, f"제목: {title} 이 기사의 주제는? 답변:", TOPICS, label, score="sum")


def exam(identity: str, question: str, options: list[str], right: str | int, subject: str) -> Row:
    """KMMLU's kinds: lettered options; `right` counts from 1."""
    letters = list("ABCDE"[: len(options)])
    shown = "\n".join(f"{letter}. {option}" for letter, option in zip(letters, options, strict=True))
    return choice(
        identity, f"{question.strip()}\n{shown}\n정답：", letters, int(right) - 1, score="sum", subject=subject
    )


def short_answers(articles: list[Row], task: str) -> Iterator[Row]:
    """KorQuAD and KLUE's MRC, articles of SQuAD's form; the reply must be the first of the answers, word for word.

    Questions that the text does not answer are left out: no reply is right.
    """
    for paragraph in (each for article in articles for each in article["paragraphs"]):
        for row in paragraph["qas"]:
            if not row.get("is_impossible"):
                question = f"{paragraph['context']}\n\n질문: {row['question']}\n글에 있는 말 그대로 짧게 답하시오."
                yield {
                    "id": row.get("id") or row["guid"],
                    "messages": [{"role": "user", "content": question}],
                    "answer": row["answers"][0]["text"],
                    "task": task,
                }
