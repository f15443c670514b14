"""The offline default: a toy chat model, a toy encoder, rows and source texts, a writer by rules, all made from code.

Importing this package loads no torch; the building itself runs in the torch process (`broker.sandbox.build`).
"""

from __future__ import annotations

from broker.sandbox.demo import write_demo_data
from broker.sandbox.facts import Fact, Topics, facts
from broker.sandbox.folder import encoder_dir, is_built, model_dir
from broker.sandbox.sections import source_sections
from broker.sandbox.text import Kind, preference_rows, rows

__all__ = [
    "Fact",
    "Kind",
    "Topics",
    "encoder_dir",
    "facts",
    "is_built",
    "model_dir",
    "preference_rows",
    "rows",
    "source_sections",
    "write_demo_data",
]
