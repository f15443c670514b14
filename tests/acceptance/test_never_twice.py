"""Never twice: `kill -9` at every step, faults at the creating call, several brokers, a real server process.

The server's own ledger is the referee: at most one job for an intent, one file for a content, and every job that it
made is known to the store. The long run is `make chaos`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.chaos.run import run_all
from tests.chaos.scenarios import CREATE, MADE, NOT_MADE, POINTS, UPLOAD, chance, named
from tests.chaos.scenarios import rule as fault

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
RANDOM = 12


def check(verdict: dict[str, Any]) -> None:
    assert verdict["trouble"] == [], verdict["name"]
    assert (verdict["duplicates"], verdict["lost"]) == (0, 0), verdict


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_at_every_step_the_server_has_one_job_for_each_intent() -> None:
    scenarios = named()
    assert len(POINTS) >= 20
    verdicts = run_all(scenarios, workers=3)
    assert len(verdicts) == len(scenarios)
    for verdict in verdicts:
        check(verdict)
    assert sum(verdict["kills"] for verdict in verdicts) >= len(POINTS)
    assert sum(verdict["parked"] for verdict in verdicts) == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_random_faults_kills_and_restarts() -> None:
    for verdict in run_all(map(chance, range(RANDOM)), workers=3):
        check(verdict)


class Zygote:
    """Speaks to the process that forks brokers."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.chaos.zygote"]
        self.process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, do: str, **told: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": do, **told}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=20)
        self.process.stdout.close()


class Brokers(RuleBasedStateMachine):
    """Two brokers on one store before a faulty server; anything may happen to them in any order."""

    zygote: Zygote

    @initialize(lag_s=st.sampled_from([0.0, 0.3]), ignore_filter=st.booleans())
    def begin(self, lag_s: float, ignore_filter: bool) -> None:
        self.begun = True
        self.zygote("begin", name="machine", habits={"list_lag_s": lag_s, "ignore_filter": ignore_filter})

    @rule(data=st.integers(0, 1))
    def add_job(self, data: int) -> None:
        self.zygote("job", data=data)

    @rule(what=st.sampled_from([*MADE, NOT_MADE[0]]), nth=st.integers(1, 3))
    def break_the_create(self, what: str, nth: int) -> None:
        self.zygote("fault", rule=fault(CREATE, what, [nth]))

    @rule(what=st.sampled_from([*MADE, *NOT_MADE]))
    def break_the_upload(self, what: str) -> None:
        self.zygote("fault", rule=fault(UPLOAD, what, [1]))

    @rule(broker=st.integers(0, 1), step=st.sampled_from(["", *POINTS]), nth=st.integers(1, 2))
    def start(self, broker: int, step: str, nth: int) -> None:
        self.zygote("start", broker=broker, death=[step, nth] if step else [])

    @rule(broker=st.integers(0, 1), how=st.sampled_from(["kill", "freeze", "thaw"]))
    def treat(self, broker: int, how: str) -> None:
        self.zygote(how, broker=broker)

    @rule(seconds=st.sampled_from([0.05, 0.3, 1.2]))
    def wait(self, seconds: float) -> None:
        self.zygote("sleep", seconds=seconds)

    def teardown(self) -> None:
        if getattr(self, "begun", False):
            check(self.zygote("finish", brokers=2))


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    opened = Zygote()
    yield opened
    opened.close()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_brokers_in_any_order_of_faults_kills_and_freezes(zygote: Zygote) -> None:
    Brokers.zygote = zygote
    few = settings(
        max_examples=10, stateful_step_count=14, deadline=None, derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    run_state_machine_as_test(Brokers, settings=few)
