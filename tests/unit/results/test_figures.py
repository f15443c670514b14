"""The pure values of figures: what is drawn, before anybody draws it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.results import FIGURES, Arrangement, arrange
from broker.results.figures import (
    Absent,
    Bars,
    Curves,
    Forest,
    LossCurve,
    bars,
    forest,
    losses,
    main_metric,
    size_curves,
)
from broker.results.figures.making import thinned
from tests.unit.results.grids import grid, report
from tests.unit.results.lab import Lab, share

if TYPE_CHECKING:
    from broker.results import Column


@pytest.fixture(scope="module")
def sizes() -> Lab:
    return grid()


def column(lab: Lab, name: str = "conversational") -> Column:
    return next(column for column in lab.table().columns if column.name == name)


def test_bars_are_the_table(full: Lab) -> None:
    table = full.table()
    figure = bars(table, main_metric(table))
    assert isinstance(figure, Bars)
    assert [(bar.label, bar.value, bar.marks, bar.base, bar.best) for bar in figure.bars] == [
        ("sandbox", 20.0, "b", True, False),
        ("sandbox (verbose)", 30.0, "b", True, False),
        ("sandbox tuned", 97.5, "★ a", False, True),
        ("=HYPERLINK(1)", 95.0, "= a", False, False),
    ]
    low, high = figure.bars[2].low, figure.bars[2].high
    assert (low, high) == pytest.approx((87.119, 99.557), abs=0.001)  # Wilson, 39 of 40
    assert figure.percent
    assert "Wilson" in figure.note


def test_the_main_metric(lab: Lab) -> None:
    assert main_metric(lab.table()) is None
    lab.evaluate({"length": [1.0, 2.0], "flesch": [60.0, 70.0]})
    main = main_metric(lab.table())
    assert main is not None
    assert main.name == "flesch"
    assert isinstance(bars(lab.table(), main), Bars)


def test_curves_begin_at_the_base_of_the_same_precision(sizes: Lab) -> None:
    figure = size_curves(sizes.table(), column(sizes))
    assert isinstance(figure, Curves)
    assert figure.sizes == (0.0, 10.0, 1000.0)
    assert [panel.title for panel in figure.panels] == ["precision bf16", "precision int8"]
    assert [(panel.row, panel.column) for panel in figure.panels] == [(0, 0), (0, 1)]
    drawn = {
        panel.title: {line.label: [(dot.x, dot.y) for dot in line.dots] for line in panel.lines}
        for panel in figure.panels
    }
    assert drawn == {
        "precision bf16": {
            "lr 0.0002": [(0, 20.0), (10, 30.0), (1000, 75.0)],
            "lr 0.001": [(0, 20.0), (10, 42.5), (1000, 87.5)],
        },
        "precision int8": {
            "lr 0.0002": [(0, 22.5), (10, 30.0), (1000, 75.0)],
            "lr 0.001": [(0, 22.5), (10, 42.5), (1000, 87.5)],
        },
    }


def test_repeated_runs_keep_their_dots_and_share_a_line(lab: Lab) -> None:
    lab.evaluate({"conversational": share(8)})
    for seed, rows, passed in ((1, 10, 12), (2, 10, 16), (1, 100, 30), (2, 100, 38)):
        lab.evaluate({"conversational": share(passed)}, tuned=lab.tune(rows=rows, label=f"{rows} {seed}"))
    figure = size_curves(lab.table(), column(lab))
    assert isinstance(figure, Curves)
    (line,) = figure.panels[0].lines
    assert sorted((dot.x, dot.y) for dot in line.dots) == [
        (0.0, 20.0), (10.0, 30.0), (10.0, 40.0), (100.0, 75.0), (100.0, 95.0)
    ]  # fmt: skip
    assert line.course == [(0.0, 20.0), (10.0, 35.0), (100.0, 85.0)]


def test_a_setting_has_one_colour_in_every_panel_and_figure(sizes: Lab) -> None:
    made = report(sizes.table())
    hues: dict[str, set[int]] = {}
    for name in ("size", "similarity"):
        figure = made.figure(name)
        assert isinstance(figure, Curves)
        for panel in figure.panels:
            for line in panel.lines:
                hues.setdefault(line.label, set()).add(line.hue)
    assert hues == {"lr 0.0002": {0}, "lr 0.001": {1}}


def test_two_factors_make_a_grid_of_panels(lab: Lab) -> None:
    lab.evaluate({"conversational": share(8)})
    for precision in ("int8", "bf16"):
        for rank in (64, 8):
            for rows in (10, 100):
                job = lab.tune(rows=rows, parameters={"precision": precision, "rank": rank})
                lab.evaluate({"conversational": share(20)}, tuned=job)
    figure = size_curves(lab.table(), main_metric(lab.table()))
    assert isinstance(figure, Curves)
    assert [(panel.row, panel.column, panel.title) for panel in figure.panels] == [
        (0, 0, "precision int8 · rank 8"),
        (0, 1, "precision int8 · rank 64"),
        (1, 0, "precision bf16 · rank 8"),
        (1, 1, "precision bf16 · rank 64"),
    ]
    assert {line.label for panel in figure.panels for line in panel.lines} == {"sandbox"}


def test_one_size_is_no_curve_and_says_so(full: Lab) -> None:
    figure = size_curves(full.table(), main_metric(full.table()))
    assert isinstance(figure, Absent)
    assert figure.reason == "a curve needs at least two sizes of training set, and all tuned models had 100 rows"
    absent = report(full.table()).figure("similarity")
    assert isinstance(absent, Absent)
    assert absent.reason == "no model was judged by similarity"


def test_the_forest_is_the_tables_comparisons(full: Lab) -> None:
    table = full.table()
    figure = forest(table, main_metric(table))
    assert isinstance(figure, Forest)
    found = {(one.label, one.against): one for one in figure.contrasts}
    gain = found["sandbox tuned", "sandbox"]
    told = next(
        one
        for one in table.comparisons
        if one.metric == "conversational" and table.row(one.left).label == "sandbox tuned" and one.against == "base"
    )
    assert gain.difference == pytest.approx(77.5)
    assert (gain.low, gain.high, gain.p) == (told.low * 100, told.high * 100, told.p_adjusted)  # type: ignore[operator]
    assert gain.verdict == "better"
    tie = found["=HYPERLINK(1)", "sandbox tuned"]
    assert (tie.verdict, tie.group, tie.shared) == ("tie", "against the best, sandbox tuned", True)
    seen = next(one for one in table.detectable if one.metric == "conversational")
    assert figure.zone == (None if seen.now is None else seen.now * 100)
    assert figure.better == "right"


def test_where_no_way_is_better_models_only_differ(full: Lab) -> None:
    figure = forest(full.table(), column(full, "length"))
    assert isinstance(figure, Forest)
    assert {one.verdict for one in figure.contrasts} <= {"different", "tie"}
    assert figure.better == ""


def test_losses_keep_every_curve_and_say_which_is_held_out(sizes: Lab) -> None:
    figure = report(sizes.table()).figure("loss")
    assert isinstance(figure, Curves)
    labels = [line.label for line in figure.panels[0].lines]
    assert labels == [
        "lr 0.0002 · 10 rows", "lr 0.0002 · 10 rows, held out", "lr 0.0002 · 1,000 rows",
        "lr 0.0002 · 1,000 rows, held out", "lr 0.001 · 10 rows", "lr 0.001 · 10 rows, held out",
        "lr 0.001 · 1,000 rows", "lr 0.001 · 1,000 rows, held out",
    ]  # fmt: skip
    assert [(dot.x, dot.y) for dot in figure.panels[0].lines[0].dots[:2]] == [(0.0, 2.0), (1.0, 1.0)]


def test_bars_of_a_metric_that_nobody_has_name_it(full: Lab) -> None:
    table = full.table()
    column = main_metric(table)
    assert column is not None
    figure = bars(table, replace(column, name="empathy", label="empathy"))
    assert isinstance(figure, Absent)
    assert figure.reason == "no model has a number yet in empathy; --metric takes another"


def test_a_job_without_a_loss_is_no_line(full: Lab) -> None:
    keys = [row.key for row in full.table().rows]
    nothing = losses(full.table(), [LossCurve(row=key, training=()) for key in keys])
    assert isinstance(nothing, Absent)


@pytest.mark.parametrize("count", [1, 2, 399, 400, 401, 5000, 100_001])
def test_long_lines_are_thinned_but_keep_both_ends(count: int) -> None:
    points = [(float(i), float(i)) for i in range(count)]
    kept = thinned(points)
    assert len(kept) <= 401
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert kept == sorted(set(kept))


def test_figures_obey_a_filter_but_keep_the_statistics(sizes: Lab) -> None:
    whole = sizes.table()
    few = arrange(whole, Arrangement(filters=("precision=int8", "rows>=1000")))
    figure = bars(few, main_metric(few))
    assert isinstance(figure, Bars)
    assert len(figure.bars) == 2
    plot = forest(few, main_metric(few))
    assert isinstance(plot, Forest)
    assert {one.label for one in plot.contrasts} == {bar.label for bar in figure.bars}
    assert "base int8" in {one.against for one in plot.contrasts}  # hidden, and still what it is compared with


def test_every_name_is_a_figure(sizes: Lab) -> None:
    made = report(sizes.table())
    assert [made.figure(name).name for name in FIGURES] == list(FIGURES)
    assert all(isinstance(replace(made, losses=()).figure(name), Absent) == (name == "loss") for name in FIGURES)
