"""Finds providers by name; imports one only when it is used."""

from __future__ import annotations

import difflib
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, cast

from broker.errors import MissingExtraError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from broker.providers.contract import Provider, ProviderContext, ProviderFactory

ENTRY_POINT_GROUP = "broker.providers"
BUILT_IN: Mapping[str, str] = {
    "local": "broker.providers.local:create",
    "openai": "broker.providers.openai_tuning:create",
    "gemini": "broker.providers.gemini:create",
    "fake": "broker.providers.fake:create",
}

# How a tuned model becomes a folder of its own: `(workers, model, output, base=…) -> report`.
EXPORTERS: Mapping[str, str] = {"local": "broker.providers.local.export:export_merged"}

# How well a model expects responses: `(workers, model, lines, base=…) -> ([(nats, tokens)], rows cut off)`.
SCORERS: Mapping[str, str] = {"local": "broker.providers.local.scoring:score_lines"}


def kinds() -> dict[str, str]:
    """Return every kind of provider with the `module:attribute` of its factory; built-in ones win."""
    found = {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}
    return {**found, **BUILT_IN}


def factory(kind: str) -> ProviderFactory:
    """Import the factory of a kind of provider.

    Args:
        kind: `local`, `openai`, …

    Raises:
        UnknownNameError: Nobody offers this kind; the message names the known ones and the nearest.
        MissingExtraError: Its package is not installed.
    """
    known = kinds()
    if kind not in known:
        near = difflib.get_close_matches(kind, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UnknownNameError(f"unknown provider {kind!r}", fix=f"{hint}known: {', '.join(sorted(known))}")
    module, _, attribute = known[kind].partition(":")
    try:
        return cast("ProviderFactory", getattr(import_module(module), attribute))
    except ImportError as error:
        raise MissingExtraError(
            f"the provider {kind!r} needs a package that is not installed: {error.name or error}",
            fix=f"pip install 'finetune-broker[{kind}]'",
        ) from error


def exporter(kind: str) -> Callable[..., Awaitable[dict[str, Any]]] | None:
    """Return what writes a tuned model of this kind of provider as a whole model, or None when nothing can."""
    found: Callable[..., Awaitable[dict[str, Any]]] | None = _offered(EXPORTERS, kind)
    return found


def scorer(kind: str) -> Callable[..., Awaitable[tuple[list[tuple[float, float]], int]]] | None:
    """Return what scores responses under models of this kind of provider, or None when their weights are elsewhere."""
    found: Callable[..., Awaitable[tuple[list[tuple[float, float]], int]]] | None = _offered(SCORERS, kind)
    return found


def _offered(table: Mapping[str, str], kind: str) -> Any:
    if kind not in table:
        return None
    module, _, attribute = table[kind].partition(":")
    return getattr(import_module(module), attribute)


def open_provider(context: ProviderContext) -> Provider:
    """Build the provider of an account.

    Args:
        context: The account's name and settings, and what a provider may use.

    Raises:
        UnknownNameError: Its kind is unknown.
        MissingExtraError: Its package is not installed.
    """
    return factory(context.account.kind)(context)
