"""`broker results --html` and `broker plot`, as a person types them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.cli.plot import FigureName
from broker.cli.results import file_name
from broker.results import FIGURES
from tests.fakes.terminal import at_screen

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.terminal import Terminal


@pytest.fixture
def done(terminal: Terminal, kept: Path) -> Terminal:
    """A terminal where models of two sizes of training set were made and judged."""

    def make() -> None:
        assert terminal.submit("--experiment", "tone", "--metric", "length").code == 0
        terminal.write("few.jsonl", "\n".join(terminal.rows()[:10]) + "\n")
        few = ("--train", "few.jsonl", "--validation", "validation.jsonl")
        assert terminal.submit("--experiment", "tone", "--metric", "length", *few).code == 0

    terminal.once(kept, make)
    return terminal


def test_a_page_in_a_pipe(done: Terminal) -> None:
    told = done.here("results", "tone", "--html")
    assert told.code == 0
    assert told.out.startswith("<!doctype html>")
    assert "Loss while tuning" in told.out
    assert "All 6 prompts, with the answers of every model." in told.out
    assert "fake" in told.out


def test_a_page_in_a_file(done: Terminal) -> None:
    told = done.here("results", "tone", "--html", "--output", "deep/page.html", "--answers", "2")
    assert (told.code, told.out) == (0, "")
    text = (done.folder / "deep" / "page.html").read_text(encoding="utf-8")
    assert "2 of 6 prompts" in text
    assert [path.name for path in (done.folder / "deep").iterdir()] == ["page.html"]


def test_a_page_without_answers(done: Terminal) -> None:
    assert "No answers are on this page." in done.here("results", "--html", "--answers", "0").out


def test_at_a_terminal_it_says_where_the_page_is(done: Terminal) -> None:
    with at_screen(done, "results", "tone", "--html", columns=300) as screen:
        assert screen.end() == 0
    path = done.data_dir / "results" / "tone.html"
    assert f"wrote {path}" in screen.text
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_end_of_a_run_says_how_to_get_it(terminal: Terminal) -> None:
    told = terminal.submit("--experiment", "tone")
    assert "broker results tone" in told.err
    assert "--html" in told.err


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("tone", "tone"),
        ("tone of voice", "tone-of-voice-0b3a1d37"),
        ("../../etc/passwd", "etc-passwd-9d61c9f5"),
        ("ünï", "ünï"),
        ("...", "e0bfb2c1"),
    ],
)
def test_names_of_experiments_are_no_paths(name: str, file: str) -> None:
    made = file_name(name)
    assert made.rstrip("0123456789abcdef") == file.rstrip("0123456789abcdef")
    assert "/" not in made
    assert not made.startswith(".")


def test_names_that_differ_have_files_that_differ() -> None:
    names = ["a b", "a-b", "a/b", "a.b", "A-b", ".a-b", "x" * 100, "x" * 101]
    assert len({file_name(name) for name in names}) == len(names)


def test_one_figure(done: Terminal) -> None:
    told = done.here("plot", "tone", "--figure", "bars", "--output", "bars.svg", "--width", "500", "--dark")
    assert (told.code, told.out) == (0, "")
    assert 'width="500"' in (done.folder / "bars.svg").read_text(encoding="utf-8")
    assert done.here("plot", "--figure", "loss").code == 0
    assert (done.folder / "tone-loss.png").read_bytes().startswith(b"\x89PNG")


def test_all_figures_and_why_some_are_missing(done: Terminal) -> None:
    told = done.here("plot", "tone", "--all", "--output", "drawn", "--format", "svg", "--json")
    assert told.code == 0
    assert [path.rsplit("/", 1)[1] for path in told.data["written"]] == [
        "bars.svg",
        "size.svg",
        "loss.svg",
        "forest.svg",
    ]
    assert told.data["missing"] == [{"figure": "similarity", "reason": "no model was judged by similarity"}]
    assert sorted(path.name for path in (done.folder / "drawn").iterdir()) == [
        "bars.svg", "forest.svg", "loss.svg", "size.svg",
    ]  # fmt: skip


REFUSED = (
    ("plot", "which figure?", "--figure bars|size|similarity|loss|forest, or --all"),
    ("plot --all --figure bars", "which figure?", "or --all"),
    ("plot --figure bars --output bars.gif", ".gif is no format of figures", ".png, .svg or .pdf"),
    ("plot --figure bars --output bars", "no ending is no format", ".png, .svg or .pdf"),
    ("plot --figure similarity", "no model was judged by similarity", "take another figure"),
    ("plot --figure bars --metric lenght", "no column is called 'lenght'", "did you mean length?"),
    ("plot --all --filter rank", "'rank' compares nothing", "COLUMN OPERATOR VALUE"),
    ("results --html --csv", "one format at a time", "take one of them"),
    ("results --sort flesh", "no column is called 'flesh'", "There are label, kind"),
)


def test_what_cannot_be_drawn_is_said(done: Terminal) -> None:
    for line, what, fix in REFUSED:
        told = done.here(*line.split())
        assert told.code == 2, line
        assert what in told.err
        assert fix in told.err
    assert not list(done.folder.glob("bars*"))


def test_without_matplotlib_a_png_says_what_to_install_and_svg_is_drawn(done: Terminal) -> None:
    told = done.process("plot", "--figure", "bars", "--output", "bars.png", hidden="matplotlib")
    assert told.code == 2
    assert "pip install 'finetune-broker[plots]'" in told.err
    assert done.process("plot", "--figure", "bars", "--output", "bars.svg", hidden="matplotlib").code == 0


def test_the_command_knows_every_figure() -> None:
    assert tuple(FigureName) == FIGURES
