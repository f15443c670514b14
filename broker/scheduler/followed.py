"""What is kept in memory for a job that its provider works on: few words, since there may be a hundred thousand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.jobs.records import Handle, Lease, Wish
from broker.jobs.states import State

if TYPE_CHECKING:
    from broker.jobs.records import Working


@dataclass(slots=True, eq=False)
class Followed:
    """One running job.

    Attributes:
        lease: The right to drive it.
        handle: The provider's own id.
        state: As last written.
        raw: The provider's word that was last acted on; None: act on the next, whatever it is.
        troubled: A failed look is noted on it.
        wish: What a person asked for and nobody here has acted on.
        heard: The last wish that was heard, so that one is acted on once.
        cursor: The provider's id of the last event that was read.
        care: What is known of a job that is not simply running.
    """

    lease: Lease
    handle: Handle
    state: State
    raw: str | None
    troubled: bool
    wish: Wish | None
    heard: Wish | None
    cursor: str | None = None
    care: Care | None = None

    @property
    def job_id(self) -> str:
        """Return the job."""
        return self.lease.job_id

    def cared(self) -> Care:
        """Return what is known of its troubles."""
        self.care = self.care or Care()
        return self.care


@dataclass(slots=True, eq=False)
class Care:
    """The troubles of one job. All times are of the event loop's clock, seconds.

    Attributes:
        misses: Looks in a row at which its provider did not list it.
        missing_since: When that began.
        asks: How often it was asked to pause or to end.
        ask_at: Not asked again before.
        revivals: How often it was started again since it last got further.
        revive_at: Not started again before.
        step: The furthest step that it told of.
        deaf: How often its events could not be read, in a row.
        listen_at: They are not read again before.
    """

    misses: int = 0
    missing_since: float = 0.0
    asks: int = 0
    ask_at: float = 0.0
    revivals: int = 0
    revive_at: float = 0.0
    step: float = -1.0
    deaf: int = 0
    listen_at: float = 0.0


def followed(job: Working) -> Followed:
    """Return a claimed job as it is followed."""
    return Followed(
        lease=job.lease,
        handle=job.handle,
        state=job.state,
        raw=job.remote_status,
        troubled=job.troubled,
        wish=job.wish,
        heard=job.wish,
    )
