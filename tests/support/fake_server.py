"""`fake_server.py MODE PORT`: speaks as much of OpenAI's API as a smoke test needs, well or badly.

Modes: good; english (answers without Korean); broken (500 from the sixth chat on: after warming and the smoke test);
dead (ends at once); deaf (never ready).
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

MODE, PORT = sys.argv[1], int(sys.argv[2])
chats = 0


class Handler(BaseHTTPRequestHandler):
    """One answer for every chat, by the mode."""

    def do_GET(self):
        self.answer(200, {"status": "ok"})

    def do_POST(self):
        global chats
        self.rfile.read(int(self.headers["Content-Length"]))
        chats += 1
        if MODE == "broken" and chats > 5:
            self.answer(500, {"error": "out of memory"})
            return
        text = "Hello there." if MODE == "english" else f"안녕하세요. {sys.argv[3]}"
        self.answer(200, {"choices": [{"message": {"role": "assistant", "content": text}}]})

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
