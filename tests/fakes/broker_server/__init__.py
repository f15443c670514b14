"""The product's own server, run by tests: in a thread or as a process, over the fake provider or the local one."""

from tests.fakes.broker_server.running import (
    CHAT_ROW,
    MODEL,
    PREFERENCE_ROW,
    Served,
    fake_config,
    fake_settings,
    running,
)
from tests.fakes.broker_server.wire import Wire, load_wire

__all__ = [
    "CHAT_ROW",
    "MODEL",
    "PREFERENCE_ROW",
    "Served",
    "Wire",
    "fake_config",
    "fake_settings",
    "load_wire",
    "running",
]
