"""Who gets the next GPUs: weighted fair queueing over the models. No clock, no files: the simulation drives this code.

Each model is a queue. What a queue was served counts as GPU-seconds divided by its share (its virtual time), and the
queue that was served least goes first (start-time fair queueing; Goyal, Vin, Cheng 1996). Runs are not preempted.
"""

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field


class Ticket(BaseModel):
    """One run that wants units (GPUs or cores), or holds them since `started`. Times are seconds of one clock."""

    model_config = ConfigDict(extra="forbid")

    id: str
    queue: str
    units: int = Field(ge=1)
    interactive: bool = False
    arrived: float
    started: float | None = None
    devices: tuple[int, ...] = ()


class FairPool(BaseModel):
    """The state of a pool of units, and the decision who is served next.

    Nothing starves: a queue that waits falls behind in virtual time until it is first, what is first for longer than
    `patience` is passed by nobody, and the priority of interactive runs is a bounded head start.
    """

    model_config = ConfigDict(extra="forbid")

    total: int = Field(ge=1, description="units that there are")
    shares: dict[str, float] = Field(default_factory=dict, description="by queue; 1 where absent")
    patience: float = Field(
        default=600, description="how long smaller runs may pass the first one; then it is kept room"
    )
    quantum: float = Field(default=600, description="a run counts as this long at least while it works; seconds")
    head_start: float = Field(default=86400, description="how much earlier an interactive run counts; seconds")
    served: dict[str, float] = Field(default_factory=dict, description="virtual time of what has ended, by queue")
    tickets: list[Ticket] = Field(default_factory=list)

    def arrive(self, ticket: Ticket) -> None:
        """Wait in line. A queue that was idle begins level with the others: idling earns no credit."""
        active = {other.queue for other in self.tickets}
        if ticket.queue not in active:
            level = min((self.virtual_time(queue, ticket.arrived) for queue in active), default=0.0)
            self.served[ticket.queue] = max(self.served.get(ticket.queue, 0.0), level)
        self.tickets.append(ticket)

    def leave(self, ticket_id: str, now: float) -> None:
        """Give the units back, or stop waiting."""
        (ticket,) = [ticket for ticket in self.tickets if ticket.id == ticket_id]
        if ticket.started is not None:
            took = ticket.units * max(now - ticket.started, 0.0)
            self.served[ticket.queue] += took / self._share(ticket.queue)
        self.tickets.remove(ticket)

    def admit(self, now: float) -> list[Ticket]:
        """Start whom it is due to; returns those."""
        started = []
        while (ticket := self._next(now)) is not None:
            ticket.started = now
            ticket.devices = tuple(self._free()[: ticket.units])
            started.append(ticket)
        return started

    def virtual_time(self, queue: str, now: float) -> float:
        """Unit-seconds that a queue was served, divided by its share; running ones count from their start."""
        running = (t for t in self.tickets if t.queue == queue and t.started is not None)
        work = sum(t.units * max(now - (t.started or 0.0), self.quantum) for t in running)
        return self.served.get(queue, 0.0) + work / self._share(queue)

    def _next(self, now: float) -> Ticket | None:
        free = len(self._free())
        for ticket in self._in_order(now):
            if ticket.units <= free:
                return ticket
            if now - ticket.arrived > self.patience:
                return None  # units are collected for it
        return None

    def _in_order(self, now: float) -> Iterator[Ticket]:
        """All that wait: by what their queues were served, and by arrival within a queue."""
        lines: dict[str, list[Ticket]] = {}
        for ticket in self.tickets:
            if ticket.started is None:
                lines.setdefault(ticket.queue, []).append(ticket)
        for line in lines.values():
            line.sort(key=self._came)
        for queue in sorted(lines, key=lambda queue: (self._due(lines[queue][0], now), self._came(lines[queue][0]))):
            yield from lines[queue]

    def _came(self, ticket: Ticket) -> float:
        return ticket.arrived - (self.head_start if ticket.interactive else 0.0)

    def _due(self, first: Ticket, now: float) -> float:
        credit = self.head_start * self.total if first.interactive else 0.0
        return self.virtual_time(first.queue, now) - credit

    def _free(self) -> list[int]:
        busy = {device for ticket in self.tickets for device in ticket.devices}
        return [device for device in range(self.total) if device not in busy]

    def _share(self, queue: str) -> float:
        return self.shares.get(queue, 1.0)
