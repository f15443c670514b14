"""A scriptable, faulty Gemini server with a ledger: the true wire of the Gemini Developer API.

In a test: `with running(answering=write) as fake:` and `base_url=fake.url`; `fake.state.rules` holds the faults,
`fake.state.habits` limit and latency, `fake.state.paid` every answer that was made, `fake.state.asked_twice()` the
questions that were paid again though their answer had arrived.
"""

from tests.fakes.gemini_server.answers import Answering, echo, prompt_of
from tests.fakes.gemini_server.faults import Rule
from tests.fakes.gemini_server.running import Running, running
from tests.fakes.gemini_server.state import Habits, Paid, State

__all__ = ["Answering", "Habits", "Paid", "Rule", "Running", "State", "echo", "prompt_of", "running"]
