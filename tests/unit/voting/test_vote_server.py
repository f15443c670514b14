"""The voting server: who comes in, what leaves it, what hostile clients get."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

import pytest

from broker.server.voting.door import HEADERS
from broker.voting import Booth, VoteBook
from tests.fakes.vote_hall import Held, holding
from tests.unit.voting.poll import PAIR, ballot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

PAGES = ("page.html", "join.html", "lost.html", "page.js", "join.js", "page.css")


@pytest.fixture
def booth(tmp_path: Path) -> Booth:
    return Booth(ballot(5), VoteBook(tmp_path / "votes"))


@pytest.fixture
def hall(booth: Booth) -> Iterator[Held]:
    with holding(booth) as held:
        yield held


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


# --- voting ---------------------------------------------------------------------------------------------------------


def test_a_whole_ballot(hall: Held) -> None:
    link = hall.link()
    for i, choice in enumerate(("1", "2", "tie", "skip", "1")):
        before = hall.state(link)
        assert (before["done"], before["total"], before["heard"]) == (i, 5, True)
        assert len(before["item"]["answers"]) == 2
        assert hall.vote(link, choice)["done"] == i + 1
    assert hall.state(link)["item"] is None
    assert [vote.choice for vote in hall.booth.book.votes()] == ["1", "2", "tie", "skip", "1"]
    assert {vote.ms for vote in hall.booth.book.votes()} == {1000}


def test_who_was_sent_a_link_has_come_only_when_it_is_opened(hall: Held, booth: Booth) -> None:
    links = [hall.link() for _ in range(3)]
    assert hall.client.get(links[0]).status_code == 200  # as a preview of the link does
    assert booth.progress()["voters"] == 0
    for _ in range(2):
        hall.state(links[0])
    assert booth.progress()["voters"] == 1
    hall.vote(links[1], "1")
    again = Booth(booth.ballot, VoteBook(booth.book.folder))
    assert again.progress() == {"voters": 2, "voting": 1, "done": 0, "votes": 1}
    assert len(booth.book.voters()) == 3


def test_what_is_stored_is_what_was_seen(hall: Held) -> None:
    link = hall.link()
    for _ in range(5):
        item = hall.state(link)["item"]
        first_is_left = item["answers"][0].startswith("warm")
        hall.vote(link, "1")
        vote = hall.booth.book.votes()[-1]
        assert vote.left_first is first_is_left
        assert item["question"] == [{"role": "user", "text": f"Question {vote.row}?"}]


def test_undo_and_a_vote_sent_twice(hall: Held) -> None:
    link = hall.link()
    item = hall.state(link)["item"]["id"]
    body = {"item": item, "choice": "1", "ms": 5}
    first, again = (hall.client.post(f"{link}/vote", json=body).json() for _ in range(2))
    assert (first["heard"], again["heard"], again["done"]) == (True, False, 1)
    undone, twice = (hall.client.post(f"{link}/undo", json={"vote": first["last"]}).json() for _ in range(2))
    assert (undone["heard"], undone["done"], undone["item"]["id"], undone["last"]) == (True, 0, item, None)
    assert (twice["heard"], twice["done"]) == (False, 0)


def test_voters_at_the_same_time(hall: Held) -> None:
    links = [hall.link() for _ in range(6)]

    def everything(link: str) -> None:
        for _ in range(5):
            hall.vote(link, "2")

    threads = [threading.Thread(target=everything, args=(link,)) for link in links]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hall.booth.progress() == {"voters": 6, "voting": 0, "done": 6, "votes": 30}
    sides = [vote.left_first for vote in hall.booth.book.votes()]
    assert sides.count(True) == 15


def test_an_invitation_makes_a_voter_only_when_the_button_is_pressed(hall: Held) -> None:
    path = f"/join/{hall.booth.book.invite()}"
    for _ in range(3):
        assert hall.client.get(path).status_code == 200
    assert hall.booth.book.voters() == []
    one, other = (hall.client.post(path, json={}).json()["link"] for _ in range(2))
    assert one != other
    assert len(hall.booth.book.voters()) == 2
    assert hall.state(one)["total"] == 5


def test_a_link_holds_when_the_server_was_started_again(hall: Held) -> None:
    link = hall.link()
    hall.vote(link, "1")
    with holding(Booth(ballot(5), VoteBook(hall.booth.book.folder))) as again:
        assert again.state(link)["done"] == 1


def test_the_expected_answer_is_shown_only_when_that_is_wanted(booth: Booth) -> None:
    with holding(booth) as held:
        assert held.state(held.link())["item"]["expected"] is None
    with holding(Booth(booth.ballot, booth.book, helped=True)) as held:
        link = held.link()
        assert held.state(link)["item"]["expected"] == ""
        held.vote(link, "1")
        assert held.booth.book.votes()[-1].helped


# --- blindness ------------------------------------------------------------------------------------------------------


def test_no_byte_that_leaves_the_server_names_a_model(hall: Held) -> None:
    seen: list[bytes] = []

    def note(answer: httpx.Response) -> None:
        answer.read()
        seen.append(str(answer.url).encode() + repr(answer.headers.raw).encode() + answer.content)

    hall.client.event_hooks["response"] = [note]
    invitation = f"/join/{hall.booth.book.invite()}"
    hall.client.get(invitation)
    link = hall.client.post(invitation, json={}).json()["link"]
    for path in (link, "/page.js", "/join.js", "/page.css", "/favicon.ico", "/v/wrong"):
        hall.client.get(path, headers={"accept": "text/html"})
    for choice in ("1", "tie", "2", "skip", "1"):
        hall.vote(link, choice)
    hall.client.post(f"{link}/undo", json={"vote": hall.state(link)["last"]})
    hall.client.post(f"{link}/vote", json={"item": "x", "choice": "7"})
    everything = b"\n".join(seen).lower()
    assert len(seen) > 15
    names = (PAIR.left_label, PAIR.right_label, PAIR.left, PAIR.right, PAIR.experiment)
    assert [name for name in names if name.lower().encode() in everything] == []


def test_what_two_voters_get_gives_no_way_to_tell_sides(hall: Held) -> None:
    """The keys, their order and every id are the same whichever model stands first."""
    shapes = set()
    ids = []
    for _ in range(4):
        link = hall.link()
        for _ in range(5):
            state = hall.state(link)
            shapes.add((tuple(state), tuple(state["item"])))
            ids.append(state["item"]["id"])
            assert re.fullmatch(r"[0-9a-f]{16}", ids[-1])
            hall.vote(link, "1")
    assert len(shapes) == 1
    assert len(set(ids)) == 20


def test_the_pages_load_nothing_from_elsewhere_and_set_text_as_text() -> None:
    from importlib.resources import files

    for name in PAGES:
        text = files("broker.server.voting.pages").joinpath(name).read_text(encoding="utf-8")
        assert not re.search(r"https?://|@import|url\(|innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text)
        assert not re.search(r"<script(?! src=\"/)|<style|\son\w+=|style=", text), name


# --- who comes in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v/{}", "/v/{}/state", "/join/{}"])
def test_without_a_right_link_there_is_nothing(hall: Held, path: str) -> None:
    for token in ("wrong", "%00", "..%2f", "a" * 5000, hall.link()[3:-1]):
        answer = hall.client.get(path.format(token))
        assert answer.status_code == 404, token
    invitation, voter = hall.booth.book.invite(), hall.link()[3:]
    assert hall.client.get(f"/v/{invitation}/state").status_code == 404
    assert hall.client.get(f"/join/{voter}").status_code == 404


def test_a_person_with_a_wrong_link_gets_a_page(hall: Held) -> None:
    answer = hall.client.get("/v/wrong", headers={"accept": "text/html,*/*"})
    assert answer.status_code == 404
    assert "This link does not work" in answer.text
    assert refused(hall.client.get("/v/wrong/state")) == (404, "unknown_link")


@pytest.mark.parametrize(
    "path", ["/", "/v", "/v/", "/join/", "/page.html", "/pages/page.js", "/%2e%2e/page.js", "/docs"]
)
def test_other_paths_are_unknown(hall: Held, path: str) -> None:
    assert hall.client.get(path).status_code == 404


def test_every_answer_has_the_headers_that_lock_it(hall: Held) -> None:
    link = hall.link()
    answers = [
        hall.client.get(path) for path in (link, f"{link}/state", "/page.js", "/page.css", "/v/wrong", "/nothing")
    ]
    answers += [hall.client.post(f"{link}/vote", content=b"{"), hall.client.get("/", headers={"host": "evil.example"})]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert "server" not in answer.headers


def test_a_foreign_name_for_this_machine_is_refused(hall: Held) -> None:
    link = hall.link()
    answer = hall.client.get(f"{link}/state", headers={"host": "evil.example"})
    assert refused(answer) == (400, "invalid_host")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_of_other_sites_cannot_vote(hall: Held, headers: dict[str, str]) -> None:
    link = hall.link()
    item = hall.state(link)["item"]["id"]
    answer = hall.client.post(f"{link}/vote", json={"item": item, "choice": "1", "ms": 1}, headers=headers)
    assert refused(answer) == (403, "invalid_origin")
    assert hall.booth.book.votes() == []
    join = hall.client.post(f"/join/{hall.booth.book.invite()}", json={}, headers=headers)
    assert join.status_code == 403


def test_a_link_in_a_chat_can_be_followed(hall: Held) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert hall.client.get(hall.link(), headers=headers).status_code == 200
    assert hall.client.get(f"{hall.link()}/state", headers={"sec-fetch-site": "cross-site"}).status_code == 403


def test_behind_a_proxy_its_name_is_known(booth: Booth) -> None:
    with holding(booth, allowed_hosts=("Vote.example",)) as held:
        headers = {"host": "vote.example", "origin": "https://vote.example"}
        link = held.link()
        assert held.client.get(f"{link}/state", headers=headers).status_code == 200
        assert held.client.get(f"{link}/state", headers={"host": "other.example"}).status_code == 400


def test_who_guesses_links_is_slowed_down(hall: Held) -> None:
    codes = [hall.client.get(f"/v/{i}/state").status_code for i in range(70)]
    assert codes[:60] == [404] * 60
    assert 429 in codes[60:]
    assert hall.client.get(f"{hall.link()}/state").status_code == 200


def test_an_invitation_does_not_make_voters_without_end(hall: Held) -> None:
    path = f"/join/{hall.booth.book.invite()}"
    codes = [hall.client.post(path, json={}).status_code for _ in range(70)]
    assert codes.count(200) <= 62
    assert codes[-1] == 429


# --- malformed ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"item": 7, "choice": "1", "ms": 1},
        {"item": "", "choice": "1", "ms": 1},
        {"item": "x" * 200, "choice": "1", "ms": 1},
        {"item": "x", "choice": "3", "ms": 1},
        {"item": "x", "choice": ["1"], "ms": 1},
        {"item": "x", "choice": None, "ms": 1},
        {"item": "x", "choice": "1"},
        {"item": "x", "choice": "1", "ms": -1},
        {"item": "x", "choice": "1", "ms": 1.5},
        {"item": "x", "choice": "1", "ms": True},
        {"item": "x", "choice": "1", "ms": "1"},
    ],
)
def test_nonsense_is_refused_with_a_reason(hall: Held, body: dict[str, Any]) -> None:
    answer = hall.client.post(f"{hall.link()}/vote", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
    assert hall.booth.book.votes() == []


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 4000, "application/json", 400),
        (b'{"a": "' + b"x" * 5000 + b'"}', "application/json", 413),
        (b"item=x&choice=1", "application/x-www-form-urlencoded", 415),
        (b"{}", "text/plain", 415),
    ],
)
def test_bodies_that_are_no_vote(hall: Held, content: bytes, kind: str, status: int) -> None:
    link = hall.link()
    for path in (f"{link}/vote", f"{link}/undo", f"/join/{hall.booth.book.invite()}"):
        answer = hall.client.post(path, content=content, headers={"content-type": kind})
        assert answer.status_code == status
    assert hall.booth.book.votes() == []


def test_a_vote_from_a_clock_gone_wrong_is_a_day_at_most(hall: Held) -> None:
    hall.vote(hall.link(), "1", ms=10**30)
    assert hall.booth.book.votes()[0].ms == 24 * 60 * 60 * 1000


@pytest.mark.parametrize(("method", "path"), [("PUT", "vote"), ("DELETE", ""), ("GET", "vote"), ("POST", "state")])
def test_other_methods(hall: Held, method: str, path: str) -> None:
    assert hall.client.request(method, f"{hall.link()}/{path}".rstrip("/")).status_code == 405


def test_a_full_disk_loses_no_vote_and_says_so(hall: Held) -> None:
    link = hall.link()
    hall.vote(link, "1")
    path = hall.booth.book.folder / "votes.jsonl"
    kept = path.read_bytes()
    path.unlink()
    path.mkdir()  # now nothing can be stored there
    assert hall.client.get(f"{link}/state").status_code == 503
    path.rmdir()
    path.write_bytes(kept)
    assert hall.state(link)["done"] == 1
