"""The commands' labels in Korean (`--lang ko`): heads of tables, states, verdicts. Reasons and errors stay English."""

from typing import Literal

Language = Literal["en", "ko"]

_LABELS = {
    "model": "모델",
    "release": "릴리스",
    "figure": "지표",
    "waits for": "대기 사유",
    "US dollars": "미국 달러",
    "asset": "에셋",
    "artifacts": "아티팩트",
    "state": "상태",
    "why": "이유",
    "suite": "평가",
    "difference": "차이",
    "artifact": "아티팩트",
    "id": "ID",
    "source": "출처",
    "licence": "라이선스",
    "url": "URL",
    "hours": "시간",
    "GPU-hours": "GPU 시간",
    "lost to restarts": "재시작 손실",
    "unfinished": "미완료",
    "goodput": "유효 비율",
    "releases": "릴리스 수",
    "known from": "근거",
    "took": "소요",
    "the same": "같음",
    "recipe": "레시피",
    "corpus": "말뭉치",
    "the recipe changed": "레시피가 바뀜",
    "would be made (what follows a stage that changes, too)": "새로 만들 것 (바뀐 단계를 뒤따르는 것 포함)",
    "nothing would be made: all of it is there, and made from what is there now": "새로 만들 것이 없습니다",
    "nothing was started; the same with --yes starts it": "시작하지 않았습니다. --yes를 붙이면 시작합니다",
    "made from it": "이것으로 만든 것",
    "in nothing that is kept here": "이곳에 보관된 어디에도 없음",
    "instructions": "지시문",
    "preferences": "선호쌍",
    "benchmarks": "벤치마크",
    "base_model": "기반 모델",
    "cpt": "CPT",
    "sft": "SFT",
    "rlhf": "RLHF",
    "evaluate": "평가",
    "export": "배포",
}
"""A head of a table, a title, a sentence of ours -> in Korean."""
_VALUES = {
    "made": "완료",
    "outdated": "갱신 필요",
    "at work": "작업 중",
    "in line": "대기 중",
    "failed": "실패",
    "cancelled": "취소됨",
    "missing": "없음",
    "better": "나음",
    "WORSE": "나빠짐",
    "too close to tell": "구별되지 않음",
    "no GPU": "GPU 없음",
    "in all": "합계",
}
"""What a cell of a table says in words of ours -> in Korean; the names of assets are none."""


def label(text: str, language: Language) -> str:
    """A head, a title or a sentence of ours in the language; what is none (a release, a suite) as it is."""
    return _LABELS.get(text, text) if language == "ko" else text


def value(text: str, language: Language) -> str:
    """A cell in the language, where it is a state or a verdict; a name or a figure as it is."""
    return _VALUES.get(text, text) if language == "ko" else text
