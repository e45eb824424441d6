"""The one `make ui` of a state: held by a lock as long as any of its servers lives; others learn its address here."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import Timeout

from korean_llm_assets.home import Home
from trainers.contract import BadRequest
from trainers.contract.locks import is_held, locked


@dataclass(frozen=True)
class RunningUi:
    """Its pages by name, and its processes: the command first, then its servers."""

    pages: Mapping[str, str]
    processes: tuple[int, ...]


@contextmanager
def sole_ui(home: Home) -> Iterator[int]:
    """Be this state's only UI: a second daemon on it would start everything twice.

    Yields:
        A descriptor for the servers to inherit: while one of them lives, the state is theirs.

    Raises:
        BadRequest: there is one; says where.
    """
    try:
        with locked(_lock(home), wait=False) as descriptor:
            _note(home).unlink(missing_ok=True)  # of one that is gone
            yield descriptor
    except Timeout as error:
        raise BadRequest(f"{home.root} is served already{_by_whom(home)}") from error


def publish(home: Home, running: RunningUi) -> None:
    """Say where it is served."""
    aside = _note(home).with_suffix(".aside")
    aside.write_text(json.dumps(asdict(running)), encoding="utf-8")
    aside.rename(_note(home))


def running_ui(home: Home) -> RunningUi | None:
    """The UI of this state; None where none runs, or it has only begun to start."""
    if not is_held(_lock(home)) or not _note(home).exists():
        return None
    noted = json.loads(_note(home).read_text(encoding="utf-8"))
    return RunningUi(noted["pages"], tuple(noted["processes"]))


def _by_whom(home: Home) -> str:
    running = running_ui(home)
    if running is None:
        return ": another `ui` is starting on it"
    pages = ", ".join(f"{name} {page}" for name, page in running.pages.items())
    command, *servers = running.processes
    if os.path.exists(f"/proc/{command}"):
        return f": {pages}. Ctrl-C where it runs, or kill {command}, ends it"
    return f": {pages}. Its command was killed and left these: kill {' '.join(map(str, servers))}"


def _lock(home: Home) -> Path:
    return home.root / "ui.lock"


def _note(home: Home) -> Path:
    return home.root / "ui.json"
