"""Answer chat prompts with a base model and its adapters: batched, length-sorted, streamed.

Arguments (JSON):

```
{
  "model": "folder or hub id",           # base
  "precision": "bf16"|"fp32"|"int8"|"nf4",   # default bf16
  "adapter": "folder" | null,            # PEFT adapter put on the base; several share one loaded base
  "requests": [
    {"id": "7", "messages": [{"role": "user", "content": "…"}], "tools": [...]?,
     "temperature": 0.0, "top_p": 1.0, "max_tokens": 256, "seed": 0, "stop": ["…"]}
  ],
  "sets": [{"name": "…", "adapter": …, "requests": […]}, …],   # in place of the two: several models of one base
  "batch_size": 32,                      # rows made together, of one model
  "batch_tokens": 32768,                 # tokens of a batch, prompts and answers together: fewer rows of long prompts
  "stream_tokens": false,                # emit `delta` events
  "logprobs": null | 0..20               # log-probabilities of the tokens, with so many alternatives
}
```

Events, as the work goes on (`set`: the name, or null without sets):

```
{"kind": "delta", "id": "7", "text": "Hel", "logprobs": [...]?}   # only with stream_tokens; they add up to the answer
{"kind": "answers", "set": …, "batch": 0, "answers": [answer, ...]}   # one finished batch
{"kind": "failed", "set": …, "error": {"kind": …, "message": …, "fix": …, "where": …}}   # the other sets go on
{"kind": "progress", "step": 16, "total_steps": 400}              # rows
```

Notes that the op hears between two batches: `{"join": {"name": …, "adapter": …, "requests": […]}}` and
`{"leave": "name"}`.

An answer:

```
{"id": "7", "text": "Hello", "finish_reason": "stop"|"length", "input_tokens": 12, "output_tokens": 3,
 "latency_s": 0.2, "batch": 0, "failure": null | "why there is none",
 "logprobs": [{"token": "Hel", "bytes": [72, 101, 108], "logprob": -0.1,
               "top_logprobs": [{"token": …, "bytes": …, "logprob": …}]}]}   # only when asked for
```

Result: `{"rows": 400, "batches": 25, "output_tokens": 9000, "seconds": 12.3, "stopped": null | "cancel"}`. The
answers come as events only, so that nothing is sent twice.

The batches are planned over all requests of a set, longest prompt first, and each row draws from its own generator
(seeded by its `seed` and `id`): the same call gives the same text, and rows left over by an interruption, asked again
batch by batch, give the text they would have given. A batch never holds rows of two sets. The first set's next batch
goes first, and with it, in step, what is next in other sets and has the same shape (`broker.worker.generation.stack`):
what a model says does not depend on which others are asked at the same time.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from broker.worker.faults import fault, is_out_of_memory
from broker.worker.generation.decode import Decoder
from broker.worker.generation.plan import ask, batches, shape
from broker.worker.generation.stack import Stack, can_stack
from broker.worker.models import base_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.worker.generation.decode import Row
    from broker.worker.generation.plan import Ask
    from broker.worker.models import Base
    from broker.worker.session import Session

_ROWS = 32
_TOKENS = 32_768
# Sets whose batches are made in step, at most: each has the memory of a batch of its own.
_STACKED = 4


def generate(args: dict[str, Any], session: Session) -> dict[str, Any]:
    """Answer prompts.

    Args:
        args: See the module.
        session: Receives the answers, says when to stop and who joins or leaves.

    Returns:
        See the module.
    """
    started = time.perf_counter()
    asking = _Asking(base_for(args, session.device_name), args, session)
    for one in args.get("sets") or [{"name": None, "adapter": args.get("adapter"), "requests": args["requests"]}]:
        asking.join(one)
    while asking.sets and asking.advance():
        asking.hear()
    seconds = round(time.perf_counter() - started, 3)
    return {**asking.told.counts, "seconds": seconds, "stopped": session.stop_requested()}


class _Set:
    """What is asked of one model, and how far that is."""

    def __init__(self, name: str | None, adapter: Path | None, planned: list[list[Ask]]) -> None:
        self.name = name
        self.adapter = adapter
        self.left = planned
        self.shapes = [shape(batch) for batch in planned]
        self.made = 0


class _Asking:
    """All sets of a call over one base."""

    def __init__(self, base: Base, args: Mapping[str, Any], session: Session) -> None:
        self.sets: list[_Set] = []
        self._base = base
        self._args = args
        self._session = session
        self._most_in_step = _STACKED
        self.told = _Told(session, logprobs=args.get("logprobs") is not None)
        self._decoder = Decoder(
            base=base,
            session=session,
            logprobs=args.get("logprobs"),
            on_token=self.told.token if args.get("stream_tokens") else None,
        )

    def join(self, one: Mapping[str, Any]) -> None:
        """Plan a set; what the model cannot take is refused."""
        name, adapter = one["name"], one.get("adapter")
        asks, refused = _asks(self._base, one["requests"])
        self.told.total += len(one["requests"])
        if refused:
            self.told.refused(name, refused)
        rows, tokens = int(self._args.get("batch_size") or _ROWS), int(self._args.get("batch_tokens") or _TOKENS)
        if planned := batches(asks, rows=rows, tokens=tokens):
            self.sets.append(_Set(name, Path(adapter) if adapter else None, planned))

    def hear(self) -> None:
        """Let sets join and leave."""
        for note in self._session.notes():
            if "join" in note:
                self.join(note["join"])
            else:
                for one in self.sets:
                    if one.name == note["leave"]:
                        self._give_up(one)
        self.sets = [one for one in self.sets if one.left]

    def advance(self) -> bool:
        """Make the next batch of one set, or of some in step; say False when stopped."""
        together = self._next()
        first = together[0]
        made: Sequence[list[Row] | None] | None = self._in_step(together) if len(together) > 1 else None
        if made is None:
            together, made = [first], [self._alone(first)]
        if self._session.stop_requested():
            return False
        for one, rows in zip(together, made, strict=True):
            if rows is not None:
                self.told.batch(one.name, one.made, rows)
                one.made += 1
                del one.left[0], one.shapes[0]
        self.sets = [one for one in self.sets if one.left]
        return True

    def _next(self) -> list[_Set]:
        """Return whose batches are made next: the first set's, and those of the sets after it that are asked the same.

        One that came later goes alone until it has caught up.
        """
        tail = self.sets[0].shapes
        alike = [one for one in self.sets if one.shapes[-len(tail) :] == tail][: self._most_in_step]
        most = max(len(one.left) for one in alike)
        return [one for one in alike if len(one.left) == most]

    def _in_step(self, sets: Sequence[_Set]) -> Sequence[list[Row]] | None:
        """Make one batch of each set together; None when that cannot be, and each is to be made alone."""
        try:
            module, names = self._base.stacked([one.adapter for one in sets])
            if not can_stack(module, self._base.device):
                self._most_in_step = 1
                return None
            stack = Stack(names, [len(one.left[0]) for one in sets])
            return self._decoder.answer(module, [one.left[0] for one in sets], stack)
        except Exception as error:  # whoever is at fault is found when each goes alone
            self._session.log(f"the models are asked one after another: {error}", level="warning")
            self._most_in_step = 1
            return None

    def _alone(self, one: _Set) -> list[Row] | None:
        """Make the next batch of a set; None when told to stop, or when the set has failed."""
        try:
            module, context = self._base.answering(one.adapter)
            with context:
                return self._whole_or_halves(module, one.left[0])
        except Exception as error:  # told to whoever asked; the others' answers go on
            if one.name is None:
                raise
            self._session.emit({"kind": "failed", "set": one.name, "error": fault(error)})
            self._give_up(one)
            return None

    def _give_up(self, one: _Set) -> None:
        self.told.total -= sum(map(len, one.left))
        one.left.clear()

    def _whole_or_halves(self, module: Any, batch: Sequence[Ask]) -> list[Row] | None:
        """Make a batch; in two halves when there is no memory for the whole."""
        try:
            made = self._decoder.answer(module, [batch])
            return None if made is None else made[0]
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or len(batch) == 1:
                raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._session.log(f"out of memory with {len(batch)} rows: the batch is made in two halves", level="warning")
        middle = len(batch) // 2
        first = self._whole_or_halves(module, batch[:middle])
        second = self._whole_or_halves(module, batch[middle:]) if first is not None else None
        return [*first, *second] if first is not None and second is not None else None


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


class _Told:
    """Sends what is made, and counts it."""

    def __init__(self, session: Session, *, logprobs: bool) -> None:
        self._session = session
        self._logprobs = logprobs
        self.total = 0
        self.counts = {"rows": 0, "batches": 0, "output_tokens": 0}

    def token(self, row: Row) -> None:
        text = row.writer.delta(last=row.finish is not None)
        if not text and not (row.finish and row.told < len(row.logprobs)):
            return
        event: dict[str, Any] = {"kind": "delta", "id": row.ask.id, "text": text}
        if self._logprobs:
            event["logprobs"] = row.logprobs[row.told :]
            row.told = len(row.logprobs)
        self._session.emit(event)

    def refused(self, name: str | None, answers: list[dict[str, Any]]) -> None:
        self.counts["rows"] += len(answers)
        self._session.emit({"kind": "answers", "set": name, "batch": None, "answers": answers})

    def batch(self, name: str | None, number: int, rows: Sequence[Row]) -> None:
        answers = [self._answer(number, row) for row in rows]
        self.counts["rows"] += len(rows)
        self.counts["batches"] += 1
        self.counts["output_tokens"] += sum(row.count for row in rows)
        self._session.emit({"kind": "answers", "set": name, "batch": number, "answers": answers})
        self._session.progress(self.counts["rows"], self.total)

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
