"""What a recipe's training keys do, on a model of a few thousand weights, in this process."""

import json
import time

import pytest
from safetensors.torch import load_file

from trainers.contract import BadRequest, ExitCode, Stalled
from trainers.contract.recipe import RlhfSection
from trainers.training.data.rows import PackedCollator
from trainers.training.model_folder import ModelFolder

pytestmark = pytest.mark.slow
CPT = "cpt_checkpoint"
ADAPTER = "adapter/adapter_model.safetensors"
ALL_WEIGHTS = {"method": "full", "lora": None}


def test_cpt_goes_on_from_the_previous_release_with_its_tokenizer_and_replay(micro):
    vocabulary = {"tokens": 40, "new_tokens_first": 0.5}
    going_on = {"start_from": "previous_release", "replay_share": 0.2, "vocabulary": vocabulary, "max_steps": 4}
    base = micro.made["base_model"].digest
    first = micro.here("cpt", **going_on)
    assert first.details.pretraining.continued_from is None
    assert first.details.lineage == [base]
    assert first.details.expansion.new_tokens > 0

    micro.made["previous_checkpoint"] = micro.made["cpt_checkpoint"].model_copy(update={"name": "previous_checkpoint"})
    micro.made["previous_corpus"] = micro.made["corpus"].model_copy(update={"name": "previous_corpus"})
    second = micro.here("cpt", **going_on)
    assert second.details.pretraining.continued_from == f"r1 ({first.digest})"
    assert second.details.lineage == [base, first.digest]
    assert second.details.tokenizer_hash == first.details.tokenizer_hash  # expanded once
    assert second.details.expansion is None
    assert second.details.pretraining.replay_share == pytest.approx(0.2, abs=0.03)
    assert second.details.loss[0][1] < first.details.loss[0][1]


def weights_of_eight_rows(folder):
    path = folder / "train.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()[:8]]
    for number, row in enumerate(rows):
        row["weight"] = 0.5 + number
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def test_a_weighted_step_is_the_one_that_is_reckoned_by_hand(micro):
    micro.change("instructions", weights_of_eight_rows)
    step = {"layout": "buckets", "batch_size": 4, "accumulation": 2, "max_steps": 1}  # all eight rows, in any order
    manifest = micro.here("sft", **ALL_WEIGHTS, **step)
    assert manifest.details.packing["weighted"] == 8

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = micro.folder("base_model") / "model"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    rows = [json.loads(line) for line in (micro.folder("instructions") / "train.jsonl").read_text().splitlines()]
    sums, counts = [], []
    for row in rows:
        coded = tokenizer.apply_chat_template(
            row["messages"], tokenize=True, return_dict=True, return_assistant_tokens_mask=True, return_tensors="pt"
        )
        ids, spoken = coded["input_ids"], torch.as_tensor(coded["assistant_masks"]).reshape(-1)[1:].bool()
        with torch.no_grad():
            likelihoods = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        sums.append(-float(likelihoods[spoken].sum()))
        counts.append(int(spoken.sum()))
    weights = [row["weight"] for row in rows]
    by_tokens = sum(w * n for w, n in zip(weights, counts, strict=True)) / sum(counts)  # their mean becomes 1
    expected = sum(w / by_tokens * s for w, s in zip(weights, sums, strict=True)) / sum(counts)
    assert manifest.details.loss[0][1] == pytest.approx(expected, rel=1e-4)
    assert abs(expected - sum(sums) / sum(counts)) > 1e-3 * expected  # the weights make a difference


def test_buckets_and_background_saves_go_on_where_they_were(micro, crash_after):
    settings = {"layout": "buckets", "max_steps": None, "epochs": 2, "checkpoint_steps": 5}
    manifest = micro.here("sft", **settings)
    assert manifest.details.packing["fill"] > 0.97
    settings["background_saves"] = True
    with crash_after(23):  # in the second epoch of 18 steps
        micro.here("sft", **settings)
    again = micro.here("sft", **settings)
    assert again.attempts[-1].resumed_from_step == 20
    assert {file.path: file.sha256 for file in again.files} == {file.path: file.sha256 for file in manifest.files}


def test_a_trained_reward_model_judges_beside_the_rules(micro):
    sampling = {"rewards": ["language"], "reward_model": "judge", "generations": 4, "completion_length": 8}
    online = {**ALL_WEIGHTS, "algorithm": "grpo", "sampling": sampling, "max_steps": 2}
    with pytest.raises(BadRequest, match="the request has no such input"):
        micro.here("rlhf", **online)

    judge = micro.here("rlhf", **ALL_WEIGHTS, algorithm="reward_model", max_steps=12)
    micro.made["reward_model"] = micro.made["rlhf_model"].model_copy(update={"name": "reward_model"})
    manifest = micro.here("rlhf", **online)
    assert manifest.details.alignment.reward_model == judge.digest
    for row in history(micro, "rlhf_model"):
        judged = row["rewards/reward_model/mean"]
        assert 0 < judged < 1 and judged <= row["reward"] <= judged + 1  # `language` gives 0 to 1

    from transformers import AutoTokenizer

    from trainers.training.alignment.pairs import read_preferences
    from trainers.training.alignment.reward_model import trained_reward

    folder = ModelFolder(micro.store.root / micro.made["reward_model"].path / "reward_model")
    section = RlhfSection(learning_rate=1e-3, method="full", max_length=64)
    pairs = read_preferences(
        micro.folder("preferences") / "validation.jsonl", AutoTokenizer.from_pretrained(folder.path), section
    ).pairs
    reward = trained_reward(folder, pairs, section)
    sides = [
        reward([pair.prompt for pair in pairs], [getattr(pair, side) for pair in pairs])
        for side in ("chosen", "rejected")
    ]
    assert sum(better > worse for better, worse in zip(*sides, strict=True)) >= 7  # of 8 held-out pairs


def test_the_precision_that_is_asked_for_is_what_computes(micro):
    """On this CPU too: autocast, and what is frozen is as wide; what learns and what is published stay as they were."""
    manifest = micro.here("sft", precision="bfloat16", max_steps=2)
    computed = {"trained": "float32", "frozen": "bfloat16", "autocast": "bf16"}
    assert computed.items() <= manifest.details.kernels.items()
    other = micro.here("sft", max_steps=2)
    assert other.details.kernels["frozen"] == "float32"
    assert 0 < abs(other.details.loss[0][1] - manifest.details.loss[0][1]) < 0.05, "the same loss, but rounded"


def test_a_stall_is_saved_at_the_last_whole_step_and_resumes_to_the_same_bits(micro, monkeypatch):
    """The rows of a step do not come: a volume hangs, say."""
    settings = {"checkpoint_steps": 50, "stall_seconds": 4, "lora": {"rank": 4, "alpha": 8, "dropout": 0.1}}
    calls, collate = 0, PackedCollator.__call__

    def hang(self, rows):
        nonlocal calls
        calls += len(rows) > 1  # leakage is measured with one
        if calls == 8:
            time.sleep(60)
        return collate(self, rows)

    with (
        monkeypatch.context() as patch,
        pytest.raises(Stalled, match="step 6 is saved"),
    ):  # rows are read one step ahead
        patch.setattr(PackedCollator, "__call__", hang)
        micro.here("sft", **settings)
    resumed = micro.here("sft", **settings)
    assert resumed.attempts[0].exit_code == ExitCode.STALLED
    assert resumed.attempts[1].resumed_from_step == 6
    straight = micro.here("sft", **{**settings, "stall_seconds": 60})
    assert {file.path: file.sha256 for file in resumed.files} == {file.path: file.sha256 for file in straight.files}


def history(micro, asset):
    return [json.loads(line) for line in (micro.folder(asset) / "history.jsonl").read_text().splitlines()]


def test_wsd_holds_its_rate_and_then_falls_and_embeddings_learn_at_their_own(micro):
    schedule = {"schedule": "wsd", "decay_share": 0.5, "warmup_share": 0, "learning_rate": 1e-2}
    micro.here("cpt", **schedule, embedding_learning_rate=1e-9)
    rates = [row["learning_rate"] for row in history(micro, CPT) if "loss" in row]
    assert rates[:4] == [1e-2] * 4
    assert rates[4:] == sorted(rates[4:], reverse=True) and rates[-1] < 0.4e-2

    before, after = (load_file(micro.folder(name) / "model" / "model.safetensors") for name in ("base_model", CPT))
    moved = {name: float((after[name] - before[name]).abs().max()) for name in before}
    embeddings = [change for name, change in moved.items() if "embed_tokens" in name or "lm_head" in name]
    assert max(embeddings) < 1e-6
    assert min(change for name, change in moved.items() if name.endswith("proj.weight")) > 1e-3


def test_neftunes_noise_is_that_of_one_conversation_however_many_lie_in_a_row(micro, monkeypatch):
    """The magnitude is alpha / sqrt(length x width); `length` is to be a conversation's, not the row's."""
    norms, lengths = [], []

    def hook(module, inputs, output):
        norms.append(module.neftune_noise_alpha / (output.shape[1] * output.shape[2]) ** 0.5)
        lengths.append(output.shape[1])
        return output

    monkeypatch.setattr("transformers.integrations.neftune.neftune_post_forward_hook", hook)
    for layout in ("packed", "buckets"):
        micro.here("sft", max_steps=1, neftune_alpha=5.0, layout=layout, max_length=128)
    assert lengths[0] > 2 * lengths[-1]  # several conversations in a packed row
    assert norms[0] == pytest.approx(norms[-1], rel=0.2)


def test_neftune_makes_noise_in_training_only_and_dora_trains_magnitudes(micro):
    dora = {"lora": {"rank": 4, "alpha": 8, "dora": True}, "max_steps": 1, "learning_rate": 1e-9}
    losses = []
    for alpha in (None, 50.0):
        manifest = micro.here("sft", **dora, neftune_alpha=alpha)
        losses.append((manifest.details.loss[0][1], manifest.details.evaluation_loss[0][1]))
    (quiet, quiet_evaluation), (noisy, noisy_evaluation) = losses
    assert abs(noisy - quiet) > 1e-3
    assert noisy_evaluation == pytest.approx(quiet_evaluation, abs=1e-5)
    assert any("lora_magnitude_vector" in name for name in load_file(micro.folder("sft_model") / ADAPTER))
