"""The sentences under a table: under which conditions its numbers hold, and what a reader must not miss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.evaluation.metrics import Direction, Kind
from broker.evaluation.statistics import ALPHA
from broker.results import wording
from broker.results.ranking import REFERENCE_N

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.evaluation.record import EvaluationResult
    from broker.jobs.records import Experiment
    from broker.results.values import Cell, Column, Detectable, ResultRow

# A sentence about more models than these gives their number.
_MOST_NAMED = 3
# Of so many equal models one is called worse than the best in 8 % of tables, of ten in 10 % (simulated, Holm over the
# comparisons with the best); of three in 5 %.
_FLATTERED = 5
# With normal values the 95 % interval of a mean holds it in 84 % of cases with five rows, 89 with ten, 92 with twenty.
_FEW = 20


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
    unscored = [(row, name, cell.unscored) for row in rows for name, cell in row.cells.items() if cell.unscored]
    lines += [f"{row.label}: {few} of {row.n} rows have no {by_name[name].label}" for row, name, few in unscored]
    if any(cell.breakdown for row in rows for cell in row.cells.values()):
        lines.append("Some numbers come with their parts: broker results --breakdown.")
    cut: dict[str, list[str]] = {}
    for row in rows:
        if row.cut:
            cut.setdefault(f"{row.cut} of {row.n} answers were cut at the token limit", []).append(row.label)
    return lines + [f"{_names(who)}: {text}" for text, who in cut.items()]


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
    lines += _unlike(shared)
    lines += [
        f"{column.label} was computed in different ways, so its rows cannot be compared: {column.version}"
        for column in columns
        if column.mixed
    ]
    reasons: dict[str, list[str]] = {}
    said: dict[str, list[str]] = {}
    for row in rows:
        for name, cell in row.cells.items():
            if cell.failure:
                reasons.setdefault(f"{name} could not be computed: {wording.first_line(cell.failure, 300)}", []).append(
                    row.label
                )
        for remark in _remarks(results.get(row.key)):
            said.setdefault(remark, []).append(row.label)
        if row.failed:
            lines.append(f"{row.label}: {row.failed} of {row.n} prompts have no answer ({_reasons(results[row.key])})")
        if row.detail:
            lines.append(f"{row.label}: {wording.status(row)}: {wording.first_line(row.detail, 300)}")
        if row.empty:
            lines.append(f"{row.label}: {row.empty} of {row.n} answers are empty")
    lines += [f"{_names(who)}: {remark}" for remark, who in said.items()]
    return lines + [reason if len(who) == len(rows) else f"{_names(who)}: {reason}" for reason, who in reasons.items()]


def _names(labels: Sequence[str]) -> str:
    """Return the models that a sentence is about: by name, or where they are many, their number."""
    return ", ".join(labels) if len(labels) <= _MOST_NAMED else f"{len(labels)} models ({labels[0]}, …)"


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


def _range(values: Sequence[float]) -> str:
    low, high = (f"{end:,.0f}" if abs(end) >= 1000 else f"{end:.3g}" for end in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _with_ends(rows: Sequence[ResultRow], column: Column) -> list[Cell]:
    cells = [row.cells[column.name] for row in rows if column.name in row.cells]
    return [cell for cell in cells if cell.low is not None and cell.low != cell.high]


def _legend(rows: Sequence[ResultRow]) -> list[str]:
    cells = [cell for row in rows for cell in row.cells.values()]
    lines = ["Numbers in brackets are 95 % intervals."] if any(cell.low is not None for cell in cells) else []
    if any(cell.best for cell in cells):
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
    texts = [f"{name}: {_quoted(system)}" for name, system in policies.items()]
    return [*lines, "System message: " + "; ".join(texts) + "."] if texts else lines


def _set_words(shared: Mapping[str, Any]) -> str:
    """Return which validation set it was; all of them, where the rows differ."""
    names, hashes = (wording.several(shared.get(key)) for key in ("validation", "validation_sha256"))
    shown = " and ".join(sha[:12] for sha in hashes)
    return f"validation set{'s' if len(hashes) > 1 else ''} {' and '.join(names)} ({shown})"


def _quoted(system: object) -> str:
    if system is None:
        return "each row's own"
    return f"“{wording.first_line(str(system), 90)}”" if system else "none"


def _reach(columns: Mapping[str, Column], seen: Sequence[Detectable]) -> list[str]:
    """Say what n prompts could have shown and what 1,000 would show, one sentence for each n."""
    lines: list[str] = []
    for n in dict.fromkeys(one.n for one in seen):
        here = [one for one in seen if one.n == n]
        blind = [columns[one.metric].label for one in here if one.now is None]
        if blind:
            lines.append(f"{n:,} prompts are too few to show any difference in {', '.join(blind)}.")
        able = [(columns[one.metric], one) for one in here if one.now is not None]
        if able:
            parts = [f"{wording.difference(column, one.now)} in {wording.head(column)[0]}" for column, one in able]
            now = ", ".join(parts)
            later = ", ".join(wording.difference(column, one.with_1000) for column, one in able)
            rest = f"; n = 1,000 would show {later}" if n < REFERENCE_N else ""
            lines.append(f"With n = {n:,}, differences under {now} cannot be seen{rest} (power 80 %, one comparison).")
    return lines


def _unlike(shared: Mapping[str, Any]) -> list[str]:
    names = {"validation_sha256": "validation sets", "decoding": "ways of decoding", "encoder": "encoders"}
    return [
        f"the rows have different {name}, so they cannot be compared fairly: {'; '.join(map(str, shared[key]))}"
        for key, name in names.items()
        if isinstance(shared.get(key), list)
    ]


def _remarks(result: EvaluationResult | None) -> list[str]:
    if result is None:
        return []
    return list(dict.fromkeys(remark for found in result.metrics.values() for remark in found.remarks))


def _reasons(result: EvaluationResult) -> str:
    return "; ".join(f"{wording.first_line(reason)}: {times}" for reason, times in list(result.failures.items())[:3])


def _one(values: Sequence[Any]) -> Any:
    unique = [value for i, value in enumerate(values) if value not in values[:i]]
    return unique[0] if len(unique) == 1 else unique or None
