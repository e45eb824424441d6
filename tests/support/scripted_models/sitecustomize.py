"""For PYTHONPATH: `python -m trainers <stage of a model>` then trains nothing; the data stages stay what they are.

With SCRIPT the stages take the steps that it says (`tests/support/scripted_trainer.py`), else none.
"""

import os
import sys

_STAGES = ("base_model", "cpt", "sft", "rlhf", "evaluate", "export")

if sys.orig_argv[1:3] == ["-m", "trainers"] and sys.orig_argv[3:4] and sys.orig_argv[3] in _STAGES:
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # importing MLflow takes each stage seconds
    import trainers.runner.stage
    from tests.support import scripted_trainer, small_stages

    stage = scripted_trainer.run if "SCRIPT" in os.environ else small_stages.run
    trainers.runner.stage._stage_function = lambda name: stage
