"""Data that is worth training on: made from sources, gated, without near-duplicates.

`Pipeline`, `each`, `Row`, `Bench` and `RejectedError` are what a pipeline of one's own is made of (see `flow`);
`sections`, `readable` and `deduplicated` are steps that come with the broker. Importing this package loads neither
numpy nor textstat.
"""

from broker.synthesis.flow import Bench, Step, each
from broker.synthesis.pipeline import Pipeline, open_pipeline
from broker.synthesis.rows import RejectedError, Row
from broker.synthesis.steps import deduplicated, readable, sections

__all__ = [
    "Bench",
    "Pipeline",
    "RejectedError",
    "Row",
    "Step",
    "deduplicated",
    "each",
    "open_pipeline",
    "readable",
    "sections",
]
