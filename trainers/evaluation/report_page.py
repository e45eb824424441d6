"""The report as one HTML page: the verdict first, then what it stands on, then every figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainers.contract import CorpusDetails, Manifest, TrainingDetails
from trainers.contract.charts import FEWEST_AXES, Chart, bars, lines, radar
from trainers.contract.page import Line, Outcome, PageSection, Table, Text, Words, page
from trainers.evaluation import verdict
from trainers.evaluation.releases import ReleaseFigures, over_releases
from trainers.evaluation.report import MEASURE_NAMES, Report, colours, parents, subject
from trainers.evaluation.results import SHARES, form_of

_SHOWN_FLIPS = 50
_LONGEST_QUESTION = 300

_UNITS = {"grad_norm": "norm before clipping", "tokens_per_second": "tokens/s", "learning_rate": "learning rate"}
_WAYS = {"better": Line("better", "good"), "worse": Line("worse", "bad"), "open": Line("too close to tell")}


@dataclass(frozen=True)
class Effort:
    """What one stage took; measured, and so in the page but not in the report's digest."""

    stage: str
    seconds: float
    gpu_seconds: float
    attempts: int


def efforts(manifests: Mapping[str, Manifest]) -> list[Effort]:
    """Of the artifacts that a report is made from, in their order."""
    return [
        Effort(
            manifest.request.asset,
            manifest.timings.get("seconds", 0.0),
            manifest.gpu_seconds.used if manifest.gpu_seconds else 0.0,
            len(manifest.attempts),
        )
        for manifest in manifests.values()
    ]


def report_page(
    report: Report,
    questions: Mapping[tuple[str, str], str],
    manifests: Mapping[str, Manifest] | None = None,
    earlier: Sequence[ReleaseFigures] = (),
    links: Sequence[PageSection] = (),
) -> str:
    """One page that needs nothing else.

    Args:
        questions: what an item asks, by suite and item.
        manifests: the report's inputs, by name: what they took and held.
        earlier: what the champions before were measured to be, the first one first.
        links: where the reader goes on.
    """
    made_of = manifests or {}
    model, other = subject(), verdict.opponent(report.results)
    pairs = [(stage, parent) for stage, parent in parents().items()]
    pairs += [(model, name) for name in dict.fromkeys(("base", other)) if (model, name) not in pairs]
    sections = [
        PageSection(Words("What to do now", "지금 할 일"), lines=[verdict.what_to_do(report.passed)]),
        *links,
        PageSection(Words("What became worse", "나빠진 것"), lines=verdict.became_worse(report.results, pairs)),
        PageSection(Words("The figures that matter", "주요 지표"), table=verdict.key_figures(report.results, model)),
        PageSection(Words("Gate", "게이트"), lines=verdict.conditions(report.gate)),
        PageSection(Words("What it took", "비용과 시간"), table=_effort(made_of)),
        PageSection(Words("What data made it", "사용한 데이터"), table=_data(made_of)),
        over_releases(report.results, list(earlier), str(report.facts.get("release") or "")),
        PageSection(Words("Suites at a glance", "평가 한눈에 보기"), _radar(report)),
        PageSection(
            Words(
                "Figures (bar: value; line: 95% bootstrap interval; dashed: a guess)",
                "지표 (막대: 값, 선: 95% 부트스트랩 구간, 점선: 찍었을 때)",
            ),
            _bars(report),
        ),
        PageSection(
            Words("No better than chance (95%)", "찍은 것보다 낫지 않음 (95%)"),
            table=Table(
                (Words("suite", "평가"), Words("a guess has", "찍었을 때"), Words("models", "모델")), _guesses(report)
            ),
        ),
        PageSection(Words("Training", "학습"), [*_curves(report), *_more_curves(made_of)]),
        PageSection(Words("Samples, greedy", "답변 예 (탐욕 생성)"), table=_samples(report)),
        PageSection(
            Words("Differences (paired bootstrap)", "차이 (짝지은 부트스트랩)"), table=_differences(report), folded=True
        ),
        PageSection(
            Words(
                f"Items that changed sides (the first {_SHOWN_FLIPS} of each; all are in items.parquet)",
                f"정오가 바뀐 문항 (각 {_SHOWN_FLIPS}개까지, 전체는 items.parquet)",
            ),
            table=_flips(report, questions),
            folded=True,
            filter_by=(0, 1, 2),
        ),
        PageSection(
            Words("Benchmark items in the training corpus", "학습 말뭉치에 들어 있는 평가 문항"),
            table=Table(
                ("item", "document", "source", "piece"), [list(map(str, row.values())) for row in report.evidence]
            ),
        ),
        PageSection(
            Words("Recipe and lineage", "레시피와 계보"),
            table=Table(("", ""), [*([key, str(value)] for key, value in report.facts.items()), *_code(made_of)]),
            folded=True,
        ),
    ]
    text = verdict.headline(report.results, report.gate, model)
    return page(report.title, sections, Outcome(text, report.passed))


def _effort(manifests: Mapping[str, Manifest]) -> Table:
    columns = (
        Words("asset", "에셋"),
        Words("minutes", "분"),
        Words("GPU hours", "GPU 시간"),
        Words("attempts", "시도"),
    )
    taken = efforts(manifests)
    rows = [[e.stage, f"{e.seconds / 60:,.1f}", f"{e.gpu_seconds / 3600:,.2f}", str(e.attempts)] for e in taken]
    if rows:
        seconds, gpu_seconds = sum(e.seconds for e in taken), sum(e.gpu_seconds for e in taken)
        rows.append(["all", f"{seconds / 60:,.1f}", f"{gpu_seconds / 3600:,.2f}", str(sum(e.attempts for e in taken))])
    return Table(columns, rows)


def _code(manifests: Mapping[str, Manifest]) -> list[list[Text | Line]]:
    """The commit of the code that made each input: of the page alone, for it is no part of what was made."""
    commits = {name: manifest.environment.commit for name, manifest in manifests.items()}
    return [[Words(f"code of {name}", f"{name} 코드"), commit] for name, commit in commits.items() if commit]


def _data(manifests: Mapping[str, Manifest]) -> Table:
    rows: list[list[Text | Line]] = []
    for name, manifest in manifests.items():
        details = manifest.details
        if isinstance(details, CorpusDetails):
            rows += [
                [Words("documents read", "읽은 문서"), f"{details.read:,}"],
                [Words("documents kept", "남긴 문서"), f"{details.kept:,}"],
                [Words("megabytes of text", "텍스트 메가바이트"), f"{details.bytes / 1e6:,.1f}"],
            ]
            top = sorted(details.excluded.items(), key=lambda item: -item[1])[:5]
            rows += [[Words(f"left out: {rule}", f"제외: {rule}"), f"{count:,}"] for rule, count in top]
        if manifest.request.release is not None and isinstance(details, CorpusDetails):
            rows.insert(0, [Words("release", "릴리스"), f"{manifest.request.release} ({name} {manifest.digest[:12]})"])
    return Table((), rows)


def _samples(report: Report) -> Table:
    stages = [s for s in report.results.stages if any(s in sample.replies for sample in report.samples)]
    rows = [
        [x.prompt.strip(), x.answer, *(x.replies.get(stage, "").strip() for stage in stages)] for x in report.samples
    ]
    return Table((Words("prompt", "질문"), Words("right", "정답"), *stages), rows)


def _differences(report: Report) -> Table:
    columns = ("suite", "model", "against", "", "difference", "95%", "items")
    rows: list[Sequence[Text | Line]] = []
    for suite, stage, other, d in report.comparisons():
        way = _WAYS[verdict.change(report.results, suite, stage, other).way]
        rows.append([suite, stage, other, way, f"{d.value:+.4f}", f"{d.low:+.4f} to {d.high:+.4f}", str(d.n)])
    return Table(columns, rows)


def _flips(report: Report, questions: Mapping[tuple[str, str], str]) -> Table:
    columns = ("suite", "model", "way", "item", "question", "now", "right")
    rows: list[Sequence[Text | Line]] = []
    for suite, stage, other, lost, won in report.flips():
        for way, items in ((Line("right to wrong", "bad"), lost), (Line("wrong to right", "good"), won)):
            for row in items[:_SHOWN_FLIPS]:
                question = questions.get((row.suite, row.item), "")[:_LONGEST_QUESTION]
                rows.append([suite, f"{stage} against {other}", way, row.item, question, row.prediction, row.answer])
    return Table(columns, rows)


def _guesses(report: Report) -> list[list[str]]:
    rows = []
    for suite, by_stage in report.figures().items():
        models = [stage for stage in by_stage if report.results.no_better_than_chance(suite, stage)]
        if models:
            rows.append([suite, f"{report.results.chance(suite):.1%}", ", ".join(models)])
    return rows


def _repeats_one(report: Report, suite: str) -> bool:
    """True for a pool of one suite, which has the same figures."""
    if not suite.startswith("all/"):
        return False
    stage = next(stage for stage in report.results.stages if report.results.has(suite, stage))
    members = {row.suite for row in report.results.rows(suite, stage).values()}
    return len(members) == 1


def _bars(report: Report) -> list[Chart]:
    charts = []
    for suite, by_stage in report.figures().items():
        measure = report.results.measures[suite]
        if measure == "reward_margin" or _repeats_one(report, suite):  # a margin may be below 0
            continue
        top = 1.0 if measure in SHARES else 0.0
        chance = report.results.chance(suite)
        guess = f"; a guess has {chance:.1%}" if chance is not None else ""
        charts.append(
            bars(
                f"{suite}: {MEASURE_NAMES[measure]}{guess}",
                by_stage,
                form_of(measure),
                top=top,
                colours=colours(),
                mark=chance,
            )
        )
    return charts


def _curves(report: Report) -> list[Chart]:
    return [
        lines(
            f"{stage}: loss by step",
            {stage: points, **({"held-out": report.held_out[stage]} if report.held_out.get(stage) else {})},
            "loss",
            colours(),
        )
        for stage, points in report.losses.items()
        if points
    ]


def _more_curves(manifests: Mapping[str, Manifest]) -> list[Chart]:
    """What else each training logged, as its manifest has it."""
    trained = [(manifest.request.stage, manifest.details) for manifest in manifests.values()]
    return [
        lines(f"{stage}: {name.replace('_', ' ')} by step", {stage: curve}, _UNITS.get(name, name), colours())
        for stage, details in trained
        if isinstance(details, TrainingDetails)
        for name, curve in details.curves.items()
    ]


def _radar(report: Report) -> list[Chart]:
    """Of the suites with an accuracy that all models share; nothing where these are too few."""
    models = [stage for stage in report.results.stages if stage != "unigram"]
    shares = {
        suite: {stage: by_stage[stage].value for stage in models}
        for suite, by_stage in report.figures().items()
        if report.results.measures[suite] == "accuracy" and by_stage.keys() >= set(models)
        if not suite.startswith("all/")
    }
    enough = len(shares) >= FEWEST_AXES
    return [radar("accuracy by suite; rings are 25% apart", shares, colours())] if enough else []
