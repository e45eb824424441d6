"""`python -m trainers <stage> --request FILE`: run any stage with no Dagster at all."""

import argparse
import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from pydantic import ValidationError

from trainers.contract import STAGES, BadRequest, ExitCode, StageError, StageRequest, settings
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.names import shown
from trainers.contract.planner import GPUS, plan_recipe, table
from trainers.contract.recipe.loading import named_recipe
from trainers.contract.reference import PAGES
from trainers.runner.ranks import is_leader, rank
from trainers.runner.stage import classify, follow_stage, run_stage

_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "WANDB_MODE": "offline",
}
_QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code of trainers.contract.ExitCode."""
    options = _parser().parse_args(arguments)
    if options.stage == "plan":
        return _plan(options)
    if options.stage == "reference":
        print(PAGES[options.page](), end="")
        return int(ExitCode.OK)
    if is_leader():
        for warning in settings.unknown_variables(os.environ):
            print(f"warning: {warning}", file=sys.stderr, flush=True)
    try:
        stop_with_parent()
        done = _run(options)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - becomes the exit code, told below
        code, reason = classify(error)
        if not isinstance(error, StageError):
            traceback.print_exc()
        words = "\n  ".join(map(shown, reason.splitlines()))  # what a drop says begins no line of ours
        print(f"stage {options.stage} failed, exit {int(code)} ({code.meaning}): {words}", file=sys.stderr, flush=True)
        return int(code)
    print(done, flush=True)
    return int(ExitCode.OK)


def _plan(options: argparse.Namespace) -> int:
    try:
        recipe = named_recipe(options.recipe)
        planned = plan_recipe(recipe, options.gpu, options.gpus, options.tokens, options.price)
    except StageError as error:
        print(error, file=sys.stderr)
        return int(error.code)
    print(json.dumps(planned, indent=1) if options.json else table(planned))
    return int(ExitCode.OK)


def _run(options: argparse.Namespace) -> str:
    if options.request is None:  # the person's own files, without a request
        os.environ.update(_QUIET | _OFFLINE)
        if options.stage == "data":
            from trainers.training.data_check import check

            return check(options)
        if options.stage == "show-batch":
            from trainers.training.show_batch import show_batch

            return show_batch(options)
        if options.stage == "try":
            from trainers.training.trial import try_recipe

            return try_recipe(options)
        if options.stage == "prompts":
            from trainers.training.data.prompts import run_prompts

            return run_prompts()
        from trainers.corpus.command import run_corpus, run_text
        from trainers.corpus.holders import run_takedown
        from trainers.corpus.trace import run_trace

        own = {"text": run_text, "takedown": run_takedown, "trace": run_trace}
        return own.get(options.stage, run_corpus)(options)
    request = _read_request(options.request, options.stage)
    go_offline(request)
    store = ArtifactStore(options.artifacts)
    if not is_leader():
        follow_stage(request, store, options.landing)
        return f"stage {options.stage}: rank {rank()} has followed to the end"
    manifest = run_stage(request, store, options.landing)
    return f"stage {options.stage} done: {options.artifacts / manifest.request.relative_path}"


def go_offline(request: StageRequest) -> None:
    """Keep every library away from hubs, unless the recipe names one. Must run before they are imported."""
    os.environ.update(_QUIET)
    if request.section.get("source") != "hub" and not request.section.get("lm_eval"):
        os.environ.update(_OFFLINE)


def stop_with_parent() -> None:
    """Stop, saving what can be saved, when the launcher named by KOREAN_LLM_PARENT (a pid) is gone."""
    parent = settings.PARENT.get()
    if parent is None:
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def _read_request(path: Path, stage: str) -> StageRequest:
    try:
        request = StageRequest.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadRequest(f"cannot read the request {path}: {error.strerror}") from error
    except ValidationError as error:
        raise BadRequest(f"{path} is no stage request: {error}") from error
    if request.stage != stage:
        raise BadRequest(f"{path} asks for stage {request.stage!r}, but the command says {stage!r}")
    return request


_INPUT = "your own files, folders, globs or URLs (s3://bucket/folder) instead"


def _parser() -> argparse.ArgumentParser:
    home = settings.HOME.get()
    codes = "\n".join(f"  {int(code):>3}  {code.meaning}" for code in ExitCode)
    parser = argparse.ArgumentParser(
        prog="python -m trainers",
        description="Run one stage of the Korean LLM pipeline from a request file to an artifact.",
        epilog=f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")
    for stage in STAGES.values():
        command = commands.add_parser(stage.name, help=f"make {stage.asset}")
        what = command.add_mutually_exclusive_group(required=True)
        what.add_argument("--request", type=Path, help="the StageRequest, a JSON file")
        if stage.name == "corpus":
            what.add_argument("--input", nargs="+", metavar="FILE", help=_INPUT)
            command.add_argument("--output", type=Path, metavar="DIR", help="with --input: where the corpus shall lie")
            _add_settings(command)
        command.add_argument("--artifacts", type=Path, default=home / "artifacts", help="artifact root (%(default)s)")
        command.add_argument("--landing", type=Path, default=home / "landing", help="landing root (%(default)s)")
    planning = commands.add_parser("plan", help="memory, time and money of a recipe on given GPUs; trains nothing")
    planning.add_argument("--recipe", required=True, help="a recipe's name or file")
    planning.add_argument("--gpu", choices=sorted(GPUS), default="h100", help="kind of GPU (%(default)s)")
    planning.add_argument("--gpus", type=int, default=1, help="how many, over all nodes (%(default)s)")
    planning.add_argument("--tokens", type=float, help="tokens of each stage (the recipe's max_steps, else 1e9)")
    planning.add_argument("--price", type=float, help="US dollars per GPU and hour: says what it costs too")
    planning.add_argument("--json", action="store_true", help="JSON instead of a table")
    batch = commands.add_parser("show-batch", help="print rows of each training, as it gets them; trains nothing")
    trained = [stage.name for stage in STAGES.values() if stage.trains]
    batch.add_argument("--rows", type=int, default=2, help="how many of each (%(default)s)")
    trial = commands.add_parser("try", help="a few steps of each training on the real model and data: memory, speed")
    trial.add_argument("--steps", type=int, default=3, help="of each (%(default)s)")
    trial.add_argument("--gpu", choices=sorted(GPUS), help="which the machine has: compares with its plan")
    trial.add_argument("--json", action="store_true", help="one JSON line for each training; words go to stderr")
    for command in (batch, trial):
        command.add_argument("--recipe", required=True, help="a recipe's name or file")
        command.add_argument("--release", required=True, help="whose data were made")
        command.add_argument("--of", choices=trained, metavar="STAGE", help=f"{', '.join(trained)} (all)")
        command.add_argument("--artifacts", type=Path, default=home / "artifacts", help="artifact root (%(default)s)")
    reference = commands.add_parser("reference", help="print the page of all recipe keys, or of all variables")
    reference.add_argument("page", choices=PAGES)
    text = commands.add_parser("text", help="apply one block of the corpus chain to JSON lines of id and text")
    text.add_argument("block", choices=("normalise", "mask-pii", "split"))
    text.add_argument("--input", type=Path, required=True, metavar="IN.jsonl")
    text.add_argument("--output", type=Path, required=True, metavar="OUT.jsonl")
    text.add_argument("--splitter", choices=("rules", "kss"), default="rules", help="of split (%(default)s)")
    text.add_argument("--cache", type=Path, metavar="DIR", help="with kss: where sentences are kept for the next time")
    _add_settings(text)
    data = commands.add_parser("data", help="show what a data stage would make of a folder, and exit as it would")
    data.add_argument("action", choices=("check",))
    data.add_argument("folder", type=Path, help="a release, or a folder of one kind of data")
    kinds = [stage.name for stage in STAGES.values() if not stage.by_model]
    data.add_argument("--kind", choices=kinds, help="of a folder that does not say it; guessed from the rows")
    data.add_argument("--model", type=Path, metavar="DIR", help="whose tokenizer and template are used (those of tiny)")
    explanation = "a key of the kind's section, e.g. instructions.fields.prompt=물음; may be repeated"
    data.add_argument("--set", action="append", default=[], metavar="KIND.KEY=VALUE", help=explanation)
    takedown = commands.add_parser("takedown", help="which data artifacts and landed files hold documents, as JSON")
    takedown.add_argument("--ids", type=Path, required=True, help="a file: one id or text sha256 per line")
    takedown.add_argument("--artifacts", type=Path, default=home / "artifacts", help="artifact root (%(default)s)")
    takedown.add_argument("--landing", type=Path, default=home / "landing", help="landing root (%(default)s)")
    trace = commands.add_parser("trace", help="where a document lies in the data artifacts, as JSON")
    trace.add_argument("--document", required=True, help="its id, or the sha256 of its text")
    trace.add_argument("--artifacts", type=Path, default=home / "artifacts", help="artifact root (%(default)s)")
    prompts = commands.add_parser("prompts", help="render conversations by a model's template, JSON lines in and out")
    for command in (text, data, batch, trial, takedown, trace, prompts):
        command.set_defaults(request=None)
    return parser


def _add_settings(command: argparse.ArgumentParser) -> None:
    explanation = "a key of the recipe's corpus section, e.g. filter.min_characters=100; may be repeated"
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=explanation)


if __name__ == "__main__":
    sys.exit(main())
