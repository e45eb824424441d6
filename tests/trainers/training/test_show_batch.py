"""`show-batch`: the rows of a step as they are trained, piece by piece, with what is learned in colour."""

import re
from itertools import pairwise

import pytest
import yaml

from tests.support.micro import COMMON, SECTIONS, Micro, conversation
from trainers.__main__ import main
from trainers.contract import ExitCode

pytestmark = pytest.mark.slow
LORA = {"rank": 4, "alpha": 8}
GREEN = re.compile(r"\033\[32m(.*?)\033\[0m", re.DOTALL)


@pytest.fixture(scope="module")
def micro(tmp_path_factory) -> Micro:
    micro = Micro(tmp_path_factory.mktemp("batch"))
    micro.here("base_model")
    return micro


def shown(micro, capsys, *more, **changes) -> str:
    page = {
        "model": "micro",
        "seed": 7,
        "base_model": SECTIONS["base_model"],
        **{stage: {**COMMON, "lora": LORA, **changes.get(stage, {})} for stage in ("cpt", "sft", "rlhf")},
    }
    recipe = micro.root / "micro.yaml"
    recipe.write_text(yaml.safe_dump(page))
    capsys.readouterr()
    options = ("--recipe", str(recipe), "--release", "r1", "--artifacts", str(micro.store.root))
    assert main(["show-batch", *options, *more]) == 0
    return capsys.readouterr().out


def test_answers_are_learned_and_questions_are_not(micro, capsys):
    printed = shown(micro, capsys, "--of", "sft", "--rows", "1", sft={"max_length": 100})
    header = re.search(r"row 1: (\d+) tokens, (\d+) trained, pieces of (.*)", printed)
    pieces = [int(length) for length in header[3].split(", ")]
    assert len(pieces) > 1 and sum(pieces) == int(header[1]) <= 100
    answers = {conversation(number)[1]["content"] for number in range(8)}
    learned = GREEN.findall(printed)
    assert len(learned) == len(pieces) and {text.split("<|im_end|>")[0] for text in learned} <= answers
    assert "무엇인가요?" in printed and not any("무엇인가요?" in text for text in learned)


def test_they_are_the_rows_of_the_first_step(micro, capsys, monkeypatch):
    """Of SFT, in conversations' buckets and packed: ids, labels and pieces as the training's first step gets them."""
    from transformers import AutoTokenizer

    from trainers.training.data.rendering import coloured
    from trainers.training.loop import Durable

    tokenizer = AutoTokenizer.from_pretrained(micro.folder("base_model") / "model")
    micro.made["cpt_checkpoint"] = micro.made["base_model"].model_copy(update={"name": "cpt_checkpoint"})
    step, trained = Durable.training_step, []

    def noted(self, model, inputs, *more):
        columns = (inputs[name].tolist() for name in ("input_ids", "labels", "position_ids"))
        for ids, labels, at in zip(*columns, strict=True):
            starts = [number for number, position in enumerate(at) if position == 0]
            pieces = [slice(*ends) for ends in pairwise([*starts, len(ids)]) if ends[1] - ends[0] > 1]  # no padding
            trained.append("\n".join(coloured(ids[piece], labels[piece], tokenizer) for piece in pieces))
        return step(self, model, inputs, *more)

    monkeypatch.setattr(Durable, "training_step", noted)
    for layout in ("packed", "buckets"):
        trained.clear()
        changes = {"layout": layout, "lora": LORA, "max_steps": 1, "max_length": 100}
        micro.here("sft", **changes)
        printed = shown(micro, capsys, "--of", "sft", "--rows", "9", sft=changes)
        rows = [row.partition("\n")[2].strip() for row in printed.partition("show-batch done")[0].split("--- row ")[1:]]
        assert len(rows) == 4 and sorted(rows) == sorted(row.strip() for row in trained)


def test_the_layout_is_the_recipes(micro, capsys):
    packed = shown(micro, capsys, "--of", "cpt", "--rows", "1")
    singly = shown(micro, capsys, "--of", "cpt", "--rows", "4", cpt={"layout": "rows"})
    assert re.search(r"row 1: 64 tokens, \d+ trained, pieces of \d+, \d+", packed)
    lengths = re.findall(r"(\d+) tokens, (\d+) trained, pieces of (\d+)\n", singly)
    assert len(lengths) == 4 and all(int(t) == int(p) == int(n) + 1 for t, n, p in lengths)  # of one, all but the first


def test_a_pair_is_its_prompt_with_either_answer(micro, capsys):
    chosen, rejected = (GREEN.search(row)[1] for row in shown(micro, capsys, "--of", "rlhf").split("--- row ")[1:])
    assert "몰라" not in chosen and "몰라" in rejected


def test_what_is_not_made_yet_is_told(micro, capsys):
    recipe = str(micro.root / "micro.yaml")
    command = ["show-batch", "--recipe", recipe, "--release", "r2", "--artifacts", str(micro.store.root)]
    assert main(command) == ExitCode.BAD_REQUEST
    printed = capsys.readouterr()
    assert "cpt: corpus is not made yet" in printed.out and "micro could be trained on in release 'r2'" in printed.err
