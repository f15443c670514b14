"""What a person should know about a data set before anything is sent: `broker check`."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from broker.errors import Problem
from broker.jobs.datasets.canonical import canonical_lines
from broker.jobs.datasets.overlaps import METHOD, THRESHOLD, Overlap, near_duplicates, overlap
from broker.jobs.datasets.tokens import estimate_tokens, sequence_tokens
from broker.jobs.spec import RowFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker.jobs.rows import Dataset


class Limits(Protocol):
    """What a provider takes; its `Capabilities` have these."""

    @property
    def min_rows(self) -> int:
        """Fewest training rows."""
        ...

    @property
    def max_rows(self) -> int | None:
        """Most training rows."""
        ...

    @property
    def max_bytes(self) -> int | None:
        """Largest training file, bytes."""
        ...

    @property
    def max_row_tokens(self) -> int | None:
        """Longest row, tokens; what is longer is cut."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """Tokens of a data set's rows.

    Attributes:
        total: Of all rows.
        mean: Of a row.
        median: Of a row.
        longest: Of the longest sequence.
        longest_line: Its line.
        exact: Counted with a tokenizer; else estimated from the texts' bytes.
    """

    total: int
    mean: float
    median: float
    longest: int
    longest_line: int
    exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TruncatedRow:
    """A row that the provider would cut.

    Attributes:
        line: Its line.
        tokens: What it has.
        limit: What the provider takes.
    """

    line: int
    tokens: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateRows:
    """Rows that are equal in everything that is trained on.

    Attributes:
        lines: Their lines, at least two.
    """

    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What `check_dataset` found.

    Attributes:
        name: The data set.
        format: The internal form of its rows.
        rows: How many.
        bytes: Size of the canonical file, what would be uploaded.
        tokens: Token counts.
        duplicates: Rows that occur more than once.
        near_duplicates: Prompts like an earlier row's (`validation_line` is the later one), exact duplicates left out.
        leakage: Validation prompts that are, or nearly are, training prompts.
        truncated: Rows that the provider would cut.
        method: How prompts were compared.
        problems: All of it in words, with places and fixes; severity `error` stops a job.
    """

    name: str
    format: RowFormat
    rows: int
    bytes: int
    tokens: TokenCounts
    duplicates: tuple[DuplicateRows, ...]
    near_duplicates: tuple[Overlap, ...]
    leakage: tuple[Overlap, ...]
    truncated: tuple[TruncatedRow, ...]
    method: str
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Return whether nothing stops a job."""
        return all(problem.severity != "error" for problem in self.problems)


def check_dataset(
    dataset: Dataset,
    *,
    validation: Dataset | None = None,
    limits: Limits | None = None,
    tokenizer_count: Callable[[str], int] | None = None,
    threshold: float = THRESHOLD,
) -> Report:
    """Check a training set: repeated rows, leakage into the validation set, lengths, the provider's limits.

    Args:
        dataset: Training rows.
        validation: The rows that the tuned model will be judged on, if they are known.
        limits: What the provider takes, if it is known.
        tokenizer_count: Tokens of a text; estimated when not given.
        threshold: Least similarity (Jaccard of character trigrams) of near-duplicates.
    """
    duplicates = _duplicates(dataset)
    repeated = {line for group in duplicates for line in group.lines[1:]}
    near = tuple(entry for entry in near_duplicates(dataset, threshold) if entry.validation_line not in repeated)
    leakage = tuple(overlap(dataset, validation, threshold)) if validation else ()
    lengths = [sequence_tokens(row, tokenizer_count or estimate_tokens) for row in dataset.rows]
    truncated = _truncated(dataset, lengths, limits)
    size = sum(len(line.encode()) + 1 for line in canonical_lines(dataset))
    problems = [
        *_limit_problems(dataset, size, limits),
        *_leakage_problems(validation, dataset.name, leakage),
        *_truncation_problems(dataset.name, truncated, exact=tokenizer_count is not None),
        *_duplicate_problems(dataset.name, duplicates, near),
    ]
    return Report(
        name=dataset.name,
        format=dataset.format,
        rows=len(dataset.rows),
        bytes=size,
        tokens=_counts(dataset, lengths, exact=tokenizer_count is not None),
        duplicates=duplicates,
        near_duplicates=near,
        leakage=leakage,
        truncated=truncated,
        method=METHOD.format(threshold=threshold),
        problems=tuple(problems),
    )


def _duplicates(dataset: Dataset) -> tuple[DuplicateRows, ...]:
    groups: dict[str, list[int]] = {}
    for row, line in zip(dataset.rows, canonical_lines(dataset), strict=True):
        groups.setdefault(line, []).append(row.line)
    return tuple(DuplicateRows(lines=tuple(lines)) for lines in groups.values() if len(lines) > 1)


def _counts(dataset: Dataset, lengths: Sequence[tuple[int, ...]], *, exact: bool) -> TokenCounts:
    totals = [sum(sequences) for sequences in lengths]
    longest, line = max(
        ((max(sequences), row.line) for sequences, row in zip(lengths, dataset.rows, strict=True)),
        key=lambda found: found[0],
        default=(0, 0),
    )
    return TokenCounts(
        total=sum(totals),
        mean=statistics.fmean(totals) if totals else 0.0,
        median=statistics.median(totals) if totals else 0.0,
        longest=longest,
        longest_line=line,
        exact=exact,
    )


def _truncated(dataset: Dataset, lengths: Sequence[tuple[int, ...]], limits: Limits | None) -> tuple[TruncatedRow, ...]:
    limit = limits.max_row_tokens if limits else None
    if limit is None:
        return ()
    return tuple(
        TruncatedRow(line=row.line, tokens=max(sequences), limit=limit)
        for row, sequences in zip(dataset.rows, lengths, strict=True)
        if max(sequences) > limit
    )


# --- in words -------------------------------------------------------------------------------------------------------


def _limit_problems(dataset: Dataset, size: int, limits: Limits | None) -> list[Problem]:
    if limits is None:
        return []
    rows = len(dataset.rows)
    found: list[tuple[str, str]] = []
    if rows < limits.min_rows:
        found.append((f"{rows} rows, but the provider wants at least {limits.min_rows}", "add rows"))
    if limits.max_rows is not None and rows > limits.max_rows:
        found.append((f"{rows} rows, but the provider takes at most {limits.max_rows}", "take a sample"))
    if limits.max_bytes is not None and size > limits.max_bytes:
        found.append((f"{size} bytes, but the provider takes at most {limits.max_bytes}", "take fewer rows"))
    return [Problem(where=dataset.name, what=what, fix=fix) for what, fix in found]


def _leakage_problems(validation: Dataset | None, train: str, leakage: Sequence[Overlap]) -> list[Problem]:
    name = validation.name if validation else ""
    return [
        Problem(
            where=f"{name}:{entry.validation_line}",
            what=f'the prompt "{entry.prompt}" {_likeness(entry)} {train}:{entry.train_line}',
            fix="remove the row from the training or the validation file, or split again",
            severity="error" if entry.exact else "warning",
        )
        for entry in leakage
    ]


def _likeness(entry: Overlap) -> str:
    return "is also in the training data," if entry.exact else f"is nearly (similarity {entry.similarity:.2f})"


def _truncation_problems(name: str, truncated: Sequence[TruncatedRow], *, exact: bool) -> list[Problem]:
    about = "" if exact else "about "
    return [
        Problem(
            where=f"{name}:{row.line}",
            what=f"{about}{row.tokens} tokens; the provider cuts the row at {row.limit}",
            fix="shorten the row, or split the conversation",
            severity="warning",
        )
        for row in truncated
    ]


def _duplicate_problems(name: str, duplicates: Sequence[DuplicateRows], near: Sequence[Overlap]) -> list[Problem]:
    problems = [
        Problem(
            where=f"{name}:{group.lines[1]}",
            what=f"the same row as line {group.lines[0]}" + _more(len(group.lines) - 2),
            fix="keep one of them, unless it shall weigh more",
            severity="warning",
        )
        for group in duplicates
    ]
    return problems + [
        Problem(
            where=f"{name}:{entry.validation_line}",
            what=f'the prompt "{entry.prompt}" is {"the same as" if entry.exact else "nearly"} that of line '
            f"{entry.train_line} (similarity {entry.similarity:.2f})",
            fix="keep one of them, unless both are meant",
            severity="warning",
        )
        for entry in near
    ]


def _more(count: int) -> str:
    return f", and {count} more" if count > 0 else ""
