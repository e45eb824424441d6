"""Landed data trained on as it is: answers that were judged one by one, and web text that spells control tokens."""

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from tests.support.corpus_landing import run_data_stage
from tests.support.micro import Micro, conversation
from trainers.contract import Input
from trainers.training.loop import Durable

pytestmark = pytest.mark.slow
PAIRED = ("kto", "orpo", "reward_model")
JUDGEMENTS = (("좋음", "나쁨"), ("👍", "👎"), (1, -1), (True, False))


def landed(micro: Micro, stage: str, files: dict[str, Path | str], **section) -> Path:
    """Run a data stage over files, and give its artifact to the stages that train."""
    folder = micro.root / "landing/r1" / stage
    folder.mkdir(parents=True)
    for name, content in files.items():
        if isinstance(content, Path):
            shutil.copyfile(content, folder / name)
        else:
            (folder / name).write_text(content, encoding="utf-8")
    manifest, artifact = run_data_stage(stage, micro.root, **section)
    path = artifact.relative_to(micro.store.root).as_posix()
    micro.made[stage] = Input(name=stage, digest=manifest.digest, path=path)
    return artifact


def test_kto_trains_on_answers_that_were_judged_one_by_one(micro):
    rows = []
    for number in range(48):
        question, answer = conversation(number)
        good, bad = JUDGEMENTS[number % len(JUDGEMENTS)]
        reply = answer["content"] if number % 3 else "몰라."
        rows.append({"prompt": question["content"], "response": reply, "label": good if number % 3 else bad})
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    artifact = landed(micro, "preferences", {"a.jsonl": lines})
    kept = [json.loads(line) for split in ("train", "validation") for line in (artifact / f"{split}.jsonl").open()]
    assert {row["completion"][0]["content"] == "몰라." for row in kept if row["label"]} == {False}
    manifest = micro.here("rlhf", algorithm="kto", method="full", lora=None, max_steps=4, learning_rate=1e-2)
    assert manifest.metrics["steps"] == 4 and manifest.details.tokens_seen > 0
    assert (micro.folder("rlhf_model") / "model" / "config.json").is_file()


@pytest.fixture(scope="module")
def partly_with_tools(started) -> Input:
    """Preferences of which each eighth row has tools, for which micro's template has no place."""

    def tools_in_each_eighth(folder: Path) -> None:
        for path in folder.glob("*.jsonl"):
            rows = [json.loads(line) for line in path.open(encoding="utf-8")]
            tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
            rows = [{**row, "tools": tools} if number % 8 == 0 else row for number, row in enumerate(rows)]
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")

    before = dict(started.made)
    started.change("preferences", tools_in_each_eighth)
    changed, started.made = started.made["preferences"], before
    return changed


@pytest.mark.parametrize("algorithm", ("dpo", *(pytest.param(name, marks=pytest.mark.prove) for name in PAIRED)))
def test_a_pair_that_the_template_has_no_place_for_is_left_out_and_counted(micro, partly_with_tools, algorithm):
    micro.made["preferences"] = partly_with_tools
    packing = micro.here("rlhf", algorithm=algorithm, max_steps=1).details.packing
    assert (packing["pairs"], packing["no_place_for_tools"], packing["too_long"]) == (49, 7, 0)


@pytest.mark.realdata
def test_control_tokens_that_web_text_spells_are_text_in_a_training_on_it(micro, testdata, monkeypatch):
    case = testdata.parent / "cases" / "corpus-special" / "a.jsonl"
    if not case.is_file():
        pytest.skip(f"there is no {case}")
    assert "<|endoftext|>" in case.read_text(encoding="utf-8")
    landed(micro, "corpus", {"a.jsonl": case}, near_dedup={"enabled": False}, exact_dedup=False)
    seen = []
    step = Durable.training_step

    def keeping(trainer, model, inputs, *more):
        seen.append({name: tensor.clone() for name, tensor in inputs.items() if hasattr(tensor, "clone")})
        return step(trainer, model, inputs, *more)

    monkeypatch.setattr("trainers.training.loop.Durable.training_step", keeping)
    manifest = micro.here("cpt", max_steps=14, max_length=128, batch_size=8, english_replay_share=None)
    assert manifest.metrics["steps"] == 14
    tokenizer = AutoTokenizer.from_pretrained(micro.folder("base_model") / "model")
    learned = [int(token) for batch in seen for token in batch["labels"][batch["labels"] >= 0]]
    assert set(learned) & set(tokenizer.all_special_ids) <= {tokenizer.eos_token_id}
    spelt = tokenizer.decode(learned, skip_special_tokens=True)
    assert "<|endoftext|>" in spelt and "<|im_start|>" in spelt
