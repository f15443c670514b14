"""One synthesis: rows flow from the sources through the steps until enough came through, then the files are written.

Killed at any instant and called again with the same folder, it goes on: every stored answer is used again, so the same
rows come out as without the kill; only requests that were out at the kill are asked again, and counted as doubtful.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import anyio
from anyio import create_task_group, get_cancelled_exc_class
from anyio.lowlevel import checkpoint

from broker.errors import UserError
from broker.evaluation.metrics import Workers
from broker.jobs.blocking import blocking
from broker.jobs.spec import Decoding
from broker.providers.contract import Completer, CompletionRequest
from broker.synthesis.answerbook import AnswerBook, EarlierAnswers
from broker.synthesis.asking import Asker
from broker.synthesis.faults import told_apart
from broker.synthesis.files import Made, unfit, write_files, written
from broker.synthesis.flow import WAVE_WINDOW, WINDOW, Bench
from broker.synthesis.pipeline import Pipeline
from broker.synthesis.prompting import Prompt

if TYPE_CHECKING:
    from broker.synthesis.rows import Row

# A wave goes out when nothing has moved for so many turns of the event loop.
_STILL_TURNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a synthesis is to make.

    Attributes:
        pipeline: Which.
        records: The source's rows, each with `text`.
        rows: Accepted rows wanted.
        options: Of the pipeline, defaults included.
        prompts: By name.
        model: What is asked, with its account; stands in lineages and decides which stored answers fit.
        seed: Of every choice.
        facts: Stand in the manifest as they are.
    """

    pipeline: Pipeline
    records: Sequence[Mapping[str, Any]]
    rows: int
    options: Mapping[str, Any]
    prompts: Mapping[str, Prompt]
    model: str
    seed: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a synthesis works with.

    Attributes:
        completer: Asks the model; the caller closes it.
        folder: Of this job alone: its answers.
        output: Receives the files.
        earlier: Folders of other jobs whose answers may be used where the request is the same.
        workers: The torch processes, for the encoder.
        encoder: What to load as the sentence encoder.
        price: Returns the most that a request may cost, USD.
        limit_usd: Most that all answers of the job may cost; None is no limit.
        waves: Gather requests and send them together.
        window: Most rows on their way, where the pipeline's options name no number; 0 is the usual one.
    """

    completer: Completer
    folder: Path
    output: Path
    earlier: Sequence[Path] = ()
    workers: Workers | None = None
    encoder: str = ""
    price: Callable[[CompletionRequest], float] = lambda _request: 0.0
    limit_usd: float | None = None
    waves: bool = False
    window: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a synthesis is.

    Attributes:
        accepted: Rows that came through.
        wanted: Rows wanted.
        rejected: By reason.
        requests: Answered in this session.
        requests_per_s: In this session.
        cost_usd: Of all sessions.
        taken: Answers that other jobs had paid for, in this session.
        left_s: Seconds until the end at this pace; None when nothing is known yet.
    """

    accepted: int
    wanted: int
    rejected: Mapping[str, int]
    requests: int
    requests_per_s: float
    cost_usd: float
    left_s: float | None
    taken: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a session ended.

    Attributes:
        manifest: What was written.
        complete: All rows wanted are there.
        broke: The money ended it.
    """

    manifest: Mapping[str, Any]
    complete: bool
    broke: bool


async def synthesize(
    order: Order, means: Means, on_progress: Callable[[Progress], None] = lambda _progress: None
) -> Outcome:
    """Make rows until there are enough, no more can come, or the money is spent; then write the files.

    Args:
        order: What to make.
        means: What to work with.
        on_progress: Called whenever a row ends or an answer came.

    Raises:
        ProviderError: The account as a whole is refused; every answer that came is stored.
        UserError: The pipeline itself has a fault, or the output folder cannot be written.
        StoreError: The disk refused.
    """
    with _writing(means.output):
        await blocking(partial(means.output.mkdir, parents=True, exist_ok=True))
    book = await blocking(AnswerBook, means.folder, await blocking(EarlierAnswers, means.earlier))
    session = _Session(order, means, book, on_progress)
    try:
        bench = await session.run()
    finally:
        with anyio.CancelScope(shield=True):
            await book.close()
    made = Made(
        pipeline=order.pipeline,
        model=order.model,
        options=order.options,
        seed=order.seed,
        accepted=sorted(bench.accepted[: order.rows], key=lambda row: bench.arrival[row.id]),
        rejected=sorted(bench.rejected, key=lambda one: bench.arrival.get(one.row.id, -1)),
        facts={**order.facts, **session.facts()},
    )
    with _writing(means.output):
        manifest = await blocking(write_files, means.output, made)
    complete = len(bench.accepted) >= order.rows
    return Outcome(manifest=manifest, complete=complete, broke=not complete and bench.asker.broke.is_set())


@contextmanager
def _writing(folder: Path) -> Generator[None]:
    """Tell of an output folder that cannot be written as a matter of this job, not of the store.

    Raises:
        UserError: The system refused.
    """
    try:
        yield
    except OSError as error:
        fix = "make room, or the right to write there, and give the same command again: stored answers are used"
        raise UserError(
            f"the rows cannot be written to {folder}: {error.strerror}", where=str(folder), fix=fix
        ) from error


class _Session:
    """One run of the flow."""

    def __init__(self, order: Order, means: Means, book: AnswerBook, on_progress: Callable[[Progress], None]) -> None:
        self._order = order
        self._means = means
        self._book = book
        self._report = on_progress
        self._began = monotonic()
        options = order.options
        decoding = Decoding(
            temperature=float(options["temperature"]),
            top_p=float(options["top_p"]),
            max_tokens=int(options["max_tokens"]),
            seed=order.seed,
        )
        self._asker = Asker(
            means.completer,
            book,
            decoding=decoding,
            model=order.model,
            price=means.price,
            limit_usd=means.limit_usd,
            waves=means.waves,
        )

    async def run(self) -> Bench:
        """Let the rows flow; return what came of them."""
        with told_apart(self._order.pipeline.name):
            return await self._run()

    async def _run(self) -> Bench:
        async with create_task_group() as tasks:
            usual = self._means.window or (WAVE_WINDOW if self._means.waves else WINDOW)
            window = self._order.options.get("window") or usual
            bench = self._bench = Bench(
                asker=self._asker,
                prompts=self._order.prompts,
                options=self._order.options,
                seed=self._order.seed,
                target=self._order.rows,
                tasks=tasks,
                workers=self._means.workers,
                encoder=self._means.encoder,
                window=int(window),
                requests_per_row=self._order.pipeline.requests[1],
                changed=self._tell,
            )
            self._asker.told = self._tell
            tasks.start_soon(self._flow, bench)
            tasks.start_soon(self._mind_the_end)
            if self._means.waves:
                tasks.start_soon(self._send_waves, bench)
            self._tell()
            await bench.over.wait()
            await self._asker.drain()
            tasks.cancel_scope.cancel()
        return self._bench

    async def _flow(self, bench: Bench) -> None:
        order = self._order
        rows: AsyncIterator[Row] = bench.admitted(order.pipeline.source(order.records, bench))
        for step in order.pipeline.steps(order.options):
            rows = step(rows, bench)
        async with aclosing(cast("AsyncGenerator[Row, None]", rows)) as stream:
            async for row in stream:
                fault = unfit(written(row, order.pipeline, order.model, order.options), order.pipeline)
                if fault:
                    bench.reject(row, "unfit", fault)
                else:
                    bench.accept(row)
                if bench.over.is_set():
                    return
        bench.over.set()

    async def _mind_the_end(self) -> None:
        """When somebody stops the work, what is out may be paid already: it gets a moment to come home."""
        try:
            await anyio.sleep_forever()
        except get_cancelled_exc_class():
            self._asker.hurry()
            raise

    async def _send_waves(self, bench: Bench) -> None:
        """Send what waits whenever no row can go on without it."""
        still = 0
        while True:
            still = still + 1 if bench.settled() else 0
            if still > _STILL_TURNS:
                still = 0
                bench.tasks.start_soon(self._asker.send_wave)
                await checkpoint()
            elif still:
                await checkpoint()
            else:
                await self._asker.moved.wait()

    def _tell(self) -> None:
        bench, tally = self._bench, self._asker.tally
        seconds = max(1e-6, monotonic() - self._began)
        accepted, wanted = len(bench.accepted), self._order.rows
        pace = accepted / seconds if tally.requests or tally.taken else 0.0
        self._report(
            Progress(
                accepted=accepted,
                wanted=wanted,
                rejected=dict(bench.reasons),
                requests=tally.requests,
                requests_per_s=tally.requests / seconds,
                cost_usd=tally.cost_usd,
                left_s=(wanted - accepted) / pace if pace else None,
                taken=tally.taken,
            )
        )

    def facts(self) -> dict[str, Any]:
        """Return what the manifest says of the asking."""
        tally = self._asker.tally
        answers = self._book.paid
        return {
            "requested": self._order.rows,
            "requests": len(answers),
            "requests_this_session": tally.requests,
            "answers_reused": tally.reused,
            "answers_of_other_jobs": self._book.taken,
            "possibly_paid_twice": self._book.doubtful,
            "input_tokens": sum(answer.input_tokens for answer in answers),
            "output_tokens": sum(answer.output_tokens for answer in answers),
            "cost_usd": round(self._book.cost_usd, 8),
            "seconds": round(monotonic() - self._began, 3),
            "prompts": {name: prompt.sha256 for name, prompt in self._order.prompts.items()},
        }
