"""Command `approve`: deploy a model in spite of its failed gate; who answers for it, and why."""

from argparse import Namespace
from typing import Any

from dagster import DagsterInstance

from korean_llm_assets.home import Home
from korean_llm_assets.partitions.keys import cell_key
from korean_llm_assets.resources import Platform
from korean_llm_assets.serving.approvals import approve, find_report
from korean_llm_assets.serving.events import event, record


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
    store = Platform.from_environment().store
    report = find_report(store, options.model, options.release, options.report)
    print(approve(store, report, options.who, options.why).in_words)
    cell = str(cell_key(options.model, options.release))
    about = f"report {report.digest[:12]} of {cell}, whose gate failed"
    with DagsterInstance.get() as instance:
        record(store, instance, event("approval", about, options.who, options.why, cell))
    print("to deploy it (what is made is reused; the checks warn, and no longer block):")
    print(home.launch_line("training", cell))
    return 0
