"""The content hash of a validation set: of everything that a model is asked and a metric may read.

The hash of the canonical rows leaves out the keys beside a row's messages, for they are not trained on. But a metric
reads them: IFEval its instructions, a metric of somebody's own a reference. Two sets that differ there alone give other
scores and are two sets. A set without such keys has the hash of its rows.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from broker.jobs.artifacts import Artifacts
    from broker.jobs.spec import DatasetRef

# Counts up whenever the same set gets another hash.
_VERSION = 2
_REMEMBERED = 1024


def frozen_hash(ref: DatasetRef, artifacts: Artifacts) -> str:
    """Return the content hash of a stored validation set.

    Args:
        ref: As `store_dataset` gave it.
        artifacts: Holds the set; when the keys beside its rows are no longer there, the hash is that of the rows.

    Raises:
        StoreError: The disk refused.
    """
    if ref.extra_sha256 is None or not artifacts.has(ref.extra_sha256):
        return ref.sha256
    return _with_extras(ref.sha256, artifacts.path(ref.extra_sha256))


@lru_cache(maxsize=_REMEMBERED)
def _with_extras(rows_sha256: str, extras: Path) -> str:
    """Return the hash; the file is named by its content, so the answer stays the same."""
    digest = hashlib.sha256(f"rows {_VERSION} {rows_sha256}\n".encode())
    found = False
    with extras.open(encoding="utf-8") as lines:
        for line in lines:
            # Without the row's line in its file, which is where it stood and not what it says.
            extra = json.loads(line)["extra"]
            found = found or bool(extra)
            digest.update(json.dumps(extra, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    return digest.hexdigest() if found else rows_sha256
