"""A voting server in a thread, over a ballot of any kind."""

from tests.fakes.vote_hall.running import Held, holding

__all__ = ["Held", "holding"]
