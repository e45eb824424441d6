"""Keys that change how a training learns: losses of DPO, scales and rates of adapters, measuring and stopping."""

import re

import pytest
import torch
from safetensors.torch import load_file
from transformers import get_scheduler

from trainers.contract import BadRequest
from trainers.contract.recipe import SftSection
from trainers.training.learning_rates import schedule_name, schedule_settings, set_rates

pytestmark = pytest.mark.slow
CPT = "cpt_checkpoint"


LOSSES = ({"loss": "hinge"}, {"loss": "robust", "label_smoothing": 0.1}, {"loss": "apo_zero"}, {"loss": "apo_down"})
SAMPLE = ({}, {"loss": "ipo"}, {"rpo_alpha": 1.0})


@pytest.mark.parametrize("losses", (SAMPLE, pytest.param((*SAMPLE, *LOSSES), marks=pytest.mark.prove)))
def test_each_loss_of_dpo_is_another(micro, losses):
    steps = {"max_steps": 3, "warmup_share": 0, "learning_rate": 0.02}
    curves = [micro.here("rlhf", **steps, **keys).details.loss for keys in losses]
    assert len({tuple(round(value, 5) for _, value in curve) for curve in curves}) == len(losses)


def test_a_held_out_loss_that_falls_no_more_ends_the_training(micro, capsys):
    keys = {"learning_rate": 0.5, "evaluation_steps": 1, "patience": 2, "max_steps": 30}
    manifest = micro.here("cpt", **keys)
    assert manifest.details.steps < 30
    assert [step for step, _ in manifest.details.evaluation_loss] == list(range(1, manifest.details.steps + 1))
    heard = capsys.readouterr()
    assert "warning: stopped before the end: the held-out loss was" in heard.err
    *_, ending = heard.out.rpartition("held-out batch")
    loss = manifest.details.evaluation_loss[-1][1]
    assert re.match(rf" (\d+)/\1  loss {loss:,.4g}", ending), heard.out
    assert ending.splitlines()[1:] == ["[cpt_checkpoint] publishing the model"], "what follows the last step is told"


def test_rank_stabilised_adapters_learn_faster_by_the_root_of_their_rank(micro):
    change = {}
    for rslora in (False, True):
        lora = {"rank": 16, "alpha": 16, "rslora": rslora}
        change[rslora] = micro.here("sft", max_steps=3, lora=lora).details.loss[-1][1]
    assert change[True] < change[False]


def test_b_matrices_learn_at_their_own_rate():
    model = torch.nn.ModuleDict({"lora_A": torch.nn.Linear(2, 2), "lora_B": torch.nn.Linear(2, 2)})
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    section = micro_section(plus_ratio=16.0)
    set_rates(optimizer, model, section)
    rates = {group["lr"]: len(group["params"]) for group in optimizer.param_groups}
    assert rates == {0.1: 2, 0.1 * 16: 2}


@pytest.mark.parametrize("schedule", ({"schedule": "cosine"}, {"schedule": "wsd", "decay_share": 0.5}))
@pytest.mark.parametrize("share", (0.0, 0.25))
def test_a_rate_ends_at_its_final_share(schedule, share):
    section = SftSection(learning_rate=0.1, lora={}, final_rate_share=share, **schedule)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=section.learning_rate)
    settings = {"scheduler_specific_kwargs": schedule_settings(section, 40)}
    scheduler = get_scheduler(schedule_name(section), optimizer, 4, 40, **settings)
    rates = []
    for _ in range(40):
        optimizer.step()
        scheduler.step()
        rates.append(scheduler.get_last_lr()[0])
    assert max(rates) == pytest.approx(0.1) and rates[-1] == pytest.approx(0.1 * share, abs=1e-9)


def test_muon_moves_matrices_alike_in_all_directions_and_goes_on_where_it_was(micro, crash_after):
    """Its update is near an orthogonal matrix: no direction of it is much longer than another, unlike AdamW's."""
    keys = {"optimizer": "muon", "max_steps": 4, "checkpoint_steps": 1, "embedding_learning_rate": 1e-9}
    straight = micro.here("cpt", **keys)
    before, after = (load_file(micro.folder(name) / "model/model.safetensors") for name in ("base_model", CPT))
    name = next(name for name in before if name.endswith("o_proj.weight"))
    one_step = micro.here("cpt", **{**keys, "max_steps": 1, "warmup_share": 0})
    first = load_file(micro.folder(CPT) / "model/model.safetensors")
    spread = torch.linalg.svdvals(first[name] - before[name])
    assert one_step.details.steps == 1 and spread[0] < 3 * spread[len(spread) // 2]
    embeddings = next(name for name in before if "embed_tokens" in name)
    assert (
        float((after[embeddings] - before[embeddings]).abs().max()) < 1e-6 < float((after[name] - before[name]).max())
    )

    with crash_after(3):
        micro.here("cpt", **keys, failure_hours=20)
    again = micro.here("cpt", **keys, failure_hours=20)
    assert again.attempts[-1].resumed_from_step == 2
    assert {file.path: file.sha256 for file in again.files} == {file.path: file.sha256 for file in straight.files}


def micro_section(**lora):
    return SftSection(learning_rate=0.1, lora=lora)


@pytest.mark.parametrize(
    ("key", "words"),
    (({"optimizer": "adamw_8bit"}, "optimizer: adamw_8bit needs a GPU"), ({"liger": True}, "liger: true needs a GPU")),
)
def test_what_needs_a_gpu_is_refused_without_one(micro, key, words):
    with pytest.raises(BadRequest, match=words):
        micro.here("sft", **key)
