"""Reading a stage's live messages from a file that outlives every reader."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, cast

from dagster import PipesMessageReader
from dagster_pipes import PipesDefaultMessageWriter, PipesMessage, PipesParams

_POLL_SECONDS = 0.2
_PROGRESS_EVERY_SECONDS = 15.0


class MessagesFileReader(PipesMessageReader):
    """Tails a file of dagster_pipes messages; never truncates or deletes it, so that any run may attach later.

    Dagster's own file reader truncates it as it attaches, deletes it when the run is stopped, and warns at every
    message after the first attempt's end.
    A progress line becomes a log line at most every 15 seconds.

    Args:
        path: the file; it may not exist yet, and a lost one never fails the stage.
        offset: where to begin, in bytes; 0 replays what was said before this run attached.
        show: takes each such line, too.
    """

    def __init__(self, path: Path, offset: int = 0, show: Callable[[str], None] = lambda line: None):
        self._path = path
        self._show = show
        self._offset = offset
        self._last_progress = 0.0
        self._closing: PipesMessage | None = None

    @contextmanager
    def read_messages(self, handler: Any) -> Iterator[PipesParams]:
        """Read on a side thread while the session is open, and what is left at its end."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        over = Event()
        thread = Thread(target=self._tail, args=(handler, over), name="stage messages", daemon=True)
        thread.start()
        try:
            yield {PipesDefaultMessageWriter.FILE_PATH_KEY: str(self._path)}
        finally:
            over.set()
            thread.join()

    @property
    def expected_writer_count(self) -> int:
        """One stage writes (the same as the base class says, without its warning of a preview)."""
        return 1

    def no_messages_debug_text(self) -> str:
        """Shown when the stage said nothing."""
        return f"Nothing was written to {self._path}; the stage may have ended before it could."

    def _tail(self, handler: Any, over: Event) -> None:
        position, rest = self._offset, b""
        while True:
            last_round = over.is_set()
            if self._path.exists():
                with self._path.open("rb") as stream:
                    stream.seek(position)
                    data = stream.read()
                position += len(data)
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._handle(handler, line)
            if last_round:
                break
            over.wait(_POLL_SECONDS)
        if self._closing is not None:
            handler.handle_message(self._closing)

    def _handle(self, handler: Any, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            return  # a line torn by a kill; the next attempt begins a new one
        if message.get("method") == "closed":
            self._closing = message  # one attempt ended; only the last one closes the session
        elif message.get("method") == "report_custom_message":
            self._progress(handler, message["params"]["payload"])
        else:
            handler.handle_message(cast(PipesMessage, message))

    def _progress(self, handler: Any, payload: Any) -> None:
        progress = payload.get("progress", {})
        is_last = progress.get("step") == progress.get("total")
        if not is_last and time.monotonic() - self._last_progress < _PROGRESS_EVERY_SECONDS:
            return
        self._last_progress = time.monotonic()
        line = payload.get("line", json.dumps(payload, ensure_ascii=False))
        self._show(line)
        params = {"message": line, "level": "INFO"}
        handler.handle_message({"__dagster_pipes_version": "0.1", "method": "log", "params": params})
