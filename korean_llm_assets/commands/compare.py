"""Command `compare`: one model on two releases: figures with intervals, recipe, corpus, cost."""

from argparse import Namespace
from dataclasses import dataclass
from functools import partial
from typing import Any

from dagster import AssetKey, DagsterInstance

from korean_llm_assets.commands.costs import profile
from korean_llm_assets.commands.korean import label
from korean_llm_assets.commands.printing import add_output, print_json, table
from korean_llm_assets.costs import Cost
from korean_llm_assets.home import Home
from korean_llm_assets.partitions.differences import differences, recipe_changes
from korean_llm_assets.partitions.keys import partition_of
from korean_llm_assets.partitions.pointers import latest
from trainers.contract import STAGES, BadRequest, CorpusDetails, EvaluationDetails, Interval, Manifest
from trainers.contract.artifacts import ArtifactStore

_COUNTS = {"read", "kept", "characters", "bytes", "words", "excluded", "masked", "by_source", "by_licence"}
"""Of a corpus, that are compared."""
_MADE = tuple(stage for stage in STAGES.values() if stage.name != "export")


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("compare", help="one model on two releases: figures, recipe, corpus, cost")
    parser.add_argument("model")
    parser.add_argument("before", metavar="R1", help="a release")
    parser.add_argument("after", metavar="R2", help="another release")
    add_output(parser)
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class Figure:
    """A suite's figure of the model that is exported, on both releases."""

    suite: str
    before: Interval
    after: Interval
    higher_is_better: bool

    @property
    def verdict(self) -> str:
        """Better or worse where the intervals do not meet: the releases' items need not be the same ones."""
        if self.after.low <= self.before.high and self.before.low <= self.after.high:
            return "too close to tell"
        return "better" if (self.after.value > self.before.value) == self.higher_is_better else "WORSE"

    @property
    def row(self) -> list[str]:
        """For a table."""
        difference = f"{self.after.value - self.before.value:+.4f}"
        return [self.suite, _shown(self.before), _shown(self.after), difference, self.verdict]

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        intervals = {"before": self.before.model_dump(), "after": self.after.model_dump()}
        return {"suite": self.suite, **intervals, "verdict": self.verdict}


def run(options: Namespace, home: Home) -> int:
    """The model's figures on both releases, and what was another in recipe and corpus."""
    store = ArtifactStore(home.artifacts)
    with DagsterInstance.get() as instance:
        before, after = (
            _manifests(instance, store, options.model, release) for release in (options.before, options.after)
        )
    figures = _figures(before["eval_report"], after["eval_report"])
    both = [stage for stage in _MADE if stage.asset in before and stage.asset in after]
    changed = {stage.name: recipe_changes(before[stage.asset].request, after[stage.asset].request) for stage in both}
    recipe = {name: keys for name, keys in changed.items() if keys}
    corpus = differences(_counts(before.get("corpus")), _counts(after.get("corpus")))
    price = profile().price
    dollars = [sum(Cost.of(manifest).money(price) for manifest in each.values()) for each in (before, after)]
    hours = [sum(manifest.timings.get("seconds", 0.0) for manifest in each.values()) / 3600 for each in (before, after)]
    if options.json:
        shown = [figure.to_json() for figure in figures]
        print_json({"figures": shown, "recipe": recipe, "corpus": corpus, "hours": hours, "dollars": dollars})
        return 0
    columns = (options.before, options.after)
    language, words = options.lang, partial(label, language=options.lang)
    print("\n".join(table(("suite", *columns, "difference", ""), [figure.row for figure in figures], language)))
    of_recipe = {f"{words('recipe')}, {words(name)}": keys for name, keys in recipe.items()}
    for title, keys in {**(of_recipe or {words("recipe"): {}}), words("corpus"): corpus}.items():
        print(f"\n{title}: {'' if keys else words('the same')}")
        if keys:
            rows = [[key, *map(_cell, values)] for key, values in keys.items()]
            print("\n".join(table(("", *columns), rows, language)))
    rows = [
        [release, f"{hours_of:,.2f}", f"{dollars_of:,.2f}"]
        for release, hours_of, dollars_of in zip(columns, hours, dollars, strict=True)
    ]
    print(f"\n{words('took')}:")
    print("\n".join(table(("release", "hours", "US dollars"), rows, language)))
    return 0


def _manifests(instance: DagsterInstance, store: ArtifactStore, model: str, release: str) -> dict[str, Manifest]:
    """Asset -> manifest of what is there of a model on a release.

    Raises:
        BadRequest: it was not evaluated.
    """
    manifests = {}
    for stage in _MADE:
        pointer = latest(instance, AssetKey(stage.asset), partition_of(stage, model, release))
        manifest = store.read_manifest(pointer.path) if pointer else None
        if manifest is not None:
            manifests[stage.asset] = manifest
    if "eval_report" not in manifests:
        raise BadRequest(f"there is no report of {model} on {release} to compare; `status` shows what there is")
    return manifests


def _figures(before: Manifest, after: Manifest) -> list[Figure]:
    """The suites that both reports have, worse ones first."""
    one, other = before.details, after.details
    assert isinstance(one, EvaluationDetails) and isinstance(other, EvaluationDetails), "reports hold an evaluation"
    subject = STAGES["export"].subject
    figures = [
        Figure(suite, by_model[subject], other.suites[suite][subject], one.higher_is_better.get(suite, True))
        for suite, by_model in one.suites.items()
        if subject in by_model and subject in other.suites.get(suite, {})
    ]
    order = ("WORSE", "better", "too close to tell")
    return sorted(figures, key=lambda figure: order.index(figure.verdict))


def _counts(manifest: Manifest | None) -> dict[str, Any]:
    details = manifest.details if manifest else None
    return details.model_dump(include=_COUNTS) if isinstance(details, CorpusDetails) else {}


def _shown(figure: Interval) -> str:
    return f"{figure.value:.4f} [{figure.low:.4f}, {figure.high:.4f}] of {figure.n:,}"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
