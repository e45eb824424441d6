"""`fake_server.py MODE PORT`: speaks as much of OpenAI's API as a smoke test needs, well or badly.

Modes: good; english (answers without Korean); endless (no answer ends); sampling (good at temperature 0 only);
broken (500 for every chat after warming and the smoke test); dead (ends at once); deaf (never ready).
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

from trainers.contract.replies import QUESTIONS

MODE, PORT = sys.argv[1], int(sys.argv[2])
chats = 0


class Handler(BaseHTTPRequestHandler):
    """One answer for every chat, by the mode."""

    def do_GET(self):
        self.answer(200, {"status": "ok"})

    def do_POST(self):
        global chats
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        chats += 1
        if MODE == "broken" and chats > 1 + len(QUESTIONS):
            self.answer(500, {"error": "out of memory"})
            return
        text = "Hello there." if MODE == "english" else f"안녕하세요. {sys.argv[3]}"
        if MODE == "sampling" and body.get("temperature") != 0:
            text = "ᄀ" + text[::-1]
        ended = "length" if MODE == "endless" else "stop"
        self.answer(200, {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": ended}]})

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


print(f"mode {MODE}", flush=True)
if MODE == "dead":
    sys.exit("no such model")
if MODE == "deaf":
    time.sleep(600)
HTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
