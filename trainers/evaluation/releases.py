"""A model's figures over its releases: what each release's own report measured of it, as far as reports are kept."""

from collections.abc import Mapping
from dataclasses import dataclass

from trainers.contract import EvaluationDetails, Interval, Manifest
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.charts import lines
from trainers.contract.page import Line, PageSection, Table, Text, Words
from trainers.evaluation.report import subject
from trainers.evaluation.results import Results, form_of
from trainers.evaluation.verdict import key_suites

_MOST = 20
_NOTE = Words(
    "As each release's own report measured it; its items may be others than those of the releases before.",
    "각 릴리스의 보고서가 측정한 값입니다. 문항은 이전 릴리스와 다를 수 있습니다.",
)


@dataclass(frozen=True)
class ReleaseFigures:
    """What one release's report measured of the model that it is about, by suite."""

    release: str
    figures: Mapping[str, Interval]


def champions_before(store: ArtifactStore, champion: Manifest | None) -> list[ReleaseFigures]:
    """The champion, the one before it, and so on, the first one first: each report names what it was compared with."""
    earlier: list[ReleaseFigures] = []
    while champion is not None and len(earlier) < _MOST:
        report = _input(store, champion, "eval_report")
        if report is None or not isinstance(report.details, EvaluationDetails):
            break
        suites = report.details.suites
        figures = {suite: by_stage[subject()] for suite, by_stage in suites.items() if subject() in by_stage}
        earlier.append(ReleaseFigures(report.request.release or "", figures))
        champion = _input(store, report, "champion")
    return earlier[::-1]


def _input(store: ArtifactStore, manifest: Manifest, name: str) -> Manifest | None:
    paths = [item.path for item in manifest.request.inputs if item.name == name and item.root == "artifacts"]
    return store.read_manifest(paths[0]) if paths else None


def over_releases(results: Results, earlier: list[ReleaseFigures], release: str) -> PageSection:
    """The figures that matter as lines over the champions and this release; nothing where it is the first one."""
    title = Words("Over releases: the champions, and this one", "릴리스별: 역대 챔피언과 이번 모델")
    if not earlier:
        return PageSection(title)
    columns: list[Words] = []
    charts, values = [], []
    names = [*(one.release for one in earlier), release]
    for words, suite in key_suites(results, subject()).items():
        if not results.has(suite, subject()):
            continue
        figures = [*(one.figures.get(suite) for one in earlier), results.figure(suite, subject())]
        points = {
            part: [(place, getattr(figure, key)) for place, figure in enumerate(figures) if figure is not None]
            for part, key in (("figure", "value"), ("95% from", "low"), ("to", "high"))
        }
        if len(points["figure"]) > 1:
            charts.append(lines(str(words), points, "", {"95% from": "#aab", "to": "#aab"}, names))
        columns.append(words)
        values.append([_shown(figure, results.measures[suite]) for figure in figures])
    rows: list[list[Text | Line]] = [[name, *cells] for name, *cells in zip(names, *values, strict=True)]
    return PageSection(title, charts, Table((Words("release", "릴리스"), *columns), rows), note=_NOTE)


def _shown(figure: Interval | None, measure: str) -> str:
    if figure is None:
        return ""
    form = form_of(measure)
    return f"{figure.value:{form}} ({figure.low:{form}} to {figure.high:{form}})"
