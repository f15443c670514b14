"""The page of a data report in a real browser: light and dark, wide and narrow, asking nobody."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import pytest

from broker.jobs.datasets.reading import read_dataset
from broker.sandbox import preference_rows, rows
from broker.synthesis.inspection import build_report
from broker.synthesis.page import to_page
from tests.fakes.browser import chromium

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    from broker.synthesis.report import DataReport

HOSTILE = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
COLOUR = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def page_file(tmp_path: Path) -> Path:
    reports: list[DataReport] = []
    made: dict[str, list[dict[str, Any]]] = {"chat": rows("casual", 60), "pairs": preference_rows(40)}
    made["chat"][0]["messages"][0]["content"] = HOSTILE
    for name, content in made.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
        dataset = read_dataset(path)
        reports.append(build_report(name, dataset, samples=60))
    written = tmp_path / "report.html"
    written.write_text(to_page(reports), encoding="utf-8")
    return written


@pytest.mark.parametrize("width", [400, 1200])
def test_nothing_is_cut_off_and_nothing_is_asked(page_file: Path, browser: Browser, width: int) -> None:
    with browser.new_context(viewport={"width": width, "height": 900}) as context:
        page = context.new_page()
        asked: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(page_file.as_uri())
        assert asked == [page_file.as_uri()]
        assert complaints == []
        assert page.title() == "Data report: 2 data sets"
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.locator("figure svg rect").count() > 20
        assert page.get_by_text(HOSTILE).count() >= 1


def test_bars_stand_inside_their_frame_and_add_up(page_file: Path, browser: Browser) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(page_file.as_uri())
        for svg in page.locator("#r0 figure svg").all():
            frame = svg.bounding_box()
            assert frame is not None
            boxes = [box for bar in svg.locator("rect").all() if (box := bar.bounding_box()) is not None]
            assert all(
                frame["x"] <= box["x"] and box["x"] + box["width"] <= frame["x"] + frame["width"] for box in boxes
            )
            hints = svg.locator("rect title").all_text_contents()
            assert sum(int(hint.split(": ")[1].split(" of ")[0].replace(",", "")) for hint in hints) == 60


def test_it_follows_the_readers_scheme(page_file: Path, browser: Browser) -> None:
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    colours: list[str] = []
    for scheme in schemes:
        with browser.new_context(color_scheme=scheme) as context:
            page = context.new_page()
            page.goto(page_file.as_uri())
            colours.append(page.evaluate(COLOUR))
    assert colours == ["rgb(255, 255, 255)", "rgb(22, 24, 27)"]
