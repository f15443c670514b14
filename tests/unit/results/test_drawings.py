"""Drawn figures: well-formed, escaped, inside their frame, at every width and by both renderers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from broker.results import FIGURES
from broker.results.figures import DARK, LIGHT, Absent, to_svg
from broker.results.figures.axes import bar_ticks, size_at, size_place, spaced
from broker.results.figures.canvas import cut, nice_ticks, text_width, wrapped
from broker.results.figures.plotted import plotted, save
from broker.results.figures.words import numbers
from tests.unit.results.grids import HOSTILE, grid, report
from tests.unit.results.lab import Lab, share

if TYPE_CHECKING:
    from pathlib import Path

    from broker.results import Report

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def drawn() -> Report:
    return report(grid().table())


@pytest.fixture(scope="module")
def hostile() -> Report:
    lab = Lab()
    lab.evaluate({"conversational": share(8)}, label=HOSTILE[0])
    for i, text in enumerate(HOSTILE[1:]):
        lab.evaluate({"conversational": share(20 + i)}, tuned=lab.tune(rows=10 * (i + 1), label=text))
    return report(lab.table())


@pytest.mark.parametrize("width", [300, 340, 560, 960, 1600])
@pytest.mark.parametrize("name", FIGURES)
def test_everything_lies_inside_the_frame(drawn: Report, name: str, width: int) -> None:
    figure = drawn.figure(name)
    assert not isinstance(figure, Absent)
    root = ElementTree.fromstring(to_svg(figure, width, palette=LIGHT, alone=True))
    height = float(root.get("height") or 0)
    assert float(root.get("width") or 0) == width
    for text in root.iter(f"{SVG}text"):
        if text.get("transform"):
            continue
        x, y, size = float(text.get("x") or 0), float(text.get("y") or 0), float(text.get("font-size") or 0)
        long = text_width(text.text or "", size, bold=text.get("font-weight") is not None)
        start = {"start": x, "middle": x - long / 2, "end": x - long}[text.get("text-anchor") or "start"]
        assert start >= -16.5, text.text
        assert start + long <= width - 16 + 16.5, text.text
        assert 0 < y < height, text.text
    for box in root.iter(f"{SVG}rect"):
        assert float(box.get("width") or 0) <= width
        assert float(box.get("height") or 0) > 0


@pytest.mark.parametrize("name", FIGURES)
def test_what_people_wrote_is_text(hostile: Report, name: str) -> None:
    figure = hostile.figure(name)
    if isinstance(figure, Absent):
        assert name == "similarity"
        return
    text = to_svg(figure, 960)
    root = ElementTree.fromstring(text)
    known = {"svg", "title", "desc", "text", "line", "rect", "path", "g"}
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= known
    assert not re.search(r"<script|onload=\"|<img", text)


def test_those_who_do_not_see_are_told(drawn: Report) -> None:
    figure = drawn.figure("bars")
    assert not isinstance(figure, Absent)
    root = ElementTree.fromstring(to_svg(figure, 960))
    assert root.get("role") == "img"
    ids = (root.get("aria-labelledby") or "").split()
    told = {element.get("id"): element.text for element in root.iter() if element.get("id")}
    assert told[ids[0]] == "conversational (Flesch ≥ 60): every model"
    assert "base bf16 20.0" in (told[ids[1]] or "")
    heads, rows = numbers(figure)
    assert len(rows) == len(drawn.table.rows)
    assert all(len(row) == len(heads) for row in rows)


def test_on_a_page_the_style_sheet_says_the_colours(drawn: Report) -> None:
    figure = drawn.figure("size")
    assert not isinstance(figure, Absent)
    colours = set(re.findall(r'(?:fill|stroke)="([^"]+)"', to_svg(figure, 960)))
    assert {colour for colour in colours if not colour.startswith("var(--")} == {"none"}
    alone = set(re.findall(r'(?:fill|stroke)="([^"]+)"', to_svg(figure, 960, palette=DARK, alone=True)))
    assert not {colour for colour in alone if "var(" in colour}


@pytest.mark.parametrize(("ending", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
@pytest.mark.parametrize("name", FIGURES)
def test_matplotlib_draws_the_same_values(drawn: Report, tmp_path: Path, name: str, ending: str, magic: bytes) -> None:
    figure = drawn.figure(name)
    assert not isinstance(figure, Absent)
    path = tmp_path / f"{name}{ending}"
    save(figure, path, 800, palette=DARK)
    assert path.read_bytes().startswith(magic)
    if ending == ".png":
        assert int.from_bytes(path.read_bytes()[16:20], "big") == 1600  # twice as sharp


def test_a_narrow_picture_is_a_wider_one_made_smaller(drawn: Report, tmp_path: Path) -> None:
    figure = drawn.figure("forest")
    assert not isinstance(figure, Absent)
    sizes: list[tuple[int, int]] = []
    for width in (300, 500):
        save(figure, tmp_path / "forest.png", width)
        head = (tmp_path / "forest.png").read_bytes()
        sizes.append((int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")))
    (narrow, low), (wide, high) = sizes
    assert (narrow, wide) == (600, 1000)
    assert low / high == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize("width", [400, 960])
@pytest.mark.parametrize("name", FIGURES)
def test_long_names_leave_room_for_what_is_plotted(name: str, width: int) -> None:
    lab = Lab()
    lab.evaluate({"conversational": share(8), "similarity": [0.5 + i / 100 for i in range(40)]}, label="base " * 40)
    for rows in (10, 100, 1000):
        job = lab.tune(rows=rows, label=f"a name without an end {rows} " * 9, parameters={"suffix": "x" * 200})
        lab.evaluate({"conversational": share(20), "similarity": [0.6 + i / 100 for i in range(40)]}, tuned=job)
    figure = report(lab.table()).figure(name)
    assert not isinstance(figure, Absent)
    plot = plotted(figure, width)
    plot.draw_without_rendering()
    assert plot.axes[0].get_position().width > 0.2
    for text in (*plot.texts, *(words for each in plot.legends for words in each.get_texts())):
        assert text.get_window_extent().x1 <= width + 1, text.get_text()


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 100, [0, 25, 50, 75, 100]),
        (0.61, 0.69, [0.6, 0.62, 0.64, 0.66, 0.68, 0.7]),
        (-77, 84, [-100, -50, 0, 50, 100]),
        (5, 5, [4, 6, 8, 10]),
        (0, 0, [0, 0.25, 0.5, 0.75, 1]),
    ],
)
def test_ticks_are_round_and_span_the_data(low: float, high: float, ticks: list[float]) -> None:
    made = nice_ticks(low, high)
    assert made[0] <= low <= high <= made[-1]
    assert made == ticks


def test_sizes_have_places_from_zero_on() -> None:
    places = [size_place(size, 100) for size in (0, 100, 1000, 9000)]
    assert places[0] == 0
    assert places == sorted(places)
    assert [round(size_at(place, 100)) for place in places] == [0, 100, 1000, 9000]


def test_ticks_that_would_touch_are_left_out_but_for_the_ends() -> None:
    assert [tick for tick, _ in spaced([0, 10, 20, 9000], [0, 4, 60, 100], 11)] == [0, 60, 9000] or [
        tick for tick, _ in spaced([0, 10, 20, 9000], [0, 4, 60, 100], 11)
    ] == [0, 20, 9000]


@pytest.mark.parametrize("room", [20, 60, 120, 400])
@pytest.mark.parametrize(
    "words", ["precision=bf16, lr=0.0002, rank=64, train=train_100.jsonl", "short", "", "漢字" * 30]
)
def test_cut_words_fit_and_keep_both_ends(words: str, room: float) -> None:
    made = cut(words, room)
    assert text_width(made) <= max(room, text_width("…"))
    if "…" in made and len(made) > 4:
        assert made[0] == words[0]
        assert made[-1] == words[-1]
    assert all(text_width(line) <= max(room, text_width("…")) for line in wrapped(words, room, 2))


def test_bars_of_negative_means_reach_from_zero(lab: Lab) -> None:
    lab.evaluate({"flesch": [-20.0, -30.0, -10.0]})
    figure = report(lab.table(), prompts=3).figure("bars")
    assert not isinstance(figure, Absent)
    ticks = bar_ticks(figure)  # type: ignore[arg-type]
    assert ticks[0] < 0
    assert ticks[-1] >= 0
    ElementTree.fromstring(to_svg(figure, 400))
