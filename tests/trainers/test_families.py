"""Every family from its folder through every stage: the same tokens begin and end everywhere, and the model stops."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.families import FAMILIES, build_family
from tests.support.micro import SECTIONS, Micro, conversation
from trainers.contract.replies import QUESTIONS

pytestmark = pytest.mark.slow

ALGORITHMS = ("dpo", "kto", "grpo", "orpo", "rloo", "reward_model")
METHODS: dict[str, dict[str, Any]] = {
    "full": {"method": "full", "lora": None},
    "lora": {"method": "lora", "lora": {"rank": 4, "alpha": 8}},
    "dora": {"method": "lora", "lora": {"rank": 4, "alpha": 8, "dora": True}},
    "embeddings": {"method": "lora", "lora": {"rank": 4, "alpha": 8}, "embedding_learning_rate": 1e-3},
}
SAMPLING = {"rewards": ["language"], "generations": 4, "completion_length": 8}
ONCE = [(family, ALGORITHMS[number % len(ALGORITHMS)], "lora") for number, family in enumerate(FAMILIES)]
"""Each family once, and each algorithm, in `make test`; all of them together in `make prove`."""
LENGTH = 150
REPLY_TOKENS = 24


def taught(root: Path, family: str, method: dict[str, Any], steps: int) -> Micro:
    """All up to SFT, which trains every weight, so that so small a model learns to answer and to stop."""
    source = build_family(family, root / "hub" / family)
    common = {"max_length": LENGTH, "learning_rate": 1e-2, "schedule": "constant_with_warmup"}
    micro = Micro(root)
    micro.sections = {
        "base_model": {"source": "folder", "folder": str(source), "template": FAMILIES[family].template},
        "cpt": {**SECTIONS["cpt"], **common, **method, "max_steps": 2, "learning_rate": 1e-3},
        "sft": {**SECTIONS["sft"], **common, **METHODS["full"], "max_steps": steps, "epochs": 9, "layout": "buckets"},
        "rlhf": {**SECTIONS["rlhf"], **common, **method, "max_steps": 2, "learning_rate": 1e-5},
    }
    micro.sections["evaluate"] = {"max_length": LENGTH, "batch_tokens": 4096, "samples": 1, "behaviour_prompts": 2}
    for stage in ("base_model", "cpt", "sft"):
        micro.here(stage)
    return micro


def aligned(micro: Micro, algorithm: str) -> Micro:
    """The rest of the stages."""
    sampling = SAMPLING if algorithm in ("grpo", "rloo") else None
    micro.here("rlhf", algorithm=algorithm, sampling=sampling, batch_size=4)
    micro.here("evaluate")
    return micro


@pytest.mark.parametrize(("family", "algorithm", "method"), ONCE)
def test_a_family_begins_ends_and_stops_alike_everywhere(tmp_path, family, algorithm, method):
    micro = aligned(taught(tmp_path, family, METHODS[method], steps=45), algorithm)
    wanted = FAMILIES[family]
    manifests = {name: micro.store.read(micro.folder(name)) for name in ("base_model", "sft_model", "rlhf_model")}
    facts = manifests["base_model"].details.facts
    assert all(manifest.details.facts == facts for manifest in manifests.values())
    model = micro.folder("rlhf_model") / "model"
    held_to_the_facts(model, facts, wanted)
    report = micro.store.read(micro.folder("eval_report")).details
    assert report.suites["answers"].keys() == report.suites["sorts"].keys() == {"base", "cpt", "sft", "rlhf"}
    heard = [reply.question for reply in report.replies]  # to each question that fits 160 positions
    assert heard and heard == [question for question in QUESTIONS if question in heard]
    assert edges(micro, model, facts) == {
        "cpt": (facts.begin, facts.eos),
        **dict.fromkeys(("sft", "rlhf", "evaluate", "serve"), (chat_begin(model, facts, wanted), facts.end_of_turn)),
    }


def held_to_the_facts(model: Path, facts: Any, wanted: Any) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    names = {"eos": wanted.eos, "end_of_turn": wanted.end_of_turn, "bos": wanted.bos}
    assert {role: getattr(facts, role) for role in names} == {
        role: tokenizer.convert_tokens_to_ids(token) if token else None for role, token in names.items()
    }
    assert facts.added_before == ((facts.bos,) if wanted.adds_bos else ()) and facts.sliding_window == wanted.window
    assert facts.pad not in {*facts.stop, facts.bos} and tokenizer.pad_token_id == facts.pad
    for name in ("config.json", "generation_config.json"):
        stops = json.loads((model / name).read_text())["eos_token_id"]
        assert tuple(stops if isinstance(stops, list) else [stops]) == facts.stop


def chat_begin(model: Path, facts: Any, wanted: Any) -> int:
    """The first token of a chat: BOS where the tokenizer adds it, else the template's own."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    return (
        facts.bos
        if wanted.adds_bos
        else tokenizer.apply_chat_template(conversation(0), return_dict=True)["input_ids"][0]
    )


def edges(micro: Micro, model: Path, facts: Any) -> dict[str, tuple[int, int]]:
    """First and last token, by stage, of what is trained on, scored, and generated."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from trainers.contract.recipe import RlhfSection
    from trainers.evaluation.model import ModelUnderTest
    from trainers.training.alignment.pairs import read_preferences
    from trainers.training.data.cpt_rows import corpus_rows
    from trainers.training.data.rendering import render

    tokenizer = AutoTokenizer.from_pretrained(model)
    section = RlhfSection(method="full", learning_rate=1e-3, max_length=LENGTH)
    document = corpus_rows(micro.folder("corpus") / "validation", micro.root / "rows.arrow", tokenizer, facts, LENGTH)
    first = document.rows[0]["input_ids"][: document.rows[0]["lengths"][0]]
    chat = render([conversation(0)], tokenizer)[0]
    pair = read_preferences(micro.folder("preferences") / "train.jsonl", tokenizer, section).pairs[0]
    questions = [conversation(number)[:1] for number in range(8)]
    under_test = ModelUnderTest(model, LENGTH, 512)
    scored = under_test.reply(questions[0], conversation(0)[1:])
    weights = AutoModelForCausalLM.from_pretrained(model).eval()
    replies = []
    for question in questions:
        prompt = tokenizer.apply_chat_template(
            question, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            ids = weights.generate(**prompt, max_new_tokens=REPLY_TOKENS, do_sample=False)[0].tolist()
        replies.append((ids[0], ids[-1], len(ids) - prompt["input_ids"].shape[1], ids))
    stopped = [reply for reply in replies if reply[1] in facts.stop and reply[2] < REPLY_TOKENS]
    assert len(stopped) >= 6, [tokenizer.decode(ids) for *_, ids in replies]
    texts = [tokenizer.decode(ids[len(ids) - length :], skip_special_tokens=True) for *_, length, ids in replies]
    assert under_test.generate(questions, REPLY_TOKENS) == texts
    return {
        "cpt": (first[0], first[-1]),
        "sft": (chat.ids[0], [label for label in chat.labels if label >= 0][-1]),
        "rlhf": (pair.prompt_ids[0], [token for token in pair.chosen_ids if token in facts.stop][-1]),
        "evaluate": (scored.context[0], scored.tokens[-1]),
        "serve": (stopped[0][0], facts.end_of_turn if stopped[0][1] == facts.end_of_turn else -1),
    }


@pytest.fixture(scope="module")
def hardly_taught(request, tmp_path_factory) -> Micro:
    """A family by one of the methods, for all algorithms in turn."""
    family, method = request.param
    return taught(tmp_path_factory.mktemp("family"), family, METHODS[method], steps=2)


@pytest.mark.prove
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    "hardly_taught", [(f, m) for f in FAMILIES for m in METHODS], indirect=True, ids="-".join, scope="module"
)
def test_every_family_trains_by_every_algorithm_and_method(hardly_taught, algorithm):
    micro = aligned(hardly_taught, algorithm)
    trained, report = (micro.store.read(micro.folder(asset)).details for asset in ("rlhf_model", "eval_report"))
    assert trained.steps == 2 and trained.facts.stop
    assert report.suites["answers"].keys() == {"base", "cpt", "sft", "rlhf"}
