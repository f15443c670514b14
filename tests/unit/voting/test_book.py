from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from broker.errors import StoreError
from broker.voting import Booth, Choice, VoteBook
from tests.unit.voting.poll import ballot

if TYPE_CHECKING:
    from pathlib import Path

LETTERS = {"1": Choice.FIRST, "2": Choice.SECOND, "=": Choice.TIE, "-": Choice.SKIP}


@pytest.fixture
def book(tmp_path: Path) -> VoteBook:
    return VoteBook(tmp_path / "votes")


def booth(book: VoteBook, count: int = 6) -> Booth:
    return Booth(ballot(count), book)


def choose(at: Booth, name: str, choices: str) -> None:
    """Vote on one prompt after another as the named voter."""
    voter = at.book.named(name)
    for letter in choices:
        shown = at.look(voter).shown
        assert shown is not None
        assert at.vote(voter, shown.id, LETTERS[letter], 5).heard


def test_of_tokens_only_hashes_are_kept(book: VoteBook) -> None:
    invitation = book.invite()
    voter, token = book.join()
    stored = "".join(path.read_text(encoding="utf-8") for path in book.folder.iterdir())
    assert invitation not in stored
    assert token not in stored
    assert book.voter(token) == voter
    assert book.invited(invitation)
    for wrong in ("", token[:-1], token + "x", invitation, "\udcff"):
        assert book.voter(wrong) is None
    assert not book.invited(token)


def test_files_are_the_owners_alone(book: VoteBook) -> None:
    choose(booth(book), "ann", "1")
    assert {path.stat().st_mode & 0o077 for path in (book.folder, *book.folder.iterdir())} == {0}


def test_a_vote_is_there_after_a_restart_and_goes_on_where_it_was(book: VoteBook) -> None:
    choose(booth(book), "ann", "12=")
    before = booth(book).look(book.named("ann"))
    again = booth(VoteBook(book.folder))
    assert again.look(again.book.named("ann")) == before
    assert (before.done, before.total) == (3, 6)
    assert [vote.choice for vote in again.book.votes()] == ["1", "2", "tie"]


def test_a_torn_row_is_as_if_it_never_was(book: VoteBook) -> None:
    choose(booth(book), "ann", "12")
    path = book.folder / "votes.jsonl"
    whole = path.read_bytes()
    for cut in range(len(whole.splitlines(keepends=True)[0]), len(whole)):
        path.write_bytes(whole[:cut])
        torn = booth(VoteBook(book.folder))
        assert len(torn.book.votes()) == 1
        choose(torn, "ann", "2")
        assert [vote.choice for vote in VoteBook(book.folder).votes()] == ["1", "2"]


def test_a_prompt_takes_one_vote_and_only_when_it_is_on_the_table(book: VoteBook) -> None:
    at, voter = booth(book), book.named("ann")
    shown = at.look(voter).shown
    assert shown is not None
    assert at.vote(voter, shown.id, Choice.FIRST, 5).heard
    again = at.vote(voter, shown.id, Choice.SECOND, 5)
    assert not again.heard
    assert not at.vote(voter, "no such thing", Choice.SECOND, 5).heard
    assert [vote.choice for vote in book.votes()] == ["1"]
    assert again.done == 1


def test_undo_brings_the_last_prompt_back_once(book: VoteBook) -> None:
    at, voter = booth(book), book.named("ann")
    first = at.look(voter).shown
    choose(at, "ann", "12")
    view = at.look(voter)
    assert view.last is not None
    back = at.undo(voter, view.last)
    assert (back.done, back.heard) == (1, True)
    assert not at.undo(voter, view.last).heard
    assert at.look(voter).done == 1
    assert back.last is not None
    assert at.undo(voter, back.last).shown == first
    assert at.look(voter).last is None
    assert book.votes() == []
    kinds = [json.loads(line)["kind"] for line in (book.folder / "votes.jsonl").read_text().splitlines()]
    assert kinds == ["vote", "vote", "undo", "undo"]


def test_nobody_takes_back_the_vote_of_another(book: VoteBook) -> None:
    at = booth(book)
    choose(at, "ann", "1")
    last = at.look(book.named("ann")).last
    assert last is not None
    assert not at.undo(book.named("bob"), last).heard
    assert len(book.votes()) == 1


def test_a_skipped_prompt_is_seen_to(book: VoteBook) -> None:
    at = booth(book)
    choose(at, "ann", "------")
    view = at.look(book.named("ann"))
    assert (view.done, view.shown) == (6, None)


def test_more_prompts_later_are_asked_of_those_who_were_done(book: VoteBook) -> None:
    choose(Booth(ballot(9, prompts=4), book), "ann", "1212")
    more = Booth(ballot(9, prompts=9), book)
    assert (more.look(book.named("ann")).done, more.look(book.named("ann")).total) == (4, 9)
    choose(more, "ann", "11111")
    assert len({vote.row for vote in book.votes()}) == 9


def test_two_books_in_two_threads_lose_nothing(book: VoteBook) -> None:
    def vote(name: str) -> None:
        choose(booth(VoteBook(book.folder), 15), name, "121212121212121")

    threads = [threading.Thread(target=vote, args=(name,)) for name in ("ann", "bob", "cyd", "dan")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(book.votes()) == 60
    assert [voter.number for voter in book.voters()] == [0, 1, 2, 3]
    assert booth(book, 15).progress() == {"voters": 4, "voting": 0, "done": 4, "votes": 60}


def test_a_file_of_something_else_is_said_to_be_so(book: VoteBook) -> None:
    (book.folder / "votes.jsonl").write_text('{"kind": "vote", "id": 7}\n')
    with pytest.raises(StoreError, match=r"votes\.jsonl"):
        book.votes()


def test_what_another_process_mended_is_read_and_written_on(book: VoteBook) -> None:
    """A damaged line in the middle makes a new process put a mended file in the place of the old one."""
    choose(booth(book), "ann", "12")
    path = book.folder / "votes.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\x00\x00\n" + lines[1])
    choose(booth(VoteBook(book.folder)), "bob", "1")
    choose(booth(book), "ann", "=")
    for seen in (book, VoteBook(book.folder)):
        assert sorted(vote.choice for vote in seen.votes()) == ["1", "1", "2", "tie"]
