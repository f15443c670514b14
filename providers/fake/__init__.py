"""A provider without a remote: for tests of code that uses the broker, and as the referee of the broker's own."""

from broker.providers.fake.provider import FakeProvider, create
from broker.providers.fake.remote import FakeRemote

__all__ = ["FakeProvider", "FakeRemote", "create"]
