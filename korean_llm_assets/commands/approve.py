"""Command `approve`: deploy a model in spite of its failed gate; who answers for it, and why."""

from argparse import Namespace
from typing import Any

from korean_llm_assets.home import Home
from korean_llm_assets.serving.approvals import approve, find_report
from trainers.contract.artifacts import ArtifactStore


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("approve", help="deploy a model in spite of its failed gate: who, and why")
    parser.add_argument("--model", required=True)
    parser.add_argument("--release", required=True)
    parser.add_argument("--report", default="", metavar="DIGEST", help="the report's first letters, if there are more")
    parser.add_argument("--who", required=True, help="the person who answers for it")
    parser.add_argument("--why", required=True, help="a reason that another person can judge")
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Record the approval beside the report."""
    store = ArtifactStore(home.artifacts)
    report = find_report(store, options.model, options.release, options.report)
    print(approve(store, report, options.who, options.why).in_words)
    print("materialize eval_report and deployed_model again: the checks warn, and no longer block")
    return 0
