"""The chat page in Chromium: two models answer side by side as they stream, and what each was really asked is shown."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from korean_llm_assets.serving.chat import ChatModel, Prompts, chat_page
from korean_llm_assets.serving.front import Front, fronting
from korean_llm_assets.serving.local_server import Server
from tests.support.browser import assert_fits_and_is_accessible, chromium
from tests.support.toy import build_model, teach
from trainers.evaluation.model import ModelUnderTest
from trainers.evaluation.served_replies import greedy_replies

pytestmark = [pytest.mark.browser, pytest.mark.slow]
HOSTILE = "<img src=x onerror=document.title='run'>"


class Scripted(BaseHTTPRequestHandler):
    """A server that streams an answer in two pieces; the second one waits until it is let."""

    pieces: tuple[str, str]
    let: threading.Event
    got: list[dict[str, Any]]

    def do_POST(self) -> None:
        self.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self._event(choices=[{"delta": {"content": self.pieces[0]}}])
        assert self.let.wait(60)
        self._event(choices=[{"delta": {"content": self.pieces[1]}}])
        self._event(choices=[{"delta": {}, "finish_reason": "length"}])
        self._event(choices=[], usage={"completion_tokens": 7})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, **fields: Any) -> None:
        self.wfile.write(f"data: {json.dumps(fields)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *words: Any) -> None:
        """Nothing: a test's output is its own."""


class Shown:
    """The page, and the servers behind it."""

    def __init__(self, page: Any, servers: dict[str, type[Scripted]]):
        self.page, self.servers = page, servers

    def model(self, number: int) -> Any:
        return self.page.locator("section.model").nth(number)

    def ask(self, question: str) -> None:
        self.page.get_by_label("Message").fill(question)
        self.page.get_by_role("button", name="Send").click()


@contextmanager
def opened(models: list[ChatModel], servers: dict[str, str]) -> Iterator[Any]:
    """The page before these servers."""
    with chromium() as browser, Prompts() as prompts:
        app = Front(servers).app(chat_page(models, prompts))
        with fronting(app, "127.0.0.1", 0) as url:
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            page.goto(url)
            yield page
            page.close()


@pytest.fixture
def shown(tmp_path) -> Iterator[Shown]:
    folder = build_model(tmp_path / "toy", seed=1)
    scripted, threads = {}, []
    servers = {}
    for name, pieces in (("toy:champion", ("안녕", "하세요")), ("toy:r1", (HOSTILE, " 끝"))):
        kind = type("OfThisModel", (Scripted,), {"pieces": pieces, "let": threading.Event(), "got": []})
        server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
        threads.append((server, threading.Thread(target=server.serve_forever)))
        scripted[name], servers[name] = kind, f"http://127.0.0.1:{server.server_port}"
    for _, thread in threads:
        thread.start()
    models = [ChatModel(name, f"{name} in words", folder) for name in servers]
    with opened(models, servers) as page:
        yield Shown(page, scripted)
    for server, thread in threads:
        server.shutdown()
        server.server_close()
        thread.join()


def test_two_models_answer_side_by_side_as_they_stream_and_say_why_they_stopped(shown):
    shown.ask("수도는?")
    for number, piece in enumerate(("안녕", HOSTILE)):
        shown.model(number).locator(".assistant").get_by_text(piece, exact=True).wait_for()
    assert shown.model(0).bounding_box()["y"] == shown.model(1).bounding_box()["y"], "side by side"
    for server in shown.servers.values():
        server.let.set()
    for number, whole in enumerate(("안녕하세요", f"{HOSTILE} 끝")):
        shown.model(number).get_by_text("7 tokens", exact=False).wait_for()
        assert shown.model(number).locator(".assistant").inner_text() == whole, "a text, whatever it spells"
        outcome = shown.model(number).locator(".outcome").inner_text()
        assert "cut at the most tokens (length)" in outcome and "tokens/s" in outcome
    assert shown.page.title() == "Chat"
    for number, folder_says in enumerate(("toy:champion", "toy:r1")):
        shown.model(number).get_by_role("heading", name=f"{folder_says} in words").wait_for()
    shown.page.get_by_label("한국어").check()
    assert "최대 토큰에서 잘림" in shown.model(0).locator(".outcome").inner_text()


def test_the_prompt_is_shown_as_the_template_writes_it_and_each_model_goes_on_from_its_own_answers(shown):
    for server in shown.servers.values():
        server.let.set()
    for question in ("첫 질문", "둘째 질문"):
        shown.ask(question)
        shown.page.locator("#send:enabled").wait_for()
    shown.model(0).locator("summary").click()
    prompt = shown.model(0).locator("pre").inner_text()
    assert [prompt.index(text) for text in ("첫 질문", "안녕하세요", "둘째 질문")] == sorted(
        prompt.index(text) for text in ("첫 질문", "안녕하세요", "둘째 질문")
    )
    assert prompt.startswith("<|") and "assistant" in prompt.rsplit("둘째 질문", 1)[1], "what asks the model to speak"
    contents = [turn["content"] for turn in shown.servers["toy:r1"].got[-1]["messages"]]
    assert contents == ["첫 질문", f"{HOSTILE} 끝", "둘째 질문"]


def test_a_conversation_that_the_person_stops_says_so_and_the_page_takes_the_next_question(shown):
    shown.ask("수도는?")
    shown.model(0).get_by_text("안녕", exact=True).wait_for()
    shown.page.get_by_role("button", name="Stop").click()
    shown.model(0).get_by_text("stopped by you", exact=False).wait_for()
    for server in shown.servers.values():
        server.let.set()
    shown.page.locator("#send:enabled").wait_for()
    shown.ask("다시")
    shown.model(0).get_by_text("7 tokens", exact=False).wait_for()


def test_the_page_is_accessible_on_a_phone(shown):
    shown.page.set_viewport_size({"width": 360, "height": 800})
    assert_fits_and_is_accessible(shown.page, 360)


@pytest.mark.prove
def test_a_real_server_streams_what_evaluation_heard_and_is_asked_what_the_page_shows(tmp_path):
    folder = teach(build_model(tmp_path / "toy", seed=1))
    replies = greedy_replies(ModelUnderTest(folder, max_length=256, batch_tokens=2048))
    heard = next(reply for reply in replies if reply.ends and len(reply.messages) == 1)
    server = Server.start(folder, tmp_path / "log")
    try:
        with opened([ChatModel("toy", "toy", folder)], {"toy": server.url}) as page:
            shown = Shown(page, {})
            shown.ask(heard.question)
            page.locator("#send:enabled").wait_for(timeout=120_000)
            assert "it ended its turn (stop)" in shown.model(0).locator(".outcome").inner_text()
            assert not heard.contradiction(shown.model(0).locator(".assistant").inner_text(), ended=True)
            shown.page.locator("summary").click()
            assert heard.question in page.locator("pre").inner_text()
    finally:
        server.stop()
