"""What one voter sees and does: the same behind the page and in the terminal."""

from __future__ import annotations

import secrets
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from broker.errors import StoreError
from broker.voting.ballot import Shown, presented
from broker.voting.book import Choice, Vote

if TYPE_CHECKING:
    from broker.voting.ballot import Ballot
    from broker.voting.book import VoteBook, Voter

# Orders of so many voters are kept.
_KEPT = 128
_LONGEST_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Where a voter stands.

    Attributes:
        done: Rows that the voter has seen to.
        total: Rows that the voter is asked.
        shown: What to judge now; None when all is done.
        last: Id of the vote that can be taken back; None without one.
        heard: What was asked for was done; otherwise it was about something that is not on the table any more.
    """

    done: int
    total: int
    shown: Shown | None
    last: str | None
    heard: bool = True


class Booth:
    """A ballot and its book; every method blocks."""

    def __init__(self, ballot: Ballot, book: VoteBook, *, helped: bool = False, first: str = "") -> None:
        """Keep the parts.

        Args:
            ballot: What is voted on.
            book: Where votes are kept.
            helped: Voters see the expected answer.
            first: Id of the evaluation from which results are seen; the ballot's left one when empty.
        """
        self.ballot = ballot
        self.book = book
        self.helped = helped
        self.first = first
        self._presented = lru_cache(_KEPT)(partial(presented, ballot, book.secret))

    def greet(self, voter: Voter) -> View:
        """Note that a voter is here, and return where the voter stands."""
        with suppress(StoreError):  # whether votes can be stored is told with the first of them
            self.book.come(voter.id)
        return self.look(voter)

    def look(self, voter: Voter, *, heard: bool = True) -> View:
        """Return where a voter stands.

        Args:
            voter: Who looks.
            heard: What the view says of the request before it.
        """
        votes = self.book.votes(voter.id)
        seen = {(vote.row, vote.mark) for vote in votes}
        asked = self._presented(voter.number)
        open_ = [shown for shown in asked if (shown.row.id, shown.row.mark) not in seen]
        return View(
            done=len(asked) - len(open_),
            total=len(asked),
            shown=open_[0] if open_ else None,
            last=votes[-1].id if votes else None,
            heard=heard,
        )

    def vote(self, voter: Voter, shown_id: str, choice: Choice, ms: int) -> View:
        """Take a vote on what the voter has on the table; sent twice it counts once.

        Args:
            voter: Who votes.
            shown_id: What is voted on; anything but what is on the table changes nothing.
            choice: What is chosen.
            ms: Milliseconds that it took.

        Returns:
            Where the voter stands now.

        Raises:
            StoreError: The vote could not be stored.
        """
        shown = self.look(voter).shown
        if shown is None or shown.id != shown_id:
            return self.look(voter, heard=False)
        vote = Vote(
            id=secrets.token_hex(8),
            voter=voter.id,
            row=shown.row.id,
            mark=shown.row.mark,
            left_first=shown.left_first,
            choice=choice,
            ms=max(0, min(ms, _LONGEST_MS)),
            at=datetime.now(UTC),
            helped=self.helped,
        )
        return self.look(voter, heard=self.book.cast(vote))

    def undo(self, voter: Voter, vote: str) -> View:
        """Take the last vote back; its row is on the table again.

        Args:
            voter: Who asks.
            vote: Id of the vote; anything but the last one changes nothing.
        """
        return self.look(voter, heard=self.book.undo(voter.id, vote))

    def progress(self) -> dict[str, int]:
        """Return how many voters came, began and are done, and how many votes stand."""
        asked = {(row.id, row.mark) for row in self.ballot.rows}
        votes = [vote for vote in self.book.votes() if (vote.row, vote.mark) in asked]
        seen = Counter(vote.voter for vote in votes)
        return {
            "voters": len(self.book.present() | {vote.voter for vote in self.book.votes()}),
            "voting": sum(count < len(asked) for count in seen.values()),
            "done": sum(count == len(asked) for count in seen.values()),
            "votes": len(votes),
        }
