"""One server for most tests, and servers of their own for the rest; every JSON answer is held to the protocol."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.fakes.broker_server import Served, fake_config, fake_settings, load_wire, running

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import httpx


class ServeWith(Protocol):
    def __call__(
        self, *, options: dict[str, Any] | None = None, data_dir: Path | None = None, **changes: Any
    ) -> AbstractContextManager[Served]: ...


def hold_to_protocol(answer: httpx.Response) -> None:
    """Check an answer against OpenAI's schema, where the tests have it."""
    wire = load_wire()
    path = answer.request.url.path
    answer.read()
    if wire is None or not answer.headers.get("content-type", "").startswith("application/json"):
        return
    if answer.status_code >= 400 or path.startswith("/v1/"):
        wire.check(answer.request.method, path.removeprefix("/v1"), answer.status_code, answer.json())


@contextmanager
def held(server: AbstractContextManager[Served]) -> Generator[Served]:
    with server as served:
        served.client.event_hooks["response"] = [hold_to_protocol]
        yield served


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with held(running(fake_config(), fake_settings(tmp_path_factory.mktemp("served")))) as server:
        yield server


@pytest.fixture
def serve_with(tmp_path: Path) -> ServeWith:
    """Start a server of one's own: changes of the config by name, options of the fake by `options`."""

    def start(
        *, options: dict[str, Any] | None = None, data_dir: Path | None = None, **changes: Any
    ) -> AbstractContextManager[Served]:
        return held(running(fake_config(**changes), fake_settings(data_dir or tmp_path / "data", **(options or {}))))

    return start
