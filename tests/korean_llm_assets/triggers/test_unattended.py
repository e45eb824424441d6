"""Automation over generated histories: after each step, a tick asks for exactly what a small model of it expects."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterRun
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from korean_llm_assets.assets import conditions, ledger
from korean_llm_assets.assets.proposals import agree
from tests.support.automation_model import CHAIN, DATA, Expectation
from tests.support.unattended import Unattended, unattended
from trainers.contract.recipe.loading import PACKAGED

AUTO, LATER, ASKS = MODELS = ("tiny", "tiny-wide", "qwen2.5-7b")
"""Names that have partitions; what their recipes say is this test's."""
RELEASES = ("r1", "r2", "r3", "r4")
EDITS = {
    "base_model": ("base_model", "vocabulary", (4000, 3000)),
    "cpt_checkpoint": ("cpt", "epochs", (1, 2)),
    "sft_model": ("sft", "epochs", (3, 2)),
    "rlhf_model": ("rlhf", "beta", (0.1, 0.2)),
}
"""Asset -> section, key and the values that it is changed between."""
models, releases = st.sampled_from(MODELS), st.sampled_from(RELEASES)


class History(RuleBasedStateMachine):
    """Three models, four releases, and all that can happen to them."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="unattended-"))
        self.patch = pytest.MonkeyPatch()
        self.patch.setenv("KOREAN_LLM_HOME", str(self.folder / "home"))
        self.patch.setenv("KOREAN_LLM_RECIPES", str(self.folder))
        self.patch.setenv("KOREAN_LLM_MODELS", ",".join(MODELS))
        self.expectation = Expectation({AUTO: "auto", LATER: "auto", ASKS: "ask"})
        self.expectation.recipe["corpus", ""] = False
        self.edited = {(asset, model): 0 for asset in EDITS for model in MODELS}
        self.edits = 0
        for model in MODELS:
            self._write(model)
        self.waiting: list[tuple[str, frozenset[str], DagsterRun]] = []
        self.opened = unattended(self.folder / "state")
        self.platform: Unattended = self.opened.__enter__()
        self._tick()

    def teardown(self) -> None:
        if hasattr(self, "opened"):
            self.opened.__exit__(None, None, None)
            self.patch.undo()
            shutil.rmtree(self.folder)

    @rule(release=releases, text=st.sampled_from("가나다"))
    def drop(self, release: str, text: str) -> None:
        """New, late or corrected files; or the same again."""
        if not any(partition == release for partition, _, _ in self.waiting):
            self.expectation.content[release] = "가나다".index(text)
            self.platform.drop(release, text)
            self.expectation.run(release, DATA)
            self._tick()

    @rule(model=models, asset=st.sampled_from(sorted(EDITS)))
    def edit(self, model: str, asset: str) -> None:
        """A recipe's value is changed, or changed back."""
        self.edited[asset, model] = 1 - self.edited[asset, model]
        self._write(model)
        self._tick()

    @rule()
    def edit_data_recipe(self) -> None:
        """So is one of the recipe of the data assets."""
        page = yaml.safe_load((PACKAGED / "corpus.yaml").read_text())
        masks = not self.expectation.recipe["corpus", ""]
        page["corpus"] = {**page.get("corpus", {}), "mask_addresses": masks}
        self.expectation.recipe["corpus", ""] = masks
        self._save("corpus", page)
        self._tick()

    @rule(model=models, release=releases, asset=st.sampled_from(CHAIN[:-1]))
    def fail_or_heal(self, model: str, release: str, asset: str) -> None:
        """From now on a stage fails, or does no longer."""
        place = (asset, f"{model}|{release}")
        self.platform.compute.failing ^= {place}
        self.expectation.failing ^= {place}
        self._tick()

    @rule(model=models, release=releases)
    def lower_or_raise_the_model(self, model: str, release: str) -> None:
        """From now on its reports do not pass, or pass again."""
        self.platform.compute.below ^= {(model, release)}
        self.expectation.below ^= {(model, release)}
        self._tick()

    @precondition(lambda self: self.expectation.content)
    @rule(data=st.data(), asset=st.sampled_from([*DATA, "base_model", *CHAIN]))
    def make_again(self, data: Any, asset: str) -> None:
        """A person materializes one partition."""
        release, model = data.draw(st.sampled_from(sorted(self.expectation.content))), data.draw(models)
        partition = release if asset in DATA else model if asset == "base_model" else f"{model}|{release}"
        if not any(partition == other for other, _, _ in self.waiting):
            made = self.platform.make(partition, [asset])
            assert made == self.expectation.run(partition, [asset]), (asset, partition)
            self._tick()

    @precondition(lambda self: self.expectation.content)
    @rule(data=st.data())
    def start(self, data: Any) -> None:
        """A person agrees to what the model that asks proposes."""
        release = data.draw(st.sampled_from(sorted(self.expectation.content)))
        agree(self.platform.instance, ASKS, release)
        self.expectation.agree(f"{ASKS}|{release}")
        self._tick()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), cancel=st.booleans())
    def work_or_cancel(self, data: Any, cancel: bool) -> None:
        """A run that waited is worked on, or a person cancels it."""
        partition, assets, run = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        del self.expectation.waiting[partition]
        if cancel:
            self.platform.cancel(run)
            self.expectation.cancel(partition, assets)
        else:
            self.platform.instance.delete_run(run.run_id)
            made = self.platform.make(partition, assets)
            assert made == self.expectation.run(partition, assets), (partition, assets)
        self._tick()

    @rule(is_cursor_lost=st.booleans())
    def restart(self, is_cursor_lost: bool) -> None:
        """The daemon's process is another one; its cursor is what was stored, or somebody reset it."""
        conditions._LEDGERS.clear()
        ledger._PARSED.clear()
        self.platform.cursor = None if is_cursor_lost else self.platform.cursor
        self._tick()

    def _tick(self) -> None:
        """What is asked for is what should be; its runs wait in line."""
        requests, expected = self.platform.tick(), self.expectation.expected()
        assert requests == expected
        for partition, assets in requests.items():
            self.waiting.append((partition, assets, self.platform.wait(partition, assets)))
            self.expectation.waiting[partition] = assets

    def _write(self, model: str) -> None:
        page = yaml.safe_load((PACKAGED / "tiny.yaml").read_text())
        page |= {"model": model, "automation": self.expectation.automation[model]}
        for asset, (section, key, values) in EDITS.items():
            page[section] = {**page[section], key: values[self.edited[asset, model]]}
            self.expectation.recipe[asset, model] = self.edited[asset, model]
        self._save(model, page)

    def _save(self, name: str, page: dict[str, Any]) -> None:
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(page))
        self.edits += 1
        os.utime(path, ns=(self.edits, self.edits))  # two edits within the clock's resolution are two


@pytest.mark.slow
@pytest.mark.parametrize("histories", [8, pytest.param(200, marks=[pytest.mark.prove, pytest.mark.timeout(7200)])])
def test_every_tick_asks_for_what_should_be_made(histories: int) -> None:
    """8 x 25 steps in the gate, the same ones every time; 200 x 25 others in the long proof."""
    run_state_machine_as_test(
        History,
        settings=settings(
            max_examples=histories,
            stateful_step_count=25,
            derandomize=histories < 100,
            deadline=None,
            database=None,
            phases=[Phase.generate] if histories < 100 else [Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
