"""Tests of two models that were computed before: thirty models on 2,000 prompts take half a minute, and do not change.

A test is found again by what it was made of: the values of both models, and the code and libraries that computed it.
The file may be deleted at any time.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from hashlib import sha256
from importlib import resources
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast

from broker.evaluation.shares import compare_results
from broker.evaluation.statistics import PairTest
from broker.jobs.durable import make_folder, write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from broker.evaluation.record import MetricResult

_CODE = ("bootstrap.py", "statistics.py", "shares.py", "ratios.py")
_LIBRARIES = ("numpy", "scipy", "statsmodels")
# Beyond these only the tests of the last look are kept.
_MOST = 20_000


class KeptTests:
    """Compares two results, or says what was found the last time."""

    def __init__(self, path: Path) -> None:
        """Read what is kept.

        Args:
            path: The file; there need be none.
        """
        self._path = path
        self._kept = _read(path)
        self._used: dict[str, dict[str, Any]] = {}
        self._names: dict[int, tuple[MetricResult, str]] = {}

    def __call__(self, left: MetricResult, right: MetricResult, *, interval: bool = True) -> PairTest:
        """Compare two models in one metric, as `compare_results`.

        Args:
            left: The metric of one model.
            right: The same metric of the other, on the same rows.
            interval: Make the interval of the difference as well.
        """
        made_of = f"{_made_by()} {self._name(left)} {self._name(right)} {interval}"
        key = sha256(made_of.encode()).hexdigest()
        known = self._used.get(key) or self._kept.get(key)
        test = compare_results(left, right, interval=interval) if known is None else PairTest(**known)
        self._used[key] = asdict(test)
        return test

    def save(self) -> None:
        """Write what is new; a folder that takes nothing costs only the time of the next look."""
        if self._used.keys() <= self._kept.keys():
            return
        kept = {**self._kept, **self._used}
        with suppress(OSError):
            make_folder(self._path.parent)
            write_whole(self._path, json.dumps(kept if len(kept) <= _MOST else self._used).encode())

    def _name(self, result: MetricResult) -> str:
        """Return a hash of what a test looks at."""
        known = self._names.get(id(result))
        if known is None:
            text = repr((str(result.kind), result.values, result.parts))
            # The result is kept too, so that no other one gets its id.
            known = self._names[id(result)] = (result, sha256(text.encode()).hexdigest())
        return known[1]


@cache
def _made_by() -> str:
    """Return a hash of the code and the versions that compute a test."""
    folder = resources.files("broker.evaluation")
    code = b"".join(folder.joinpath(name).read_bytes() for name in _CODE)
    return sha256(code + repr([version(name) for name in _LIBRARIES]).encode()).hexdigest()


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, dict[str, Any]]", found) if isinstance(found, dict) else {}
