"""Voters and their votes on disk: stored before they are confirmed, so that a killed server loses none.

```
DATA_DIR/votes/EXPERIMENT/LEFT--RIGHT/CRITERION/   the ids of the two evaluations, in alphabetical order
├── voters.jsonl   the secret of the vote, the sample, hashes of the links, voters, who came
├── votes.jsonl    votes and what was taken back, in the order in which they came
└── lock           held while one of them is written
```

A link's token has 256 random bits, so a plain SHA-256 of it cannot be turned round. Of a voter nothing is kept but a
random id, and the name that was given in a terminal.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from broker.errors import StoreError, UserError
from broker.jobs.codec import dump, load
from broker.jobs.durable import guarded, make_folder
from broker.voting.ballot import CRITERION, SEED
from broker.voting.sharedrows import SharedRows

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

MOST_VOTERS = 10_000


class Choice(StrEnum):
    """What a voter says of answers "1" and "2"."""

    FIRST = "1"
    SECOND = "2"
    TIE = "tie"
    SKIP = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Voter:
    """Somebody who votes.

    Attributes:
        id: Random; by it nobody is known.
        number: From 0, in the order of coming: decides the order and the sides.
        name: Given in a terminal; empty for who came by a link.
    """

    id: str
    number: int
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One voter's opinion of one row.

    Attributes:
        id: Of the vote.
        voter: Id of the voter.
        row: Id of the validation row.
        mark: Hash of the question and the two answers.
        left_first: The left model's answer was "1".
        choice: What was chosen.
        ms: Milliseconds between seeing and choosing, as the voter's own side measured them.
        at: When it was stored (UTC).
        helped: The expected answer was shown.
    """

    id: str
    voter: str
    row: str
    mark: str
    left_first: bool
    choice: Choice
    ms: int
    at: datetime
    helped: bool = False


class VoteBook:
    """The files of one vote; every method blocks. Any number of processes may hold the same book."""

    def __init__(self, folder: Path, criterion: str = CRITERION, first: str = "") -> None:
        """Open the book of a vote, or begin it.

        Args:
            folder: Of this vote alone.
            criterion: The question that voters answer; kept when the book is begun.
            first: Id of the evaluation that was named first; likewise.

        Raises:
            StoreError: The disk refused.
        """
        self.folder = folder
        self._voters = SharedRows(folder / "voters.jsonl")
        self._votes = SharedRows(folder / "votes.jsonl")
        self._standing = _Standing(self._votes)
        with self._alone():
            if not self._kept("begun"):
                begun = {"kind": "begun", "secret": secrets.token_hex(16), "criterion": criterion, "first": first}
                self._voters.append({**begun, "at": _now()})

    @property
    def secret(self) -> str:
        """Return what decides, with the seed, who sees what on which side."""
        return str(self._kept("begun")[0]["secret"])

    @property
    def criterion(self) -> str:
        """Return the question that voters answer."""
        return str(self._kept("begun")[0]["criterion"])

    @property
    def first(self) -> str:
        """Return the id of the evaluation that was named first when the vote began."""
        return str(self._kept("begun")[0]["first"])

    @property
    def port(self) -> int | None:
        """Return the port that links of this vote were given out for, the last time."""
        kept = self._kept("port")
        return int(kept[-1]["port"]) if kept else None

    def keep_port(self, port: int) -> None:
        """Remember the port, so that links hold after the server was started again."""
        with self._alone():
            if self.port != port:
                self._voters.append({"kind": "port", "port": port})

    @property
    def sample(self) -> tuple[int | None, int]:
        """Return how many prompts voters were asked the last time (None: all), and the seed that chose them."""
        kept = self._kept("sample")
        return (kept[-1]["prompts"], int(kept[-1]["seed"])) if kept else (None, SEED)

    def keep_sample(self, prompts: int | None, seed: int) -> None:
        """Remember the sample, so that prompts which nobody was asked are not missed when votes are counted."""
        with self._alone():
            if self.sample != (prompts, seed):
                self._voters.append({"kind": "sample", "prompts": prompts, "seed": seed})

    def invite(self) -> str:
        """Return the token of a new link by which anybody becomes a voter."""
        token = _new_token()
        with self._alone():
            self._voters.append({"kind": "invitation", "sha256": _hash(token), "at": _now()})
        return token

    def invited(self, token: str) -> bool:
        """Say whether a token is one of an invitation."""
        return self._shown("invitation", token) is not None

    def join(self, name: str = "") -> tuple[Voter, str]:
        """Take in a voter.

        Args:
            name: In a terminal; the same name is the same voter.

        Returns:
            The voter, and the token of the personal link (it is kept nowhere).

        Raises:
            UserError: There are too many.
        """
        token = _new_token()
        with self._alone():
            voters = self.voters()
            if len(voters) >= MOST_VOTERS:
                raise UserError(f"{len(voters)} voters have joined, which is the most", fix="end this vote")
            voter = Voter(id=f"voter-{secrets.token_hex(6)}", number=len(voters), name=name)
            self._voters.append({"kind": "voter", **dump(voter), "sha256": _hash(token), "at": _now()})
        return voter, token

    def voters(self) -> list[Voter]:
        """Return everybody who has a link or a name, in the order in which they got it."""
        return [_voter(row) for row in self._kept("voter")]

    def come(self, voter: str) -> None:
        """Note that a voter has opened the personal link, or sat down at a terminal; once for each.

        Args:
            voter: Id of the voter.
        """
        if voter in self.present():
            return
        with self._alone():
            if voter not in self.present():
                self._voters.append({"kind": "came", "voter": voter, "at": _now()})

    def present(self) -> set[str]:
        """Return the ids of the voters who came; a link that was only given out brings nobody."""
        return {str(row["voter"]) for row in self._kept("came")}

    def voter(self, token: str) -> Voter | None:
        """Return whose personal link has this token."""
        row = self._shown("voter", token)
        return None if row is None else _voter(row)

    def named(self, name: str) -> Voter:
        """Return the voter with a name, who joins when there is none yet."""
        known = [voter for voter in self.voters() if voter.name == name]
        return known[0] if known else self.join(name)[0]

    def votes(self, voter: str | None = None) -> list[Vote]:
        """Return the votes that stand, in the order in which they came.

        Args:
            voter: Only this one's.
        """
        return self._standing.votes(voter)

    def cast(self, vote: Vote) -> bool:
        """Store a vote durably.

        Args:
            vote: What was chosen.

        Returns:
            Whether it was stored: a voter has one vote on a row.

        Raises:
            StoreError: The disk refused; the vote does not count.
        """
        with self._alone():
            if any(other.row == vote.row and other.mark == vote.mark for other in self.votes(vote.voter)):
                return False
            self._votes.append({"kind": "vote", **dump(vote)})
        return True

    def undo(self, voter: str, vote: str) -> bool:
        """Take a voter's last vote back.

        Args:
            voter: Id of the voter.
            vote: Id of the vote that is meant.

        Returns:
            Whether it was the last one and does not count any more.
        """
        with self._alone():
            votes = self.votes(voter)
            if not votes or votes[-1].id != vote:
                return False
            self._votes.append({"kind": "undo", "vote": vote, "at": _now()})
        return True

    def _kept(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in self._voters.rows() if row.get("kind") == kind]

    def _shown(self, kind: str, token: str) -> dict[str, Any] | None:
        shown, found = _hash(token), None
        for row in self._kept(kind):  # all of them, so that the time tells nothing
            if hmac.compare_digest(str(row["sha256"]), shown):
                found = row
        return found

    @contextlib.contextmanager
    def _alone(self) -> Generator[None]:
        """Hold the book's lock: other threads and other processes wait."""
        path = self.folder / "lock"
        with guarded(path, "lock the votes"):
            make_folder(self.folder)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with guarded(path, "lock the votes"):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _voter(row: dict[str, Any]) -> Voter:
    return Voter(id=str(row["id"]), number=int(row["number"]), name=str(row.get("name", "")))


class _Standing:
    """The votes that stand, by voter; every row of the file is read once."""

    def __init__(self, shared: SharedRows) -> None:
        self._shared = shared
        self._reading = threading.Lock()
        self._read = 0
        self._by_voter: dict[str, dict[str, Vote]] = {}
        self._voter_of: dict[str, str] = {}

    def votes(self, voter: str | None) -> list[Vote]:
        with self._reading:
            for row in self._shared.rows(self._read):
                self._take(row)
                self._read += 1
            if voter is not None:
                return list(self._by_voter.get(voter, {}).values())
            every = (vote for votes in self._by_voter.values() for vote in votes.values())
            return sorted(every, key=lambda vote: vote.at)

    def _take(self, row: dict[str, Any]) -> None:
        path = self._shared.path
        try:
            if row.get("kind") == "undo":
                self._by_voter.get(self._voter_of.get(row["vote"], ""), {}).pop(row["vote"], None)
                return
            vote = load(Vote, {name: value for name, value in row.items() if name != "kind"})
        except (ValidationError, KeyError) as error:
            raise StoreError("a row of votes cannot be read", where=str(path), fix=f"move {path} away") from error
        self._voter_of[vote.id] = vote.voter
        self._by_voter.setdefault(vote.voter, {})[vote.id] = vote


def _new_token() -> str:
    return secrets.token_urlsafe(32)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat()
