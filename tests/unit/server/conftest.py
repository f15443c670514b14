"""A real server in a thread, over the fake provider: the whole protocol without a model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import uvicorn

from broker.jobs.store import open_store
from broker.server.config import ServerConfig
from broker.server.serving import build_server
from broker.settings import Settings
from broker.settings.model import Account

CHAT_ROW = b'{"messages": [{"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "There."}]}\n'
PREFERENCE_ROW = (
    b'{"input": {"messages": [{"role": "user", "content": "Where is it?"}]}, '
    b'"preferred_output": [{"role": "assistant", "content": "There."}], '
    b'"non_preferred_output": [{"role": "assistant", "content": "No idea."}]}\n'
)
MODEL = "gpt-4o-mini-2024-07-18"


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
        body.setdefault("training_file", self.upload() if "training_file" not in body else None)
        answer = self.client.post("/fine_tuning/jobs", json={"model": MODEL, **body})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@contextmanager
def running(data_dir: Path, config: ServerConfig, *, options: dict[str, Any] | None = None) -> Iterator[Served]:
    settings = Settings(
        data_dir=data_dir,
        cache_dir=data_dir / "cache",
        providers={"fake": Account(kind="fake", name="fake", options={"steps": 3, **(options or {})})},
    )
    store = open_store(settings.store_url)
    started = threading.Event()
    urls: list[str] = []
    servers: list[uvicorn.Server] = []

    def tell(url: str) -> None:
        urls.append(url)
        started.set()

    async def serve() -> None:
        server = build_server(config, settings, store, tell)
        servers.append(server)
        await server.serve()

    thread = threading.Thread(target=anyio.run, args=(serve,))
    thread.start()
    try:
        assert started.wait(30), "the server did not start"
        with httpx.Client(base_url=urls[0], timeout=30) as client:
            yield Served(url=urls[0], root=urls[0].removesuffix("/v1"), data_dir=data_dir, client=client)
    finally:
        servers[0].should_exit = True
        thread.join(30)
        store.close()


@pytest.fixture(scope="session")
def base_config() -> ServerConfig:
    return ServerConfig(
        port=0, provider="fake", model_map={MODEL: "fake-base", "gpt-6*": "fake-base"}, models=("other-base",)
    )


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, base_config: ServerConfig) -> Iterator[Served]:
    with running(tmp_path_factory.mktemp("served"), base_config) as server:
        yield server


@pytest.fixture
def serve_with(tmp_path: Path, base_config: ServerConfig) -> Callable[..., Any]:
    """Start a server of one's own: changes of the config by name, options of the fake by `options`."""

    def start(*, options: dict[str, Any] | None = None, data_dir: Path | None = None, **changes: Any) -> Any:
        return running(data_dir or tmp_path / "data", replace(base_config, **changes), options=options)

    return start
