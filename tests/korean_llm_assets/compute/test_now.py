"""What a run does now stands on the run; a database that does not answer keeps nothing from its work."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dagster import DagsterInstance, DagsterRun

from korean_llm_assets.compute.messages import MessagesFileReader
from korean_llm_assets.compute.now import NOW_TAG, Now
from trainers.contract import StageRequest

REQUEST = StageRequest(stage="cpt", stage_version=1, model="tiny", release="r1")


def step(instance: Any, run_id: str, lines: list[str]) -> Any:
    log = SimpleNamespace(info=lines.append, warning=lines.append)
    return SimpleNamespace(instance=instance, run_id=run_id, log=log)


def test_progress_with_its_time_left_and_why_it_waits_are_a_tag_of_the_run(tmp_path: Path) -> None:
    lines: list[str] = []
    with DagsterInstance.ephemeral() as instance:
        run = instance.add_run(DagsterRun(job_name="training"))
        now = Now(step(instance, run.run_id, lines), REQUEST)
        now.tell("waits for cores: 2 of 2 are held by rlhf_model tiny/r0")
        assert instance.get_run_by_id(run.run_id).tags[NOW_TAG] == f"cpt_checkpoint: {lines[0]}"
        payload = {"line": "step 30/100  ETA 70s", "progress": {"step": 30, "total": 100}}
        message = {"method": "report_custom_message", "params": {"payload": payload}}
        reader = MessagesFileReader(tmp_path / "messages", show=now.show)
        reader._handle(SimpleNamespace(handle_message=lines.append), json.dumps(message).encode())
        assert instance.get_run_by_id(run.run_id).tags[NOW_TAG] == "cpt_checkpoint: step 30/100  ETA 70s"


def test_a_database_that_does_not_answer_is_told_in_the_log() -> None:
    class Down:
        def add_run_tags(self, run_id: str, tags: dict[str, str]) -> None:
            raise ConnectionError("the database is down")

    lines: list[str] = []
    Now(step(Down(), "r", lines), REQUEST).tell("step 1/2")
    assert lines == ["step 1/2", "the run does not show what it does (the database is down); it goes on"]
