"""Validation prompts in training data: whatever a tuning job of this store was given, and what is about to be.

The work is kept in the cache folder: a signature of each set, and for each validation set what it shares with which
others. So a set is read once, and a pair of sets compared once (`jobs/datasets/signatures.py` says how).
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broker.errors import DataError, Problem, StoreError
from broker.jobs.datasets import Overlap, load_rows
from broker.jobs.datasets.overlaps import THRESHOLD, likenesses, shown_prompt
from broker.jobs.datasets.signatures import VERSION, Question, Signature, sign_rows
from broker.jobs.durable import make_folder, write_whole
from broker.jobs.spec import DatasetRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from broker.jobs.artifacts import Artifacts
    from broker.jobs.records import UsedRows
    from broker.jobs.rows import Dataset, Row
    from broker.jobs.store.protocol import Store

DOCUMENT = "overlap"
# How many prompts of a set, and how many sets, a message names.
_NAMED_PROMPTS = 5
_NAMED_SETS = 5
HOW = f"the same, or near: Jaccard similarity of character trigrams at least {THRESHOLD:g}"
# One line of a pair's file: line of the validation row, line of the training row, similarity, the same.
Line = tuple[int, int, float, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A set of training rows that shares prompts with the validation set.

    Attributes:
        data: The set.
        watched: It was looked at in training (its loss) and not trained on.
        owners: Whose it is, in words.
        asked: It belongs to this request.
        rows: What is shared.
    """

    data: DatasetRef
    watched: bool
    owners: str
    asked: bool
    rows: tuple[Overlap, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What is shared with which sets.

    Attributes:
        validation: The validation set.
        leaks: Sets that share something, those of this request first.
        gone: Jobs whose rows are not here any more (or never were), in words.
    """

    validation: DatasetRef
    leaks: tuple[Leak, ...] = ()
    gone: tuple[str, ...] = ()

    def problems(self, *, allow: bool) -> list[Problem]:
        """Return what a person must hear: errors, or with `allow` warnings.

        Args:
            allow: Go on.
        """
        said = [self._problem(leak, allow=allow) for leak in self.leaks[:_NAMED_SETS]]
        more = self.leaks[_NAMED_SETS:]
        if more:
            what = f"{len(more)} more sets share prompts with it: {', '.join(leak.owners for leak in more)}"
            said.append(self._said(f"overlap with {self.validation.name}", what, asked=False, allow=allow))
        if self.gone:
            what = f"not every set could be compared with {self.validation.name}: {'; '.join(self.gone)}"
            said.append(Problem(where="training data that is gone", what=what, severity="warning"))
        return said

    def _problem(self, leak: Leak, *, allow: bool) -> Problem:
        first = "; ".join(self._pair(leak, row) for row in leak.rows[:_NAMED_PROMPTS])
        more = f"; and {len(leak.rows) - _NAMED_PROMPTS} more" if len(leak.rows) > _NAMED_PROMPTS else ""
        use = "the rows that were looked at in training" if leak.watched else "the training data"
        what = (
            f"{len(leak.rows)} of {self.validation.rows} validation prompt(s) are in {use} of {leak.owners}: "
            f"{first}{more} ({HOW})"
        )
        where = f"overlap of {leak.data.name} with {self.validation.name}"
        return self._said(where, what, asked=leak.asked, allow=allow)

    def _said(self, where: str, what: str, *, asked: bool, allow: bool) -> Problem:
        rows = "remove these rows from one of the files" if asked else "judge on other rows"
        fix = "" if allow else f"{rows}, or --allow-overlap (the table says so)"
        return Problem(where=where, what=what, fix=fix, severity="warning" if allow else "error")

    def _pair(self, leak: Leak, row: Overlap) -> str:
        sign, how = ("=", "") if row.exact else ("~", f" (similarity {row.similarity:.2f})")
        left, right = f"{self.validation.name}:{row.validation_line}", f"{leak.data.name}:{row.train_line}"
        return f'{left} {sign} {right}{how} "{row.prompt}"'

    def document(self, own: Mapping[str, Sequence[str]], makers: Mapping[str, str]) -> dict[str, Any]:
        """Return what the table is told.

        Args:
            own: By evaluation, the sets (`set_of`) that its model (or an ancestor of it) was trained on.
            makers: By set, the first job of this request that trains on it.
        """
        lines = {set_of(leak.data): {row.validation_line for row in leak.rows} for leak in self.leaks}
        shared = {job: {line for key in keys for line in lines.get(key, ())} for job, keys in own.items()}
        return {
            "prompts": self.validation.rows,
            "how": HOW,
            "own": {job: len(rows) for job, rows in shared.items() if rows},
            "sets": {
                f"{set_of(leak.data)}{'/watched' if leak.watched else ''}": {
                    "name": leak.data.name,
                    "owners": makers.get(set_of(leak.data), leak.owners) if leak.asked else leak.owners,
                    "watched": leak.watched,
                    "rows": [[row.validation_line, row.train_line, row.similarity] for row in leak.rows],
                }
                for leak in self.leaks
            },
        }


def set_of(data: DatasetRef) -> str:
    """Return the name of a set's rows and lines; equal rows at other lines are another set."""
    return data.sha256 if data.extra_sha256 is None else f"{data.sha256[:40]}-{data.extra_sha256[:23]}"


def note_overlap(store: Store, experiment: str, found: Mapping[str, Any]) -> None:
    """Keep what the table of an experiment must say, beside what it says already (blocking).

    Args:
        store: The store.
        experiment: Its name.
        found: From `Findings.document`.
    """
    before = store.document(DOCUMENT, experiment) or {}
    merged = {name: {**before.get(name, {}), **found[name]} for name in ("own", "sets")}
    store.put_document(DOCUMENT, experiment, {**found, **merged})


class OverlapFinder:
    """Compares a validation set with every set that the store knows. Blocking."""

    def __init__(self, store: Store, artifacts: Artifacts, cache_dir: Path) -> None:
        """Keep where to look.

        Args:
            store: Knows what tuning jobs were given.
            artifacts: Holds the rows.
            cache_dir: Of the user; what is kept there can be made again.
        """
        self._store = store
        self._artifacts = artifacts
        self._folder = cache_dir / "overlaps"

    def find(self, judge: Dataset, validation: DatasetRef, fresh: Iterable[tuple[Dataset, DatasetRef]]) -> Findings:
        """Compare.

        Args:
            judge: The validation rows.
            validation: The same, stored.
            fresh: Training rows of this request, and as they are stored.

        Returns:
            What is shared, and what could not be looked at.
        """
        known_rows = self._store.used_rows()
        used = {(set_of(one.data), one.watched): one for one in known_rows if one.data.sha256}
        gone = [one for one in known_rows if not one.data.sha256]
        book = _Book(self._folder, validation)
        pair = _Pairing(judge, book)
        leaks: list[Leak] = []
        for rows, data in {set_of(data): (rows, data) for rows, data in fresh}.values():
            known = used.pop((set_of(data), False), None)
            shared = pair.shared(data, lambda rows=rows: self._signature(data, rows.rows))  # noqa: B023 - called at once
            owners = "this request" + (f" and {_owners(known)}" if known else "")
            leaks += _leaks(data, shared, owners, watched=False, asked=True)
        for one in used.values():
            try:
                shared = pair.shared(one.data, lambda one=one: self._signature(one.data, None))
            except (StoreError, DataError):
                gone.append(one)
                continue
            leaks += _leaks(one.data, shared, _owners(one), watched=one.watched, asked=False)
        book.close()
        return Findings(validation=validation, leaks=tuple(leaks), gone=tuple(map(_gone, gone)))

    def _signature(self, data: DatasetRef, rows: Sequence[Row] | None) -> Signature:
        """Return a set's signature, from the cache where it is there.

        Raises:
            StoreError: Its rows are gone.
            DataError: They were changed.
        """
        path = self._folder / f"{set_of(data)}-{VERSION}.npz"
        with suppress(OSError, ValueError):
            return Signature.from_bytes(path.read_bytes())
        made = sign_rows(rows if rows is not None else self._rows(data))
        _keep(path, made.to_bytes())
        return made

    def _rows(self, data: DatasetRef) -> Iterable[Row]:
        path = self._artifacts.path(data.sha256)
        if data.extra_sha256 is None or not self._artifacts.has(data.extra_sha256):
            return load_rows(path)
        extras = self._artifacts.path(data.extra_sha256).read_text(encoding="utf-8")
        return load_rows(path, extras=extras.removesuffix("\n").split("\n"))


class _Book:
    """What one validation set shares with others, in a file of the cache."""

    def __init__(self, folder: Path, validation: DatasetRef) -> None:
        self._path = folder / f"{set_of(validation)}-{VERSION}-{THRESHOLD:g}.json"
        self._new = False
        try:
            self._pairs: dict[str, list[Line]] = dict(json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            self._pairs = {}

    def get(self, data: DatasetRef) -> list[Line] | None:
        return self._pairs.get(set_of(data))

    def put(self, data: DatasetRef, lines: list[Line]) -> None:
        self._pairs[set_of(data)] = lines
        self._new = True

    def close(self) -> None:
        if self._new:
            _keep(self._path, json.dumps(self._pairs).encode())


class _Pairing:
    """The validation rows while they are compared with one set after the other."""

    def __init__(self, judge: Dataset, book: _Book) -> None:
        self._judge = judge
        self._book = book
        self._question: Question | None = None
        self._prompts = {row.line: shown_prompt(row) for row in judge.rows}

    def shared(self, data: DatasetRef, sign: Any) -> list[Overlap]:
        """Return what a set shares; `sign` makes its signature where the pair was never compared."""
        lines = self._book.get(data)
        if lines is None:
            if self._question is None:
                self._question = Question(sign_rows(self._judge.rows), THRESHOLD)
            found = likenesses(sign(), self._judge, self._question)
            lines = [(one.validation_line, one.train_line, one.similarity, one.exact) for one in found]
            self._book.put(data, lines)
        return [
            Overlap(
                train_line=there, validation_line=here, similarity=how, exact=exact, prompt=self._prompts.get(here, "")
            )
            for here, there, how, exact in lines
        ]


def _leaks(data: DatasetRef, shared: Sequence[Overlap], owners: str, *, watched: bool, asked: bool) -> list[Leak]:
    if not shared:
        return []
    return [Leak(data=data, watched=watched, owners=owners, asked=asked, rows=tuple(shared))]


def _owners(used: UsedRows) -> str:
    more = f" and {used.jobs - 1} more job(s)" if used.jobs > 1 else ""
    return f"{used.job_id} (experiment {used.experiment}){more}"


def _gone(used: UsedRows) -> str:
    why = "are no longer in the artifacts" if used.data.sha256 else "were never here"
    return f"the rows of {_owners(used)}, {used.data.name}, {why}"


def _keep(path: Path, data: bytes) -> None:
    """Write a file of the cache; a disk that refuses costs only the next time."""
    with suppress(OSError):
        make_folder(path.parent)
        write_whole(path, data)
