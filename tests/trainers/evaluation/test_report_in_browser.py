"""The report's page in Chromium: narrow and wide, light and dark, both languages, and for those who do not see it."""

import re
from pathlib import Path

import pytest

from tests.support.browser import assert_fits_and_is_accessible, on_every_screen
from tests.trainers.evaluation.test_gate import FULL, accuracy, results
from trainers.contract import (
    Attempt,
    CorpusDetails,
    Environment,
    FileRecord,
    GpuSeconds,
    Interval,
    Manifest,
    StageRequest,
    TrainingDetails,
)
from trainers.contract.page_links import PAGE, where_to_go
from trainers.evaluation.gate import PREFERENCE, apply_gate
from trainers.evaluation.releases import ReleaseFigures
from trainers.evaluation.report import Report, Sample
from trainers.evaluation.report_page import report_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def manifests() -> dict[str, Manifest]:
    """Of what the report is made from: a corpus, and a training that took two hours of eight GPUs."""
    corpus = CorpusDetails(
        **{"read": 3078, "kept": 2810, "train_documents": 2700, "validation_documents": 110, "characters": 9},
        **{"bytes": 2_000_000, "words": 3, "excluded": {"near_duplicate": 200, "too_short": 68}},
    )
    curve = [(step, 10.0 / step) for step in range(1, 20)]
    training = TrainingDetails(
        **{"method": "lora", "backend": "transformers", "steps": 20, "epochs": 1.0, "tokens_seen": 9},
        **{"tokens_trained": 9, "trainable_parameters": 9, "tokenizer_hash": "t"},
        curves=dict.fromkeys(("grad_norm", "tokens_per_second"), curve),
    )
    made = {}
    for stage, details in (("corpus", corpus), ("sft", training)):
        request = StageRequest(
            stage=stage, stage_version=1, model="tiny" if stage == "sft" else None, release="2026-11"
        )
        made[request.asset] = Manifest(
            request=request,
            request_digest=request.digest,
            files=(FileRecord(path=PAGE, size=1, sha256="0" * 64),) if stage == "corpus" else (),
            metrics={},
            details=details,
            attempts=[Attempt(number=1, started=0.0, ended=7200.0)],
            timings={"seconds": 7200.0},
            gpu_seconds=GpuSeconds(used=8 * 7200.0 if stage == "sft" else 0.0),
            environment=Environment(commit="c0ffee"),
        )
    return made


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    suites = {f"suite-{n}/{'긴이름' * 6}": n * 7 % 100 for n in range(6)}
    more = {
        stage: [row for suite, right in suites.items() for row in accuracy(suite, (right + shift) % 100)]
        for stage, shift in (("base", 0), ("rlhf", 30))
    }
    table = results(sft_right=90, champion_right=40)
    for stage, rows in more.items():
        for row in rows:
            table._rows.setdefault((row.suite, stage), {})[f"{row.suite}\0{row.item}"] = row
            table.measures[row.suite] = "accuracy"
    replies = dict.fromkeys(("base", "cpt", "sft", "rlhf"), "대한민국의수도는서울이며" * 12)
    report = Report(
        title="Evaluation of tiny|2026-11",
        results=table,
        gate=apply_gate(FULL, table, []),
        samples=[Sample("수도는 어디인가요?" * 8, "서울", replies)],
        losses={"cpt": [(step, 3 / step) for step in range(1, 40)]},
        held_out={"cpt": [(20, 1.0), (39, 0.8)]},
        facts={"model": "tiny", "release": "2026-11", "input corpus": "0" * 64},
    )
    page = tmp_path_factory.mktemp("report") / "report.html"
    earlier = [ReleaseFigures("2026-10", {PREFERENCE: Interval(value=0.6, low=0.5, high=0.7, n=100)})]
    request = StageRequest(stage="evaluate", stage_version=1, model="tiny", release="2026-11")
    links = [where_to_go(request, manifests(), run="a" * 32)]
    html = report_page(report, {("ask", "061"): "질문입니다 061?"}, manifests(), earlier, links)
    page.write_text(html, encoding="utf-8")
    assert page.stat().st_size < 1_000_000
    return page.as_uri()


@on_every_screen
def test_the_page_fits_and_is_accessible(browser, address, tmp_path, width, theme):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    page.goto(address)
    ground, ink = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert (ground == "rgb(255, 255, 255)") is (theme == "light") and ground != ink
    assert_fits_and_is_accessible(page, width)
    page.screenshot(path=tmp_path / f"report-{width}-{theme}.png", full_page=True)
    page.close()


def test_the_reader_chooses_the_language_and_the_verdict_stands_on_the_first_screen(browser, address):
    page = browser.new_page(viewport={"width": 1600, "height": 900})
    page.goto(address)
    verdict = page.locator(".verdict")
    assert "champion" in verdict.inner_text() and "챔피언" not in verdict.inner_text()
    assert verdict.bounding_box()["y"] < 300
    worse = page.get_by_text("ask: rlhf is worse than sft", exact=False)
    assert worse.bounding_box()["y"] < 900, "on the first screen"
    links = page.get_by_role("link").all()
    assert [link.inner_text() for link in links] == [
        *("runs and checks of this", "the release", "report of corpus", "deployed_model", "run in MLflow")
    ]
    assert all(link.bounding_box()["y"] < 900 for link in links)
    page.get_by_label("한국어").check()
    assert "챔피언" in verdict.inner_text() and "champion" not in verdict.inner_text()
    page.close()


@pytest.mark.parametrize(
    ("question", "heading", "answer"),
    (
        ("did it get better?", None, r"the champion: of \d+ suites \d+ better, \d+ worse"),
        ("is it safe to promote?", "Gate", r"NOT MET: \w+|met: \w+"),
        ("what data made it?", "What data made it", r"2026-11 \(corpus .*documents kept\s+2,810.*near_duplicate\s+200"),
        ("what did it cost?", "What it took", r"sft_model\s+120\.0\s+16\.00\s+1"),
        ("what should I do now?", "What to do now", r"Next: "),
    ),
    ids=lambda value: str(value)[:30],
)
def test_five_questions_are_answered_from_the_page_alone(browser, address, question, heading, answer):
    page = browser.new_page(viewport={"width": 1600, "height": 900})
    page.goto(address)
    part = page.locator(".verdict") if heading is None else page.get_by_role("heading", name=heading, exact=True)
    below = "" if heading is None else part.locator("xpath=following-sibling::*[1]").inner_text()
    assert re.search(answer, below or part.inner_text(), re.DOTALL), question
    assert part.bounding_box()["y"] < 3 * 900, "near the top: before the figures in full"
    page.close()


def test_the_line_over_releases_the_curves_and_the_guess_are_drawn(browser, address):
    page = browser.new_page(viewport={"width": 1600, "height": 900})
    page.goto(address)
    names = page.locator("svg").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
    assert {"better reply put first", "sft: grad norm by step", "sft: tokens per second by step"} <= set(names)
    line = page.get_by_role("img", name="better reply put first")
    assert {"2026-10", "2026-11"} <= set(line.locator("text").all_text_contents())
    assert "c0ffee" in page.locator("tr", has_text="code of sft_model").text_content()
    page.close()


def test_flips_are_searched_and_filtered_with_their_question_and_without_scripts_nothing_dead_is_shown(
    browser, address
):
    page = browser.new_page(viewport={"width": 1600, "height": 900})
    page.goto(address)
    flips = page.locator("details", has_text="Items that changed sides")
    assert not flips.get_by_role("searchbox").is_visible(), "folded"
    flips.locator("summary").click()
    rows = flips.locator("tr:visible")
    every = rows.count()
    flips.get_by_label("way").select_option("wrong to right")
    won = rows.count()
    assert 1 < won < every and set(flips.locator("tr:visible td:nth-child(3)").all_inner_texts()) == {"wrong to right"}
    flips.get_by_label("search").fill("질문입니다 061")
    questions = flips.locator("tr:visible td:nth-child(5)").all_inner_texts()
    assert 0 < len(questions) < won and set(questions) == {"질문입니다 061?"}
    assert flips.locator("output").inner_text() == f"{len(questions)} / {every - 1}"
    page.close()
    quiet = browser.new_page(java_script_enabled=False)
    quiet.goto(address)
    quiet.locator("details", has_text="Items that changed sides").locator("summary").click()
    assert quiet.locator("form:visible").count() == 0
    quiet.close()


def test_a_script_of_another_digest_does_not_run(browser, address, tmp_path_factory):
    page = browser.new_page()
    messages = []
    page.on("console", lambda message: messages.append(message.text))
    hostile = tmp_path_factory.mktemp("hostile") / "report.html"
    html = Path(address.removeprefix("file://")).read_text(encoding="utf-8")
    hostile.write_text(html.replace("</main>", "<script>document.title = 'run'</script></main>"), encoding="utf-8")
    page.goto(hostile.as_uri())
    assert page.title() != "run" and any("Content Security Policy" in message for message in messages)
    page.close()


def test_no_short_cell_breaks_inside_a_word(browser, address):
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(address)
    lines = page.evaluate(
        "[...document.querySelectorAll('th')].filter(t => t.innerText && !t.innerText.includes(' ')).map(t => {"
        "const text = document.createRange(); text.selectNodeContents(t);"
        "return [t.innerText, new Set([...text.getClientRects()].map(part => Math.round(part.top))).size] })"
    )
    assert lines and not [word for word, count in lines if count > 1]
    page.close()
