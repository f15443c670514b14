"""The decoding loop of a batch: greedy or sampled, each row with its own generator.

A batch is one model's. Batches of several models over one base and of the same shape can be made in step; each keeps
the rows, the padding and so the text that it would have alone.

Rows that have ended are taken out whenever half of a batch's rows have, so that the last long answers are not made at
the price of a full batch. The batch alone decides when, so the same batch gives the same text.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from broker.worker.generation.plan import Ask
from broker.worker.generation.text import Writer
from broker.worker.models import Base, keeps_logits
from broker.worker.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.worker.generation.stack import Stack


@dataclass(slots=True, eq=False)
class Row:
    """One answer as it grows.

    Attributes:
        ask: The request.
        writer: Its text.
        draws: A number in [0, 1) for each token that may come.
        finish: Why it ended; None while it grows.
        count: Tokens made.
        logprobs: Of the tokens, when asked for.
        told: Entries of `logprobs` already sent.
        latency_s: From the batch's start to its end, seconds.
    """

    ask: Ask
    writer: Writer
    draws: torch.Tensor
    finish: str | None = None
    count: int = 0
    logprobs: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    told: int = 0
    latency_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """What all batches of a call share.

    Attributes:
        base: Tokenizer, device, stop tokens.
        session: Says when to stop.
        logprobs: Alternatives to give with each token; None gives no log-probabilities.
        on_token: Called after each token of a row (rows that ended are told once more with `finish` set).
    """

    base: Base
    session: Session
    logprobs: int | None = None
    on_token: Callable[[Row], None] | None = None

    @torch.inference_mode()
    def answer(
        self, module: Any, batches: Sequence[Sequence[Ask]], stack: Stack | None = None
    ) -> list[list[Row]] | None:
        """Make the answers of one batch, or of several in step.

        Args:
            module: The model to call, its adapter set.
            batches: Requests made together; several, of one shape, only with a stack.
            stack: Which batch is which adapter's.

        Returns:
            For each batch its rows in the order of the requests, or None when the call was told to stop.
        """
        started = time.perf_counter()
        groups = [[Row(one, Writer(self.base.tokenizer, one.stop), _draws(one)) for one in asks] for asks in batches]
        growing, stops = _Growing(self.base, module, groups), set(self.base.stop_ids)
        with stack.on(module) if stack is not None else nullcontext():
            while any(growing.groups):
                if self.session.stop_requested():
                    return None
                logits = growing.logits()
                rows = growing.rows
                tokens = _choose(logits, rows, growing.step)
                self._take(rows, [int(token) for token in tokens], logits, stops, started)
                growing.append(tokens)
                growing.shrink(stack)
        return groups

    def _take(
        self, rows: Sequence[Row], tokens: Sequence[int], logits: torch.Tensor, stops: set[int], started: float
    ) -> None:
        """Give each row that still grows its token; the others go on empty, so that the batch stays as it is."""
        scores = torch.log_softmax(logits, dim=-1) if self.logprobs is not None else None
        for index, (row, token) in enumerate(zip(rows, tokens, strict=True)):
            if row.finish is not None:
                continue
            row.count += 1
            if token in stops:
                row.finish = "stop"
            else:
                row.writer.add(token)
                if scores is not None:
                    row.logprobs.append(self._logprob(scores[index], token))
                if row.writer.stopped:
                    row.finish = "stop"
                elif row.count >= row.ask.max_tokens:
                    row.finish = "length"
            row.latency_s = time.perf_counter() - started
            if self.on_token is not None:
                self.on_token(row)

    def _logprob(self, scores: torch.Tensor, token: int) -> dict[str, Any]:
        top = scores.topk(self.logprobs or 0)
        pairs = [(int(one), float(value)) for one, value in zip(top.indices, top.values, strict=True)]
        return {
            **self._spell(token, float(scores[token])),
            "top_logprobs": [self._spell(one, value) for one, value in pairs],
        }

    def _spell(self, token: int, logprob: float) -> dict[str, Any]:
        text: str = self.base.tokenizer.decode([token])
        return {"token": text, "bytes": list(text.encode()), "logprob": logprob}


class _Growing:
    """The rows of a batch, or of several in step, that the model still sees."""

    def __init__(self, base: Base, module: Any, groups: Sequence[Sequence[Row]]) -> None:
        self.groups = [list(group) for group in groups]
        self.step = 0
        self._module = module
        self._keep = {"logits_to_keep": 1} if keeps_logits(module) else {}
        self._cache: Any = None
        asks = [row.ask for row in self.rows]
        self._longest = longest = max(len(one.ids) for one in asks)
        pad = base.tokenizer.pad_token_id
        ids = [[pad] * (longest - len(one.ids)) + list(one.ids) for one in asks]
        mask = [[0] * (longest - len(one.ids)) + [1] * len(one.ids) for one in asks]
        self._ids = torch.tensor(ids, device=base.device)
        self._mask = torch.tensor(mask, device=base.device)

    @property
    def rows(self) -> list[Row]:
        return [row for group in self.groups for row in group]

    def logits(self) -> torch.Tensor:
        """Return what the model makes of the last tokens, [rows, vocabulary]."""
        output = self._module(
            input_ids=self._ids,
            attention_mask=self._mask,
            position_ids=(self._mask.cumsum(-1) - 1).clamp_min(0)[:, -self._ids.shape[1] :],
            past_key_values=self._cache,
            use_cache=True,
            **self._keep,
        )
        self._cache = output.past_key_values
        last: torch.Tensor = output.logits[:, -1].float()
        return last

    def append(self, tokens: torch.Tensor) -> None:
        """Take the next token of each row."""
        self._ids = tokens[:, None]
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)
        self.step += 1

    def shrink(self, stack: Stack | None) -> None:
        """Take the rows that have ended out of the batches of which half have."""
        kept = [self._kept(group) for group in self.groups]
        sizes = [len(group) for group in kept]
        if sizes == [len(group) for group in self.groups]:
            return
        staying = {id(row) for group in kept for row in group}
        places = [place for place, row in enumerate(self.rows) if id(row) in staying]
        self.groups = kept
        if stack is not None:
            stack.sizes = sizes
        if places:
            index = torch.tensor(places, device=self._ids.device)
            self._ids, self._mask = self._ids[index], self._mask[index]
            self._cache.reorder_cache(index)

    def _kept(self, group: list[Row]) -> list[Row]:
        growing = [row for row in group if row.finish is None]
        if 2 * len(growing) > len(group):
            return group
        # Attention goes another way where nothing is padded. A batch that began with padding keeps some, so that its
        # answers do not depend on what is made in step with it.
        padded = [row for row in group if len(row.ask.ids) < self._longest]
        if growing and padded and all(row.finish is not None for row in padded):
            return [row for row in group if row.finish is None or row is padded[0]]
        return growing


def _draws(one: Ask) -> torch.Tensor:
    if one.temperature <= 0:
        return torch.zeros(0)
    generator = torch.Generator().manual_seed(one.seed)
    return torch.rand(one.max_tokens, generator=generator, dtype=torch.float64)


def _choose(logits: torch.Tensor, rows: Sequence[Row], step: int) -> torch.Tensor:
    """Return the next token of each row, [rows]."""
    greedy = logits.argmax(dim=-1)
    sampled = [index for index, row in enumerate(rows) if row.ask.temperature > 0 and step < len(row.draws)]
    if sampled:
        asks = [rows[index].ask for index in sampled]
        draws = torch.stack([rows[index].draws[step] for index in sampled])
        greedy[sampled] = _sample(logits[sampled], asks, draws.to(logits.device))
    return greedy


def _sample(logits: torch.Tensor, asks: Sequence[Ask], draws: torch.Tensor) -> torch.Tensor:
    """Draw from the nucleus by the inverse of the cumulative distribution, [rows]."""
    heat = torch.tensor([one.temperature for one in asks], dtype=torch.float64, device=logits.device)
    mass = torch.tensor([one.top_p for one in asks], dtype=torch.float64, device=logits.device)
    chances, order = torch.softmax(logits.double() / heat[:, None], dim=-1).sort(dim=-1, descending=True, stable=True)
    before = chances.cumsum(-1) - chances
    chances = chances.where(before < mass[:, None], chances.new_zeros(()))
    sums = chances.cumsum(-1)
    place = (sums <= (draws * sums[:, -1])[:, None]).sum(-1).clamp_max(chances.shape[-1] - 1)
    return order.gather(1, place[:, None])[:, 0]
