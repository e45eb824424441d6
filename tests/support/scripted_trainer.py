"""A trainer whose steps a test writes down: the real command line, stage runner and store, with a scripted stage.

SCRIPT (JSON): steps, step_seconds; `fail`: {attempt: [step, exit code]}; `hog`: {attempt: MiB}; `only`: a stage, the
others do one step; `hold`: a file that the second step waits for, so that a test needs no clock.
"""

import json
import os
import sys
import time
from pathlib import Path

import trainers.runner.stage
from tests.support.small_stages import details
from trainers.__main__ import main
from trainers.contract import ExitCode, Interrupted, StageError
from trainers.runner.stage import StageContext, StageResult


def run(context: StageContext) -> StageResult:
    """Count to `steps`, a checkpoint per step; the result tells how often each step was done."""
    script = json.loads(os.environ["SCRIPT"])
    if context.request.stage != script.get("only", context.request.stage):
        script = {"steps": 1, "step_seconds": 0.0}
    attempt = str(context.attempt.number)
    checkpoint = context.scratch / "steps"
    done = checkpoint.read_text().split() if checkpoint.exists() else []
    context.reporter.say(f"attempt {attempt} goes on from step {len(done)}")
    hog = bytearray(script.get("hog", {}).get(attempt, 0) * 2**20)
    for step in range(len(done), script["steps"]):
        fail_at, code = script.get("fail", {}).get(attempt, (None, 0))
        if step == fail_at:
            raise _error(code)(f"the script says so at step {step}")
        with context.stop.deferred():
            time.sleep(script["step_seconds"])
            while step and not Path(script.get("hold", "/")).exists() and not context.stop.requested:
                time.sleep(0.05)
            with checkpoint.open("a") as stream:
                stream.write(f"{attempt}\n")
            context.reporter.progress(step + 1, script["steps"])
            if context.stop.requested:
                raise Interrupted(f"stopped after step {step + 1}, which is saved")
    done = checkpoint.read_text().split()
    (context.output / "steps.json").write_text(json.dumps(done))
    del hog
    return StageResult(metrics={"steps": float(len(done))}, details=details(context))


def _error(code: int) -> type[StageError]:
    return type("Scripted", (StageError,), {"code": ExitCode(code)})


if __name__ == "__main__":
    trainers.runner.stage._stage_function = lambda stage: run
    sys.exit(main())
