"""`broker serve`: OpenAI's fine-tuning protocol over any provider, the local machine by default.

Needs the extra `server`. The names below are loaded when they are first used, so that `import broker.server` costs
nothing where the extra is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.server.config import Limits, ServerConfig
from broker.server.tokens import delete_token, new_token, token_names

if TYPE_CHECKING:
    from broker.server.app import create_app
    from broker.server.serving import serve

__all__ = ["Limits", "ServerConfig", "create_app", "delete_token", "new_token", "serve", "token_names"]

_HOMES = {"create_app": "broker.server.app", "serve": "broker.server.serving"}


def __getattr__(name: str) -> Any:
    """Load a name that needs the extra `server`."""
    if name not in _HOMES:
        raise AttributeError(f"module 'broker.server' has no attribute {name!r}")
    from importlib import import_module

    from broker.errors import MissingExtraError

    try:
        return getattr(import_module(_HOMES[name]), name)
    except ImportError as error:
        raise MissingExtraError(
            f"the server needs a package that is not installed: {error.name or error}",
            fix="pip install 'finetune-broker[server]'",
        ) from error
