"""`python -m trainers show-batch --recipe M --release R`: rows of each training, as its steps are given them.

The stages' own code renders, lays and labels, in a place that is thrown away; nothing is trained. Where rows come in
buckets (SFT; CPT with `layout: rows`) they are those of the first step; what a training shuffles is shown from the top.
"""

import tempfile
from argparse import Namespace
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from trainers.contract import STAGES, BadRequest, ModelFacts
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.planner import training_sections
from trainers.contract.recipe import CptSection, RlhfSection, SftSection, TrainingSection
from trainers.contract.recipe.loading import ModelRecipe, named_recipe
from trainers.training.alignment.pairs import PreferencePair, read_preferences
from trainers.training.data.cpt_rows import corpus_rows
from trainers.training.data.length_buckets import row_buckets
from trainers.training.data.rendering import coloured
from trainers.training.data.rows import IGNORED, PackedCollator
from trainers.training.data.sft_rows import conversation_rows
from trainers.training.made import model_before, newest
from trainers.training.model_facts import facts_of
from trainers.training.sft import read_conversations
from trainers.training.steps import step_rows

DATA = {"cpt": "corpus", "sft": "instructions", "rlhf": "preferences"}
"""The stage whose artifact each training learns from."""

_Row = dict[str, Any]


def show_batch(options: Namespace) -> str:
    """Print rows of each stage that trains, as far as its data and a model are there; returns the last line to say.

    Raises:
        BadRequest: there is no such recipe, or nothing to show of it.
        BadData: the stage would refuse its data.
    """
    recipe, store = named_recipe(options.recipe), ArtifactStore(options.artifacts)
    names = [name for name in training_sections(recipe) if options.of in (None, name)]
    done = []
    for name in names:
        data = newest(store, STAGES[DATA[name]], recipe.model, options.release)
        model = model_before(store, STAGES[name], recipe.model, options.release)
        if data is None or model is None:
            print(f"{name}: {STAGES[DATA[name]].asset if data is None else 'base_model'} is not made yet", flush=True)
            continue
        print(f"{name}: {data.folder.relative_to(store.root)}, for {model.folder.relative_to(store.root)}", flush=True)
        manifest = model.read_manifest()
        assert manifest is not None, "the newest of those that are committed"
        folder = model.folder / "model"
        facts, tokenizer = facts_of(manifest, folder), AutoTokenizer.from_pretrained(folder, local_files_only=True)
        with tempfile.TemporaryDirectory() as scratch:
            rows = _rows(recipe, name, data.folder, Path(scratch), tokenizer, facts)
            for number, row in enumerate(islice(rows, options.rows), 1):
                _print_row(number, row, tokenizer, facts)
        done.append(name)
    if not done:
        raise BadRequest(
            f"show-batch: {store.root} holds nothing that {recipe.model} could be trained on in release "
            f"{options.release!r}; materialize its data and its base_model first"
        )
    return f"show-batch done: {', '.join(done)}"


def _rows(
    recipe: ModelRecipe, stage: str, data: Path, scratch: Path, tokenizer: Any, facts: ModelFacts
) -> Iterable[_Row]:
    """Rows of the first step, over all GPUs that the recipe asks for. Of the packed corpus, of which a step's worth is
    laid, and of the pairs, training takes others: it shuffles them."""
    section: TrainingSection = training_sections(recipe)[stage]
    of_step = step_rows(section.model_copy(update=section.settled))
    if isinstance(section, RlhfSection):
        prompt = recipe.section(SftSection).system_prompt
        pairs = read_preferences(data / "train.jsonl", tokenizer, section, prompt).pairs
        return (row for pair in pairs for row in _pair_rows(pair, is_online=section.sampling is not None))
    if isinstance(section, SftSection):
        conversations = read_conversations(data / "train.jsonl")
        rows = conversation_rows(conversations, scratch / "train.arrow", tokenizer, facts, section).rows
    else:
        assert isinstance(section, CptSection), "a fourth stage that trains"
        packed, most = section.layout == "packed", of_step * section.max_length
        where, share = (data / "train", scratch / "train.arrow"), section.english_replay_share
        rows = corpus_rows(*where, tokenizer, facts, section.max_length, share, most_tokens=most, packed=packed).rows
        if packed:
            return (rows[place] for place in range(len(rows)))
    return (rows[place] for place in row_buckets(rows, of_step, recipe.seed).steps()[0])


def _pair_rows(pair: PreferencePair, is_online: bool) -> Iterable[_Row]:
    """A prompt with either answer, which the loss compares; by itself where the model answers."""
    for answer in ([],) if is_online else (pair.chosen_ids, pair.rejected_ids):
        ids = [*pair.prompt_ids, *answer]
        yield {"input_ids": ids, "labels": [*[IGNORED] * len(pair.prompt_ids), *answer], "lengths": [len(ids)]}


def _print_row(number: int, row: _Row, tokenizer: Any, facts: ModelFacts) -> None:
    """A row piece by piece, what is learned in colour: through the collator, as the model gets it."""
    batch = PackedCollator(facts.pad)([row])
    ids, labels = (batch[name][0].tolist() for name in ("input_ids", "labels"))
    trained = sum(label != IGNORED for label in labels)
    print(f"  --- row {number}: {len(ids)} tokens, {trained} trained, pieces of {', '.join(map(str, row['lengths']))}")
    start = 0
    for length in row["lengths"]:
        print(coloured(ids[start : start + length], labels[start : start + length], tokenizer), flush=True)
        start += length
