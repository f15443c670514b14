"""A real server in a thread."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path  # dataclasses are read at run time
from typing import TYPE_CHECKING, Any

import anyio
import httpx

from broker.jobs.store import open_store
from broker.server.config import ServerConfig
from broker.server.serving import build_server
from broker.settings import Settings
from broker.settings.model import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import uvicorn
    from starlette.types import ASGIApp

CHAT_ROW = b'{"messages": [{"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "There."}]}\n'
PREFERENCE_ROW = (
    b'{"input": {"messages": [{"role": "user", "content": "Where is it?"}]}, '
    b'"preferred_output": [{"role": "assistant", "content": "There."}], '
    b'"non_preferred_output": [{"role": "assistant", "content": "No idea."}]}\n'
)
MODEL = "gpt-4o-mini-2024-07-18"
ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Served:
    """A running server."""

    url: str
    root: str
    data_dir: Path
    client: httpx.Client

    def upload(self, content: bytes = CHAT_ROW * 10, purpose: str = "fine-tune", name: str = "train.jsonl") -> str:
        answer = self.client.post("/files", files={"file": (name, content)}, data={"purpose": purpose})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def new_job(self, **body: Any) -> dict[str, Any]:
        if "training_file" not in body:
            body["training_file"] = self.upload()
        answer = self.client.post("/fine_tuning/jobs", json={"model": MODEL, **body})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def get(self, path: str) -> dict[str, Any]:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def wait_for(self, path: str, *statuses: str, seconds: float = 30) -> dict[str, Any]:
        """Look at an object until it has one of the statuses."""
        end = time.monotonic() + seconds
        while True:
            found = self.get(path)
            if found["status"] in statuses:
                return found
            assert time.monotonic() < end, f"{path} is still {found['status']}"
            time.sleep(0.02)

    def done_job(self, **body: Any) -> dict[str, Any]:
        return self.wait_for(f"/fine_tuning/jobs/{self.new_job(**body)['id']}", *ENDED)

    def tuned_model(self, **body: Any) -> str:
        return str(self.done_job(**body)["fine_tuned_model"])


def fake_config(**changes: Any) -> ServerConfig:
    """Return a server over the fake provider, with a port that the system chooses."""
    values: dict[str, Any] = {
        "port": 0,
        "provider": "fake",
        "model_map": {MODEL: "fake-base", "gpt-6*": "fake-base"},
        "models": ("other-base",),
    }
    return ServerConfig(**{**values, **changes})


def fake_settings(data_dir: Path, **options: Any) -> Settings:
    """Return settings whose fake provider has these options."""
    account = Account(kind="fake", name="fake", options={"steps": 3, **options})
    return Settings(data_dir=data_dir, cache_dir=data_dir / "cache", providers={"fake": account})


@contextmanager
def running(
    config: ServerConfig, settings: Settings, *, around: Callable[[ASGIApp], ASGIApp] | None = None
) -> Generator[Served]:
    """Run a server in a thread until the context is left; then it is stopped as by SIGTERM.

    Args:
        config: Where it listens and what it serves.
        settings: Of the broker behind it.
        around: Wraps the application, for tests that must rewrite requests.
    """
    store = open_store(settings.store_url)
    started = threading.Event()
    urls: list[str] = []
    servers: list[uvicorn.Server] = []

    def tell(url: str) -> None:
        urls.append(url)
        started.set()

    async def serve() -> None:
        server = build_server(config, settings, store, tell)
        if around is not None:
            server.config.app = around(server.config.app)  # type: ignore[arg-type]
        servers.append(server)
        await server.serve()

    thread = threading.Thread(target=anyio.run, args=(serve,))
    thread.start()
    try:
        assert started.wait(60), "the server did not start"
        with httpx.Client(base_url=urls[0], timeout=30, trust_env=False) as client:
            yield Served(url=urls[0], root=urls[0].removesuffix("/v1"), data_dir=settings.data_dir, client=client)
    finally:
        if servers:
            servers[0].should_exit = True
        thread.join(60)
        store.close()
