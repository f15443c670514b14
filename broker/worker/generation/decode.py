"""The decoding loop of one batch: greedy or sampled, each row with its own generator."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from broker.worker.generation.plan import Ask
from broker.worker.generation.text import Writer
from broker.worker.models import Base, keeps_logits
from broker.worker.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(slots=True)
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
        module: The model to call, its adapter set.
        session: Says when to stop.
        logprobs: Alternatives to give with each token; None gives no log-probabilities.
        on_token: Called after each token of a row (rows that ended are told once more with `finish` set).
    """

    base: Base
    module: Any
    session: Session
    logprobs: int | None = None
    on_token: Callable[[Row], None] | None = None

    @torch.inference_mode()
    def answer(self, asks: Sequence[Ask]) -> list[Row] | None:
        """Make the answers of one batch.

        Args:
            asks: Requests made together.

        Returns:
            Rows in the order of the requests, or None when the call was told to stop.
        """
        started = time.perf_counter()
        rows = [Row(one, Writer(self.base.tokenizer, one.stop), _draws(one)) for one in asks]
        stops = set(self.base.stop_ids)
        ids, mask = self._padded(asks)
        cache: Any = None
        keep = {"logits_to_keep": 1} if keeps_logits(self.module) else {}
        for step in range(max(one.max_tokens for one in asks)):
            if self.session.stop_requested():
                return None
            places = (mask.cumsum(-1) - 1).clamp_min(0)[:, -ids.shape[1] :]
            output = self.module(
                input_ids=ids,
                attention_mask=mask,
                position_ids=places,
                past_key_values=cache,
                use_cache=True,
                **keep,
            )
            cache = output.past_key_values
            logits = output.logits[:, -1].float()
            tokens = _choose(logits, rows, step)
            self._take(rows, [int(token) for token in tokens], logits, stops, started)
            if all(row.finish for row in rows):
                break
            ids = tokens[:, None]
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        return rows

    def _padded(self, asks: Sequence[Ask]) -> tuple[torch.Tensor, torch.Tensor]:
        longest = max(len(one.ids) for one in asks)
        pad = self.base.tokenizer.pad_token_id
        ids = [[pad] * (longest - len(one.ids)) + list(one.ids) for one in asks]
        mask = [[0] * (longest - len(one.ids)) + [1] * len(one.ids) for one in asks]
        device = self.base.device
        return torch.tensor(ids, device=device), torch.tensor(mask, device=device)

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
