"""A training that is killed, however often and wherever, ends with the bits of one that was not."""

import json
import random
import shutil
import signal
import subprocess
import sys

import pytest

from tests.support.micro import INPUTS, ROOT, Micro
from trainers.contract import ExitCode

pytestmark = pytest.mark.slow
KILLED = -signal.SIGKILL
EPOCHS = {"max_steps": None, "epochs": 2}
LORA_DROPOUT = {"lora": {"rank": 4, "alpha": 8, "dropout": 0.1}}
CHANGES = {"cpt": EPOCHS, "sft": {**EPOCHS, **LORA_DROPOUT}, "rlhf": EPOCHS}
"""Two epochs, and dropout where the trainer has it: order and random numbers must survive a kill too."""


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The whole pipeline, uninterrupted."""
    micro = Micro(tmp_path_factory.mktemp("straight"))
    micro.run("base_model")
    return micro, {stage: micro.run(stage, **CHANGES[stage]) for stage in ("cpt", "sft", "rlhf")}


def killed(straight, root, stage, plan, codes=None, **settings):
    """Run a stage through a plan of kills; returns its manifest and what each attempt left."""
    source, manifests = straight
    micro = Micro(root)
    for name in INPUTS[stage]:
        micro.made[name] = source.made[name]
        target = micro.store.root / source.made[name].path
        if not target.exists():
            shutil.copytree(source.store.root / source.made[name].path, target)
    request = manifests[stage].request
    request = request.model_copy(update={"section": {**request.section, **settings}})
    path = root / "request.json"
    path.write_text(request.model_dump_json())
    command = [sys.executable, "-m", "tests.support.killed", json.dumps(plan), "--", stage, "--request", str(path)]
    done = subprocess.run(
        [*command, "--artifacts", str(micro.store.root), "--landing", str(root)],
        env=micro.environment(),
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=880,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    attempts = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [item["code"] for item in attempts] == (codes or [KILLED] * len(plan)) + [0], attempts
    return micro.store.find(request), attempts


def assert_same_bits(manifest, expected):
    assert {file.path: file.sha256 for file in manifest.files} == {file.path: file.sha256 for file in expected.files}


SAMPLE = {
    "cpt": [["start", 0], ["step", 5], ["save", 1], ["epoch", 1], ["seal", 1], ["evaluation", 2]],
    "sft": [["save", 2], ["evaluation", 1], ["step", 23]],
    "rlhf": [["evaluation", 1], ["step", 13]],
}


@pytest.mark.parametrize("stage", SAMPLE)
def test_killed_and_resumed_ends_with_the_same_bits(straight, tmp_path, stage):
    manifest, attempts = killed(straight, tmp_path, stage, SAMPLE[stage])
    assert_same_bits(manifest, straight[1][stage])
    assert len(manifest.attempts) == len(attempts)


@pytest.mark.prove
@pytest.mark.parametrize("stage", SAMPLE)
def test_background_saves_survive_kills_with_the_same_bits(straight, tmp_path, stage):
    manifest, _ = killed(straight, tmp_path, stage, SAMPLE[stage], background_saves=True)
    assert_same_bits(manifest, straight[1][stage])


@pytest.mark.prove
@pytest.mark.parametrize("stage", SAMPLE)
def test_seventeen_random_kills_end_with_the_same_bits(straight, tmp_path, stage):
    steps, interval = straight[1][stage].details.steps, straight[1][stage].request.section["checkpoint_steps"]
    foreseen = random_plan(random.Random(stage), steps, interval)
    manifest, attempts = killed(straight, tmp_path, stage, [kill for kill, _ in foreseen])
    assert_same_bits(manifest, straight[1][stage])
    left = [max((step_of(name) for name in attempt["left"]), default=0) for attempt in attempts[:-1]]
    assert left == [saved for _, saved in foreseen]


PLACES = ("start", "step", "step", "save", "seal", "evaluation", "evaluation", "epoch", "epoch")


def random_plan(rng, steps, interval, kills=17):
    """Kills that each really happen, and the step that is saved after each: what the next attempt goes on from."""
    plan, saved, last = [], 0, (steps - 1) // interval * interval
    while len(plan) < kills:
        place, number = rng.choice(PLACES), rng.choice((1, 2))
        epoch = 1 if saved < steps // 2 else 2
        to_the_end = epoch * steps // 2 - saved
        if place == "start":
            number = 0
        elif place == "step" and saved + 2 * interval < steps:
            number = saved + rng.randint(1, 2 * interval)
            saved = (number - 1) // interval * interval  # the step has ended, its save has not begun
        elif place in ("save", "seal") and saved + number * interval <= last:
            saved += (number - (place == "save")) * interval
        elif place in ("evaluation", "epoch") and to_the_end <= 3 * interval:
            number = 1 if place == "evaluation" else epoch
            saved = min((saved + to_the_end) // interval * interval, last)  # the last step's save comes before both
        else:
            continue
        plan.append(([place, number], saved))
    return plan


def step_of(checkpoint):
    return int(checkpoint.removeprefix("step-"))


def test_never_more_than_one_interval_is_lost(straight, tmp_path):
    interval = straight[1]["cpt"].request.section["checkpoint_steps"]
    plan = [["step", 4], ["step", 8], ["step", 11]]
    manifest, attempts = killed(straight, tmp_path, "cpt", plan)
    for (_, step), attempt in zip(plan, attempts, strict=False):
        assert step - max(step_of(name) for name in attempt["left"]) <= interval
    assert manifest.attempts[-1].resumed_from_step == 9


def test_a_nan_is_gone_back_from_and_a_batch_too_large_for_memory_is_fed_in_halves(straight, tmp_path):
    plan, codes = [["nan", 5], ["memory", 8]], [ExitCode.LOSS_IS_NAN, ExitCode.OK]
    manifest, _ = killed(straight, tmp_path, "cpt", plan, codes)
    expected = straight[1]["cpt"].details
    assert manifest.attempts[-1].resumed_from_step == 7  # in the same attempt, the last whole step
    assert manifest.details.steps == expected.steps
    assert manifest.details.tokens_trained == expected.tokens_trained
    for (_, loss), (_, wanted) in zip(manifest.details.loss, expected.loss, strict=True):
        assert loss == pytest.approx(wanted, abs=1e-3)


def test_sigterm_saves_and_another_attempt_ends_with_the_same_bits(straight, tmp_path):
    source, manifests = straight
    micro = Micro(tmp_path)
    micro.made = dict(source.made)
    for name in INPUTS["cpt"]:
        target = micro.store.root / source.made[name].path
        if not target.exists():
            shutil.copytree(source.store.root / source.made[name].path, target)
    request = manifests["cpt"].request
    process = micro.start(request)
    for line in process.stdout:
        if "step 1/" in line:
            process.send_signal(signal.SIGTERM)
            break
    output, _ = process.communicate(timeout=100)
    assert process.returncode == ExitCode.RESUMABLE, output
    again = micro.start(request)
    output, _ = again.communicate(timeout=200)
    assert "going on from step" in output
    assert_same_bits(micro.store.find(request), manifests["cpt"])
