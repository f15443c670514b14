"""Rows to samples, samples to batches. The order is a pure function of the seed: resuming needs no state of it."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from broker.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from broker.worker.chat import Chat
    from broker.worker.session import Session


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One tokenized conversation.

    Attributes:
        key: Tells its dropout masks from those of other sequences.
        ids: Tokens.
        weights: Of each token in the loss.
    """

    key: int
    ids: tuple[int, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One row: a conversation, or a preferred and a non-preferred one.

    Attributes:
        row: Line in the stored data file, from 1.
        sequences: One (SFT) or two (DPO: preferred first).
    """

    row: int
    sequences: tuple[TokenRow, ...]

    @property
    def length(self) -> int:
        """Return the tokens of the longest sequence."""
        return max(len(sequence.ids) for sequence in self.sequences)

    @property
    def tokens(self) -> int:
        """Return the tokens of all sequences."""
        return sum(len(sequence.ids) for sequence in self.sequences)

    @property
    def weight(self) -> float:
        """Return the sum of the loss weights."""
        return sum(sum(sequence.weights) for sequence in self.sequences)


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded sequences.

    Attributes:
        ids: Tokens, [sequences, longest].
        mask: 1 where there is a token, [sequences, longest].
        weights: Loss weight of each token as a target, [sequences, longest], fp32.
        keys: Of the sequences, [sequences].
    """

    ids: torch.Tensor
    mask: torch.Tensor
    weights: torch.Tensor
    keys: torch.Tensor


def read_samples(path: Path, chat: Chat, *, max_length: int, session: Session) -> tuple[list[Sample], int]:
    """Tokenize a data file; what is cut or left out is reported.

    Args:
        path: Canonical rows, chat or preference.
        chat: Tokenizer and template.
        max_length: Longest sequence, tokens.
        session: Receives the report.

    Returns:
        The samples in the file's order, and how many were cut.

    Raises:
        WorkerError: No row has anything to learn (`kind="no_rows"`).
    """
    samples: list[Sample] = []
    cut: list[int] = []
    empty: list[int] = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            sample, was_cut = _sample(number, json.loads(line), chat, max_length)
            if was_cut:
                cut.append(number)
            if all(sum(sequence.weights) > 0 for sequence in sample.sequences):
                samples.append(sample)
            else:
                empty.append(number)
    _report(session, cut, f"longer than {max_length} tokens and cut at the end (--max-length)")
    _report(session, empty, "without a token to learn (all weights 0, or the answer was cut off) and left out")
    if not samples:
        raise WorkerError("no row has a token to learn", kind="no_rows", where=str(path), fix="raise --max-length")
    return samples, len(cut)


def _report(session: Session, rows: Sequence[int], what: str) -> None:
    if rows:
        shown = ", ".join(map(str, rows[:20])) + (", …" if len(rows) > 20 else "")
        session.log(f"{len(rows)} row(s) {what}: {shown}", level="warning")


def _sample(number: int, row: dict[str, Any], chat: Chat, max_length: int) -> tuple[Sample, bool]:
    conversations = list(_conversations(row))
    tools = row.get("tools") or (row["input"].get("tools") if isinstance(row.get("input"), dict) else None) or ()
    sequences: list[TokenRow] = []
    was_cut = False
    for index, messages in enumerate(conversations):
        ids, weights = chat.learn(messages, tools)
        was_cut |= len(ids) > max_length
        weights[0] = 0.0  # the first token has nothing before it to be told from
        sequences.append(TokenRow(number * 2 + index, tuple(ids[:max_length]), tuple(weights[:max_length])))
    return Sample(number, tuple(sequences)), was_cut


def _conversations(row: dict[str, Any]) -> Iterable[list[dict[str, Any]]]:
    if "messages" in row:
        return [row["messages"]]
    prompt = [{**message, "weight": 0.0} for message in row["input"]["messages"]]
    return [[*prompt, *row["preferred_output"]], [*prompt, *row["non_preferred_output"]]]


@dataclass(frozen=True, slots=True)
class Order:
    """Which rows each step takes.

    Attributes:
        rows: Number of samples.
        epochs: Passes over them.
        size: Samples of a step; the last step of an epoch may have fewer.
        seed: Of the shuffles.
    """

    rows: int
    epochs: int
    size: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Return the optimizer steps of one epoch."""
        return -(-self.rows // self.size)

    @property
    def steps(self) -> int:
        """Return the optimizer steps in all."""
        return self.epochs * self.steps_per_epoch

    def epoch(self, step: int) -> int:
        """Return the epoch of a step, both from 0."""
        return step // self.steps_per_epoch

    def indices(self, step: int) -> list[int]:
        """Return the samples of a step, from 0."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = list(range(self.rows))
        random.Random(f"{self.seed}/{epoch}").shuffle(order)
        return order[place * self.size : (place + 1) * self.size]


def pad(sequences: Sequence[TokenRow], pad_id: int, device: torch.device) -> Batch:
    """Put sequences into one batch, padded on the right.

    Args:
        sequences: At least one.
        pad_id: Token for the gaps.
        device: Where the batch is needed.
    """
    longest = max(len(sequence.ids) for sequence in sequences)

    def rows(values: Iterable[Sequence[float]], fill: float, dtype: torch.dtype) -> torch.Tensor:
        padded = [[*row, *[fill] * (longest - len(row))] for row in values]
        return torch.tensor(padded, dtype=dtype, device=device)

    return Batch(
        ids=rows([s.ids for s in sequences], pad_id, torch.long),
        mask=rows([[1] * len(s.ids) for s in sequences], 0, torch.long),
        weights=rows([s.weights for s in sequences], 0.0, torch.float32),
        keys=torch.tensor([s.key for s in sequences], dtype=torch.int32, device=device),
    )
