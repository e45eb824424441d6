"""The gate: the conditions that a model must meet before it may be deployed, each with its numbers in words."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trainers.contract import GateResult
from trainers.contract.recipe import GateSection
from trainers.evaluation.results import Results

CORPUS, INSTRUCTION, PREFERENCE, VERIFIED = "all/corpus", "all/instruction", "all/preference", "all/verified"
_LANGUAGES = {"ko": "Korean", "en": "English"}
_MODELS = {"base": "the base model", "cpt": "CPT"}


def apply_gate(
    gate: GateSection, results: Results, evidence: Sequence[Mapping[str, Any]] | None = None
) -> list[GateResult]:
    """Every condition of the recipe, and those that always hold: finite numbers, and nothing lost to the champion.

    `evidence`: rows of `contamination`; None where nobody searched, and then that condition cannot be met.
    """
    conditions: list[tuple[float | None, Callable[[Results, float], GateResult]]] = [
        (gate.cpt_below_unigram, _cpt_below_unigram),
        (gate.sft_over_cpt, _sft_over_cpt),
        (gate.rlhf_preference, _rlhf_preference),
        (gate.instruction_following, _instruction_following),
        (gate.loops, _loops),
        (gate.drifts, _drifts),
        (gate.english_bits_per_byte_rise, _english_rise),
        (gate.text_bits_per_byte_rise, _text_rise),
    ]
    outcomes = [condition(results, limit) for limit, condition in conditions if limit is not None]
    outcomes += [_suite_limit(results, suite, limit) for suite, limit in sorted(gate.suites.items())]
    if gate.contaminated_items is not None:
        outcomes.append(_not_contaminated(evidence, gate.contaminated_items))
    outcomes.append(_all_finite(results))
    if "champion" in results.stages:
        outcomes += _against_champion(results)
    return outcomes


def _cpt_below_unigram(results: Results, threshold: float) -> GateResult:
    if not results.has(CORPUS, "cpt", "unigram"):
        return _not_measured("cpt_below_unigram", threshold, "the corpus has no held-out text")
    ratio = results.ratio(CORPUS, "cpt", "unigram")
    cpt, unigram = (results.figure(CORPUS, stage).value for stage in ("cpt", "unigram"))
    below = round(1 - ratio.value, 6)
    return GateResult(
        name="cpt_below_unigram",
        passed=below >= threshold,
        value=below,
        threshold=threshold,
        explanation=f"CPT's held-out text costs {cpt:.3f} bits per byte, a unigram model of the same tokens "
        f"{unigram:.3f}: {below:.1%} below (95%: {1 - ratio.high:.1%} to {1 - ratio.low:.1%}), "
        f"wanted at least {threshold:.0%}{_short(below, threshold)}",
    )


def _sft_over_cpt(results: Results, threshold: float) -> GateResult:
    if not results.has(INSTRUCTION, "sft", "cpt"):
        return _not_measured("sft_over_cpt", threshold, "the benchmarks have no instruction suite")
    gain = results.difference(INSTRUCTION, "sft", "cpt")
    sft, cpt = (results.figure(INSTRUCTION, stage).value for stage in ("sft", "cpt"))
    return GateResult(
        name="sft_over_cpt",
        passed=gain.value >= threshold,
        value=gain.value,
        threshold=threshold,
        explanation=f"of {gain.n} held-out instruction items SFT has {sft:.1%} right, CPT {cpt:.1%}: "
        f"{gain.value * 100:+.1f} points (95%: {gain.low * 100:+.1f} to {gain.high * 100:+.1f}), "
        f"wanted at least {threshold * 100:+.0f}{_short(gain.value, threshold)}",
    )


def _rlhf_preference(results: Results, threshold: float) -> GateResult:
    if not results.has(PREFERENCE, "rlhf", "sft"):
        return _not_measured("rlhf_preference", threshold, "the benchmarks have no preference suite")
    rlhf, sft = (results.figure(PREFERENCE, stage) for stage in ("rlhf", "sft"))
    above = rlhf.value > sft.value
    return GateResult(
        name="rlhf_preference",
        passed=rlhf.value >= threshold and above,
        value=rlhf.value,
        threshold=threshold,
        explanation=f"RLHF puts the better reply first in {rlhf.value:.1%} of {rlhf.n} held-out pairs "
        f"(95%: {rlhf.low:.1%} to {rlhf.high:.1%}), wanted at least {threshold:.0%}{_short(rlhf.value, threshold)}; "
        f"SFT has {sft.value:.1%}, and RLHF must be above it{'' if above else ': it is not'}",
    )


def _english_rise(results: Results, most: float) -> GateResult:
    return _rise(results, "english_bits_per_byte_rise", ("en",), "base", most)


def _text_rise(results: Results, most: float) -> GateResult:
    return _rise(results, "text_bits_per_byte_rise", ("ko", "en"), "cpt", most)


def _rise(results: Results, name: str, languages: Sequence[str], against: str, most: float) -> GateResult:
    """What held-out text costs RLHF's model, over what it costs an earlier one: the suite that it costs most."""
    suites = {suite: code for code in languages for suite in text_suites(results, code, "rlhf", against)}
    if not suites:
        wanted = " or ".join(_LANGUAGES[code] for code in languages)
        return _not_measured(name, most, f"there is no held-out {wanted} text")
    rises = {suite: results.ratio(suite, "rlhf", against) for suite in suites}
    worst = max(suites, key=lambda suite: rises[suite].value)
    rise = rises[worst]
    value = round(rise.value - 1, 6)
    return GateResult(
        name=name,
        passed=value <= most,
        value=value,
        threshold=most,
        explanation=f"{_LANGUAGES[suites[worst]]} ({worst}) costs {value:+.1%} bits per byte against "
        f"{_MODELS[against]} (95%: {rise.low - 1:+.1%} to {rise.high - 1:+.1%}), at most {most:+.0%} is allowed"
        + ("" if value <= most else f": {(value - most) * 100:.1f} points too much"),
    )


def _instruction_following(results: Results, threshold: float) -> GateResult:
    if not results.has(VERIFIED, "rlhf"):
        return _not_measured("instruction_following", threshold, "no instruction suite has items with checks")
    figure = results.figure(VERIFIED, "rlhf")
    return GateResult(
        name="instruction_following",
        passed=figure.value >= threshold,
        value=figure.value,
        threshold=threshold,
        explanation=f"RLHF follows {figure.value:.1%} of {figure.n} verifiable instructions (95%: {figure.low:.1%} to "
        f"{figure.high:.1%}), wanted at least {threshold:.0%}{_short(figure.value, threshold)}",
    )


def _loops(results: Results, most: float) -> GateResult:
    return _behaviour(results, "loops", "go in circles", most)


def _drifts(results: Results, most: float) -> GateResult:
    return _behaviour(results, "drifts", "leave Korean", most)


def _behaviour(results: Results, name: str, what: str, most: float) -> GateResult:
    suite = f"behaviour/{name}"
    if not results.has(suite, "rlhf"):
        return _not_measured(name, most, "there are no Korean instruction prompts to reply to")
    rate = results.figure(suite, "rlhf")
    return GateResult(
        name=name,
        passed=rate.value <= most,
        value=rate.value,
        threshold=most,
        explanation=f"{rate.value:.1%} of RLHF's {rate.n} replies {what} (95%: {rate.low:.1%} to {rate.high:.1%}), "
        f"at most {most:.0%} may"
        + ("" if rate.value <= most else f": {(rate.value - most) * 100:.1f} points too much"),
    )


def _suite_limit(results: Results, suite: str, limit: float) -> GateResult:
    name = f"suite_limit/{suite}"
    if not results.has(suite, "rlhf"):
        return _not_measured(name, limit, f"the report has no suite of this name; it has {', '.join(results.suites)}")
    figure, higher = results.figure(suite, "rlhf"), results.higher_is_better(suite)
    beyond = limit - figure.value if higher else figure.value - limit
    return GateResult(
        name=name,
        passed=beyond <= 0,
        value=figure.value,
        threshold=limit,
        explanation=f"RLHF has {figure.value:.4f} on {figure.n} items of {suite} (95%: {figure.low:.4f} to "
        f"{figure.high:.4f}), wanted at {'least' if higher else 'most'} {limit:g}"
        + ("" if beyond <= 0 else f": {beyond:.4f} {'short' if higher else 'too much'}"),
    )


def text_suites(results: Results, language: str, *stages: str) -> list[str]:
    """The text suites of a language that these stages have: `corpus/<language>`, and `<suite>/<language>...`."""
    return [
        suite
        for suite in results.suites
        if results.measures[suite] == "bits_per_byte"
        and suite.rsplit("/", 1)[-1].split("-")[0] == language
        and results.has(suite, *stages)
    ]


def _not_contaminated(evidence: Sequence[Mapping[str, Any]] | None, most: int) -> GateResult:
    if evidence is None:
        return _not_measured("not_contaminated", most, "the training corpus was not searched")
    items = sorted({row["item"] for row in evidence})
    listed = "; ".join(f"{row['item']} in {row['document']} ({row['piece'][:40]!r})" for row in evidence[:3])
    return GateResult(
        name="not_contaminated",
        passed=len(items) <= most,
        value=len(items),
        threshold=most,
        explanation=f"{len(items)} benchmark items have pieces in the training corpus, at most {most} may"
        + ("" if len(items) <= most else f", {len(items) - most} too many")
        + (f": {listed}" if listed else ""),
    )


def _all_finite(results: Results) -> GateResult:
    bad = [f"{stage}: {row.suite} item {row.item}" for stage, rows in results.not_finite.items() for row in rows]
    explanation = "every item's result is a finite number"
    if bad:
        explanation = f"{len(bad)} results are NaN or infinite; the first: {'; '.join(bad[:5])}"
    return GateResult(name="all_finite", passed=not bad, value=len(bad), threshold=0, explanation=explanation)


def _against_champion(results: Results) -> list[GateResult]:
    outcomes = []
    for suite in results.suites:
        if not results.has(suite, "rlhf", "champion") or suite.endswith("/margin"):
            continue
        gain = results.difference(suite, "rlhf", "champion")
        lost = gain.high < 0 if results.higher_is_better(suite) else gain.low > 0
        outcomes.append(
            GateResult(
                name=f"not_below_champion/{suite}",
                passed=not lost,
                value=gain.value,
                threshold=0,
                explanation=f"{suite}: {gain.value:+.4f} against the champion "
                f"(95%: {gain.low:+.4f} to {gain.high:+.4f}, {gain.n} items, paired)"
                + (": significantly worse" if lost else ": not significantly worse"),
            )
        )
    return outcomes


def _not_measured(name: str, threshold: float, why: str) -> GateResult:
    return GateResult(
        name=name, passed=False, value=0, threshold=threshold, explanation=f"could not be measured, so not met: {why}"
    )


def _short(value: float, threshold: float) -> str:
    return "" if value >= threshold else f": {(threshold - value) * 100:.1f} points short"
