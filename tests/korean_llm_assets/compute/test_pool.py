"""The local pool: fair by weight, nothing starves, priority is bounded; and real processes that share it and die."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from korean_llm_assets.compute.fair import FairPool, Ticket
from korean_llm_assets.compute.pool import LocalPool, is_interactive
from korean_llm_assets.partitions.recipes import model_recipes
from tests.bench.pool import GPUS, HOUR, SHARES, Run, report, runs, simulate
from trainers.contract import DoesNotFit, Needs, StageRequest


@pytest.mark.parametrize("seed", range(3))
def test_two_hundred_mixed_runs_get_their_shares_and_none_starves(seed: int) -> None:
    mixed = runs(seed, arriving_hours=24)
    simulate(mixed)  # raises where a run is never served
    outcome = report(mixed)
    assert outcome["utilisation_while_all_waited"] > 0.8
    for queue, figures in outcome["queues"].items():
        assert figures["share"] == pytest.approx(figures["wanted_share"], rel=0.15), queue
    waited = outcome["waited_hours"]
    assert waited["interactive"]["longest"] < 8 and waited["interactive"]["mean"] < waited["unattended"]["mean"] / 5


def run(queue: str, number: int, arrived: float, units: int = 1, hours: float = 1, interactive: bool = False) -> Run:
    ticket = Ticket(id=f"{queue} {number}", queue=queue, units=units, interactive=interactive, arrived=arrived)
    return Run(ticket, hours * HOUR)


def test_a_large_run_is_not_passed_for_ever_by_small_ones() -> None:
    small = [run("tiny", number, number * 60.0) for number in range(600)]
    large = run("qwen2.5-72b", 0, 300.0, units=GPUS)
    simulate([*small, large])
    assert large.waited < 2 * HOUR


def test_a_flood_of_interactive_runs_delays_others_by_no_more_than_the_head_start() -> None:
    flood = [run("tiny", number, number * HOUR / GPUS, interactive=True) for number in range(80 * GPUS)]
    mine, others = run("tiny", 10_000, HOUR), run("qwen2.5-7b", 0, HOUR)
    simulate([*flood, mine, others])
    assert max(mine.waited, others.waited) < 30 * HOUR


def test_a_queue_that_was_idle_has_no_credit() -> None:
    pool = FairPool(total=1, shares=SHARES)
    for number in range(3):
        pool.arrive(Ticket(id=f"a{number}", queue="tiny", units=1, arrived=0))
    for now in (0, 1000 * HOUR):  # queue `tiny` had the machine for a thousand hours
        pool.admit(now)
        pool.leave(next(ticket.id for ticket in pool.tickets if ticket.started is not None), now + 1000 * HOUR)
    for number in range(3):
        pool.arrive(Ticket(id=f"b{number}", queue="tiny-wide", units=1, arrived=2000 * HOUR))
    served = []
    for now in range(2000, 2004):
        (ticket,) = pool.admit(now * HOUR)
        served.append(ticket.queue)
        pool.leave(ticket.id, (now + 1) * HOUR)
    assert served.count("tiny") == 1 and served.index("tiny") < 2


_WANTED = st.tuples(st.sampled_from(sorted(SHARES)), st.integers(1, 16), st.integers(0, 50), st.integers(1, 9))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(_WANTED, st.booleans()), min_size=1, max_size=40))
def test_no_device_is_ever_given_twice(wanted: list[tuple[tuple[str, int, int, int], bool]]) -> None:
    workload = [
        run(queue, number, at * HOUR, units, hours, interactive)
        for number, ((queue, units, at, hours), interactive) in enumerate(wanted)
    ]
    simulate(workload)
    for one in workload:
        assert len(set(one.ticket.devices)) == one.ticket.units
        for other in workload:
            apart = (one.ended or 0) <= (other.ticket.started or 0) or (other.ended or 0) <= (one.ticket.started or 0)
            assert one is other or apart or not set(one.ticket.devices) & set(other.ticket.devices)


def request(model: str, gpus: int = 0, cpu: float = 2) -> StageRequest:
    return StageRequest(stage="base_model", stage_version=1, model=model, needs=Needs(gpus=gpus, cpu=cpu))


HOLDER = """
import subprocess, sys, time
from pathlib import Path
from korean_llm_assets.compute.pool import LocalPool
from tests.korean_llm_assets.compute.test_pool import request
with LocalPool(Path(sys.argv[1]), ("0", "1"), 4).hold(request("tiny", gpus=2), False, print) as held:
    stage = subprocess.Popen(["sleep", "60"], pass_fds=held.locks)
    print(stage.pid, held.environment["CUDA_VISIBLE_DEVICES"], flush=True)
    time.sleep(60)
"""


def test_gpus_of_a_killed_run_are_free_once_its_stage_has_ended_too(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        stage, devices = holder.stdout.readline().split()
        assert devices == "0,1"
        holder.kill()
        holder.wait()
    messages: list[str] = []

    def say(line: str) -> None:  # told once, when it has to wait: the stage still runs
        messages.append(line)
        os.kill(int(stage), signal.SIGKILL)

    started = time.monotonic()
    with LocalPool(tmp_path, ("0", "1"), 4).hold(request("tiny-wide", gpus=1), True, say) as held:
        assert held.environment["CUDA_VISIBLE_DEVICES"] == "0"
    assert messages == ["waits for 1 of 2 GPUs; in use by tiny (2)"]
    assert time.monotonic() - started < 20
    assert [path.name for path in tmp_path.glob("*.lock")] == ["state.lock"]


def test_cores_are_shared_where_there_is_no_gpu(tmp_path: Path) -> None:
    pool = LocalPool(tmp_path, (), 2)
    with pool.hold(request("tiny", cpu=1), False, print), pool.hold(request("tiny-wide", cpu=1), False, print) as held:
        assert held.environment == {}
        used = FairPool.model_validate_json((tmp_path / "state.json").read_text())
        assert [ticket.devices for ticket in used.tickets] == [(0,), (1,)]
    with pool.hold(request("qwen2.5-7b", gpus=8, cpu=64), False, print):
        pass  # on a machine without GPUs it is the stage that says what it cannot do


def test_what_asks_for_no_gpu_sees_none_and_what_asks_for_too_many_is_told(tmp_path: Path) -> None:
    pool = LocalPool(tmp_path, ("0",), 2)
    with pool.hold(request("tiny"), False, print) as held:
        assert held.environment == {"CUDA_VISIBLE_DEVICES": ""}
    with pytest.raises(DoesNotFit, match="needs 8 GPUs, this machine has 1"), pool.hold(request("x", 8), False, print):
        pass


def test_runs_of_people_are_interactive() -> None:
    assert is_interactive({"dagster/partition": "r1", "user": "hana"})
    assert not is_interactive({"dagster/sensor_name": "new_releases"})
    assert not is_interactive({"dagster/backfill": "abc"})


def test_shares_are_those_of_the_recipes(tmp_path: Path) -> None:
    shares = LocalPool.of_this_machine(tmp_path).shares
    assert shares == {name: recipe.share for name, recipe in model_recipes().items()}
    assert shares["qwen2.5-72b"] == 2 * shares["qwen2.5-7b"]
