"""One table of exit codes: both launchers retry what it says, and nothing else."""

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dagster import Failure

from korean_llm_assets.compute.cluster.job_spec import render_job
from korean_llm_assets.compute.cluster.launcher import AttemptsFailed, Launcher
from korean_llm_assets.compute.cluster.situation import PodFacts, ending
from korean_llm_assets.compute.cluster.workloads import JOB
from korean_llm_assets.compute.local import LocalCompute
from korean_llm_assets.compute.outcome import MAX_ATTEMPTS, in_words, may_retry, what_now
from korean_llm_assets.compute.pool import Allocation, LocalPool
from korean_llm_assets.compute.profiles import load_profile
from trainers.contract import ExitCode, StageRequest, Then
from trainers.contract.artifacts import ArtifactStore

REQUEST = StageRequest(stage="sft", stage_version=1, model="tiny", release="r1")
BODY = {"kind": "Job", "metadata": {"name": "j"}, "status": {"conditions": [{"type": "Failed", "status": "True"}]}}
CODES = [code for code in ExitCode if code is not ExitCode.OK]
UNKNOWN = (1, 2, 66, 99)


def test_what_design_says_is_what_the_table_says() -> None:
    assert {code for code in CODES if code.is_retried} == {ExitCode.RESUMABLE, ExitCode.STALLED}
    assert {int(code) for code in CODES if code.is_final} == {64, 65, 78, 80}
    assert all(code.meaning and code.korean for code in ExitCode)
    assert ExitCode(64) is ExitCode.BAD_REQUEST and ExitCode.of(3) is None


@pytest.mark.parametrize("status", [*CODES, *UNKNOWN, -signal.SIGKILL, -signal.SIGTERM])
def test_a_machine_and_a_cluster_retry_the_same(status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = ExitCode.of(status)
    retried = status < 0 or (known is not None and known.is_retried)
    assert may_retry(status) is retried
    assert _attempts_here(status, tmp_path, monkeypatch) == (MAX_ATTEMPTS if retried else 1)
    assert _is_retried_on_a_cluster(status, tmp_path) is retried
    assert status in _final_codes() if known and known.is_final else status not in _final_codes()


def _attempts_here(status: int, root: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many processes a machine starts of a stage that always ends so; the failure says the table's words."""
    started: list[StageRequest] = []

    def attempt(self: LocalCompute, step: Any, request: StageRequest, held: Allocation, now: Any) -> int:
        started.append(request)
        return status

    monkeypatch.setattr(LocalCompute, "_attempt", attempt)
    quiet = SimpleNamespace(info=lambda line: None, warning=lambda line: None)
    step: Any = SimpleNamespace(run=SimpleNamespace(tags={}), log=quiet)
    compute = LocalCompute(ArtifactStore(root / "artifacts"), root, LocalPool(root / "pool", (), 1))
    with pytest.raises(Failure) as failed:
        compute.run(step, REQUEST, SimpleNamespace(changes={}))  # type: ignore[arg-type]
    assert in_words(status) in str(failed.value.description)
    assert failed.value.metadata["what now"].value == what_now(status)
    return len(started)


def _is_retried_on_a_cluster(status: int, root: Path) -> bool:
    """Whether the launcher goes on after the first attempt ended so."""
    facts = PodFacts()
    ended = {"exitCode": status if status > 0 else 128 - status}
    state = {"containerStatuses": [{"state": {"terminated": ended}}]}
    facts.remember([{"metadata": {"name": "p"}, "status": state, "spec": {}}])
    why = ending(JOB, BODY, facts, [])
    assert in_words(status) in why.words
    api: Any = SimpleNamespace(with_patience=lambda seconds, say: None)
    launcher = Launcher(api, load_profile("h100"), ArtifactStore(root), "run", lambda line, is_warning: None)
    try:
        launcher._give_up_or_go_on(REQUEST, why, 1, BODY)
    except AttemptsFailed:
        return False
    return True


def _final_codes() -> list[int]:
    """Which codes end the Job at once."""
    job = render_job(REQUEST, REQUEST.needs, load_profile("h100"), "run")
    return [
        code
        for rule in job["spec"]["podFailurePolicy"]["rules"]
        for code in rule.get("onExitCodes", {}).get("values", [])
    ]


@pytest.mark.parametrize(
    ("status", "then"), [(65, Then.NEVER), (74, Then.MEND), (75, Then.MEND), (1, Then.MEND), (-9, Then.MEND)]
)
def test_after_the_last_attempt_a_person_is_told_what_can_be_done(status: int, then: Then) -> None:
    assert what_now(status) == then.value


def test_signals_are_told_by_name() -> None:
    assert in_words(-signal.SIGKILL) == "killed by SIGKILL (often: out of memory)"
