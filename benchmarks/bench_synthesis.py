"""How near a synthesis comes to the limit of its account, and whether every paid answer is kept.

    python benchmarks/bench_synthesis.py [--quick] [--only TEXT]

The pipeline `qa` over the `gemini` provider with the official SDK, against a loopback Gemini server in a process of its
own: 200 ms an answer, 1,500 requests a minute, by a bucket that holds one second's worth or by a window of ten seconds.
The sandbox's writer answers, the sandbox's encoder finds the near-duplicates, every answer is on the disk before it is
used. For each case: the seconds from the first request to the written files as a multiple of what the limit makes
possible for as many requests (aims: 1.15 when the limit is told, 1.25 when it is not), the answers that the server was
paid for and `answers.jsonl` does not have (aim: none), those paid twice, and how many requests were rejected with 429.

Bucket and window begin full, so that a short run may come below 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from pydantic import SecretStr

from broker.catalog import Catalog
from broker.jobs.rowfile import RowFile
from broker.jobs.spec import ModelRef
from broker.providers.contract import ProviderContext
from broker.providers.gemini import create
from broker.sandbox import source_sections
from broker.sandbox.making import ensure_encoder
from broker.settings import Account, load_settings
from broker.synthesis.answerbook import ANSWERS
from broker.synthesis.pipeline import open_pipeline
from broker.synthesis.prompting import shipped
from broker.synthesis.run import Means, Order, synthesize
from broker.worker.pool import WorkerPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PER_MINUTE = 1500.0
LATENCY_S = 0.2
MODEL = "gemini-3.5-flash-lite"
TOLD = {"requests_per_minute": PER_MINUTE}
LIMITS = {"bucket of 1 s": {"burst": PER_MINUTE / 60}, "window of 10 s": {"window_s": 10.0}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One run; `paid`, `twice` and `rejected` are counted by the server, `stored` and `accepted` found on the disk."""

    seconds: float
    accepted: int
    paid: int
    stored: int
    twice: int
    rejected: int

    @property
    def ratio(self) -> float:
        return self.seconds / (self.paid / (PER_MINUTE / 60))


@asynccontextmanager
async def server(habits: dict[str, Any]) -> AsyncIterator[str]:
    """Run the loopback server in a process of its own."""
    module, writer = "tests.fakes.gemini_server", "tests.fakes.gemini_writer:answer"
    command = [sys.executable, "-m", module, "--answers", writer, "--habits", json.dumps(habits)]
    async with await anyio.open_process(command, cwd=Path(__file__).parents[1], stderr=None) as process:
        try:
            assert process.stdout is not None
            yield json.loads(await process.stdout.receive())["url"]
        finally:
            process.kill()


async def make_rows(url: str, options: dict[str, Any], rows: int, folder: Path, workers: WorkerPool) -> float:
    """Make rows with the broker's synthesis; return the seconds that it took."""
    encoder = await ensure_encoder(load_settings().cache_dir, workers)
    pipeline = open_pipeline("qa")
    order = Order(
        pipeline=pipeline,
        records=source_sections(20 * rows, topics="all"),
        rows=rows,
        options=pipeline.with_defaults({}),
        prompts=shipped(pipeline.prompts),
        model=f"gemini:{MODEL}",
    )
    async with anyio.create_task_group() as tasks:
        account = Account(kind="gemini", base_url=url, api_key=SecretStr("k" * 20), options=options)
        nothing: Any = None
        provider = create(
            ProviderContext(
                name="gemini", account=account, catalog=Catalog.load(), artifacts=nothing, uploads=nothing,
                data_dir=folder, cache_dir=folder, workers=workers, tasks=tasks,
            )
        )  # fmt: skip
        completer = provider.completer(ModelRef(provider="gemini", name=MODEL))
        means = Means(
            completer=completer, folder=folder / "answers", output=folder / "made", workers=workers,
            encoder=str(encoder),
        )  # fmt: skip
        begun = time.perf_counter()
        await synthesize(order, means)
        seconds = time.perf_counter() - begun
        await completer.aclose()
        await provider.aclose()
        tasks.cancel_scope.cancel()
    return seconds


async def measure(limit: dict[str, Any], options: dict[str, Any], rows: int) -> Result:
    """Run one case against a fresh server, with a fresh torch process, in a fresh folder."""
    habits = {"latency_s": LATENCY_S, "requests_per_minute": PER_MINUTE, **limit}
    async with anyio.TemporaryDirectory() as made, server(habits) as url, anyio.create_task_group() as tasks:
        folder = Path(made)
        workers = WorkerPool(folder, tasks)
        try:
            seconds = await make_rows(url, options, rows, folder, workers)
        finally:
            await workers.aclose()
        async with httpx.AsyncClient() as control:
            ledger = (await control.get(f"{url}/_control/ledger")).json()
        answers = RowFile(folder / "answers" / ANSWERS)
        stored = sum(
            "sent" not in line and "unpaid" not in line for line in await anyio.to_thread.run_sync(answers.read)
        )
        manifest = json.loads(await anyio.Path(folder / "made" / "manifest.json").read_text())
        tasks.cancel_scope.cancel()
    return Result(
        seconds=seconds, accepted=manifest["accepted"], paid=len(ledger["paid"]), stored=stored,
        twice=len(ledger["asked_twice"]), rejected=ledger["limited"],
    )  # fmt: skip


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    rows = 100 if args.quick else 300
    for name, limit in LIMITS.items():
        for told, options in (("told", TOLD), ("not told", {})):
            case = f"{name}, {told}"
            if args.only not in case:
                continue
            found = await measure(limit, options, rows)
            print(
                f"{case:24} {found.seconds:6.2f} s = {found.ratio:4.2f} x the limit's time for {found.paid} requests, "
                f"{found.accepted:4} rows, {found.paid - found.stored} answers lost, {found.twice} paid twice, "
                f"{found.rejected} rejected",
                flush=True,
            )


anyio.run(main)
