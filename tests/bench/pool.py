"""`make bench-pool`: 200 mixed runs on 16 GPUs through the local pool's scheduling code on a virtual clock; JSON."""

import heapq
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from statistics import mean, quantiles
from typing import Any

from korean_llm_assets.compute.fair import FairPool, Ticket
from trainers.contract.recipe.loading import load_model_recipes

HOUR = 3600.0
GPUS = 16
SHARES = {name: recipe.share for name, recipe in load_model_recipes().items()}
_MIX = {
    "qwen2.5-72b": (40, (8,), (1.0, 4.0)),
    "qwen2.5-7b": (60, (2, 4), (0.5, 3.0)),
    "tiny": (60, (1,), (1.0, 8.0)),
    "tiny-wide": (40, (1, 2), (1.0, 8.0)),
}
"""Queue -> runs, GPUs of one, hours of one. The pool does not know the hours."""
_INTERACTIVE = 0.1


@dataclass
class Run:
    """One run of the simulation; times in seconds of the virtual clock."""

    ticket: Ticket
    seconds: float
    ended: float | None = None

    @property
    def waited(self) -> float:
        """From arrival to start."""
        assert self.ticket.started is not None, "it was served"
        return self.ticket.started - self.ticket.arrived


def runs(seed: int, arriving_hours: float) -> list[Run]:
    """The mix, arriving evenly over some hours."""
    random = Random(seed)
    runs = []
    for queue, (amount, gpus, hours) in _MIX.items():
        for number in range(amount):
            ticket = Ticket(
                id=f"{queue} {number}",
                queue=queue,
                units=random.choice(gpus),
                interactive=random.random() < _INTERACTIVE,
                arrived=random.uniform(0, arriving_hours * HOUR),
            )
            runs.append(Run(ticket, random.uniform(*hours) * HOUR))
    return sorted(runs, key=lambda run: run.ticket.arrived)


def simulate(workload: Sequence[Run], gpus: int = GPUS) -> FairPool:
    """Let every run arrive, be served and end; fills in the runs' times. Fails if one is never served."""
    pool = FairPool(total=gpus, shares=SHARES)
    by_id = {run.ticket.id: run for run in workload}
    order = count()  # of events at the same time
    events = [(run.ticket.arrived, next(order), run) for run in workload]
    heapq.heapify(events)
    while events:
        now, _, run = heapq.heappop(events)
        if run.ticket.started is None:
            pool.arrive(run.ticket)
        else:
            pool.leave(run.ticket.id, now)
            run.ended = now
        for ticket in pool.admit(now):
            served = by_id[ticket.id]
            heapq.heappush(events, (now + served.seconds, next(order), served))
    assert not pool.tickets, f"never served: {[ticket.id for ticket in pool.tickets]}"
    return pool


def report(workload: Sequence[Run]) -> dict[str, Any]:
    """Utilisation, waiting by queue, and what share of the GPUs each queue had while all of them waited."""
    queues = sorted({run.ticket.queue for run in workload})
    begin = max(min(run.ticket.arrived for run in workload if run.ticket.queue == queue) for queue in queues)
    # From here on one queue has nobody in line any more, and the others rightly get its share.
    end = min(max(run.ticket.started or 0.0 for run in workload if run.ticket.queue == queue) for queue in queues)
    used = {queue: sum(_within(run, begin, end) for run in workload if run.ticket.queue == queue) for queue in queues}
    weights = sum(SHARES[queue] for queue in queues)
    return {
        "gpus": GPUS,
        "runs": len(workload),
        "hours": round(max(run.ended or 0.0 for run in workload) / HOUR, 1),
        "all_waited_hours": round((end - begin) / HOUR, 1),
        "utilisation_while_all_waited": round(sum(used.values()) / (end - begin) / GPUS, 3),
        "queues": {
            queue: {
                "share": round(used[queue] / sum(used.values()), 3),
                "wanted_share": round(SHARES[queue] / weights, 3),
                "waited_hours": _waited([run for run in workload if run.ticket.queue == queue]),
            }
            for queue in queues
        },
        "waited_hours": {
            "interactive": _waited([run for run in workload if run.ticket.interactive]),
            "unattended": _waited([run for run in workload if not run.ticket.interactive]),
        },
    }


def _within(run: Run, begin: float, end: float) -> float:
    """GPU-seconds of a run inside a window."""
    assert run.ticket.started is not None and run.ended is not None, "every run was served"
    return run.ticket.units * max(0.0, min(run.ended, end) - max(run.ticket.started, begin))


def _waited(some: Sequence[Run]) -> dict[str, float]:
    hours = [run.waited / HOUR for run in some]
    return {
        "mean": round(mean(hours), 2),
        "p95": round(quantiles(hours, n=20)[-1], 2),
        "longest": round(max(hours), 2),
    }


if __name__ == "__main__":
    mixed = runs(seed=1, arriving_hours=24)
    simulate(mixed)
    print(json.dumps(report(mixed), indent=1))
