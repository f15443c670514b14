"""The server as a process of its own: `python tests/fakes/broker_server/ DATA_DIR CACHE_DIR PROVIDER NAME=MODEL…`.

Prints its base URL, then serves until it is told to stop.
"""

from __future__ import annotations

import logging
import sys
from functools import partial
from pathlib import Path

import anyio

from broker.server import ServerConfig, serve
from broker.settings import Settings
from broker.settings.model import Account


def main() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    data_dir, cache_dir, provider, *pairs = sys.argv[1:]
    model_map = dict(pair.split("=", 1) for pair in pairs)
    settings = Settings(
        data_dir=Path(data_dir), cache_dir=Path(cache_dir), device="cpu", providers={"fake": Account(kind="fake")}
    )
    config = ServerConfig(port=0, provider=provider, model_map=model_map)
    anyio.run(partial(serve, config, settings, started=lambda url: print(url, flush=True)))  # noqa: T201


if __name__ == "__main__":
    main()
