"""The machine's GPUs (cores, where it has none), shared by all runs on it through one file and one lock per run."""

import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from korean_llm_assets.compute.fair import FairPool, Ticket
from korean_llm_assets.partitions.recipes import model_recipes
from trainers.contract import BadRequest, DoesNotFit, StageRequest, settings
from trainers.contract.files import write_atomically
from trainers.contract.locks import is_held, locked
from trainers.contract.variable import listed

_POLL_SECONDS = 0.2
_DRIVER = Path("/proc/driver/nvidia/gpus")
_UNATTENDED = ("sensor_name", "schedule_name", "backfill", "auto_materialize", "from_automation_condition")


@dataclass(frozen=True)
class Allocation:
    """Units that a run holds. The open lock goes to its stage too: units are free when the last of both has ended."""

    locks: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LocalPool:
    """All that runs on this machine's GPUs or cores. The state is a file; a killed holder's lock frees its units.

    Args:
        folder: of the state and of the locks.
        gpus: device names as CUDA_VISIBLE_DEVICES has them; empty: cores are shared instead.
        cores: of the machine.
        shares: by model, as the recipes say them; 1 where absent.
    """

    folder: Path
    gpus: tuple[str, ...]
    cores: int
    shares: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of_this_machine(cls, folder: Path) -> "LocalPool":
        """GPUs by KOREAN_LLM_GPUS ("0,1"), CUDA_VISIBLE_DEVICES, or the driver; cores by KOREAN_LLM_CORES or all."""
        gpus = settings.GPUS.get()
        if gpus is None:
            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
            in_driver = tuple(str(number) for number in range(len(list(_DRIVER.glob("*")))))
            gpus = in_driver if visible is None else listed(visible)
        shares = {name: recipe.share for name, recipe in model_recipes().items()}
        return cls(folder, gpus, settings.CORES.get() or os.cpu_count() or 1, shares)

    @contextmanager
    def hold(self, request: StageRequest, interactive: bool, say: Callable[[str], None]) -> Iterator[Allocation]:
        """Wait until it is this request's turn, and hold what it needs while the context is open.

        Raises:
            DoesNotFit: it needs more GPUs than the machine has.
        """
        needs = request.needs
        if self.gpus and not needs.gpus:
            yield Allocation(environment={"CUDA_VISIBLE_DEVICES": ""})  # it asked for none, so it takes nobody's
            return
        if self.gpus and needs.gpus > len(self.gpus):
            raise DoesNotFit(
                f"{request.asset} {request.partition} needs {needs.gpus} GPUs, this machine has {len(self.gpus)} "
                f"({', '.join(self.gpus)}; KOREAN_LLM_GPUS). Run it on a cluster, or lower `needs` in its recipe."
            )
        units = needs.gpus if self.gpus else min(max(1, round(needs.cpu)), self.cores)
        ticket = Ticket(
            id=uuid.uuid4().hex,
            queue=request.model or "data",
            units=units,
            interactive=interactive,
            arrived=time.time(),
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._lock_path(ticket.id)
        with locked(path) as descriptor:
            with self._state() as state:
                state.arrive(ticket)
            try:
                devices = self._wait(ticket, say)
                yield Allocation((descriptor,), self._visible(devices))
            finally:
                with self._state() as state:
                    state.leave(ticket.id, time.time())
                path.unlink()

    def _wait(self, ticket: Ticket, say: Callable[[str], None]) -> tuple[int, ...]:
        is_announced = False
        while True:
            with self._state() as state:
                (mine,) = [each for each in state.tickets if each.id == ticket.id]
                if mine.started is not None:
                    return mine.devices
                holders = [each for each in state.tickets if each.started is not None]
            if not is_announced:
                what = "GPUs" if self.gpus else "cores"
                users = ", ".join(f"{each.queue} ({each.units})" for each in holders)
                say(f"waits for {ticket.units} of {state.total} {what}; in use by {users or 'nobody'}")
                is_announced = True
            time.sleep(_POLL_SECONDS)

    @contextmanager
    def _state(self) -> Iterator[FairPool]:
        """The pool, for this process alone; whoever it is due to is started, and the dead are gone."""
        path = self.folder / "state.json"
        with locked(self.folder / "state.lock"):
            total = len(self.gpus) or self.cores
            before = path.read_text(encoding="utf-8") if path.exists() else FairPool(total=total).model_dump_json()
            try:
                state = FairPool.model_validate_json(before)
            except ValidationError as error:
                raise BadRequest(
                    f"{path} is no state of the pool; stop all runs, remove it, then run again: {error}"
                ) from error
            state.total, state.shares = total, dict(self.shares)
            for ticket in list(state.tickets):
                if not self._is_alive(ticket):
                    state.leave(ticket.id, time.time())
            yield state
            state.admit(time.time())
            after = state.model_dump_json(indent=1)
            if after != before:
                write_atomically(path, after)

    def _is_alive(self, ticket: Ticket) -> bool:
        path = self._lock_path(ticket.id)
        if is_held(path):
            return True
        path.unlink(missing_ok=True)
        return False

    def _lock_path(self, ticket_id: str) -> Path:
        return self.folder / f"{ticket_id}.lock"

    def _visible(self, devices: tuple[int, ...]) -> dict[str, str]:
        if not self.gpus:
            return {}
        return {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus[device] for device in devices)}


def is_interactive(tags: Mapping[str, str]) -> bool:
    """True for a run that a person started and waits for: no sensor, schedule, backfill or condition asked for it."""
    return not any(f"dagster/{name}" in tags for name in _UNATTENDED)
