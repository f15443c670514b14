"""What a look at a data file, or at the folder of a synthesis, found: frozen values for a terminal and a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.synthesis.measures import Diversity, Histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A row that is like an earlier one.

    Attributes:
        line: The row's.
        earlier: The earlier one's.
        similarity: Between their prompts.
        text: The row's prompt, shortened.
        earlier_text: The earlier one's.
    """

    line: int
    earlier: int
    similarity: float
    text: str
    earlier_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """Prompts that come twice, or nearly, by one measure.

    Attributes:
        method: The measure and its threshold, in words.
        rows: Rows that are like an earlier one.
        pairs: The most similar of them.
    """

    method: str
    rows: int
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One row to look at.

    Attributes:
        line: In its file.
        turns: (who, what) in order: `user`, `assistant`, `system`, `preferred`, `non-preferred`.
        facts: What is known about it (title of the source, scores, reason of a rejection).
    """

    line: int
    turns: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Where rows come from, added up.

    Attributes:
        rows: Rows that tell their lineage.
        sources: Titles of source texts with the number of rows, the most frequent first.
        titles: How many different titles there are.
        models: Models that were asked, with the number of rows.
        pipelines: Pipelines, with the number of rows.
        prompts: Hashes of each prompt that was used, with the number of rows.
        attempts: For each step, how many rows took how many attempts.
        input_tokens: Of the accepted rows.
        output_tokens: Of the accepted rows.
        cost_usd: Of the accepted rows.
        provenance: Sources of mixed rows (`real`, `synthetic`, files), with the number of rows.
    """

    rows: int
    sources: tuple[tuple[str, int], ...]
    titles: int
    models: tuple[tuple[str, int], ...]
    pipelines: tuple[tuple[str, int], ...]
    prompts: Mapping[str, tuple[tuple[str, int], ...]]
    attempts: Mapping[str, tuple[tuple[int, int], ...]]
    input_tokens: int
    output_tokens: int
    cost_usd: float
    provenance: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """Everything about one file or folder.

    Attributes:
        name: What a person called it.
        format: `chat` or `preference`.
        rows: Accepted rows.
        rejected: Rejected ones by reason, the most frequent first.
        run: What the manifest says of the whole synthesis, in words and numbers.
        files: Files of the folder, with rows and hash.
        histograms: Lengths, reading ease, and what rows were scored by.
        alike: Prompts that come twice, or nearly: by text, and by an encoder where one is named.
        diversity: By series of texts.
        samples: Some rows, drawn.
        rejected_samples: Some rejected ones of each reason.
        lineage: Where the rows come from; None when no row tells.
        remarks: What a reader must know.
    """

    name: str
    format: str
    rows: int
    rejected: tuple[tuple[str, int], ...] = ()
    run: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, str, str], ...] = ()
    histograms: tuple[Histogram, ...] = ()
    alike: tuple[Alike, ...] = ()
    diversity: Mapping[str, Diversity] = field(default_factory=dict[str, Diversity])
    samples: tuple[Sample, ...] = ()
    rejected_samples: tuple[tuple[str, tuple[Sample, ...]], ...] = ()
    lineage: Lineage | None = None
    remarks: tuple[str, ...] = ()

    @property
    def rejected_rows(self) -> int:
        """Return how many rows were rejected."""
        return sum(count for _, count in self.rejected)
