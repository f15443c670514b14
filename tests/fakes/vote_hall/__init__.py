"""A voting server: in a thread over a ballot of any kind, or as the command in a process of its own."""

from tests.fakes.vote_hall.process import MODELS, HallProcess
from tests.fakes.vote_hall.running import Held, holding

__all__ = ["MODELS", "HallProcess", "Held", "holding"]
