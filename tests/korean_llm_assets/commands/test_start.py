"""Command `start`: who need not be asked is told how else, in a command that works as it is printed."""

import json
import re
import shlex
from argparse import Namespace

import pytest

from korean_llm_assets.commands import start
from korean_llm_assets.home import Home
from korean_llm_assets.triggers.jobs import training_job
from trainers.contract import BadRequest


def test_the_advice_is_the_command_line_that_the_doors_are_tried_with(home: Home) -> None:
    with pytest.raises(BadRequest, match="automation: auto") as refusal:
        start.run(Namespace(model="tiny", release="r1"), home)
    advice = re.search(r"By hand: (.*)$", str(refusal.value))
    assert advice is not None
    *words, tags = shlex.split(advice[1])
    assert words == ["dagster", "job", "launch", "-w", str(home.workspace), "-j", training_job.name, "--tags"]
    assert json.loads(tags) == {"dagster/partition": "tiny|r1"}  # tests/korean_llm_assets/commands/test_doors.py


def test_a_model_that_is_not_there_is_refused_with_those_that_are(home: Home) -> None:
    with pytest.raises(BadRequest, match=r"no recipe of a model 'tinny'; there are: .*tiny"):
        start.run(Namespace(model="tinny", release="r1"), home)
