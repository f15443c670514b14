"""A comparison for people: in the terminal, as text, as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.results import wording
from broker.results.export import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from broker.evaluation.record import MetricResult
    from broker.results.holding import GateResult
    from broker.results.pairing import Example, MetricPair, PairReport
    from broker.results.values import Column, ResultRow

HEADS = ("metric", "A", "B", "A \u2212 B", "p (Holm)", "effect", "only A / B", "seen from", "verdict")
# An answer in the terminal is cut after so many characters.
_SHOWN = 320
# Where the table has no room, its cells get two lines, and what says least goes into a sentence; in the end all does.
_SPARED: tuple[tuple[int, ...], ...] = ((), (6, 7), (5, 6, 7))
_ALL = tuple(range(1, len(HEADS)))
_UNBOUND = 1000
_UNTOLD = ("", wording.NOTHING)


def _cells(pair: MetricPair) -> tuple[str, ...]:
    """Return a metric's line, in the order of `HEADS`."""
    column, test = pair.column, pair.test
    left, right = (_value(column, found) for found in (pair.left, pair.right))
    if test is None:
        return (wording.title(column), left, right, wording.NOTHING, *([""] * 4), pair.verdict)
    ends = wording.bounds(column, test.low, test.high)
    effect = "" if test.effect is None else f"{test.effect:+.2f} {pair.effect_size}".replace("-", wording.MINUS)
    split = "" if test.only_left is None else f"{test.only_left} / {test.only_right}"
    least = wording.NOTHING if pair.detectable is None else wording.difference(column, pair.detectable)
    difference = f"{wording.signed(column, test.difference)} {ends}".strip()
    p = wording.chance(pair.p_adjusted)
    return wording.title(column), left, right, difference, p, effect, split, least, pair.verdict


def _value(column: Column, found: MetricResult | None) -> str:
    if found is None:
        return wording.NOTHING
    ends = "" if found.low is None else f" [{wording.number(column, found.low)}, {wording.number(column, found.high)}]"
    return wording.number(column, found.value) + ends


def _titles(report: PairReport) -> list[str]:
    """Return which models are compared, and under which conditions."""
    sides = [("A", report.left), *([("B", report.right)] if report.right is not None else [])]
    return [*(f"{side}  {_name(row)}" for side, row in sides), _conditions(report.conditions)]


def _name(row: ResultRow) -> str:
    about = [row.provider, row.precision, row.policy if row.policy != "as-is" else "", row.key]
    return f"{row.label} ({', '.join(part for part in about if part)})"


def _conditions(shared: Mapping[str, Any]) -> str:
    if not shared:
        return "nothing was judged yet"
    parts = [f"validation set {shared.get('validation')} ({str(shared.get('validation_sha256') or '')[:12]})"]
    parts += [f"{shared['prompts']:,} prompts"] if isinstance(shared.get("prompts"), int) else []
    parts += [wording.decoding(shared["decoding"])] if isinstance(shared.get("decoding"), dict) else []
    return ", ".join(parts)


def _notes(report: PairReport) -> list[str]:
    if not report.metrics:
        return []
    shown = len(report.metrics)
    family = "the metric" if shown == 1 else f"the {shown} metrics"
    return [
        "Brackets hold 95 % intervals. Tested on the same prompts: McNemar (exact) or a permutation of signs; Holm "
        f"over {family} shown; a tie is p \u2265 0.05.",
        "Effect: Cohen's h (percentages) or d of the differences. Seen from: the smallest true difference that so many "
        "prompts find in four of five cases, in a comparison by itself.",
    ]


def _example(example: Example, report: PairReport) -> list[tuple[str, str]]:
    """Return an example's lines: what each is, and its text."""
    columns = {pair.column.name: pair.column for pair in report.metrics}
    values = [
        f"{wording.head(columns[name])[0]} {_one(columns[name], a)} against {_one(columns[name], b)}"
        for name, (a, b) in example.values.items()
    ]
    lines = [(f"prompt {example.place}", example.prompt)]
    lines += [("expected", example.expected)] if example.expected else []
    return [*lines, ("A", example.left), ("B", example.right), ("", "; ".join(values))]


def _one(column: Column, value: float | None) -> str:
    if value is None or column.scale == 1:
        return wording.number(column, value)
    return "yes" if value else "no"


def _verdict(gate: GateResult) -> str:
    return f"{gate.gate.text}{' (strict)' if gate.strict else ''}: {gate.detail}"


# --- the terminal ---------------------------------------------------------------------------------------------------


def print_pair(report: PairReport, console: Console) -> None:
    """Draw a comparison.

    Args:
        report: What to draw.
        console: Where to.
    """
    from rich.text import Text

    *sides, shared = _titles(report)
    for line in sides:
        console.print(Text(line, style="bold"))
    console.print(Text(shared, style="dim"))
    if report.metrics:
        console.print()
    tables = {each: _metrics_table(report, each) for each in _SPARED}
    spared = next((each for each, table in tables.items() if _least(table, console) <= console.width), _ALL)
    if report.metrics and spared in tables:
        console.print(tables[spared])
    if spared == _ALL:
        console.print(*_sentences(report), sep="\n")
    for note in [*(_told(report, spared) if spared != _ALL else []), *_notes(report)]:
        console.print(Text(note, style="dim"))
    for warning in report.warnings:
        console.print(Text(f"! {warning}", style="yellow"))
    if report.examples:
        console.print(Text("\nWhere they differ most", style="bold"))
    for example in report.examples:
        console.print()
        for head, text in _example(example, report):
            console.print(Text.assemble((f"{head}: " if head else "", "bold"), (_short(text), "" if head else "dim")))
    if report.gates:
        console.print()
    for gate in report.gates:
        sign, style = ("\u2713 passed", "green") if gate.passed else ("\u2717 failed", "bold red")
        console.print(Text.assemble((f"{sign}: ", style), _verdict(gate)))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}\u2026"


def _least(table: Table, console: Console) -> int:
    """Return the columns that a table takes at least."""
    return console.measure(table, options=console.options.update(max_width=_UNBOUND)).minimum


def _sentences(report: PairReport) -> Iterator[Text]:
    """Yield each metric as a sentence, for terminals without room for columns."""
    from rich.text import Text

    for pair in report.metrics:
        name, *cells = _cells(pair)
        told = [f"{head} {cell}" for head, cell in zip(HEADS[1:-1], cells, strict=False) if cell not in _UNTOLD]
        yield Text.assemble((name, "bold"), ": ", "; ".join(told), ": ", (pair.verdict, "bold"))


def _told(report: PairReport, spared: Sequence[int]) -> list[str]:
    """Return what a narrow table leaves out."""
    told: list[str] = []
    for pair in report.metrics:
        cells = _cells(pair)
        effect, split, least = (cells[place] if place in spared else "" for place in (5, 6, 7))
        parts = [f"effect {effect}"] if effect else []
        parts += [f"only A passed {split.replace(' / ', ', only B ')}"] if split else []
        parts += [f"seen from {least}"] if least not in _UNTOLD else []
        told += [f"{wording.head(pair.column)[0]}: {', '.join(parts)}"] if parts else []
    return ["; ".join(told) + "."] if told else []


def _metrics_table(report: PairReport, spared: Sequence[int]) -> Table:
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    wide = not spared
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1) if wide else (0, 1, 0, 0))
    heads = HEADS if wide else [head.removesuffix(" (Holm)") for head in HEADS]
    rows = [_cells(pair) for pair in report.metrics]
    if not wide:
        rows = [tuple(_broken(cell, name=not place) for place, cell in enumerate(row)) for row in rows]
    kept = [place for place in range(len(HEADS)) if place not in spared and any(row[place] for row in rows)]
    for place in kept:
        head, cells = heads[place], [row[place] for row in rows]
        words = place in (0, len(HEADS) - 1)
        # A title may be wrapped, and a verdict at its spaces; names and numbers are whole or not there.
        whole = not words or (not wide and not place)
        least = max(cell_len(line) for cell in (head, *cells) for line in cell.splitlines()) if whole else None
        table.add_column(head, justify="left" if words else "right", no_wrap=whole, min_width=least)
    for row in rows:
        table.add_row(*(Text(row[place]) for place in kept))
    return table


def _broken(cell: str, *, name: bool) -> str:
    """Return a cell in two lines: its number, and what stands behind; of a metric's title only its name."""
    if name:
        return cell.split(" (", maxsplit=1)[0]
    for mark in (" [", " (", " large", " medium", " small", " negligible"):
        if mark in cell:
            head, rest = cell.split(mark, maxsplit=1)
            return f"{head}\n{mark.strip()}{rest}"
    return cell


def as_text(report: PairReport, width: int = 160) -> str:
    """Return the comparison as text.

    Args:
        report: What to draw.
        width: Columns.
    """
    from io import StringIO

    from rich.console import Console

    file = StringIO()
    print_pair(report, Console(file=file, width=width, emoji=False))
    return file.getvalue()


# --- Markdown -------------------------------------------------------------------------------------------------------


def to_pair_markdown(report: PairReport) -> str:
    """Return the comparison as GitHub's Markdown."""
    names = [report.left.label, *([report.right.label] if report.right is not None else [])]
    lines = [" against ".join(f"**{escaped(name)}**" for name in names), ""]
    lines += [f"- {escaped(line)}" for line in _titles(report)]
    sha = report.conditions.get("validation_sha256")
    lines += [f"- sha256 of the validation set: {sha}"] if sha else []
    lines += [f"- **{escaped(warning)}**" for warning in report.warnings]
    if report.metrics:
        rule = ["---", *(["---:"] * (len(HEADS) - 2)), "---"]
        cells = [map(escaped, _cells(pair)) for pair in report.metrics]
        lines += ["", _line(HEADS), _line(rule), *map(_line, cells), ""]
        lines += [f"- {escaped(note)}" for note in _notes(report)]
    for example in report.examples:
        told = [
            f"**{escaped(head)}** {escaped(text)}".removeprefix("**** ") for head, text in _example(example, report)
        ]
        lines += ["", *(f"> {line}  " for line in told)]
    if report.gates:
        signs = {True: "\u2705 passed", False: "\u274c failed"}
        lines += ["", *(f"- {signs[gate.passed]}: {escaped(_verdict(gate))}" for gate in report.gates)]
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
