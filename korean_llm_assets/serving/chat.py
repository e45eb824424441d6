"""The chat page before the local servers: two models side by side, and the prompt that each was really asked.

What a model writes is data of others: the page sets it as text, runs its own script only, and asks this server only.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from korean_llm_assets.serving.front import MAX_TOKENS, Refused, json_body

_FILES = ("chat.html", "chat.js", "chat.css")
_ONLY_THIS_SERVER = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@dataclass(frozen=True)
class ChatModel:
    """What one can chat with: its name in the API, what people call it, and its folder on this machine."""

    id: str
    words: str
    folder: Path


class Prompts:
    """Renders conversations by the models' own templates, as what serves them does.

    Templates need the tokenizer's world, which the assets do not import: a process of it is asked line by line. It
    begins with the first question, and ends with the context.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            self._process.communicate()  # the end of its input is its end

    def render(self, folder: Path, messages: Any) -> dict[str, Any]:
        """`{"prompt": TEXT}`, or `{"error": REASON}` where there is none."""
        with self._one_at_a_time:
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "trainers", "prompts"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    encoding="utf-8",
                    start_new_session=True,  # Ctrl-C is for the command, which ends this process in its turn
                )
            assert self._process.stdin and self._process.stdout, "pipes, as asked for"
            try:
                self._process.stdin.write(json.dumps({"model": str(folder), "messages": messages}) + "\n")
                self._process.stdin.flush()
                answer: dict[str, Any] = json.loads(self._process.stdout.readline())
            except (OSError, ValueError):
                return {"error": f"what renders prompts ended with {self._process.wait()}; its last words stand above"}
            return answer


def chat_page(models: Sequence[ChatModel], prompts: Prompts) -> list[Route]:
    """The routes of the page: itself, the models there are, and their prompts."""
    folders = {model.id: model.folder for model in models}
    listed = [{"id": model.id, "words": model.words} for model in models]

    async def prompt(request: Request) -> Response:
        try:
            fields = await json_body(request)
            if (folder := folders.get(str(fields.get("model")))) is None:
                raise Refused(404, "no model of that name is served here")
        except Refused as refused:
            return refused.response()
        return JSONResponse(await run_in_threadpool(prompts.render, folder, fields.get("messages")))

    def about(request: Request) -> Response:
        return JSONResponse({"models": listed, "most tokens": MAX_TOKENS})

    return [
        *(Route("/" if name == "chat.html" else f"/{name}", _file(name)) for name in _FILES),
        Route("/chat.json", about),
        Route("/prompt", prompt, methods=["POST"]),
    ]


def _file(name: str) -> Any:
    headers = {"Content-Security-Policy": _ONLY_THIS_SERVER, "X-Content-Type-Options": "nosniff"}

    def answer(request: Request) -> Response:
        return FileResponse(Path(__file__).with_name(name), headers=headers)

    return answer
