"""Mixing real with synthetic rows in a given ratio: seeded, stratified, every row with its provenance. Pure.

A ratio `A:B` is a pair of counts (A real rows, B synthetic ones) when no number of rows is given, and a pair of
proportions (of N rows) when one is: 300:200 alone and 3:2 of 500 rows are the same mix. The counts of the strata follow
the whole file's (largest remainders). Which rows of a stratum are drawn depends on their text and the seed, not on the
file's order, and a larger share of a stratum with the same seed holds the smaller one.

Source: 300 real and 200 synthetic conversations, arXiv 2410.09168.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from broker.errors import DataError, Problem, UserError
from broker.jobs.datasets.canonical import content_hash, to_canonical, to_line
from broker.jobs.datasets.jsontext import is_object
from broker.jobs.datasets.overlaps import THRESHOLD, Overlap, overlap
from broker.jobs.datasets.partition import marked_split
from broker.jobs.datasets.tokens import row_tokens
from broker.jobs.rows import Dataset, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

PROVENANCE = "provenance"
BY_LENGTH = "length"
UNSTRATIFIED = "none"
# Keys by which a file is stratified when none is named and all its rows have it; else by length.
DEFAULT_KEYS = ("category", "lineage.source.title")
_QUARTERS = 4
_RATIO = re.compile(r"\s*(\d+(?:\.\d+)?)\s*:\s*(\d+(?:\.\d+)?)\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """One stratum of one source.

    Attributes:
        name: The value of the key, or the quarter of lengths.
        rows: How many the file has.
        taken: How many the mix has.
    """

    name: str
    rows: int
    taken: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MixPart:
    """What a mix took from one source.

    Attributes:
        source: `real` or `synthetic`.
        file: The data set's name.
        sha256: Its content hash (of its training rows).
        rows: How many rows it has to draw from.
        taken: How many the mix has.
        key: What it was stratified by: a key, `length`, or `none`.
        strata: The strata, the largest first.
        held_out: Rows that the file marks for validation; they are not counted above and never in a mix.
    """

    source: str
    file: str
    sha256: str
    rows: int
    taken: int
    key: str
    strata: tuple[Stratum, ...]
    held_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Mixed rows and where they came from.

    Attributes:
        dataset: The rows, shuffled; each has `provenance` beside its other keys.
        parts: What was taken from the real and the synthetic rows.
        overlaps: Synthetic rows (`validation_line`) whose prompt is, or nearly is, that of a real one (`train_line`).
        seed: Of the draw and the order.
    """

    dataset: Dataset
    parts: tuple[MixPart, MixPart]
    overlaps: tuple[Overlap, ...]
    seed: int


def read_ratio(text: str, rows: int | None = None) -> tuple[int, int]:
    """Return how many real and synthetic rows a ratio means.

    Args:
        text: `A:B`: two counts, or, when `rows` is given, two proportions.
        rows: Rows of the mix, for proportions.

    Raises:
        UserError: It is no ratio, or its counts are not whole, or nothing is wanted.
    """
    match = _RATIO.fullmatch(text)
    if match is None:
        raise UserError(f"{text!r} is not a ratio", where="--ratio", fix="--ratio 300:200, or --ratio 60:40 --rows 500")
    real, synthetic = float(match[1]), float(match[2])
    if not real + synthetic or (rows is not None and rows < 1):
        raise UserError("no rows are wanted", where="--ratio", fix="--ratio 300:200, or --ratio 60:40 --rows 500")
    if rows is not None:
        first = _rounded(rows * real / (real + synthetic))
        return first, rows - first
    if not (real.is_integer() and synthetic.is_integer()):
        fix = "give whole numbers of rows, or say with --rows how many rows these are proportions of"
        raise UserError(f"{text!r} is no pair of counts", where="--ratio", fix=fix)
    return int(real), int(synthetic)


def _rounded(value: float) -> int:
    return int(value + 0.5)


def mix(
    real: Dataset,
    synthetic: Dataset,
    counts: tuple[int, int],
    *,
    seed: int = 0,
    stratify: str | None = None,
    name: str = "mix",
    threshold: float = THRESHOLD,
) -> Mix:
    """Mix two data sets.

    Args:
        real: Rows that people wrote.
        synthetic: Rows of the same form that a model wrote.
        counts: How many of each, as `read_ratio` returns them.
        seed: Of the draw and the order.
        stratify: A dotted path into a row's other keys (`lineage.source.title`), `length` for quarters of the rows'
            lengths, `none` for none; `DEFAULT_KEYS` or length when None, for each file by itself.
        name: The mix's.
        threshold: From which similarity two prompts are near-duplicates, in (0, 1].

    Raises:
        DataError: Too few rows, rows of two forms, or a key that no row has; all at once.
    """
    (real, *real_held), (synthetic, *synthetic_held) = (marked_split(one) or (one,) for one in (real, synthetic))
    sources = (("real", real, counts[0]), ("synthetic", synthetic, counts[1]))
    problems = [*_misfits(real, synthetic), *_shortages(sources), *_strangers(sources, stratify)]
    if problems:
        raise DataError(problems)
    drawn = [_draw(source, dataset, count, stratify, seed) for source, dataset, count in sources]
    (first, chosen_real), (second, chosen_synthetic) = drawn
    found = overlap(replace(real, rows=chosen_real), replace(synthetic, rows=chosen_synthetic), threshold)
    rows = [_marked(row, part) for part, chosen in drawn for row in chosen]
    shuffled = sorted(rows, key=lambda row: _lot(seed, "order", row))
    numbered = tuple(replace(row, line=line) for line, row in enumerate(shuffled, 1))
    held = [sum(len(one.rows) for one in marked) for marked in (real_held, synthetic_held)]
    return Mix(
        dataset=Dataset(name=name, format=real.format, rows=numbered),
        parts=(replace(first, held_out=held[0]), replace(second, held_out=held[1])),
        overlaps=tuple(found),
        seed=seed,
    )


def mixed_lines(dataset: Dataset) -> Iterator[str]:
    """Yield the lines of a mixed file: the canonical row and its other keys, provenance included.

    Args:
        dataset: Of a mix.
    """
    return (to_line({**to_canonical(row), **row.extra}) for row in dataset.rows)


# --- what stands against it -----------------------------------------------------------------------------------------


def _misfits(real: Dataset, synthetic: Dataset) -> list[Problem]:
    if real.format is synthetic.format:
        return []
    what = f"holds {synthetic.format} rows, but {real.name} holds {real.format} rows"
    return [Problem(where=synthetic.name, what=what, fix="mix files of one form")]


def _shortages(sources: Sequence[tuple[str, Dataset, int]]) -> list[Problem]:
    wanted = [count for _, _, count in sources]
    share = min(len(dataset.rows) / count for _, dataset, count in sources if count)
    fewer = [int(count * share) for count in wanted]
    same = [bool(count) for count in wanted] == [bool(count) for count in fewer]
    fix = f", or take the same ratio of fewer: --ratio {':'.join(map(str, fewer))}" if same else ""
    return [
        Problem(
            where=dataset.name,
            what=f"{count} {source} rows are wanted, it has {len(dataset.rows)}",
            fix=f"give more rows{fix}",
        )
        for source, dataset, count in sources
        if count > len(dataset.rows)
    ]


def _strangers(sources: Sequence[tuple[str, Dataset, int]], key: str | None) -> list[Problem]:
    if key in (None, BY_LENGTH, UNSTRATIFIED):
        return []
    found: list[Problem] = []
    for _, dataset, count in sources:
        if count and not any(_value(row, key) is not None for row in dataset.rows):
            known = ", ".join(sorted({path for row in dataset.rows[:100] for path in _paths(row.extra)})) or "none"
            fix = f"keys beside the messages: {known}; or --stratify {BY_LENGTH}, --stratify {UNSTRATIFIED}"
            found.append(Problem(where=dataset.name, what=f"no row has the key {key!r} to stratify by", fix=fix))
    return found


def _paths(value: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for key, item in value.items():
        if is_object(item):
            yield from _paths(item, f"{before}{key}.")
        else:
            yield f"{before}{key}"


# --- the draw -------------------------------------------------------------------------------------------------------


def _draw(
    source: str, dataset: Dataset, count: int, stratify: str | None, seed: int
) -> tuple[MixPart, tuple[Row, ...]]:
    key = stratify or _default_key(dataset)
    strata = _strata(dataset, key)
    shares = _shares({name: len(rows) for name, rows in strata.items()}, count)
    chosen = [row for name, rows in strata.items() for row in _lots(rows, seed, source)[: shares[name]]]
    told = [Stratum(name=name, rows=len(rows), taken=shares[name]) for name, rows in strata.items()]
    part = MixPart(
        source=source,
        file=dataset.name,
        sha256=content_hash(dataset),
        rows=len(dataset.rows),
        taken=len(chosen),
        key=key,
        strata=tuple(sorted(told, key=lambda one: (-one.rows, one.name))),
    )
    return part, tuple(sorted(chosen, key=lambda row: row.line))


def _default_key(dataset: Dataset) -> str:
    whole = (key for key in DEFAULT_KEYS if all(_value(row, key) is not None for row in dataset.rows))
    return next(whole, BY_LENGTH)


def _strata(dataset: Dataset, key: str) -> dict[str, list[Row]]:
    strata: dict[str, list[Row]] = {}
    named = _by_length(dataset) if key == BY_LENGTH else partial(_name, key)
    for row in dataset.rows:
        strata.setdefault(named(row), []).append(row)
    return strata


def _by_length(dataset: Dataset) -> Callable[[Row], str]:
    """Return a function that names the quarter of the file's lengths (estimated tokens) in which a row is."""
    lengths = sorted(row_tokens(row) for row in dataset.rows)
    bounds = [lengths[len(lengths) * quarter // _QUARTERS] for quarter in range(1, _QUARTERS)] if lengths else []

    def named(row: Row) -> str:
        return f"quarter {1 + sum(row_tokens(row) >= bound for bound in bounds)} of lengths"

    return named


def _name(key: str, row: Row) -> str:
    if key == UNSTRATIFIED:
        return "all"
    value = _value(row, key)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _value(row: Row, key: str | None) -> Any:
    value: Any = row.extra
    for part in (key or "").split("."):
        value = value.get(part) if is_object(value) else None
    return value


def _shares(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """Part a count by sizes: whole parts, then one more each for the largest remainders."""
    total = sum(sizes.values())
    exact = {name: count * size / total for name, size in sizes.items()} if total else {}
    shares = {name: int(share) for name, share in exact.items()}
    left = count - sum(shares.values())
    for name in sorted(exact, key=lambda name: (shares[name] - exact[name], -sizes[name], name))[:left]:
        shares[name] += 1
    return shares


def _lots(rows: Sequence[Row], seed: int, source: str) -> list[Row]:
    return sorted(rows, key=lambda row: _lot(seed, source, row))


def _lot(seed: int, use: str, row: Row) -> tuple[bytes, int]:
    """Return by what a row is drawn: a hash of its text and the seed; its line tells equal rows apart."""
    text = f"{seed}\0{use}\0{to_line(to_canonical(row))}"
    return hashlib.sha256(text.encode()).digest(), row.line


def _marked(row: Row, part: MixPart) -> Row:
    told: dict[str, Any] = {"source": part.source, "file": part.file, "line": row.line, "sha256": part.sha256}
    if PROVENANCE in row.extra:  # a mix of a mix
        told["earlier"] = row.extra[PROVENANCE]
    return replace(row, extra={**row.extra, PROVENANCE: told})
