"""The one table of foreign statuses. A test walks the SDK's own list, so that a new value fails there first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.providers.contract import RemoteState

if TYPE_CHECKING:
    from collections.abc import Mapping

JOB_STATES: Mapping[str, RemoteState] = {
    "validating_files": RemoteState.QUEUED,
    "queued": RemoteState.QUEUED,
    "running": RemoteState.RUNNING,
    "paused": RemoteState.PAUSED,  # sent by the live service, missing in the SDK
    "succeeded": RemoteState.SUCCEEDED,
    "failed": RemoteState.FAILED,
    "cancelled": RemoteState.CANCELLED,
}

BATCH_ENDS: Mapping[str, bool] = {
    "validating": False,
    "in_progress": False,
    "finalizing": False,
    "cancelling": False,
    "completed": True,
    "failed": True,
    "expired": True,
    "cancelled": True,
}
"""Whether a batch with this status has ended; one that is missing here goes on."""

FILE_READY: Mapping[str, bool | None] = {
    "processed": True,
    "uploaded": None,  # deprecated by OpenAI: may stay so for ever
    "error": False,
    # Azure's words.
    "pending": None,
    "running": None,
    "deleted": False,
    "deleting": False,
}
"""Whether a file can be used: yes, never, or not yet (`None`)."""
