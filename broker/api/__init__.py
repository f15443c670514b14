"""The Python API: `Broker` (async), `BlockingBroker` (notebooks and scripts), and the values they take and give."""

from broker.api.blocking import BlockingBroker, BlockingJob
from broker.api.client import Broker
from broker.api.planning import Plan, PlannedJob
from broker.api.recipe import Recipe, load_recipe
from broker.api.request import ExperimentRequest, JudgeRequest, MixRequest, ModelRequest, TuneRequest
from broker.api.synthesis import SynthesisRequest

__all__ = [
    "BlockingBroker",
    "BlockingJob",
    "Broker",
    "ExperimentRequest",
    "JudgeRequest",
    "MixRequest",
    "ModelRequest",
    "Plan",
    "PlannedJob",
    "Recipe",
    "SynthesisRequest",
    "TuneRequest",
    "load_recipe",
]
