"""One stage's model from its folder to rows: suites, lm_eval's tasks, behaviour, the unigram model beside CPT."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainers.benchmarks.formats import Instruction, Suite, spread
from trainers.contract import STAGES, ModelFacts
from trainers.contract.recipe import EvaluateSection
from trainers.contract.replies import GreedyReply
from trainers.contract.shards import read_shards
from trainers.evaluation.bits_per_byte import Unigram
from trainers.evaluation.judge_questions import QUESTIONS
from trainers.evaluation.measures import measure_behaviour, measure_suite, measure_unigram
from trainers.evaluation.model import ModelUnderTest
from trainers.evaluation.results import ItemScore
from trainers.evaluation.served_replies import greedy_replies
from trainers.runner.reporting import Reporter


@dataclass(frozen=True)
class MeasuringPlan:
    """What is asked of every stage alike."""

    section: EvaluateSection
    suites: list[Suite]
    benchmarks: Path
    corpus: Path
    scratch: Path
    system_prompt: str | None

    @property
    def prompts(self) -> list[Instruction]:
        """Instruction items, evenly over all suites, whose free replies are looked at."""
        items = [item for suite in self.suites for item in suite.items if isinstance(item, Instruction)]
        count = max(self.section.behaviour_prompts, self.section.samples)
        return spread(items, count) if count else []


@dataclass
class Measured:
    """What came of one stage: plain values, so that they can be kept between attempts."""

    rows: dict[str, list[ItemScore]]
    replies: list[str]
    answers: list[str] = field(default_factory=list)
    """To the LLM judge's questions."""
    served: list[GreedyReply] = field(default_factory=list)
    """What a server of it must say; of the model that is exported."""
    pins: dict[str, str] = field(default_factory=dict)
    speed: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """For the scratch folder."""
        rows = {name: [row.to_json() for row in some] for name, some in self.rows.items()}
        served = [reply.model_dump() for reply in self.served]
        return {**vars(self), "rows": rows, "served": served}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> "Measured":
        """Read back what `to_json` gave."""
        rows = {name: [ItemScore(**row) for row in some] for name, some in saved["rows"].items()}
        served = [GreedyReply(**reply) for reply in saved["served"]]
        return cls(**{**saved, "rows": rows, "served": served})


def measure_stage(plan: MeasuringPlan, stage: str, folder: Path, facts: ModelFacts, reporter: Reporter) -> Measured:
    """Load the stage's model and measure it; `unigram` rows come beside those of `cpt`."""
    section, started = plan.section, time.monotonic()
    model = ModelUnderTest(folder, section.max_length, section.batch_tokens, plan.system_prompt, facts)
    rows: list[ItemScore] = []
    for number, suite in enumerate(plan.suites, start=1):
        rows += measure_suite(model, suite)
        reporter.progress(number, len(plan.suites), f"{stage}: suite")
    replies = model.generate([item.messages for item in plan.prompts], section.sample_tokens)
    prompts = [(item.id, item.messages[-1]["content"]) for item in plan.prompts]
    rows += measure_behaviour(prompts, replies) if section.behaviour_prompts else []
    measured = Measured({stage: rows}, replies)
    if stage == STAGES["export"].subject:
        measured.served = greedy_replies(model)
    if section.judge:
        questions = [[{"role": "user", "content": question.text}] for question in QUESTIONS]
        measured.answers = model.generate(questions, min(section.judge.answer_tokens, model.window // 2))
    if section.lm_eval:
        from trainers.evaluation.harness import run_tasks  # seconds of imports that most recipes do not need

        os.environ.setdefault("HF_DATASETS_CACHE", str(plan.scratch / "datasets"))
        task_rows, measured.pins = run_tasks(
            model, section.lm_eval, plan.benchmarks / "lm_eval", section.max_items_per_suite
        )
        rows += task_rows
    if model.scorer.truncated:
        reporter.warn(
            f"{stage}: {model.scorer.truncated} items are longer than {model.window} tokens and lost the left of their "
            "context; raise evaluate.max_length if the model allows it"
        )
    if stage == "cpt":
        measured.rows["unigram"] = _unigram(plan, model)
    measured.speed = _speed(stage, model, time.monotonic() - started)
    return measured


def _unigram(plan: MeasuringPlan, model: ModelUnderTest) -> list[ItemScore]:
    texts = (row["text"] for row in read_shards(plan.corpus / "train"))
    unigram = Unigram.fit(texts, model.tokenizer, int(plan.section.unigram_megabytes * 1e6))
    held_out = [suite for suite in plan.suites if suite.name.startswith("corpus/")]
    return [row for suite in held_out for row in measure_unigram(unigram, model, suite)]


def _speed(stage: str, model: ModelUnderTest, seconds: float) -> dict[str, float]:
    scorer = model.scorer
    return {
        f"{stage}_seconds": round(seconds, 2),
        f"{stage}_tokens_per_second": round(scorer.tokens / seconds, 1),
        f"{stage}_padding_share": round(scorer.padding / max(1, scorer.tokens + scorer.padding), 4),
    }
