"""`broker judge` over the fake provider and the sandbox's writer: plan, verdicts, table, and what cannot be judged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from broker.evaluation.judging.asking import JUDGEMENTS
from broker.jobs.store import open_store
from broker.worker.locks import FileLock
from tests.fakes.openai_server import running

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.terminal import Terminal

PAIR = ("fake-base tuned", "fake-base")
WRITER = ("--judge", "local:sandbox-writer")
REFUSED = {
    "judge fake-base fake-base --judge local:sandbox-writer": "cannot be compared with itself",
    "judge fake-base nobody --judge local:sandbox-writer": "no row of tone is called 'nobody'",
    "judge fake-base tuned": "no model that judges is named",
    "judge fake-base": "Missing argument",
    "judge fake-base tuned --judge nowhere:x": "unknown provider 'nowhere'",
}


@pytest.fixture
def done(terminal: Terminal, kept: Path) -> Terminal:
    """A terminal where one job was made and judged, on six prompts."""

    def make() -> None:
        assert terminal.submit("--experiment", "tone", "--metric", "length").code == 0

    terminal.once(kept, make)
    return terminal


def test_a_judge_compares_two_models(done: Terminal) -> None:
    told = done.here("judge", *PAIR, *WRITER, "--samples", "2")
    assert told.code == 0, told.err
    assert "fake-base tuned against fake-base: 24 replies of local:sandbox-writer (2 samples, both orders)" in told.err
    assert "Preference, by local:sandbox-writer:" in told.out
    (kept,) = done.here("results", "tone", "--json").data["preferences"]
    assert (kept["source"], kept["by"], kept["n"]) == ("judge", "local:sandbox-writer", 6)
    assert kept["made_by"]["samples"] == 2
    assert (kept["left_label"], kept["right_label"]) == PAIR
    for form in ((), ("--markdown",)):
        assert "Preference, by local:sandbox-writer" in " ".join(done.here("results", *form).out.split())


def test_a_second_time_asks_nothing(done: Terminal) -> None:
    first = done.here("judge", *PAIR, *WRITER, "--samples", "1", "--json").data
    again = done.here("judge", *PAIR, *WRITER, "--samples", "1")
    assert ": 0 replies of" in again.err
    (turned,) = done.here("judge", *reversed(PAIR), *WRITER, "--samples", "1", "--json").data
    assert (turned["wins"], turned["losses"]) == (first[0]["losses"], first[0]["wins"])
    assert len(done.here("results", "tone", "--json").data["preferences"]) == 1


def test_what_is_asked_once_more_is_priced_first(done: Terminal) -> None:
    done.here("judge", *PAIR, *WRITER, "--samples", "1")
    (path,) = done.data_dir.glob(f"preferences/tone/*/{JUDGEMENTS}")
    first, *others = [line for line in path.read_text(encoding="utf-8").split("\n") if line]
    unread = json.dumps({**json.loads(first), "value": None, "failure": "unreadable: nothing"})
    path.write_text("\n".join([unread, unread, *others, ""]), encoding="utf-8")
    told = [done.here("judge", *PAIR, *WRITER, "--samples", "1", *more).err for more in ((), ("--again",), ())]
    assert [": 1 replies of" in err for err in told] == [False, True, False]


def test_a_dry_run_asks_nothing(done: Terminal) -> None:
    told = done.here("judge", *PAIR, *WRITER, "--dry-run", "--prompts", "4")
    assert told.out.splitlines()[-1] == "nothing was asked"
    plan = done.here("judge", *PAIR, *WRITER, "--dry-run", "--prompts", "4", "--json").data
    assert (plan["prompts"], plan["replies"], plan["paid"]) == (4, 24, False)
    assert done.here("results", "tone", "--json").data["preferences"] == []


def test_your_own_question_is_a_result_of_its_own(done: Terminal) -> None:
    done.here("judge", *PAIR, *WRITER, "--samples", "1")
    done.here("judge", *PAIR, *WRITER, "--samples", "1", "--ask", "Which one is warmer?")
    made = {one["made_by"].get("criterion") for one in done.here("results", "tone", "--json").data["preferences"]}
    assert made == {None, "Which one is warmer?"}


def test_money_is_asked_for_first(done: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as server:
        monkeypatch.setenv("BROKER_PROVIDERS__JUDGE__KIND", "openai")
        monkeypatch.setenv("BROKER_PROVIDERS__JUDGE__BASE_URL", server.base_url)
        monkeypatch.setenv("BROKER_PROVIDERS__JUDGE__API_KEY", "sk-test")
        monkeypatch.setenv("BROKER_PROVIDERS__JUDGE__OPTIONS", '{"paid": true}')
        told = done.here("judge", *PAIR, "--judge", "judge:gpt-4.1-mini")
        assert told.code == 2
        assert "add --yes to spend without being asked" in told.err
        assert not server.state.bodies
        told = done.here("judge", *PAIR, "--judge", "judge:gpt-4.1-mini", "--yes", "--json")
        assert told.code == 0, told.err
        assert len(server.state.bodies) == 6 * 2 * 3
        assert told.data[0]["cost_usd"] > 0
        assert told.data[0]["by"] == "judge:gpt-4.1-mini-2025-04-14"


def test_two_processes_do_not_pay_for_the_same_pair(done: Terminal) -> None:
    done.here("judge", *PAIR, *WRITER, "--samples", "1")
    (path,) = done.data_dir.glob("preferences/tone/*/judging.lock")
    lock = FileLock(path)
    assert lock.acquire()
    try:
        told = done.here("judge", *PAIR, *WRITER)
    finally:
        lock.release()
    assert told.code == 2
    assert "are being judged by another process" in told.err


@pytest.mark.parametrize("line", REFUSED)
def test_what_cannot_be_judged(done: Terminal, line: str) -> None:
    words = line.split()
    words = ["judge", "fake-base", "fake-base tuned", *words[3:]] if words[1:3] == ["fake-base", "tuned"] else words
    told = done.here(*words)
    assert told.code == 2
    assert REFUSED[line] in " ".join(told.err.split())


def test_judging_counts_against_the_budget(done: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as server:
        for name, value in (("KIND", "openai"), ("BASE_URL", server.base_url), ("API_KEY", "sk-test")):
            monkeypatch.setenv(f"BROKER_PROVIDERS__JUDGE__{name}", value)
        monkeypatch.setenv("BROKER_PROVIDERS__JUDGE__OPTIONS", '{"paid": true}')
        paid = ("judge", *PAIR, "--judge", "judge:gpt-4.1-mini", "--yes", "--json")
        store = open_store(f"sqlite:///{done.data_dir}/broker.db")
        high = done.here(*paid, "--dry-run").data["estimate"]["high_usd"]
        store.set_budget("tone", store.spent("tone") + high / 2)
        told = done.here(*paid)
        assert told.code != 0
        assert "would be reserved or spent" in told.err
        assert not server.state.bodies
        assert store.expenses("tone") == []
        store.set_budget("tone", store.spent("tone") + high)
        before = store.spent("tone")
        cost = done.here(*paid).data[0]["cost_usd"]
        assert 0 < cost < high
        assert store.spent("tone") == pytest.approx(before + cost)
        (booked,) = store.expenses("tone")
        assert booked.cost_usd == pytest.approx(cost)
        # What was judged before there were books is entered with the next judgement.
        (replies,) = done.data_dir.glob("preferences/tone/*/judgements.jsonl")
        earlier = replies.parent.with_name("eval-a--eval-b")
        earlier.mkdir()
        (earlier / replies.name).write_bytes(replies.read_bytes())
        told = done.here(*paid, "--ask", "Which one is warmer?")
        assert told.code != 0
        assert "would be reserved or spent" in told.err
        store.close()
