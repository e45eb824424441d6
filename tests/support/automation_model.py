"""What automation should make, as a small model of its own: numbers for versions, and no Dagster at all.

The same inputs give the same version, as in the store. The rules are those of korean_llm_assets/README.md ("What starts
by itself"), written from the user's side.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

DATA = ("benchmarks", "corpus", "instructions", "preferences")
CHAIN = ("cpt_checkpoint", "sft_model", "rlhf_model", "eval_report", "deployed_model")
READS = {
    "benchmarks": (),
    "corpus": ("benchmarks",),
    "instructions": ("benchmarks",),
    "preferences": ("benchmarks",),
    "base_model": (),
    "cpt_checkpoint": ("base_model", "corpus"),
    "sft_model": ("cpt_checkpoint", "instructions", "corpus"),
    "rlhf_model": ("sft_model", "preferences", "corpus"),
    "eval_report": ("base_model", "cpt_checkpoint", "sft_model", "rlhf_model", "benchmarks", "corpus"),
    "deployed_model": ("rlhf_model", "eval_report"),
}
Place = tuple[str, str]
"""(asset, partition)"""


@dataclass(frozen=True)
class Cell:
    """What is there of a place: its version, what it was made from, and when."""

    version: int
    inputs: dict[str, object]
    when: int
    first: int


@dataclass
class Expectation:
    """The world as the user knows it.

    Args:
        automation: model -> auto, ask or off.
        recipe: (asset, model; "" for data) -> what its section says.
        content: release -> what its folder holds, in the order of the drops.
        below: (model, release) whose reports will not pass.
        failing: places whose stage will fail.
    """

    automation: dict[str, str]
    recipe: dict[Place, object] = field(default_factory=dict)
    content: dict[str, int] = field(default_factory=dict)
    below: set[Place] = field(default_factory=set)
    failing: set[Place] = field(default_factory=set)
    agreed: dict[str, object] = field(default_factory=dict)
    there: dict[Place, Cell] = field(default_factory=dict)
    tried: dict[Place, dict[str, object] | int] = field(default_factory=dict)
    waiting: dict[str, frozenset[str]] = field(default_factory=dict)
    champions: dict[str, list[tuple[str, int, int]]] = field(default_factory=dict)
    _shelf: dict[str, int] = field(default_factory=dict)
    _verdicts: dict[int, bool] = field(default_factory=dict)
    _clock: int = 0

    def expected(self) -> dict[str, frozenset[str]]:
        """Partition -> assets that the next tick asks for."""
        requests: dict[str, frozenset[str]] = {}
        for release in self.content:
            self._ask(requests, release, DATA)
        for model in self.automation:
            self._ask(requests, model, ("base_model",))
            for release in self.content:
                self._ask(requests, f"{model}|{release}", CHAIN)
        return dict(sorted(requests.items()))

    def run(self, partition: str, assets: Iterable[str]) -> bool:
        """A run of some assets of a partition; whether it succeeds."""
        wanted, ended = set(assets), set[str]()
        for asset in (*DATA, "base_model", *CHAIN):
            if asset not in wanted:
                continue
            if ended & set(READS[asset]):
                self.tried[asset, partition] = self._clock  # it was skipped
                ended.add(asset)
            elif not self._make(asset, partition):
                ended.add(asset)
        return not ended

    def cancel(self, partition: str, assets: Iterable[str]) -> None:
        """A run that waited is cancelled."""
        self.tried |= dict.fromkeys([(asset, partition) for asset in assets], self._clock)

    def agree(self, cell: str) -> None:
        """A person starts a cell of a model that asks."""
        self.agreed[cell] = self._identity(cell)

    def _ask(self, requests: dict[str, frozenset[str]], partition: str, assets: tuple[str, ...]) -> None:
        """Add what is due of one partition, in the order of making."""
        coming: set[str] = set()
        for asset in assets:
            place = (asset, partition)
            sources = self._sources(place)
            is_coming = any(source in coming and at == partition for source, at in sources)
            if not (self._is_due(place) or (is_coming and (asset not in DATA or place in self.there))):
                continue
            outside = [source for source in sources if source[1] != partition or source[0] not in coming]
            if any(source not in self.there for source in outside):
                continue
            if any(asset in self.waiting.get(at, ()) for asset, at in (place, *sources)):
                continue
            if any(self._is_due(source) for source in sources if source[1] != partition):
                continue  # a run of its own will make that anew first
            if asset == "deployed_model" and not self._may_deploy(partition, "eval_report" in coming):
                continue
            coming.add(asset)
        if coming:
            requests[partition] = frozenset(coming)

    def _is_due(self, place: Place) -> bool:
        asset, partition = place
        model = partition.split("|")[0] if asset not in DATA else ""
        is_agreed = False
        if model and self.automation[model] == "ask":
            cells = [partition] if asset != "base_model" else [f"{model}|{release}" for release in self.content]
            is_agreed = any(cell in self.agreed and self.agreed[cell] == self._identity(cell) for cell in cells)
            if not is_agreed:
                return False
        release = "" if asset == "base_model" else partition.split("|")[-1]
        counts = is_agreed or not release or release == self._newest()
        cell, now = self.there.get(place), self._now(place)
        if cell is None:
            due = bool(model) and (counts or not self._came_later(model, release))
        else:
            changed = {name for name, version in now.items() if cell.inputs[name] != version}
            due = bool(changed - {"recipe", "base_model"}) or (counts and bool(changed))
        tried = self.tried.get(place)
        if isinstance(tried, int):
            sources = [self.there[source] for source in self._sources(place) if source in self.there]
            return due and any(source.when > tried for source in sources)
        return due and tried != now

    def _may_deploy(self, cell: str, is_report_coming: bool) -> bool:
        model, release = cell.split("|")
        names = list(self.content)
        newer = names[names.index(release) + 1 :]
        if any(("deployed_model", f"{model}|{name}") in self.there for name in newer):
            return False
        return is_report_coming or self._verdicts[self.there["eval_report", cell].version]

    def _came_later(self, model: str, release: str) -> bool:
        """Whether others were trained on this release's data before this model was there."""
        base = self.there.get(("base_model", model))
        data = [self.there[asset, release].when for asset in DATA if (asset, release) in self.there]
        if base is not None and any(when >= base.first for when in data):
            return False
        others = [other for other in self.automation if other != model and ("base_model", other) in self.there]
        return any(("cpt_checkpoint", f"{other}|{release}") in self.there for other in others)

    def _newest(self) -> str | None:
        complete = [name for name in self.content if all((asset, name) in self.there for asset in DATA)]
        return complete[-1] if complete else None

    def _identity(self, cell: str) -> object:
        model, release = cell.split("|")
        data = [self.there[asset, release].version for asset in DATA if (asset, release) in self.there]
        return [section for (_, of), section in sorted(self.recipe.items()) if of == model], data

    def _sources(self, place: Place) -> list[Place]:
        asset, partition = place
        model, release = partition.split("|")[0], partition.split("|")[-1]
        homes = {**dict.fromkeys(DATA, release), "base_model": model}
        return [(source, homes.get(source, partition)) for source in READS[asset]]

    def _now(self, place: Place) -> dict[str, object]:
        """What it would be made from now."""
        model = "" if place[0] in DATA else place[1].split("|")[0]
        versions = {source[0]: self.there[source].version for source in self._sources(place) if source in self.there}
        return {**versions, "recipe": self.recipe.get((place[0], model))}

    def _make(self, asset: str, partition: str) -> bool:
        place = (asset, partition)
        now = self._now(place)
        if any(source not in self.there for source in self._sources(place)):
            self.tried[place] = self._clock  # it cannot read, and never comes to its work
            return False
        known = repr((place, now, self._besides(place)))
        if known not in self._shelf and place in self.failing:
            self.tried[place] = now
            return False
        if asset == "deployed_model" and not self._deploy(partition, now):
            return False
        is_new = known not in self._shelf
        version = self._shelf.setdefault(known, len(self._shelf))
        if is_new and asset == "eval_report":
            self._verdicts[version] = tuple(partition.split("|")) not in self.below
        self._clock += 1
        first = self.there[place].first if place in self.there else self._clock
        self.there[place] = Cell(version, now, self._clock, first)
        self.tried.pop(place, None)
        if asset == "deployed_model":
            self._promote(partition, version)
        return asset != "eval_report" or self._verdicts[version]

    def _besides(self, place: Place) -> object:
        """What it is made from, and that is no edge of the graph."""
        asset, partition = place
        if asset in DATA:
            names = list(self.content)
            earlier = names[: names.index(partition)] if asset == "corpus" else []
            return self.content[partition], [
                self.there[asset, name].version for name in earlier if (asset, name) in self.there
            ]
        if asset == "eval_report":
            rlhf = self.there["rlhf_model", partition].version
            others = [made for _, of, made in self.champions.get(partition.split("|")[0], []) if of != rlhf]
            return others[-1:]
        return None

    def _deploy(self, cell: str, now: dict[str, object]) -> bool:
        """Whether the stage's own refusals let it pass: its gate, the model that was judged, a newer champion."""
        model, release = cell.split("|")
        report, names = self.there["eval_report", cell], list(self.content)
        serving = self.champions.get(model, [])[-1:]
        if not self._verdicts[report.version] or report.inputs["rlhf_model"] != now["rlhf_model"]:
            self.tried[("deployed_model", cell)] = self._clock
            return False
        if serving and names.index(serving[0][0]) > names.index(release):
            self.tried[("deployed_model", cell)] = self._clock
            return False
        return True

    def _promote(self, cell: str, version: int) -> None:
        model, release = cell.split("|")
        others = [entry for entry in self.champions.get(model, []) if entry[2] != version]
        self.champions[model] = [*others, (release, self.there["rlhf_model", cell].version, version)]
