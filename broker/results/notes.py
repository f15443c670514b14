"""The sentences under a table: under which conditions its numbers hold, and what a reader must not miss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.evaluation.metrics import Direction, Kind
from broker.evaluation.statistics import ALPHA
from broker.jobs.states import State
from broker.results import wording
from broker.results.gathered import gathered
from broker.results.ranking import REFERENCE_N

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from broker.evaluation.record import EvaluationResult
    from broker.jobs.records import Expense, Experiment
    from broker.results.values import Cell, Column, Detectable, ResultRow

# Work in these states goes on, or can.
_UNDER_WAY = frozenset(State) - {State.SUCCEEDED, State.FAILED, State.CANCELLED, State.LOST}
# Of so many equal models one is called worse than the best in 8 % of tables, of ten in 10 % (simulated, Holm over the
# comparisons with the best); of three in 5 %.
_FLATTERED = 5
# With normal values the 95 % interval of a mean holds it in 84 % of cases with five rows, 89 with ten, 92 with twenty.
_FEW = 20
# So many characters of a system message are shown, and so many more until it is told from the others.
_QUOTED, _STEP = 90, 30
# Numbers of prompts within a tenth of each other share a sentence about what they could have shown.
_NEAR = 0.9


def conditions(experiment: Experiment, results: Mapping[str, EvaluationResult]) -> dict[str, Any]:
    """Return what holds for all rows; where rows differ, the list of what occurs.

    Args:
        experiment: The experiment.
        results: Evaluations by row key.
    """
    found = [result.conditions for result in results.values()]
    keys = ("validation", "validation_sha256", "decoding", "encoder", "judge")
    shared: dict[str, Any] = {key: _one([each.get(key) for each in found]) for key in keys}
    shared["policies"] = {str(each.get("policy")): each.get("system") for each in found}
    shared["prompts"] = _one([result.n for result in results.values()])
    if shared["validation_sha256"] is None:
        shared["validation_sha256"] = experiment.validation_sha256
    return {**shared, "experiment": dict(experiment.notes)}


def notes(
    columns: Sequence[Column], rows: Sequence[ResultRow], shared: Mapping[str, Any], seen: Sequence[Detectable]
) -> list[str]:
    """Return the footnotes of a table.

    Args:
        columns: Its metrics.
        rows: Its rows.
        shared: From `conditions`.
        seen: What could have been told apart.
    """
    lines = _legend(rows)
    if any(row.n is not None for row in rows):
        lines += _asked(shared)
    by_name = {column.name: column for column in columns}
    made: dict[str, list[str]] = {}
    for column in columns:
        made.setdefault(column.version, []).append(column.label)
    lines += [f"{', '.join(labels)}: {wording.version(text)}." for text, labels in made.items() if text]
    lines += _details(columns, rows)
    lines += _reach(by_name, [one for one in seen if by_name[one.metric].direction is not Direction.NONE])
    means = [cell for column in columns if column.kind is Kind.MEAN for cell in _with_ends(rows, column)]
    if any(cell.scored < _FEW for cell in means):
        lines.append(f"Intervals of means are too narrow with fewer than {_FEW} prompts.")
    unscored = [
        (row.label, f"{cell.unscored} of {row.n} rows have no {by_name[name].label}")
        for row in rows
        for name, cell in row.cells.items()
        if cell.unscored
    ]
    lines += gathered(unscored, len(rows))
    if any(cell.breakdown for row in rows for cell in row.cells.values()):
        lines.append("Some numbers come with their parts: broker results --breakdown.")
    cut = [(row.label, f"{row.cut} of {row.n} answers were cut at the token limit") for row in rows if row.cut]
    return lines + gathered(cut, len(rows))


def warnings(
    experiment: Experiment,
    columns: Sequence[Column],
    rows: Sequence[ResultRow],
    results: Mapping[str, EvaluationResult],
    shared: Mapping[str, Any],
) -> list[str]:
    """Return what a reader must not miss.

    Args:
        experiment: The experiment.
        columns: The table's metrics.
        rows: The table's rows.
        results: Evaluations by row key.
        shared: From `conditions`.
    """
    lines = [
        f"{key.replace('_', ' ')}: {value}" for key, value in experiment.notes.items() if value not in (None, False)
    ]
    lines += _partial(rows)
    lines += _unlike(shared)
    lines += [
        f"{column.label} was computed in different ways, so its rows cannot be compared: {column.version}"
        for column in columns
        if column.mixed
    ]
    found = [(row, results.get(row.key)) for row in rows]
    missing = [(row.label, remark) for row, result in found for remark in _missing(row, result)]
    said = [(row.label, remark) for row, result in found for remark in _remarks(row, result)]
    return lines + gathered(missing, len(rows)) + gathered(said, len(rows))


def _partial(rows: Sequence[ResultRow]) -> list[str]:
    """Say that numbers will come which the marks and comparisons do not know yet."""
    coming = [row.label for row in rows if row.state in _UNDER_WAY]
    if not coming:
        return []
    have = "has no numbers yet" if len(coming) == 1 else "have no numbers yet"
    return [
        f"partial: {len(coming)} of {len(rows)} models {have}; marks and comparisons are of the others and may change"
    ]


def _missing(row: ResultRow, result: EvaluationResult | None) -> Iterator[str]:
    """Yield what one model has no numbers for, and why."""
    if row.detail:
        yield f"{wording.status(row)}: {wording.first_line(row.detail, 300)}"
    if result is not None and row.failed:
        yield f"{row.failed} of {row.n} prompts have no answer ({_reasons(result)})"
    for name, cell in row.cells.items():
        if cell.failure:
            yield f"{name} could not be computed: {wording.first_line(cell.failure, 300)}"


def _remarks(row: ResultRow, result: EvaluationResult | None) -> Iterator[str]:
    """Yield what puts one model's numbers in another light."""
    if row.empty:
        yield f"{row.empty} of {row.n} answers are empty"
    if result is not None:
        yield from (f"{times} of {row.n} answers ended with {how}" for how, times in result.endings.items())
        yield from dict.fromkeys(remark for found in result.metrics.values() for remark in found.remarks)


def _details(columns: Sequence[Column], rows: Sequence[ResultRow]) -> list[str]:
    """Return the further numbers of each metric, as the range over the models, and what the judge cost."""
    lines: list[str] = []
    for column in columns:
        told = [row.cells[column.name].details for row in rows if column.name in row.cells]
        names = dict.fromkeys(name for details in told for name in details)
        parts = [f"{name} {_range([details[name] for details in told if name in details])}" for name in names]
        lines += [f"{wording.head(column)[0]}: {'; '.join(parts)}."] if parts else []
    judged = sum(row.judge_cost_usd for row in rows)
    return [*lines, f"Of the cost, {wording.money(judged)} are the judge's."] if judged else lines


def expense_notes(expenses: Sequence[Expense]) -> list[str]:
    """Return what was spent beside the jobs, and what is only reserved."""
    paid = sum(one.cost_usd for one in expenses if one.cost_usd is not None)
    held = [one for one in expenses if one.cost_usd is None]
    lines = [f"Judging pairs cost {wording.money(paid)} more."] if paid else []
    if not held:
        return lines
    pairs = "one pair" if len(held) == 1 else f"{len(held)} pairs"
    reserved = wording.money(sum(one.reserved_usd for one in held))
    what = f"Judging {pairs} is under way or was stopped: {reserved} are reserved until it is settled"
    return [*lines, f"{what} (`broker judge` of the same two goes on, or settles it)."]


def _range(values: Sequence[float]) -> str:
    low, high = (f"{end:,.0f}" if abs(end) >= 1000 else f"{end:.3g}" for end in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _with_ends(rows: Sequence[ResultRow], column: Column) -> list[Cell]:
    cells = [row.cells[column.name] for row in rows if column.name in row.cells]
    return [cell for cell in cells if cell.low is not None and cell.low != cell.high]


def _legend(rows: Sequence[ResultRow]) -> list[str]:
    cells = [cell for row in rows for cell in row.cells.values()]
    lines = ["Numbers in brackets are 95 % intervals."] if any(cell.low is not None for cell in cells) else []
    if any(cell.best or cell.tied for cell in cells):
        lines.append(
            "★ best; = not told apart from the best on the same prompts (McNemar or permutation test, Holm, "
            f"p ≥ {ALPHA:g})."
        )
        judged = sum(bool(row.cells) for row in rows)
        if judged >= _FLATTERED:
            lines.append(
                f"The best of {judged} models is chosen on the same prompts, which flatters its lead; all pairs in one "
                "family (--all-pairs) are stricter."
            )
    if any(cell.letters for cell in cells):
        lines.append("Rows that share a letter in a column cannot be told apart.")
    return lines


def _asked(shared: Mapping[str, Any]) -> list[str]:
    parts = [_set_words(shared)]
    if isinstance(shared.get("prompts"), int):
        parts.append(f"{shared['prompts']:,} prompts")
    if isinstance(shared.get("decoding"), dict):
        parts.append(wording.decoding(shared["decoding"]))
    lines = ["Conditions: " + ", ".join(parts) + "."]
    policies: Mapping[str, Any] = shared.get("policies") or {}
    length = _telling(policies.values())
    texts = [f"{name}: {_quoted(system, length)}" for name, system in policies.items()]
    return [*lines, "System message: " + "; ".join(texts) + "."] if texts else lines


def _set_words(shared: Mapping[str, Any]) -> str:
    """Return which validation set it was; all of them, where the rows differ."""
    names, hashes = (wording.several(shared.get(key)) for key in ("validation", "validation_sha256"))
    shown = " and ".join(sha[:12] for sha in hashes)
    return f"validation set{'s' if len(hashes) > 1 else ''} {' and '.join(names)} ({shown})"


def _quoted(system: object, length: int) -> str:
    if system is None:
        return "each row's own"
    return f"“{wording.first_line(str(system), length)}”" if system else "none"


def _telling(systems: Iterable[object]) -> int:
    """Return after how many characters system messages are cut: the fewest by which each is told from the others."""
    texts = {str(system) for system in systems if system}
    lengths = range(_QUOTED, max(map(len, texts), default=0) + _STEP, _STEP)
    told = (length for length in lengths if len({wording.first_line(text, length) for text in texts}) == len(texts))
    return next(told, _QUOTED)


def _reach(columns: Mapping[str, Column], seen: Sequence[Detectable]) -> list[str]:
    """Say what n prompts could have shown and what 1,000 would, one sentence for all n that are nearly the same."""
    lines: list[str] = []
    for here in _near(seen):
        n = min(one.n for one in here)
        told = f"{n:,}" if all(one.n == n for one in here) else f"{n:,} to {max(one.n for one in here):,}"
        blind = [columns[one.metric].label for one in here if one.now is None]
        if blind:
            lines.append(f"{told} prompts are too few to show any difference in {', '.join(blind)}.")
        able = [(columns[one.metric], one) for one in here if one.now is not None]
        if able:
            parts = [f"{wording.difference(column, one.now)} in {wording.head(column)[0]}" for column, one in able]
            now = ", ".join(parts)
            later = ", ".join(wording.difference(column, one.with_1000) for column, one in able)
            rest = f"; n = 1,000 would show {later}" if n < REFERENCE_N else ""
            lines.append(f"With n = {told}, differences under {now} cannot be seen{rest} (power 80 %, one comparison).")
    return lines


def _near(seen: Sequence[Detectable]) -> list[list[Detectable]]:
    """Return what was seen in groups: numbers of prompts that differ by a few missing answers make one."""
    groups: list[list[Detectable]] = []
    for one in seen:
        near = (group for group in groups if min(one.n, group[0].n) >= _NEAR * max(one.n, group[0].n))
        home = next(near, None)
        groups.append([one]) if home is None else home.append(one)
    return groups


def _unlike(shared: Mapping[str, Any]) -> list[str]:
    names = {"validation_sha256": "validation sets", "decoding": "ways of decoding", "encoder": "encoders"}
    return [
        f"the rows have different {name}, so they cannot be compared fairly: {'; '.join(map(str, shared[key]))}"
        for key, name in names.items()
        if isinstance(shared.get(key), list)
    ]


def _reasons(result: EvaluationResult) -> str:
    told = [(wording.first_line(reason), times) for reason, times in list(result.failures.items())[:3]]
    return told[0][0] if len(told) == 1 else "; ".join(f"{reason}: {times}" for reason, times in told)


def _one(values: Sequence[Any]) -> Any:
    unique = [value for i, value in enumerate(values) if value not in values[:i]]
    return unique[0] if len(unique) == 1 else unique or None
