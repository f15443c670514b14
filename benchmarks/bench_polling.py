"""What it costs to follow many jobs: `python benchmarks/bench_polling.py [--quick]`.

A loopback server in a process of its own lists as many jobs as are followed. For 1,000, 10,000 and 100,000 jobs:
requests of one look (first and later ones), its time, the memory of this process, and the time from opening the
provider to the answer of its first request. Then a few old jobs under 100,000 others.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio

sys.path.insert(0, str(Path(__file__).parents[1]))

BEGUN = time.perf_counter()

from pydantic import SecretStr  # noqa: E402 - the import is part of what is measured

from broker.catalog import Catalog  # noqa: E402
from broker.jobs.records import Handle  # noqa: E402
from broker.providers.contract import ProviderContext  # noqa: E402
from broker.providers.openai_tuning import OpenAIProvider, create  # noqa: E402
from broker.settings import Account  # noqa: E402

LISTING = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
COUNT = int(sys.argv[1])
def job(n):
    return {"id": f"ftjob-{n:08d}", "object": "fine_tuning.job", "created_at": n, "status": "running", "error": None,
            "fine_tuned_model": None, "finished_at": None, "hyperparameters": {"n_epochs": 3}, "model": "m",
            "organization_id": "o", "result_files": [], "seed": 1, "trained_tokens": None, "training_file": "f",
            "validation_file": None, "metadata": {"broker_intent": "bi-" + "x" * 26}, "method": {"type": "supervised"}}
class Listing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        parts = urlsplit(self.path)
        asked = parse_qs(parts.query)
        if parts.path.endswith("/jobs"):
            newest = int(asked["after"][0][6:]) if "after" in asked else COUNT
            numbers = range(newest - 1, max(newest - 1 - int(asked["limit"][0]), -1), -1)
            body = {"object": "list", "data": [job(n) for n in numbers], "has_more": numbers[-1] > 0}
        else:
            body = job(int(parts.path[-8:]))
        sent = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)
    def log_message(self, *_): pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Listing)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def memory_mb() -> float:
    """Return the largest memory this process has used, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def look(provider: OpenAIProvider, handles: list[Handle], name: str) -> None:
    """Look twice and print what it cost."""
    for which in ("first look", "later look"):
        before, begun = provider.requests, time.perf_counter()
        statuses = await provider.poll(handles)
        assert len(statuses) == len(handles)
        print(
            f"{name:34} {which:10} {provider.requests - before:6} requests {time.perf_counter() - begun:7.2f} s "
            f"{memory_mb():6.0f} MB"
        )


async def bench(count: int) -> None:
    """Follow all jobs of an account, and a few old ones."""
    command = [sys.executable, "-c", LISTING, str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: ASYNC220 - before anything runs
        assert server.stdout is not None
        port = int(server.stdout.readline())
        nothing: Any = None
        try:
            async with anyio.create_task_group() as tasks:
                begun = time.perf_counter()
                account = Account(kind="openai", base_url=f"http://127.0.0.1:{port}/v1", api_key=SecretStr("k" * 20))
                folder = Path(tempfile.gettempdir())
                provider = create(
                    ProviderContext(
                        name="openai", account=account, catalog=Catalog.load(), artifacts=nothing, uploads=nothing,
                        data_dir=folder, cache_dir=folder, workers=nothing, tasks=tasks,
                    )
                )  # fmt: skip
                await provider.poll([Handle(provider="openai", id="ftjob-00000000")])
                print(f"{count:,} jobs: {time.perf_counter() - begun:.2f} s from opening to the first answer")
                ids = [Handle(provider="openai", id=f"ftjob-{number:08d}") for number in range(count)]
                await look(provider, ids, f"all {count:,} jobs of the account")
                await look(provider, ids[:5], f"5 oldest of {count:,} jobs")
                await look(provider, [*ids[-300:], *ids[:5]], f"300 newest and 5 oldest of {count:,}")
                await provider.aclose()
        finally:
            server.kill()


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    print(f"{time.perf_counter() - BEGUN:.2f} s to import the provider and the SDK")
    for count in (1_000, 10_000) if args.quick else (1_000, 10_000, 100_000):
        anyio.run(bench, count)


if __name__ == "__main__":
    main()
