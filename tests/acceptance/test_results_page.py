"""The results page in a real browser: it asks nobody, runs nothing that a model wrote, sorts, reads by keyboard."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from broker.jobs.states import State
from broker.results import Report, to_page
from tests.fakes.browser import chromium
from tests.unit.results.grids import HOSTILE, grid, report
from tests.unit.results.lab import Lab, share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Literal

    from playwright.sync_api import Browser, BrowserContext, Page

    Scheme = Literal["light", "dark"]

LABELS = """() => [...document.querySelectorAll("#results tbody tr:not(.group)")]
    .filter(row => !row.hidden).map(row => row.cells[0].dataset.v)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def hostile() -> Report:
    lab = Lab()
    lab.experiment = replace(lab.experiment, name=f"tone {HOSTILE[1]}")
    lab.evaluate({"conversational": share(8), "length": [3.0] * 40}, label=HOSTILE[0])
    for i, text in enumerate(HOSTILE):
        lab.evaluate({"conversational": share(20 + i)}, tuned=lab.tune(label=text, rows=10 * (i + 1)))
    return report(lab.table(), texts=HOSTILE)


@pytest.fixture(scope="module")
def usual() -> Report:
    return report(grid().table())


@pytest.fixture(scope="module")
def unfinished() -> Report:
    lab = Lab()
    lab.evaluate({"conversational": share(8)})
    lab.evaluate({"conversational": share(39)}, tuned=lab.tune())
    lab.tune(state=State.FAILED, label="failed")
    lab.evaluate(tuned=lab.tune(label="running"), state=State.RUNNING)
    return report(lab.table())


class Visit:
    """A page that somebody looks at, with everything that it said and asked for."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("dialog", lambda dialog: self.said.append(dialog.message))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(address)
        page.wait_for_selector("#browser:not([hidden])")

    def see(self, code: str, *arguments: Any) -> Any:
        return self.page.evaluate(code, *arguments)

    def until(self, code: str) -> None:
        """Wait until something is so; the page's policy lets nobody wait inside it."""
        end = time.monotonic() + 10
        while not self.see(code):
            assert time.monotonic() < end, code
            self.page.wait_for_timeout(20)

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)

    @property
    def labels(self) -> list[str]:
        found: list[str] = self.see(LABELS)
        return found

    @property
    def row(self) -> int:
        """Return the validation row that is shown."""
        return int(self.text("#place").rsplit(" ", 1)[1])

    @property
    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        return int(self.see("document.documentElement.scrollWidth - innerWidth"))


@pytest.fixture
def visit(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Visit]]:
    contexts: list[BrowserContext] = []

    def opened(shown: Report, *, width: int = 1400, scheme: Scheme = "light") -> Visit:
        path = tmp_path / f"page-{len(contexts)}.html"
        path.write_text(to_page(shown), encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        return Visit(context.new_page(), path.as_uri())

    yield opened
    for context in contexts:
        context.close()


def test_it_asks_nobody_and_says_nothing(visit: Callable[..., Visit], usual: Report) -> None:
    page = visit(usual)
    for key in "jjk":
        page.page.keyboard.press(key)
    page.page.click("#theme")
    assert page.said == []
    assert page.asked == [page.page.url]


def test_what_models_wrote_is_inert(visit: Callable[..., Visit], hostile: Report) -> None:
    page = visit(hostile)
    title = f"Results of tone {HOSTILE[1]}"
    for _ in range(len(HOSTILE) + 1):
        page.page.keyboard.press("j")
    page.page.fill("#search", "<script>")
    assert "<script>" in page.text("#prompt")
    assert page.said == []
    assert page.asked == [page.page.url]
    assert page.page.title() == title
    assert page.see("document.querySelectorAll('script').length") == 2
    assert page.see("document.querySelectorAll('img, svg[onload]').length") == 0


def test_the_policy_stops_a_script_that_came_in_after_all(visit: Callable[..., Visit], usual: Report) -> None:
    page = visit(usual)
    server = socket.create_server(("127.0.0.1", 0))
    server.setblocking(False)
    page.see(
        """port => { const script = document.createElement("script"); script.textContent = "document.title = 'owned'";
        document.body.append(script); document.body.insertAdjacentHTML("beforeend",
        "<img src=x onerror=\\"document.title = 'owned'\\"><img src=http://127.0.0.1:" + port + "/>"); }""",
        server.getsockname()[1],
    )
    page.until("document.images.length === 2 && [...document.images].every(each => each.complete)")
    assert page.page.title() == "Results of tone"
    assert any("Content Security Policy" in words for words in page.said)
    with pytest.raises(BlockingIOError), server:
        server.accept()


def test_every_answer_is_shown_as_it_was(visit: Callable[..., Visit], hostile: Report) -> None:
    page = visit(hostile)
    page.page.select_option("#order", "number")
    prompt = hostile.answers.prompts[0]
    assert page.row == 1
    shown = page.see("[...document.querySelectorAll('.answers .words')].map(each => each.textContent)")
    assert set(shown) <= {answer.text for answer in prompt.answers.values()}
    assert len(shown) == 4


def test_a_click_on_a_head_sorts(visit: Callable[..., Visit], usual: Report) -> None:
    page = visit(usual)
    before = page.labels
    values = {row.label: row.cells["conversational"].value or 0.0 for row in usual.table.rows}
    head = page.page.locator("#results thead th", has_text="conversational")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"  # the better way round first
    assert [values[label] for label in page.labels] == sorted(values.values(), reverse=True)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert [values[label] for label in page.labels] == sorted(values.values())
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") is None
    assert page.labels == before


def test_rows_without_a_number_are_sorted_last(visit: Callable[..., Visit], unfinished: Report) -> None:
    page = visit(unfinished)
    head = page.page.locator("#results thead th", has_text="conversational").locator("button")
    for _ in range(2):
        head.click()
        assert set(page.labels[-2:]) == {"failed", "running"}


def test_a_model_is_found(visit: Callable[..., Visit], usual: Report) -> None:
    page = visit(usual)
    page.page.fill("#models", "BASE INT8")
    assert page.labels == ["base int8"]


def test_answers_are_read_by_keyboard(visit: Callable[..., Visit], usual: Report) -> None:
    page = visit(usual)
    page.page.select_option("#order", "number")
    assert page.page.evaluate("document.activeElement.blur()") is None
    rows = [page.row]
    for key in "jjk":
        page.page.keyboard.press(key)
        rows.append(page.row)
    assert rows == [1, 2, 3, 2]
    assert "question 2" in page.text("#prompt")
    page.page.keyboard.press("/")
    page.page.keyboard.type("question 17")
    assert page.text("#place") == "1 of 1 · row 17"
    page.page.keyboard.press("Escape")
    page.page.keyboard.press("j")
    assert page.row == 17  # there is no other
    assert page.see("document.querySelector('mark').textContent") == "question 17"


def test_a_page_opens_at_its_head_and_stays_where_its_reader_is(visit: Callable[..., Visit], usual: Report) -> None:
    page = visit(usual)
    page.see("document.documentElement.style.scrollBehavior = 'auto'")
    page.page.wait_for_timeout(100)
    assert page.see("scrollY") == 0
    page.page.select_option("#order", "number")
    page.see("document.getElementById('answers').scrollIntoView()")
    there = page.see("scrollY")
    for _ in range(30):
        page.page.keyboard.press("j")
    assert page.see("scrollY") == there
    assert page.see(
        """() => { const list = document.getElementById("index").getBoundingClientRect();
        const item = document.querySelector("#index [aria-current]").getBoundingClientRect();
        return item.top >= list.top - 1 && item.bottom <= list.bottom + 1; }"""
    )


def test_reading_brings_the_answers_into_view(visit: Callable[..., Visit], usual: Report) -> None:
    page = visit(usual)
    assert page.see("document.getElementById('browser').getBoundingClientRect().top > innerHeight")
    page.page.keyboard.press("j")
    page.until("document.getElementById('browser').getBoundingClientRect().top < innerHeight")


def test_orders_are_by_the_chosen_models(visit: Callable[..., Visit], usual: Report) -> None:
    page = visit(usual)
    keys = [row.key for row in usual.table.rows]
    tuned = next(i for i, row in enumerate(usual.table.rows) if row.kind == "tuned")
    page.page.click("#chooser summary")
    boxes = page.page.locator(".choices input")
    for i in range(boxes.count()):
        boxes.nth(i).set_checked(i == tuned)
    page.page.select_option("#metric", label="conversational")

    def score(number: int, key: str) -> float:
        return usual.answers.prompts[number - 1].answers[key].scores["conversational"] or 0.0

    base = next(row.bases[0] for row in usual.table.rows if row.key == keys[tuned])
    assert score(page.row, keys[tuned]) == 0.0
    page.page.select_option("#order", "improved")
    assert score(page.row, keys[tuned]) - score(page.row, base) == max(
        score(prompt.number, keys[tuned]) - score(prompt.number, base) for prompt in usual.answers.prompts
    )
    assert page.see("document.querySelectorAll('.answers .card').length") == 1


def test_failures_come_first_and_say_why(visit: Callable[..., Visit], unfinished: Report) -> None:
    shown = unfinished
    prompts = list(shown.answers.prompts)
    key = next(row.key for row in shown.table.rows if row.kind == "tuned" and row.n)
    failed = replace(prompts[30].answers[key], text="", failure="the server <b>hung up</b>", scores={})
    prompts[30] = replace(prompts[30], answers={**prompts[30].answers, key: failed})
    page = visit(replace(shown, answers=replace(shown.answers, prompts=tuple(prompts))))
    assert page.row == 31
    assert "no answer: the server <b>hung up</b>" in page.text("#prompt")


def test_thousands_of_prompts_are_not_drawn_at_once(visit: Callable[..., Visit], unfinished: Report) -> None:
    page = visit(report(unfinished.table, prompts=5000))
    assert page.text("#place").startswith("1 of 5000")
    assert page.see("document.querySelectorAll('#browser *').length") < 600
    page.page.click("#later")
    assert page.text("#pages") == "41–80"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_window_scrolls_sideways(
    visit: Callable[..., Visit], usual: Report, hostile: Report, scheme: Scheme
) -> None:
    drawings = "[...document.querySelectorAll('figure svg')].filter(each => each.getBoundingClientRect().width)"
    for shown in (usual, hostile):
        page = visit(shown, scheme=scheme)
        page.see("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        for width in (320, 375, 768, 1024, 1400):
            page.page.set_viewport_size({"width": width, "height": 900})
            assert page.overflow <= 0, width
            assert page.see(f"{drawings}.length") > 0
            assert page.see(f"{drawings}.every(each => each.getBoundingClientRect().right <= innerWidth)"), width
            words = "[...document.querySelectorAll('figure svg text')]"
            assert page.see(f"{words}.every(each => each.getBoundingClientRect().right <= innerWidth)"), width


def _contrast(first: str, second: str) -> float:
    """Return the contrast of two `rgb(…)` colours, by WCAG 2."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_can_be_read(visit: Callable[..., Visit], usual: Report, scheme: Scheme) -> None:
    page = visit(usual, scheme=scheme)
    back = page.see("getComputedStyle(document.body).backgroundColor")
    for selector in ("body", ".muted", "figure svg text", "td.best b", "nav a", "figcaption"):
        style = "color" if "svg" not in selector else "fill"
        colour = page.see(f"getComputedStyle(document.querySelector('{selector}')).{style}")
        assert _contrast(colour, back) >= 4.5, selector
    before = back
    page.page.click("#theme")
    assert page.see("getComputedStyle(document.body).backgroundColor") != before


def test_on_paper_it_is_light_and_without_what_one_clicks(visit: Callable[..., Visit], usual: Report) -> None:
    page = visit(usual, width=794, scheme="dark")
    page.page.emulate_media(media="print")
    assert page.see("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for selector in (".tools", ".steps", "#theme", "nav"):
        assert page.see(f"getComputedStyle(document.querySelector('{selector}')).display") == "none"
    assert page.see("document.querySelector('section > details figure').getBoundingClientRect().height") > 50
    assert page.overflow <= 0
    assert page.page.pdf(format="A4")[:4] == b"%PDF"


def test_the_page_works_without_its_script(browser: Browser, tmp_path: Path, usual: Report) -> None:
    path = tmp_path / "page.html"
    path.write_text(to_page(usual), encoding="utf-8")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.locator("#results tbody tr").count() == len(usual.table.rows)
    assert page.locator("figure svg:visible").count() >= 4
    assert "needs the page's script" in page.inner_text("#answers")
    context.close()


def test_everything_that_one_operates_has_a_name(visit: Callable[..., Visit], usual: Report) -> None:
    page = visit(usual)
    page.see("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    nameless = page.see(
        """[...document.querySelectorAll("button, select, input, summary, a, [role=region]")].filter(each => {
        const label = each.getAttribute("aria-label") ?? each.labels?.[0]?.textContent ?? each.textContent;
        return !/[a-z0-9]/i.test(label); }).map(each => each.outerHTML)"""
    )
    assert nameless == []
    levels = page.see("[...document.querySelectorAll('h1, h2, h3, h4')].map(each => Number(each.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.see("[...document.querySelectorAll('table th')].every(each => each.scope)")
