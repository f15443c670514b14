"""Data sets: files of many formats in, one canonical form out, every fault named with its place.

`read_dataset` takes a file and gives a `Dataset` or a `DataError` with all problems at once; `store_dataset` puts the
canonical form into the artifacts and gives the `DatasetRef` that specs carry; `check_dataset` reports what a person
should know before anything is sent.
"""

from broker.jobs.datasets.canonical import canonical_lines, content_hash, load_rows, to_canonical
from broker.jobs.datasets.frozen import frozen_hash
from broker.jobs.datasets.mixing import Mix, MixPart, Stratum, mix, mixed_lines, read_ratio
from broker.jobs.datasets.overlaps import Overlap, overlap
from broker.jobs.datasets.partition import marked_split, split
from broker.jobs.datasets.reading import read_dataset, read_hub, read_source
from broker.jobs.datasets.report import DuplicateRows, Limits, Report, TokenCounts, TruncatedRow, check_dataset
from broker.jobs.datasets.storing import load_dataset, store_dataset, write_lines
from broker.jobs.datasets.tokens import estimate_tokens, row_tokens

__all__ = [
    "DuplicateRows",
    "Limits",
    "Mix",
    "MixPart",
    "Overlap",
    "Report",
    "Stratum",
    "TokenCounts",
    "TruncatedRow",
    "canonical_lines",
    "check_dataset",
    "content_hash",
    "estimate_tokens",
    "frozen_hash",
    "load_dataset",
    "load_rows",
    "marked_split",
    "mix",
    "mixed_lines",
    "overlap",
    "read_dataset",
    "read_hub",
    "read_ratio",
    "read_source",
    "row_tokens",
    "split",
    "store_dataset",
    "to_canonical",
    "write_lines",
]
