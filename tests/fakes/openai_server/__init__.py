"""A scriptable, faulty OpenAI server with a ledger."""

from tests.fakes.openai_server.faults import Rule
from tests.fakes.openai_server.running import Running, running
from tests.fakes.openai_server.state import Habits, State

__all__ = ["Habits", "Rule", "Running", "State", "running"]
