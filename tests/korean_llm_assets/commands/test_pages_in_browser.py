"""Our pages as Dagster's web server shows them, in Chromium: they fit any screen, and their links lead on."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from dagster import DagsterInstance
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from korean_llm_assets.commands.webserver import guarded
from tests.korean_llm_assets.assets.test_release_page import CORPUS, PHONE, RULE, made
from tests.support.browser import assert_fits_and_is_accessible, on_every_screen
from tests.support.monitoring_servers import free_port
from trainers.contract import EvaluationDetails, GateResult
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.page import page
from trainers.contract.page_links import PAGE, where_to_go

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a release's page and two reports, and a page for Dagster's that says how it was asked."""
    home = tmp_path_factory.mktemp("pages")
    store = ArtifactStore(home / "artifacts")
    details = CORPUS.model_copy(update={"rules": [RULE] * 2, "changes": [PHONE], "by_source": {"가나다라" * 30: 60}})
    corpus = made(store, "corpus", "r2", details)
    made(store, "corpus", "r1", CORPUS.model_copy(update={"excluded": {"too_short": 1}}))
    gate = [GateResult(name="loops", passed=True, value=0.1, threshold=0.2, explanation="10%")]
    report = made(store, "evaluate", "r2", EvaluationDetails(suites={}, gate=gate), model="tiny")
    for manifest, title, inputs in ((corpus, "Corpus", {}), (report, "Evaluation", {"corpus": corpus})):
        html = page(title, [where_to_go(manifest.request, inputs, run="a" * 32)])
        (store.folder(manifest.request) / PAGE).write_text(html, encoding="utf-8")

    async def dagster(request: Request) -> HTMLResponse:
        return HTMLResponse(f"<p id=query>{request.url.path}?{request.url.query} {self_origin}</p>")

    self_origin = "<script>document.write(self.origin)</script>"
    with pytest.MonkeyPatch.context() as patch, DagsterInstance.ephemeral() as instance:
        patch.setenv("KOREAN_LLM_HOME", str(home))
        instance.add_dynamic_partitions("release", ["r1", "r2"])
        patch.setattr("korean_llm_assets.commands.webserver.DagsterInstance.get", lambda: Kept(instance))
        app = Starlette(routes=[Route("/assets/{asset}", dagster)], middleware=guarded([]))
        port = free_port()
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True
        thread.join()


class Kept:
    """An instance that outlives whoever opens it."""

    def __init__(self, instance: DagsterInstance):
        self._instance = instance

    def __enter__(self) -> DagsterInstance:
        return self._instance

    def __exit__(self, *error: object) -> None:
        pass


@on_every_screen
def test_a_releases_page_fits_and_is_accessible(browser: Any, address: str, width: int, theme: str) -> None:
    opened = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    opened.goto(f"{address}/releases/r2")
    assert_fits_and_is_accessible(opened, width)
    opened.close()


def test_from_the_release_to_the_report_to_the_asset_and_back(browser: Any, address: str) -> None:
    opened = browser.new_page(viewport={"width": 1600, "height": 900})
    opened.goto(f"{address}/releases/r2")
    assert opened.get_by_text("corpus: 60 of 100 kept").bounding_box()["y"] < 900, "on the first screen"
    opened.get_by_label("rule").select_option("exact_duplicate")
    dropped = opened.locator(".filtered tr:visible").all_inner_texts()
    assert [row.split("\t")[1] for row in dropped[1:]] == ["exact_duplicate"]
    opened.get_by_role("link", name="tiny: gate passed").click()
    assert opened.get_by_role("link", name="run in MLflow").get_attribute("href") == f"/tracking/{'a' * 32}"
    opened.get_by_role("link", name="report of corpus").click()
    assert "/reports/corpus/r2/" in opened.url and opened.get_by_role("heading", name="Corpus").is_visible()
    opened.get_by_role("link", name="the release").click()
    assert opened.get_by_role("heading", name="Release r2").is_visible()
    opened.get_by_role("link", name="the release before: r1").click()
    assert opened.get_by_role("heading", name="Release r1").is_visible()
    opened.get_by_role("link", name="asset corpus").click()
    query = opened.locator("#query").inner_text()
    assert query == f"/assets/corpus?view=partitions&partition=r1 {address}", "no sandbox goes along: its own origin"
    opened.close()
