from __future__ import annotations

import pytest

from broker.jobs.records import Failure
from broker.jobs.states import State
from tests.unit.results.lab import Lab, share


@pytest.fixture
def lab() -> Lab:
    """Return an empty experiment."""
    return Lab()


@pytest.fixture(scope="session")
def full() -> Lab:
    """Return an experiment with a row of every sort; not to be changed."""
    lab = Lab()
    failure = Failure(code="nan_loss", message="the loss became NaN at step 12", fix="lower --lr")
    lab.evaluate({"conversational": share(8), "length": [20.0 + i % 7 for i in range(40)]})
    lab.evaluate({"conversational": share(12), "length": [20.0 + i % 5 for i in range(40)]}, policy="verbose")
    one = lab.tune(parameters={"precision": "int8", "learning_rate": 1e-3})
    two = lab.tune(parameters={"precision": "bf16", "learning_rate": 1e-3}, label="=HYPERLINK(1)")
    lab.evaluate({"conversational": share(39), "length": [12.0 + i % 3 for i in range(40)]}, tuned=one)
    lab.evaluate({"conversational": share(38), "length": [12.0 + i % 4 for i in range(40)]}, tuned=two)
    lab.evaluate(tuned=lab.tune("gpt-4o-mini", provider="openai", label="<b>mini</b>"), state=State.RUNNING)
    lab.evaluate(tuned=lab.tune(state=State.FAILED, failure=failure, suffix="hot"), state=State.QUEUED)
    return lab
