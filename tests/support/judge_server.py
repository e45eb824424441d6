"""A judge for tests: an OpenAI-compatible server that compares two answers by a rule."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from trainers.contract.recipe.evaluation import JudgeSettings

Requests = list[tuple[str | None, dict[str, Any]]]


def fair(first: str, second: str) -> str:
    """The longer answer is the better one, wherever it stands."""
    return "[[A]]" if len(first) > len(second) else "[[B]]" if len(second) > len(first) else "[[비김]]"


@contextmanager
def judging(rule: Callable[[str, str], str], status: int = 200) -> Iterator[tuple[JudgeSettings, Requests]]:
    """Settings that reach the judge, and (authorization, body) of every request so far; a refusal repeats the key."""
    requests: Requests = []

    class Judge(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            requests.append((self.headers.get("Authorization"), body))
            text = body["messages"][1]["content"]
            first = text.split("[답변 A]\n")[1].split("\n\n[답변 B]")[0]
            second = text.split("[답변 B]\n")[1].split("\n\n[판정]")[0]
            reply = f"둘을 견주면 다음과 같습니다.\n{rule(first, second)}"
            answer = {"choices": [{"message": {"content": reply}}]}
            refusal = {"error": {"message": f"no such key: {self.headers.get('Authorization')}"}}
            data = json.dumps(answer if status == 200 else refusal).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Judge)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield JudgeSettings(url=f"http://127.0.0.1:{server.server_port}/v1", model="judge"), requests
    finally:
        server.shutdown()
        server.server_close()
