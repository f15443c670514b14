"""`broker vote` but for its page: what it opens, what it refuses, what it counts."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from broker.api import Broker
from broker.voting import Choice
from tests.fakes.vote_hall import HallProcess

if TYPE_CHECKING:
    from pathlib import Path

    from broker.voting import Booth
    from tests.fakes.terminal import Terminal

PAIR = ("fake-base", "fake-base tuned")
REFUSED = {
    "vote": "which two models?",
    "vote fake-base": "which two models?",
    "vote fake-base fake-base": "cannot be compared with itself",
    "vote fake-base nobody": "no row of tone is called 'nobody'",
    "vote fake-base tuned --voter ann": "names are for the terminal",
    "vote fake-base tuned --terminal": "this is a pipe",
    "vote fake-base tuned --terminal --json": "there is no JSON of that",
    "vote a b --url ftp://here": "is no base URL",
    "vote a b --url http://here/there": "is no base URL",
    "vote a b --experiment none": "none",
    "vote a b --voters 0": "--voters",
    "vote --results --experiment none": "none",
}


@pytest.fixture
def done(terminal: Terminal, kept: Path) -> Terminal:
    """A terminal where one job was made and judged, on six prompts."""

    def make() -> None:
        assert terminal.submit("--experiment", "tone", "--metric", "length").code == 0

    terminal.once(kept, make)
    return terminal


def opened(*names: str, **options: Any) -> Booth:
    async def main() -> Booth:
        async with Broker(drive=False) as broker:
            return await broker.booth(*names, **options)

    return anyio.run(main)


def vote_all(booth: Booth, name: str, prefer: str) -> None:
    """Vote on every prompt for the answer of one model."""
    voter = booth.book.named(name)
    while (shown := booth.look(voter).shown) is not None:
        left = prefer == booth.ballot.pair.left
        booth.vote(voter, shown.id, Choice.FIRST if shown.left_first is left else Choice.SECOND, 4000)


def tuned(booth: Booth) -> str:
    pair = booth.ballot.pair
    return pair.left if pair.left_label == PAIR[1] else pair.right


def test_prompts_that_nobody_was_asked_are_not_missed(done: Terminal) -> None:
    booth = opened(*PAIR, prompts=4, seed=5)
    vote_all(booth, "ann", tuned(booth))
    (told,) = done.here("vote", *PAIR, "--results", "--json").data
    assert (told["n"], told["unscored"]) == (4, 0)
    assert not any("no vote yet" in remark for remark in told["remarks"])
    assert "no vote yet" not in done.here("results").out
    opened(*PAIR, prompts=6, seed=5)  # more are asked from now on
    (told,) = done.here("vote", *PAIR, "--results", "--json").data
    assert (told["n"], told["unscored"]) == (4, 2)


def test_votes_land_in_the_table(done: Terminal) -> None:
    booth = opened(*PAIR)
    assert len(booth.ballot.rows) == 6
    for name in ("ann", "bob"):
        vote_all(booth, name, tuned(booth))
    counted = done.here("vote", "--results")
    assert counted.code == 0
    assert "(0 of 6 prompts won by fake-base, 6 by fake-base tuned, 0 tied" in counted.out
    assert "fake-base tuned is preferred to fake-base" in counted.out
    (told,) = done.here("vote", *PAIR, "--results", "--json").data
    assert (told["source"], told["by"], told["n"], told["panel"]["votes"]) == ("people", "2 voters", 6, 12)
    (kept,) = done.here("results", "tone", "--json").data["preferences"]
    assert kept == told
    assert "fake-base tuned is preferred to fake-base" in " ".join(done.here("results").out.split())
    assert "preferred to fake-base" in done.here("results", "--markdown").out


def test_the_same_vote_from_either_side(done: Terminal) -> None:
    one, other = opened(*PAIR), opened(*reversed(PAIR))
    assert one.ballot == other.ballot
    assert one.book.folder == other.book.folder
    assert one.first != other.first
    vote_all(one, "ann", tuned(one))

    async def main() -> list[int]:
        async with Broker(drive=False) as broker:
            return [(await broker.count_votes(booth)).wins for booth in (one, other)]

    assert anyio.run(main) == [0, 6]


def test_another_question_is_another_vote(done: Terminal) -> None:
    plain, human = opened(*PAIR), opened(*PAIR, criterion="Which one sounds  more human?")
    vote_all(plain, "ann", tuned(plain))
    assert human.book.votes() == []
    vote_all(human, "ann", human.ballot.pair.left)
    told = done.here("vote", "--results", "--json").data
    assert {one["panel"]["criterion"] for one in told} == {
        "Which answer do you prefer?",
        "Which one sounds more human?",
    }
    assert len(done.here("results", "--json").data["preferences"]) == 2


def test_fewer_prompts_are_asked_and_the_sample_is_the_seeds(done: Terminal) -> None:
    few = opened(*PAIR, prompts=3)
    assert len(few.ballot.rows) == 3
    assert few.ballot.rows == opened(*PAIR).ballot.rows[:3]
    assert few.ballot.rows != opened(*PAIR, prompts=3, seed=1).ballot.rows


def test_what_voters_see_is_neither_the_system_message_nor_the_expected_answer(done: Terminal) -> None:
    rows = [json.loads(line) for line in (done.folder / "validation.jsonl").read_text().splitlines()]
    for row in opened(*PAIR).ballot.rows:
        asked = [m for m in rows[int(row.id)]["messages"][:-1] if m["role"] != "system"]
        assert [(turn.role, turn.text) for turn in row.question.turns] == [(m["role"], m["content"]) for m in asked]
        assert row.question.expected == rows[int(row.id)]["messages"][-1]["content"]


def test_what_cannot_be_done_is_said(done: Terminal) -> None:
    for line, words in REFUSED.items():
        told = done.here(*line.split())
        assert told.code == 2, line
        assert words in told.err
        assert "Traceback" not in told.err
    assert not (done.data_dir / "votes").exists()


def test_no_votes_yet(done: Terminal) -> None:
    assert done.here("vote", "--results").out.strip() == "no votes yet"
    assert done.here("vote", "--results", "--json").data == []
    opened(*PAIR)
    assert done.here("vote", "--results").out.strip() == "no votes yet"
    assert done.here("results", "--json").data["preferences"] == []


def test_models_that_answer_alike_leave_nothing_to_vote_on(done: Terminal) -> None:
    assert done.submit("--experiment", "tone", "--again", "--metric", "length").code == 0
    table = done.here("results", "--json").data
    twins = [row["key"] for row in table["rows"] if row["kind"] == "tuned"]
    assert len(twins) == 2
    told = done.here("vote", *twins)
    assert told.code == 2
    assert "nothing to vote on: 6 × both answers are the same" in told.err


def test_a_model_without_answers(terminal: Terminal) -> None:
    assert terminal.submit("--experiment", "tone", "--no-evaluate").code == 0
    (row,) = terminal.here("results", "--json").data["rows"]
    told = terminal.here("vote", row["key"], row["key"])
    assert told.code == 2
    assert "has no answers yet" in told.err


def test_a_port_that_somebody_has(done: Terminal) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = done.process("vote", *PAIR, "--port", str(port))
        assert told.code == 2
        assert f"cannot listen on 127.0.0.1:{port}" in told.err
        opened(*PAIR).book.keep_port(port)
        hall = HallProcess(done)
        assert f":{port}/" not in hall.told["links"][0], "the last port is taken: another one"
        assert hall.end() == []


def test_behind_a_proxy_links_begin_with_its_name(done: Terminal) -> None:
    hall = HallProcess(done, "--url", "https://vote.example", "--voters", "2")
    book = opened(*PAIR).book
    try:
        one, other = hall.told["links"]
        assert one != other
        assert (hall.told["everybody"], len(book.voters())) == (False, 2)
        path = one.removeprefix("https://vote.example")
        with httpx.Client(base_url=f"http://127.0.0.1:{book.port}", headers={"host": "vote.example"}) as client:
            assert client.get(f"{path}/state").json()["total"] == 6
            assert client.get(f"{path}/state", headers={"host": "other.example"}).status_code == 400
    finally:
        hall.end()
