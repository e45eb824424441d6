"""Command `status`: a table of model x release, the newest runs, and what needs a person; or one run step by step."""

import time
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from dagster import DagsterInstance

from korean_llm_assets.assets.states import Board, State
from korean_llm_assets.commands.attention import needs_attention
from korean_llm_assets.commands.costs import profile
from korean_llm_assets.commands.korean import Language, value
from korean_llm_assets.commands.printing import add_output, ago, print_json, table
from korean_llm_assets.commands.runs import run_line, run_named
from korean_llm_assets.compute.profiles import Price
from korean_llm_assets.home import Home
from korean_llm_assets.partitions.keys import model_and_release, partition_of
from trainers.contract import STAGES, Stage
from trainers.contract.artifacts import ArtifactStore


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("status", help="every model on the newest releases, and the runs; or one run's steps")
    parser.add_argument("run_id", nargs="?", metavar="run", help="a run's id, or how it begins")
    parser.add_argument("--limit", type=int, default=20, help="how many releases and runs (%(default)s)")
    add_output(parser)
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """What is there of every model and release, what waits and why; then the runs and what needs a person."""
    with DagsterInstance.get() as instance:
        if options.run_id is not None:
            return _one_run(instance, options)
        board = Board.of(instance, ArtifactStore(home.artifacts))
        tables = [[[board.state(*place) for place in row] for row in rows] for rows in _places(board, options.limit)]
        runs = [run_line(instance, run) for run in instance.get_runs(limit=options.limit)]
        attention = list(needs_attention(instance, home))
    price = profile().price
    if options.json:
        states = [state.to_json(price) for rows in tables for row in rows for state in row]
        print_json({"states": states, "runs": runs, "attention": attention})
        return 0
    for rows in tables:
        if rows:
            columns = ("model", "release", *(state.stage.name for state in rows[0]))
            shown = [_row(row, price, options.lang) for row in rows]
            lines = table((*columns, "US dollars", "figure", "waits for"), shown, options.lang)
            print("\n".join(lines), end="\n\n")
    print("\n".join((*runs, *attention)))
    return 0


def _places(board: Board, limit: int) -> Iterator[list[list[tuple[Stage, str]]]]:
    """For data, base models and model x release: the rows of a table, each the (stage, partition) that it shows."""
    newest = board.ledger.releases[::-1][:limit]
    models: list[str] = sorted(board.ledger.recipes.models)
    for by_model, by_release in ((False, True), (True, False), (True, True)):
        stages = [each for each in STAGES.values() if (each.by_model, each.by_release) == (by_model, by_release)]
        keys = [
            (model, name) for model in (models if by_model else [None]) for name in (newest if by_release else [None])
        ]
        yield [[(stage, partition_of(stage, *key)) for stage in stages] for key in keys]


def _row(states: list[State], price: Price, language: Language) -> list[str]:
    """A model on a release: `made 3 h` for each stage, what all took, the last figure, and what the rest waits for."""
    keys = model_and_release(states[0].stage, states[0].partition)
    ages = [f" {ago(time.time() - state.since)}" if state.since else "" for state in states]
    cells = [value(state.kind, language) + age for state, age in zip(states, ages, strict=True)]
    dollars = sum(state.dollars(price) for state in states)
    figures = [state.figure for state in states if state.figure and state.stage.name != "export"]
    waits = [f"{state.stage.name}: {state.why}" for state in states if state.why]
    more = (f"{dollars:,.2f}" if figures else "", figures[-1] if figures else "", waits[0] if waits else "")
    return [*(key or "" for key in keys), *cells, *more]


def _one_run(instance: DagsterInstance, options: Namespace) -> int:
    run = run_named(instance, options.run_id)
    steps = sorted(instance.get_run_step_stats(run.run_id), key=lambda step: step.start_time or 0.0)
    rows = [
        {
            "step": step.step_key,
            "state": step.status.value.lower() if step.status else "waiting",
            "seconds": round((step.end_time or time.time()) - step.start_time, 1) if step.start_time else 0.0,
        }
        for step in steps
    ]
    if options.json:
        print_json({"run": run.run_id, "status": run.status.value, "tags": run.tags, "steps": rows})
        return 0
    print(run_line(instance, run))
    for row in rows:
        print(f"  {row['step']:<16} {row['state']:<12} {row['seconds']:8.1f} s")
    return 0
