"""A blind vote as people hold it: in a real browser by keyboard; then in the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.providers.contract import Answer
from broker.voting import Booth, VoteBook, make_ballot
from tests.fakes.browser import chromium
from tests.fakes.terminal import Terminal
from tests.fakes.vote_hall import MODELS, HallProcess, holding
from tests.unit.voting.poll import PAIR, answers, ballot, questions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """A terminal where one model was tuned and judged on six prompts; the browser's driver needs this thread's loop."""
    made = Terminal(tmp_path, capsys)
    data = ("--train", "train.jsonl", "--validation", "validation.jsonl", "--metric", "length")
    assert made.process("submit", "--provider", "fake", *data, "--experiment", "tone").code == 0
    return made


class Seat:
    """A voter in front of the page."""

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.errors: list[str] = []
        self.requests: set[str] = set()
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.add("/".join(request.url.split("/")[:3])))

    def open(self, link: str) -> None:
        self.page.goto(link)
        self.page.wait_for_selector("#vote:not([hidden]), #thanks:not([hidden])")

    @property
    def done(self) -> int:
        return int(self.page.evaluate("document.getElementById('bar').value"))

    def press(self, key: str, done: int) -> None:
        """Press a key, and wait until so many questions are done."""
        self.page.keyboard.press(key)
        self.page.wait_for_function("n => document.getElementById('bar').value === n && !busy", arg=done)

    def warm_key(self) -> str:
        """Return the key of the tuned model's answer, as a reader knows it by its words."""
        first, second = (self.page.inner_text(f"#{side}") for side in ("first", "second"))
        assert first != second
        return "2" if first.startswith("The aforementioned") else "1"


@pytest.mark.slow
def test_a_whole_vote_by_keyboard_and_its_place_in_the_table(terminal: Terminal, browser: Browser) -> None:
    hall = HallProcess(terminal)
    (link,) = hall.told["links"]
    assert (hall.told["everybody"], hall.told["prompts"]) == (True, 6)
    with browser.new_context() as one, browser.new_context() as other:
        ann, bob = Seat(one), Seat(other)
        for seat in (ann, bob):
            seat.page.goto(link)
            seat.page.keyboard.press("Tab")
            seat.page.keyboard.press("Enter")
            seat.page.wait_for_selector("#vote:not([hidden])")
        assert ann.page.url != bob.page.url
        sides = []
        for i in range(3):
            assert ann.page.inner_text("#asked").lower() == f"question {i + 1} of 6"
            sides.append(ann.warm_key())
            ann.press(ann.warm_key(), i + 1)
            bob.press("=" if i else bob.warm_key(), i + 1)
        question = ann.page.inner_text("#question")
        ann.press("u", 2)
        assert ann.page.inner_text("#question") != question
        assert ann.page.inner_text("#news") == "Taken back."
        ann.page.reload()
        ann.page.wait_for_selector("#vote:not([hidden])")
        assert (ann.done, ann.page.inner_text("#asked").lower()) == (2, "question 3 of 6")
        ann.press("s", 3)
        ann.press(ann.warm_key(), 4)
        ann.press("t", 5)
        ann.press(ann.warm_key(), 6)
        assert ann.page.inner_text("#done") == "Thank you"
        assert ann.page.is_hidden("#vote")
        ann.press("u", 5)
        ann.press(ann.warm_key(), 6)
        assert {*sides} <= {"1", "2"}
        assert ann.errors == bob.errors == []
        assert ann.requests | bob.requests == {"/".join(link.split("/")[:3])}
    (result,) = hall.end()
    panel = result["panel"]
    assert (panel["voters"], panel["votes"], panel["skipped"], panel["ties"]) == (2, 8, 1, 3)
    tuned_is_left = result["left_label"] == MODELS[1]
    assert (panel["left"], panel["right"]) == ((5, 0) if tuned_is_left else (0, 5))
    table = terminal.process("results", "tone", "--json").data
    assert table["preferences"] == [result]
    assert "Preference, by 2 voters" in " ".join(terminal.process("results", "tone").out.split())


@pytest.mark.slow
def test_a_killed_server_loses_no_vote(terminal: Terminal, browser: Browser) -> None:
    hall = HallProcess(terminal, "--voters", "1")
    (link,) = hall.told["links"]
    with browser.new_context() as context:
        ann = Seat(context)
        ann.open(link)
        for i in range(3):
            ann.press("1", i + 1)
        hall.kill()
        ann.page.keyboard.press("2")
        ann.page.wait_for_selector("#news.shown")
        assert "cannot be reached" in ann.page.inner_text("#news")
        assert ann.done == 3
        assert len(terminal.process("vote", "--results", "--json").data) == 1
        again = HallProcess(terminal, "--voters", "1")
        assert again.told["links"][0].split("/")[2] == link.split("/")[2], "the same port, so that links hold"
        ann.press("2", 4)
        assert ann.page.get_attribute("#news", "class") == "news"
        ann.page.reload()
        ann.page.wait_for_selector("#vote:not([hidden])")
        assert ann.done == 4
    (result,) = again.end()
    assert result["panel"]["votes"] == 4


def test_what_models_write_stays_text(tmp_path: Path, browser: Browser) -> None:
    made = answers(1, "warm")
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>\n&lt;b&gt;"
    made["0"] = Answer(id="0", text=evil)
    booth = Booth(make_ballot(PAIR, questions(1), made, answers(1, "cool")), VoteBook(tmp_path))
    with holding(booth) as held, browser.new_context() as context:
        seat = Seat(context)
        seat.open(held.url + held.link())
        shown = {seat.page.inner_text("#first"), seat.page.inner_text("#second")}
        assert evil in shown
        assert seat.page.title() == "Two answers"
        assert seat.page.locator("main img, main script, main b").count() == 0
        assert seat.errors == []


@pytest.mark.parametrize(("width", "columns"), [(1200, 2), (390, 1), (320, 1)])
def test_the_page_fits_and_can_be_used_without_a_mouse(
    tmp_path: Path, browser: Browser, width: int, columns: int
) -> None:
    long = answers(3, "warm")
    long["0"] = Answer(id="0", text="averyverylongwordwithoutanyplacetobreakit" * 12 + "\n\nEnd.")
    booth = Booth(make_ballot(PAIR, questions(3), long, answers(3, "cool")), VoteBook(tmp_path))
    with holding(booth) as held, browser.new_context(viewport={"width": width, "height": 700}) as context:
        seat = Seat(context)
        seat.open(held.url + held.link())
        page = seat.page
        for i in range(3):
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            tops = [box["y"] for side in ("first", "second") if (box := page.locator(f"#{side}").bounding_box())]
            assert len({round(top) for top in tops}) == (1 if columns == 2 else 2)
            assert page.evaluate("document.activeElement.id") == "asked"
            names = [button.inner_text().split("\n")[0] for button in page.get_by_role("button").all()]
            assert names == ["Answer 1", "Equal", "Answer 2", "Undo", "Skip"]
            seat.press("1", i + 1)
        assert page.evaluate("document.activeElement.id") == "done"
        page.keyboard.press("1")
        page.keyboard.press("Control+u")
        assert (seat.done, len(booth.book.votes())) == (3, 3)


def test_a_browser_that_joined_goes_on_as_the_same_voter(tmp_path: Path, browser: Browser) -> None:
    booth = Booth(ballot(3), VoteBook(tmp_path))
    with holding(booth) as held, browser.new_context() as context:
        seat, link = Seat(context), f"{held.url}/join/{booth.book.invite()}"
        homes = []
        for word in ("Begin", "Go on"):
            seat.page.goto(link)
            assert seat.page.inner_text("#begin") == word
            seat.page.click("#begin")
            seat.page.wait_for_selector("#vote:not([hidden])")
            homes.append(seat.page.url)
        assert homes[0] == homes[1]
        assert len(booth.book.voters()) == 1
