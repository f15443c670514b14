"""How fast a rate-limited account is asked, beside the bare SDK.

    python benchmarks/bench_completions.py [--quick]

A loopback server in a process of its own: a bucket of 3,000 requests a minute that holds one second's worth, or no
limit and a fixed latency. For each case: the time as a multiple of what the limit (or the latency at 64 in the air)
makes possible, the answers lost, and the share of requests that were rejected with 429.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from pydantic import SecretStr

from broker.catalog import Catalog
from broker.jobs.spec import ModelRef
from broker.providers.contract import CompletionRequest, ProviderContext
from broker.providers.openai_tuning import create
from broker.settings import Account

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RATE = 50.0
MODEL = "gpt-4o-mini-2024-07-18"


@dataclass
class Result:
    """One run."""

    seconds: float
    answers: int
    asked: int
    rejected: int
    sent: int


@dataclass
class Case:
    """One condition: the server's habits, our options, and the best time possible, seconds."""

    name: str
    rows: int
    habits: dict[str, Any]
    bound_s: float
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    concurrency: int | None = None


@asynccontextmanager
async def server(folder: Path) -> AsyncIterator[str]:
    """Run the loopback server in a process of its own."""
    port_file = folder / "port"
    port_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.fakes.openai_server", str(port_file)]
    async with await anyio.open_process(command, cwd=Path(__file__).parents[1]) as process:
        try:
            while not port_file.exists():  # noqa: ASYNC110 - another process makes it
                await anyio.sleep(0.02)
            yield f"http://127.0.0.1:{port_file.read_text()}"
        finally:
            process.kill()


async def ours(url: str, case: Case, folder: Path) -> int:
    """Ask with the broker's completer; return the number of right answers."""
    async with anyio.create_task_group() as tasks:
        account = Account(
            kind="openai", base_url=f"{url}/v1", api_key=SecretStr("k" * 20), options=case.options,
            concurrency=case.concurrency,
        )  # fmt: skip
        nothing: Any = None
        provider = create(
            ProviderContext(
                name="openai", account=account, catalog=Catalog.load(), artifacts=nothing, uploads=nothing,
                data_dir=folder, cache_dir=folder, workers=nothing, tasks=tasks,
            )
        )  # fmt: skip
        completer = provider.completer(ModelRef(provider="openai", name=MODEL))
        prompts = [({"role": "user", "content": f"q{number}"},) for number in range(case.rows)]
        rows = [CompletionRequest(id=str(number), messages=messages) for number, messages in enumerate(prompts)]
        right = {answer.id async for answer in completer.complete(rows) if answer.text == f"answer to q{answer.id}"}
        await provider.aclose()
        tasks.cancel_scope.cancel()
    return len(right)


async def bare(url: str, case: Case, folder: Path) -> int:
    """Ask with the SDK alone, as its own documentation does it."""
    del folder
    from openai import AsyncOpenAI, OpenAIError

    right = 0
    client = AsyncOpenAI(api_key="k" * 20, base_url=f"{url}/v1")
    places = anyio.CapacityLimiter(case.concurrency or case.rows)

    async def ask(number: int) -> None:
        nonlocal right
        try:
            async with places:
                messages: Any = [{"role": "user", "content": f"q{number}"}]
                found = await client.chat.completions.create(model=MODEL, messages=messages)
        except OpenAIError:
            return
        right += found.choices[0].message.content == f"answer to q{number}"

    async with client, anyio.create_task_group() as tasks:
        for number in range(case.rows):
            tasks.start_soon(ask, number)
    return right


async def measure(who: Any, case: Case, folder: Path) -> Result:
    """Run one case against a fresh server."""
    async with server(folder) as url, httpx.AsyncClient() as control:
        await control.post(f"{url}/_control/rules", json={"habits": case.habits})
        begun = time.perf_counter()
        answers = await who(url, case, folder)
        seconds = time.perf_counter() - begun
        chats = (await control.get(f"{url}/_control/ledger")).json()["chats"]
    rejected = chats.get("limited", 0)
    return Result(seconds, answers, case.rows, rejected, rejected + chats.get("answered", 0))


def cases(quick: bool) -> list[Case]:
    """Return the conditions."""
    rows = 250 if quick else 500
    limited = {"rate": RATE, "burst": RATE, "latency_s": 0.1}
    bound = rows / RATE
    told = {"requests_per_minute": RATE * 60}
    wide = 640 if quick else 1280
    return [
        Case("limit told by a person", rows, limited, bound, told),
        Case("limit told by headers", rows, limited | {"headers": True}, bound),
        Case("limit not told, Retry-After in whole seconds", rows, limited, bound),
        Case("limit not told, exact Retry-After", rows, limited | {"retry_after": "exact"}, bound),
        Case("limit not told, no Retry-After", rows, limited | {"retry_after": "none"}, bound),
        Case("no limit, 0.2 s latency, 64 in the air", wide, {"latency_s": 0.2}, wide / 64 * 0.2, {}, 64),
        Case("no limit, 0.5 s latency, 64 in the air", wide, {"latency_s": 0.5}, wide / 64 * 0.5, {}, 64),
    ]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--no-bare", action="store_true")
    args = parser.parse_args()
    async with anyio.TemporaryDirectory() as made:
        for case in cases(args.quick):
            if args.only not in case.name:
                continue
            for name, who in (("broker", ours), *([] if args.no_bare else [("SDK", bare)])):
                found = await measure(who, case, Path(made))
                share = 100 * found.rejected / max(1, found.sent)
                print(
                    f"{case.name:45} {name:7} {found.seconds:6.2f} s = {found.seconds / case.bound_s:5.2f} x bound, "
                    f"{found.asked - found.answers:4} of {found.asked} lost, {share:5.1f} % of {found.sent} rejected"
                )


anyio.run(main)
