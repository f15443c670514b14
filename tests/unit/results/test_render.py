from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console

from broker.jobs.spec import ModelRef
from broker.jobs.states import State
from broker.results import as_text, render_table
from broker.results.render import MOVED_FIRST
from tests.unit.results.lab import Lab, share

WIDTHS = [40, 60, 80, 100, 120, 160, 200]


def drawn(lab: Lab, width: int, *, encoding: str = "utf-8", **options: object) -> str:
    class Stream(StringIO):
        @property
        def encoding(self) -> str:  # type: ignore[override]
            return encoding

    file = Stream()
    console = Console(file=file, width=width, legacy_windows=False, **options)  # type: ignore[arg-type]
    console.print(render_table(lab.table()))
    return file.getvalue()


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_is_wider_than_the_terminal(full: Lab, width: int) -> None:
    assert max(cell_len(line) for line in as_text(full.table(), width).splitlines()) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_of_value_is_lost_at_any_width(full: Lab, width: int) -> None:
    text = " ".join(as_text(full.table(), width).split())
    for part in (
        "20.0",
        "[10.5, 34.8]",
        "★",
        "= a",
        "tuning failed",
        "evaluation running",
        "int8",
        "openai",
        "100",
        "6.0 s",
    ):
        assert part in text, part


@pytest.mark.parametrize("width", WIDTHS)
def test_labels_and_numbers_are_not_cut(full: Lab, width: int) -> None:
    assert "…" not in as_text(full.table(), width).replace("like…", "")


def test_wide_is_one_line_a_model(full: Lab) -> None:
    lines = as_text(full.table(), 200).splitlines()
    head = next(line for line in lines if line.startswith("model"))
    for name in ("method", "provider", "precision", "prompt", "rows", "training", "cost", "tokens/s"):
        assert name in head
    row = next(line for line in lines if line.startswith("sandbox tuned"))
    assert "97.5" in row
    assert "[87.1, 99.6]" in row


def test_columns_move_in_the_order_stated(full: Lab) -> None:
    hidden: list[set[str]] = []
    for width in range(200, 60, -4):
        text = as_text(full.table(), width)
        head = next((line for line in text.splitlines() if line.startswith("model")), None)
        if head is not None:
            hidden.append({name for name in MOVED_FIRST if name not in head.split()})
    assert hidden
    for gone in hidden:
        assert gone == set(MOVED_FIRST[: len(gone)])
    assert len(hidden[0]) < len(hidden[-1])


def test_very_narrow_is_a_list(full: Lab) -> None:
    text = as_text(full.table(), 40)
    assert not any(line.startswith("model") for line in text.splitlines())
    assert "Metrics: conversational (Flesch ≥ 60, % ↑)" in " ".join(text.split())


def test_numbers_of_a_list_stand_under_each_other(full: Lab) -> None:
    lines = as_text(full.table(), 48).splitlines()
    numbers = [line for line in lines if line.startswith("  ") and " [" in line and not line.strip().startswith("[")]
    assert len(numbers) > 3
    first = lines.index(numbers[0])
    of_one_model = [line for line in numbers if lines.index(line) - first < 3]
    assert len({line.index(" [") for line in of_one_model}) == 1


def test_a_brief_is_broken_between_its_parts(full: Lab) -> None:
    briefs = [line for line in as_text(full.table(), 40).splitlines() if " · " in line]
    assert briefs
    assert all(line.startswith("  ") and not line.endswith(" ·") for line in briefs)


def test_bases_stand_apart(full: Lab) -> None:
    lines = as_text(full.table(), 200).splitlines()
    last_base = next(i for i, line in enumerate(lines) if line.startswith("sandbox (verbose)"))
    assert lines[last_base + 1].strip() == ""


def test_no_color_keeps_the_marks(full: Lab) -> None:
    text = drawn(full, 120, force_terminal=True, no_color=True, color_system="standard")
    assert "★" in text
    assert "\x1b[32m" not in text


def test_colour_marks_the_best(full: Lab) -> None:
    assert "\x1b[1;32m" in drawn(full, 120, force_terminal=True, no_color=False, color_system="standard")


def test_a_terminal_without_unicode_gets_ascii(full: Lab) -> None:
    for width in (40, 80, 160):
        drawn(full, width, encoding="ascii").encode("ascii")


def test_an_empty_table(lab: Lab) -> None:
    assert as_text(lab.table(), 80) == "Results of tone\nno models yet: nothing was tuned or judged here\n"


def test_one_row(lab: Lab) -> None:
    lab.evaluate({"conversational": share(8)})
    text = as_text(lab.table(), 100)
    assert "20.0 [10.5, 34.8]" in text
    assert "★" not in text


def test_printing_the_table_draws_it(full: Lab) -> None:
    assert "Results of tone" in str(full.table())
    console = Console(width=100, file=StringIO(), legacy_windows=False)
    console.print(full.table())
    assert "conversational" in console.file.getvalue()  # type: ignore[attr-defined]


def test_markup_in_names_is_text(lab: Lab) -> None:
    lab.evaluate({"conversational": share(8)}, label="[red]not markup[/red] [link]")
    assert "[red]not markup[/red] [link]" in as_text(lab.table(), 160)


def test_a_status_has_room_beside_short_names(lab: Lab) -> None:
    lab.evaluate({"conversational": share(8)}, label="a", cost_usd=0.1)
    lab.evaluate(label="b", state=State.FAILED)
    text = as_text(lab.table(), 150)
    assert any(line.startswith("evaluation failed") for line in text.splitlines())
    assert text.count("cost") == 1
    assert "$0.10" in text


def test_what_was_moved_beneath_the_table_is_one_line_for_all_of_whom_it_holds() -> None:
    lab = Lab()
    for policy in ("brief", "warm"):
        lab.evaluate({"conversational": share(3), "flesch": [50.0 + i for i in range(40)]}, policy=policy)
    far = ModelRef(provider="far", name="away")
    lab.evaluate({"conversational": share(9), "flesch": [50.0 + i for i in range(40)]}, model=far, policy="brief")
    text = as_text(lab.table(), 72)
    lines = [line for line in text.splitlines() if "local" in line]
    assert lines == ["sandbox (brief), sandbox (warm): local"], text


def test_system_messages_that_begin_alike_are_told_apart() -> None:
    same = "You are a helpful assistant who answers in a natural, conversational tone, as people do when they speak. "
    lab = Lab()
    for name in ("short", "long"):
        job = lab.evaluate({"conversational": share(3)}, policy=name)
        result = lab.results[job.id]
        lab.results[job.id] = replace(result, conditions={**result.conditions, "system": f"{same}Be {name}."})
    (told,) = [line for line in lab.table().notes if line.startswith("System message")]
    assert "Be short." in told
    assert "Be long." in told


def test_long_names_get_the_room_of_columns_that_fit_beneath_them() -> None:
    lab = Lab()
    for i in range(3):
        name = f"meta-llama/Llama-3.2-1B-Instruct tuned, lr=0.000{i + 1}, rank=64, train_1000.jsonl"
        job = lab.tune(rows=100 * (i + 1), label=name)
        values = {"flesch": [50.0 + n for n in range(40)], "length": [20.0 + n for n in range(40)]}
        lab.evaluate({"conversational": share(3 + i), **values}, tuned=job)
    text = as_text(lab.table(), 80)
    grid = text.partition("\n\n")[0].splitlines()
    assert len(grid) <= 5 + 3 * 4, text
    assert "100 rows" in "".join(grid), text
