"""Say what this machine can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.worker.devices import facts

if TYPE_CHECKING:
    from broker.worker.session import Session


def describe(_args: dict[str, Any], session: Session) -> dict[str, Any]:
    """Return device, precisions and package versions.

    Args:
        _args: None needed.
        session: The call; its device name is looked at.

    Returns:
        See `broker.worker.devices.facts`.
    """
    return facts(session.device_name)
