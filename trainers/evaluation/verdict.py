"""The report's first screen: better or worse, by how much, what became worse, and the figures that matter."""

from dataclasses import dataclass
from typing import Literal

from trainers.contract import GateResult, Interval
from trainers.contract.page import Line, Table, Text, Words
from trainers.evaluation.gate import INSTRUCTION, PREFERENCE, VERIFIED, text_suites
from trainers.evaluation.results import SHARES, Results, form_of

Way = Literal["better", "worse", "open"]
_CLOSE = Words("too close to tell", "구별되지 않음")
_NAMES = {
    "base": Words("the base model", "기반 모델"),
    "champion": Words("the champion", "챔피언"),
    "cpt": Words("the model after CPT", "CPT 모델"),
    "sft": Words("the model after SFT", "SFT 모델"),
}


@dataclass(frozen=True)
class Change:
    """A suite's figure of one model against another's, and whether it lies beyond its interval."""

    suite: str
    stage: str
    against: str
    before: Interval
    now: Interval
    difference: Interval
    way: Way

    def shown(self, measure: str) -> str:
        """The change in figures."""
        if measure in SHARES:
            d = self.difference
            figures = f"{self.before.value:.1%} → {self.now.value:.1%}"
            return f"{figures} ({d.value * 100:+.1f} points, 95%: {d.low * 100:+.1f} to {d.high * 100:+.1f})"
        d = self.difference
        return f"{self.before.value:.3f} → {self.now.value:.3f} ({d.value:+.3f}, 95%: {d.low:+.3f} to {d.high:+.3f})"


def changes(results: Results, stage: str, against: str) -> list[Change]:
    """Of each single suite that both models have; pooled suites repeat their members, margins are no figure of both."""
    several = [suite for suite in results.suites if not suite.startswith("all/") and not suite.endswith("/margin")]
    return [change(results, suite, stage, against) for suite in several if results.has(suite, stage, against)]


def change(results: Results, suite: str, stage: str, against: str) -> Change:
    """One suite's (paired bootstrap, 95%)."""
    difference = results.difference(suite, stage, against)
    up = results.higher_is_better(suite)
    if difference.low <= 0 <= difference.high:
        way: Way = "open"
    else:
        way = "better" if (difference.value > 0) == up else "worse"
    before, now = results.figure(suite, against), results.figure(suite, stage)
    return Change(suite, stage, against, before, now, difference, way)


def opponent(results: Results) -> str:
    """What a model must be better than: the champion where there is one, else the base."""
    return "champion" if "champion" in results.stages else "base"


def headline(results: Results, gate: list[GateResult], stage: str) -> Words:
    """The verdict in one sentence, in both languages."""
    other = opponent(results)
    compared = changes(results, stage, other)
    better, worse = (sum(one.way == way for one in compared) for way in ("better", "worse"))
    name = _NAMES[other]
    if better and not worse:
        en, ko = f"Better than {name.en}", f"{name.ko}보다 나음"
    elif worse and not better:
        en, ko = f"Worse than {name.en}", f"{name.ko}보다 못함"
    elif better:
        en, ko = f"Better and worse than {name.en}", f"{name.ko}보다 나은 것도 못한 것도 있음"
    else:
        en, ko = f"No better and no worse than {name.en}", f"{name.ko}과(와) 차이 없음"
    failed = sum(not result.passed for result in gate)
    count, rest = len(compared), len(compared) - better - worse
    en += f": of {count} suites {better} better, {worse} worse, {rest} {_CLOSE.en} (95%)."
    ko += f": 평가 {count}개 중 나음 {better}, 못함 {worse}, {_CLOSE.ko} {rest} (95%)."
    if failed:
        return Words(
            f"{en} Gate FAILED: {failed} of {len(gate)} conditions.", f"{ko} 게이트 실패: {failed}/{len(gate)}."
        )
    return Words(f"{en} Gate passed.", f"{ko} 게이트 통과.")


def what_to_do(passed: bool) -> Line:
    """The next step."""
    if passed:
        return Line(
            Words(
                "Next: nothing, or approve it where the recipe asks; it can be served and promoted.",
                "다음: 할 일 없음. 레시피가 승인을 요구하면 승인하십시오. 배포할 수 있습니다.",
            ),
            "good",
        )
    return Line(
        Words(
            "Next: mend what the conditions below name, in the recipe or in the data; nothing was deployed.",
            "다음: 아래 조건이 가리키는 레시피나 데이터를 고치십시오. 아무것도 배포되지 않았습니다.",
        ),
        "bad",
    )


def became_worse(results: Results, pairs: list[tuple[str, str]]) -> list[Line]:
    """What fell beyond its interval between any two models of `pairs`, whatever the gate asks."""
    worse = [one for stage, other in pairs for one in changes(results, stage, other) if one.way == "worse"]
    return [
        Line(
            Words(
                f"{one.suite}: {one.stage} is worse than {one.against}: {one.shown(results.measures[one.suite])}",
                f"{one.suite}: {one.stage} 모델이 {one.against}보다 나쁨: {one.shown(results.measures[one.suite])}",
            ),
            "bad",
        )
        for one in worse
    ]


def conditions(gate: list[GateResult]) -> list[Line]:
    """The gate as a list, what is not met first; the suites that are not below the champion in one line."""
    kept = [result for result in gate if result.passed and result.name.startswith("not_below_champion/")]
    lines = [
        Line(
            Words(
                f"{'met' if result.passed else 'NOT MET'}: {result.name}: {result.explanation}",
                f"{'충족' if result.passed else '미충족'}: {result.name}: {result.explanation}",
            ),
            "good" if result.passed else "bad",
        )
        for result in sorted(gate, key=lambda result: result.passed)
        if result not in kept
    ]
    if kept:
        names = ", ".join(result.name.partition("/")[2] for result in kept)
        lines.append(
            Line(
                Words(
                    f"met: not significantly below the champion on {len(kept)} suites: {names}",
                    f"충족: 평가 {len(kept)}개에서 챔피언보다 유의하게 낮지 않음: {names}",
                ),
                "good",
            )
        )
    return lines


def key_suites(results: Results, stage: str) -> dict[Words, str]:
    """The suites whose figures matter, by what people call them; the model may lack some."""
    korean, english = ((text_suites(results, code, stage) or [""])[0] for code in ("ko", "en"))
    return {
        Words("Korean text, bits per byte (lower is better)", "한국어 텍스트, 바이트당 비트 (낮을수록 좋음)"): korean,
        Words("English text, bits per byte (lower is better)", "영어 텍스트, 바이트당 비트 (낮을수록 좋음)"): english,
        Words("instructions answered rightly", "지시 정답률"): INSTRUCTION,
        Words("verifiable instructions followed", "검증 가능한 지시 준수율"): VERIFIED,
        Words("better reply put first", "선호 답변 우선율"): PREFERENCE,
        Words("multiple choice", "객관식"): "all/multiple_choice",
    }


def key_figures(results: Results, stage: str) -> Table:
    """The figures that matter of a model beside the base's and its opponent's, each with what became of it."""
    others = list(dict.fromkeys(("base", opponent(results))))
    table = []
    for name, suite in key_suites(results, stage).items():
        if not results.has(suite, stage):
            continue
        measure = results.measures[suite]
        cells: list[Text | Line] = [name]
        cells += [_value(results, suite, other, measure) for other in others]
        cells.append(_value(results, suite, stage, measure))
        cells += [_way(results, suite, stage, other) for other in others]
        table.append(cells)
    against = [Words(f"against {_NAMES[other].en}", f"{_NAMES[other].ko} 대비") for other in others]
    return Table(
        (Words("figure", "지표"), *(_NAMES[o] for o in others), Words("this model", "이 모델"), *against), table
    )


def _value(results: Results, suite: str, stage: str, measure: str) -> Text:
    if not results.has(suite, stage):
        return ""
    value = format(results.figure(suite, stage).value, form_of(measure))
    if measure not in SHARES or not results.no_better_than_chance(suite, stage):
        return value
    return Words(f"{value}, no better than chance", f"{value}, 찍은 것보다 낫지 않음")


def _way(results: Results, suite: str, stage: str, other: str) -> Text | Line:
    if not results.has(suite, stage, other):
        return ""
    one = change(results, suite, stage, other)
    text = {"better": Words("better", "나음"), "worse": Words("worse", "나쁨"), "open": _CLOSE}[one.way]
    d, scale = one.difference, 100 if results.measures[suite] in SHARES else 1
    form = ".1f" if scale == 100 else ".3f"
    figures = f"{d.value * scale:+{form}} ({d.low * scale:+{form}} to {d.high * scale:+{form}})"
    tone = {"better": "good", "worse": "bad", "open": ""}[one.way]
    return Line(Words(f"{text.en} {figures}", f"{text.ko} {figures}"), tone)  # type: ignore[arg-type]
