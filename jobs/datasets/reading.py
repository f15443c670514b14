"""Reading a data set: every problem of every row at once, or all rows."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.errors import DataError, MissingExtraError, Problem
from broker.jobs.datasets.faults import Fault
from broker.jobs.datasets.formats import SourceFormat, format_of, read_row, unknown_format
from broker.jobs.datasets.jsontext import is_object, shown
from broker.jobs.datasets.records import Record, read_records
from broker.jobs.rows import Dataset, Row
from broker.jobs.spec import RowFormat

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HUB_PREFIX = "hf:"


def read_dataset(
    path: Path, *, format: RowFormat | None = None, name: str | None = None, answers: bool = True
) -> Dataset:
    """Read a file of rows: chat, prompt/completion, preference, ShareGPT or Alpaca, as JSONL, JSON, CSV or Parquet.

    Args:
        path: The file.
        format: The internal form that is needed; any when not given.
        name: What problems and tables call it; the path, and the file's name, when not given.
        answers: Every row must hold an answer; False for rows that are only asked.

    Returns:
        All rows, in the file's order, with their lines.

    Raises:
        DataError: With every problem: file and line, what is wrong, what to change.
        MissingExtraError: The file is Parquet and pyarrow is not installed.
    """
    label = name or str(path)
    return collect(read_records(path, label), label, name or path.name, format, answers=answers)


def read_source(
    source: str | Path, *, format: RowFormat | None = None, token: str | None = None, answers: bool = True
) -> Dataset:
    """Read what a person names: a file, or `hf:NAME[:split]`.

    Args:
        source: As typed after `--train`.
        format: The internal form that is needed; any when not given.
        token: Token for the Hugging Face hub, if there is one.
        answers: Every row must hold an answer; False for rows that are only asked.

    Raises:
        DataError: With every problem.
        MissingExtraError: An optional package is needed.
    """
    if isinstance(source, str) and source.startswith(HUB_PREFIX):
        return read_hub(source, format=format, token=token, answers=answers)
    return read_dataset(Path(source), format=format, answers=answers)


def read_hub(name: str, *, format: RowFormat | None = None, token: str | None = None, answers: bool = True) -> Dataset:
    """Read a data set of the Hugging Face hub, or a folder that the `datasets` package can load.

    Args:
        name: `hf:NAME[:split]` (the prefix may be left out); the split is `train` when not given, and slices such as
            `train[:500]` work.
        format: The internal form that is needed; any when not given.
        token: Token for the hub; `datasets` finds its own (`HF_TOKEN`) when not given.
        answers: Every row must hold an answer; False for rows that are only asked.

    Raises:
        DataError: There is no such data set or split, or rows are malformed.
        MissingExtraError: The package `datasets` is not installed.
    """
    label = _hub_label(name)
    return collect(hub_records(name, token=token), label, label, format, answers=answers)


def hub_records(name: str, *, token: str | None = None) -> Iterator[Record | Problem]:
    """Yield the rows of a data set of the hub as records.

    Args:
        name: As for `read_hub`.
        token: Likewise.

    Raises:
        DataError: There is no such data set or split.
        MissingExtraError: The package `datasets` is not installed.
    """
    from broker.jobs.datasets.columns import table_records

    label = _hub_label(name)
    repository, _, split = label.removeprefix(HUB_PREFIX).partition(":")
    yield from table_records(_load_hub(repository, split, label, token), label)


def _hub_label(name: str) -> str:
    repository, _, split = name.removeprefix(HUB_PREFIX).partition(":")
    return f"{HUB_PREFIX}{repository}:{split or 'train'}"


def _load_hub(repository: str, split: str, label: str, token: str | None) -> Iterable[dict[str, Any]]:
    try:
        datasets = import_module("datasets")
    except ImportError:
        raise MissingExtraError(
            "reading from the Hugging Face hub needs the package datasets",
            fix="pip install 'finetune-broker[hub]'",
            where=label,
        ) from None
    if not repository:
        raise DataError([Problem(where=label, what="no data set is named", fix="write hf:NAME or hf:NAME:split")])
    try:
        loaded: Iterable[dict[str, Any]] = datasets.load_dataset(repository, split=split, token=token)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        what = f"cannot be loaded: {type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
        fix = f"look at https://huggingface.co/datasets/{repository}; gated ones need HF_TOKEN"
        raise DataError([Problem(where=label, what=what, fix=fix)]) from error
    return loaded


class _Collector:
    """Rows and problems of one source. The first row of a known format decides what the others must be."""

    def __init__(self, label: str, wanted: RowFormat | None, *, answers: bool) -> None:
        self.rows: list[Row] = []
        self.problems: list[Problem] = []
        self._label = label
        self._wanted = wanted
        self._answers = answers
        self._format: SourceFormat | None = None
        self._first_line = 0

    def add(self, record: Record) -> None:
        faults: list[Fault] = []
        row = self._row(record, faults)
        if row and not faults:
            self.rows.append(row)
        where = f"{self._label}:{record.line}"
        self.problems.extend(Problem(where=where, what=fault.what, fix=fault.fix) for fault in faults)

    def _row(self, record: Record, faults: list[Fault]) -> Row | None:
        if not is_object(record.value):
            found = type(record.value).__name__
            faults.append(
                Fault(f"the line is {shown(record.value)} ({found}), not an object", "write {…} on each line")
            )
            return None
        source = format_of(record.value)
        if source is None or (self._format and source is not self._format):
            faults.append(self._misfit(record.value, source))
            return None
        if self._format is None:
            self._format, self._first_line = source, record.line
        return read_row(record.value, source, record.line, faults, answers=self._answers)

    def _misfit(self, value: dict[str, Any], source: SourceFormat | None) -> Fault:
        if source is None or self._format is None or not set(source.needed) <= value.keys():
            return unknown_format(value, self._format)
        return Fault(
            f"the row is {source.name} ({', '.join(source.needed)}), but the file began as {self._format.name} "
            f"on line {self._first_line}",
            "put rows of one format into one file",
        )

    @property
    def form(self) -> RowFormat:
        """The internal form of the rows."""
        return self._format.form if self._format else RowFormat.CHAT

    def finish(self) -> None:
        """Add what only the whole source shows."""
        if not self.rows and not self.problems:
            what, fix = "the file holds no rows, only blank lines or a header", "put one row on each line"
            self.problems.append(Problem(where=self._label, what=what, fix=fix))
        if self._wanted and self._format and self._format.form is not self._wanted:
            needed = {RowFormat.CHAT: "chat rows (method sft)", RowFormat.PREFERENCE: "preference rows (method dpo)"}
            what = f"holds {self._format.name} rows, but {needed[self._wanted]} are needed"
            fix = "use --method dpo, or give messages" if self._wanted is RowFormat.CHAT else _PREFERENCE_FIX
            self.problems.append(Problem(where=f"{self._label}:{self._first_line}", what=what, fix=fix))


_PREFERENCE_FIX = "use --method sft, or give input, preferred_output and non_preferred_output"


def collect(
    items: Iterable[Record | Problem], label: str, name: str, wanted: RowFormat | None, *, answers: bool = True
) -> Dataset:
    """Turn records into a data set.

    Args:
        items: Records, and problems in place of those that could not be read.
        label: What problems call the source.
        name: The data set's name.
        wanted: The internal form that is needed; any when not given.
        answers: Every row must hold an answer; False for rows that are only asked.

    Raises:
        DataError: With every problem.
    """
    collector = _Collector(label, wanted, answers=answers)
    for item in items:
        if isinstance(item, Problem):
            collector.problems.append(item)
        else:
            collector.add(item)
    collector.finish()
    if collector.problems:
        raise DataError(collector.problems, summary=_summary(collector, label))
    return Dataset(name=name, format=collector.form, rows=tuple(collector.rows))


def _summary(collector: _Collector, label: str) -> str:
    bad = len({problem.where for problem in collector.problems})
    count = len(collector.problems)
    good = f", {len(collector.rows)} row(s) are good" if collector.rows else ""
    return f"{label}: {count} problem(s) in {bad} place(s){good}; nothing was used"
