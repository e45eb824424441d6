"""The front of the local server: what is too much is refused; what is not arrives as it was, some at a time."""

import asyncio
import json

import httpx
import pytest

from korean_llm_assets.serving.front import AT_ONCE, MAX_BODY, MAX_TOKENS, WAITING, Front

MODELS = ("first", "second")


class Upstream:
    """A server that keeps what it got, and answers when it is let."""

    def __init__(self) -> None:
        self.got: list[dict[str, object]] = []
        self.at_work = self.most = 0
        self.let = asyncio.Event()
        self.let.set()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        await self.let.wait()
        self.at_work -= 1
        if request.method == "POST":
            self.got.append(json.loads(request.content) | {"served by": request.url.host})
        return httpx.Response(200, json={"path": request.url.path})


def answers_to(
    upstream: Upstream, *requests: tuple[str, bytes], host: str = "127.0.0.1:8000", origin: str | None = None
) -> list[httpx.Response]:
    """What the front answers to these bodies, sent at once."""

    async def ask() -> list[httpx.Response]:
        before = Front(dict.fromkeys(MODELS, "http://upstream"))
        for model in MODELS:
            transport = httpx.MockTransport(upstream)
            before._clients[model] = httpx.AsyncClient(base_url=f"http://{model}", transport=transport)
        transport = httpx.ASGITransport(before.app())
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            headers = {"origin": origin} if origin else {}
            sent = [asyncio.ensure_future(client.post(path, content=body, headers=headers)) for path, body in requests]
            if not upstream.let.is_set():
                while len([each for each in sent if each.done()]) < len(sent) - AT_ONCE - WAITING:
                    await asyncio.sleep(0.01)
                upstream.let.set()
            return await asyncio.gather(*sent)

    return asyncio.run(ask())


CHAT = "/v1/chat/completions"


def body(**fields: object) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": "안녕"}], **fields}).encode()


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        (body(max_tokens=1_000_000_000), 400, f"max_tokens must be a number from 1 to {MAX_TOKENS}"),
        (body(max_completion_tokens=MAX_TOKENS + 1), 400, "max_completion_tokens must be"),
        (body(max_tokens="many"), 400, "max_tokens must be"),
        (body(max_tokens=True), 400, "max_tokens must be"),
        (body(max_tokens=0), 400, "max_tokens must be"),
        (body(generation_config='{"max_new_tokens": 1000000000}'), 400, "generation_config is not taken"),
        (body(n=1000), 400, "n must be 1"),
        (b"x" * (MAX_BODY + 1), 413, "1 MiB"),
        (b"[" * 100_000, 400, "no JSON"),
        (b"[]", 400, "no JSON object"),
    ],
)
def test_what_is_too_much_is_refused_and_reaches_nobody(sent: bytes, status: int, words: str) -> None:
    upstream = Upstream()
    (answer,) = answers_to(upstream, (CHAT, sent))
    assert answer.status_code == status and words in answer.json()["error"]["message"] and not upstream.got


def test_what_is_in_bounds_arrives_as_it_was_and_never_without_a_bound() -> None:
    upstream = Upstream()
    answers = answers_to(upstream, (CHAT, body(max_tokens=48, temperature=0)), (CHAT, body()))
    assert [answer.json() for answer in answers] == [{"path": CHAT}] * 2
    assert [fields["max_tokens"] for fields in upstream.got] == [48, MAX_TOKENS]
    assert {fields["served by"] for fields in upstream.got} == {"first"}
    assert upstream.got[0]["messages"] == [{"role": "user", "content": "안녕"}]


def test_a_request_reaches_the_model_that_it_names_without_the_name() -> None:
    upstream = Upstream()
    second, nobody = answers_to(upstream, (CHAT, body(model="second")), (CHAT, body(model="third")))
    assert second.status_code == 200 and nobody.status_code == 404 and "first, second" in nobody.text
    assert [(fields["served by"], "model" in fields) for fields in upstream.got] == [("second", False)]


def test_under_another_name_it_answers_nothing() -> None:
    upstream = Upstream()
    (answer,) = answers_to(upstream, (CHAT, body()), host="evil.example")
    assert answer.status_code == 400 and not upstream.got


@pytest.mark.parametrize(("origin", "status"), [("http://evil.example", 403), ("http://127.0.0.1:8000", 200)])
def test_no_other_sites_page_makes_a_browser_ask(origin: str, status: int) -> None:
    upstream = Upstream()
    (answer,) = answers_to(upstream, (CHAT, body()), origin=origin)
    assert answer.status_code == status and len(upstream.got) == (status == 200)


def test_some_are_answered_at_a_time_some_wait_and_the_rest_is_told_to_come_again() -> None:
    upstream = Upstream()
    upstream.let.clear()
    answers = answers_to(upstream, *[(CHAT, body())] * (AT_ONCE + WAITING + 5))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) == AT_ONCE + WAITING and statuses.count(429) == 5
    assert upstream.most == AT_ONCE


def test_a_server_that_is_gone_is_told_and_gives_its_turn_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    upstream = Upstream()
    monkeypatch.setattr(Upstream, "__call__", lambda self, request: gone(request))
    answers = answers_to(upstream, *[(CHAT, body())] * (AT_ONCE + 2))
    assert [answer.status_code for answer in answers] == [502] * (AT_ONCE + 2)
