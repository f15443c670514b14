"""`broker vote`: a page where people vote on two answers without knowing whose they are.

Nothing that leaves this server says which model wrote an answer: no name, no id, no order that could be worked out. It
serves its own files only, and its pages may load nothing else. Needs the extra `server`; the names below are loaded
when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from broker.server.voting.app import VoteConfig, create_app
    from broker.server.voting.serving import build_server

__all__ = ["VoteConfig", "build_server", "create_app"]

_HOMES = {
    "VoteConfig": "broker.server.voting.app",
    "build_server": "broker.server.voting.serving",
    "create_app": "broker.server.voting.app",
}


def __getattr__(name: str) -> Any:
    """Load a name that needs the extra `server`."""
    if name not in _HOMES:
        raise AttributeError(f"module 'broker.server.voting' has no attribute {name!r}")
    from importlib import import_module

    from broker.errors import MissingExtraError

    try:
        return getattr(import_module(_HOMES[name]), name)
    except ImportError as error:
        raise MissingExtraError(
            f"the voting page needs a package that is not installed: {error.name or error}",
            fix="pip install 'finetune-broker[server]', or vote in the terminal: broker vote A B --terminal",
        ) from error
