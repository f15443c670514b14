"""Reading exceptions: what our own errors say, and what a provider makes of its SDK's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from broker.errors import BrokerError, ProviderError, StoreError, WorkerError
from broker.jobs.records import Failure
from broker.providers.contract import Advice, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.providers.contract import Provider


def failure_of(verdict: Verdict) -> Failure:
    """Return a verdict as the store keeps it."""
    return Failure(code=verdict.code, message=verdict.message, fix=verdict.fix, at=datetime.now(UTC))


def read_error(provider: Provider | None, error: Exception) -> Verdict:
    """Read an exception: our own errors speak for themselves, the provider reads its SDK's and its worker's.

    Args:
        provider: Whose call raised it, if one was open.
        error: The exception; of a group, its most telling one is read.

    Returns:
        What to do and what to say. What nobody can read has an unknown outcome.

    Raises:
        StoreError: The exception is one (or holds one): no provider's matter, it stops this process.
    """
    told = telling(error)
    if isinstance(told, StoreError):
        raise told
    if isinstance(told, BrokerError) and (provider is None or not isinstance(told, ProviderError | WorkerError)):
        code = type(told).__name__.removesuffix("Error").lower()
        return Verdict(advice=Advice.NEVER, code=code, message=told.message, fix=told.fix)
    if provider is None:
        return Verdict(advice=Advice.NEVER, code="unexpected", message=f"{type(told).__name__}: {told}")
    try:
        return provider.classify(told)
    except Exception as second:  # a provider that cannot even read its own errors must not stop its neighbours
        what = f"{type(told).__name__}: {told} (and the provider could not read it: {type(second).__name__})"
        return Verdict(advice=Advice.UNKNOWN, code="unexpected", message=what)


def telling(error: BaseException) -> BaseException:
    """Return the one error of a group that says most to a person: the store's, else the first that is ours."""
    leaves = list(_leaves(error))
    ranks: tuple[type[BaseException], ...] = (StoreError, BrokerError, Exception)
    return next((leaf for rank in ranks for leaf in leaves if isinstance(leaf, rank)), leaves[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        for one in group.exceptions:
            yield from _leaves(one)
    else:
        yield error
