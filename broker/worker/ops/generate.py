"""Answer chat prompts with a base model or with one of its adapters: batched, length-sorted, streamed.

Arguments (JSON):

```
{
  "model": "folder or hub id",           # base
  "adapter": "folder" | null,            # PEFT adapter put on the base; several share one loaded base
  "precision": "bf16"|"fp32"|"int8"|"nf4",   # default bf16
  "requests": [
    {"id": "7", "messages": [{"role": "user", "content": "…"}], "tools": [...]?,
     "temperature": 0.0, "top_p": 1.0, "max_tokens": 256, "seed": 0, "stop": ["…"]}
  ],
  "batch_size": 32,                      # rows made together
  "stream_tokens": false,                # emit `delta` events
  "logprobs": null | 0..20               # log-probabilities of the tokens, with so many alternatives
}
```

Events, as the work goes on:

```
{"kind": "delta", "id": "7", "text": "Hel", "logprobs": [...]?}   # only with stream_tokens; they add up to the answer
{"kind": "answers", "batch": 0, "answers": [answer, ...]}         # one finished batch
{"kind": "progress", "step": 16, "total_steps": 400}              # rows
```

An answer:

```
{"id": "7", "text": "Hello", "finish_reason": "stop"|"length", "input_tokens": 12, "output_tokens": 3,
 "latency_s": 0.2, "batch": 0, "failure": null | "why there is none",
 "logprobs": [{"token": "Hel", "bytes": [72, 101, 108], "logprob": -0.1,
               "top_logprobs": [{"token": …, "bytes": …, "logprob": …}]}]}   # only when asked for
```

Result: `{"rows": 400, "batches": 25, "output_tokens": 9000, "seconds": 12.3, "stopped": null | "cancel"}`. The
answers come as events only, so that nothing is sent twice.

The batches are planned over all requests of the call, longest prompt first, and each row draws from its own generator
(seeded by its `seed` and `id`): the same call gives the same text, and rows left over by an interruption, asked again
batch by batch, give the text they would have given.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from broker.worker.faults import is_out_of_memory
from broker.worker.generation.decode import Decoder
from broker.worker.generation.plan import ask, batches
from broker.worker.models import base_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.worker.generation.decode import Row
    from broker.worker.generation.plan import Ask
    from broker.worker.models import Base
    from broker.worker.session import Session

_BATCH = 32


def generate(args: dict[str, Any], session: Session) -> dict[str, Any]:
    """Answer prompts.

    Args:
        args: See the module.
        session: Receives the answers, says when to stop.

    Returns:
        See the module.
    """
    started = time.perf_counter()
    base = base_for(args, session.device_name)
    asks, refused = _asks(base, args["requests"])
    if refused:
        session.emit({"kind": "answers", "batch": None, "answers": refused})
    adapter = args.get("adapter")
    module, context = base.answering(Path(adapter) if adapter else None)
    told = _Told(session, args, total=len(args["requests"]), done=len(refused))
    decoder = Decoder(
        base=base,
        module=module,
        session=session,
        logprobs=args.get("logprobs"),
        on_token=told.token if args.get("stream_tokens") else None,
    )
    with context:
        for number, batch in enumerate(batches(asks, int(args.get("batch_size") or _BATCH))):
            rows = _answer(decoder, batch, session)
            if rows is None:
                break
            told.batch(number, rows)
    return {**told.counts, "seconds": round(time.perf_counter() - started, 3), "stopped": session.stop_requested()}


def _asks(base: Base, requests: Sequence[dict[str, Any]]) -> tuple[list[Ask], list[dict[str, Any]]]:
    """Tokenize the prompts; what the model cannot take is refused."""
    asks: list[Ask] = []
    refused: list[dict[str, Any]] = []
    for request in requests:
        ids = base.chat.prompt(request["messages"], request.get("tools") or ())
        if len(ids) < base.longest:
            asks.append(ask(request, ids, longest=base.longest))
        else:
            why = f"the prompt has {len(ids)} tokens; the model takes {base.longest}, answer included"
            refused.append({"id": str(request["id"]), "failure": why, "input_tokens": len(ids), "batch": None})
    return asks, refused


def _answer(decoder: Decoder, batch: Sequence[Ask], session: Session) -> list[Row] | None:
    """Make a batch; in two halves when there is no memory for the whole."""
    try:
        return decoder.answer(batch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or len(batch) == 1:
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    session.log(f"out of memory with {len(batch)} rows: the batch is made in two halves", level="warning")
    middle = len(batch) // 2
    first = _answer(decoder, batch[:middle], session)
    second = _answer(decoder, batch[middle:], session) if first is not None else None
    return [*first, *second] if first is not None and second is not None else None


class _Told:
    """Sends what is made, and counts it."""

    def __init__(self, session: Session, args: dict[str, Any], *, total: int, done: int) -> None:
        self._session = session
        self._logprobs = args.get("logprobs") is not None
        self._total = total
        self.counts = {"rows": done, "batches": 0, "output_tokens": 0}

    def token(self, row: Row) -> None:
        text = row.writer.delta(last=row.finish is not None)
        if not text and not (row.finish and row.told < len(row.logprobs)):
            return
        event: dict[str, Any] = {"kind": "delta", "id": row.ask.id, "text": text}
        if self._logprobs:
            event["logprobs"] = row.logprobs[row.told :]
            row.told = len(row.logprobs)
        self._session.emit(event)

    def batch(self, number: int, rows: Sequence[Row]) -> None:
        answers = [self._answer(number, row) for row in rows]
        self.counts["rows"] += len(rows)
        self.counts["batches"] += 1
        self.counts["output_tokens"] += sum(row.count for row in rows)
        self._session.emit({"kind": "answers", "batch": number, "answers": answers})
        self._session.progress(self.counts["rows"], self._total)

    def _answer(self, number: int, row: Row) -> dict[str, Any]:
        more = {"logprobs": row.logprobs} if self._logprobs else {}
        return {
            "id": row.ask.id,
            "text": row.writer.text,
            "finish_reason": row.finish or "length",
            "input_tokens": len(row.ask.ids),
            "output_tokens": row.count,
            "latency_s": round(row.latency_s, 4),
            "batch": number,
            "failure": None,
            **more,
        }
