"""A week that nobody looks after: it ends with exactly the champions that should serve, and a message per incident."""

from collections import Counter
from pathlib import Path
from random import Random

import pytest
import yaml

from korean_llm_assets.assets import conditions, ledger
from tests.support.alert_receiver import Receiver
from tests.support.automation_model import DATA, Expectation
from tests.support.unattended import KINDS, Unattended, unattended
from trainers.contract.recipe.loading import PACKAGED

MODELS = ("tiny", "tiny-wide", "qwen2.5-7b")
HOURS, DROPS, EDITS, RESTARTS = 168, 38, 6, 3
"""Beside the two by which one of the drops is corrected, and put back to what it held before: 40 in all."""
REVERTED = "day-20"


def land(landing: Path, release: str, text: str) -> None:
    """A whole drop, whose marker is written last."""
    for kind in KINDS:
        folder = landing / release / kind
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "a.jsonl").write_text(text, encoding="utf-8")
    (landing / release / "_READY").touch()


def write(folder: Path, model: str, beta: float) -> None:
    """A model's recipe."""
    page = yaml.safe_load((PACKAGED / "tiny.yaml").read_text())
    page |= {"model": model, "automation": "auto", "rlhf": {**page["rlhf"], "beta": beta}}
    (folder / f"{model}.yaml").write_text(yaml.safe_dump(page))


def settle(platform: Unattended, expectation: Expectation) -> None:
    """The daemon's ticks until there is rest, each compared with what should be."""
    for _ in range(12):
        requests = platform.tick()
        assert requests == expectation.expected()
        for partition, assets in requests.items():
            assert platform.make(partition, assets) == expectation.run(partition, assets)
        platform.tell()
        if not requests:
            return
    raise AssertionError("it never comes to rest")


@pytest.mark.prove
def test_a_week_alone_ends_with_the_right_champions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    for name, value in {"HOME": tmp_path / "home", "RECIPES": tmp_path, "MODELS": ",".join(MODELS)}.items():
        monkeypatch.setenv(f"KOREAN_LLM_{name}", str(value))
    monkeypatch.setenv("KOREAN_LLM_ALERT_WEBHOOK", receiver.url)
    random, expectation = Random(12), Expectation(dict.fromkeys(MODELS, "auto"))
    for model in MODELS:
        write(tmp_path, model, 0.1)
        expectation.recipe["rlhf_model", model] = 0.1
    hours = sorted(random.sample(range(HOURS), DROPS + 1 + EDITS + RESTARTS))
    happenings = ["drop"] * DROPS + ["revert"] + ["edit"] * EDITS + ["restart"] * RESTARTS
    random.shuffle(happenings)
    happenings.remove("revert")
    happenings.insert(-3, "revert")  # when what it puts back has been there
    failing_gates = {("tiny", "day-07"), ("qwen2.5-7b", "day-31")}
    with unattended(tmp_path / "state") as platform:
        platform.compute.below |= failing_gates
        expectation.below |= failing_gates
        platform.tell()
        settle(platform, expectation)
        drops = 0
        for _, happening in zip(hours, happenings, strict=True):
            if happening == "restart":
                conditions._LEDGERS.clear()
                ledger._PARSED.clear()
            elif happening == "edit":
                model, beta = random.choice(MODELS), round(random.uniform(0.1, 0.5), 4)
                write(tmp_path, model, beta)
                expectation.recipe["rlhf_model", model] = beta
            else:
                contents = [0, 1] if happening == "drop" and f"day-{drops:02}" == REVERTED else [0]
                release = REVERTED if happening == "revert" else f"day-{drops:02}"
                drops += happening == "drop"
                for content in contents:
                    land(platform.landing.root, release, f"{release} {content}")
                    expectation.content[release] = content
                    assert platform.look_at_landing() == [release]
                    expectation.run(release, DATA)
                    settle(platform, expectation)
            assert platform.look_at_landing() == [], "what was seen is not new"
            settle(platform, expectation)
    assert drops == DROPS and len(expectation.content) == DROPS
    champions = {name: versions[-1].tags["release"] for name, versions in platform.registry.versions.items()}
    assert champions == {model: entries[-1][0] for model, entries in expectation.champions.items()}
    assert len(champions) == len(MODELS)
    kinds = Counter(message["kind"] for message in receiver.got)
    assert kinds["gate"] == len(failing_gates) and not kinds["failure"], kinds
    assert len({message["key"] for message in receiver.got}) == len(receiver.got), "an incident is one message"
