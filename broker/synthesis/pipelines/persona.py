"""Conversations of invented people in invented situations (arXiv 2410.09168: personas × scenarios).

The domain is the recipe's to say (`domain`); the paper's is therapy counselling. Rare cases are asked for (`rare`), come
early, and what was covered is reported. A source file may bring people (`persona`) and situations (`scenario`) along.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from broker.errors import BrokerError
from broker.providers.contract import Parameter
from broker.synthesis.flow import each
from broker.synthesis.pipeline import Options, Pipeline
from broker.synthesis.rows import RejectedError, Row
from broker.synthesis.steps import deduplicated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from broker.synthesis.flow import Bench, Step

# So many are asked for at once, and so often in a row may nothing new come.
_AT_ONCE = 10
_PATIENCE = 3
_TEXT: dict[str, Any] = {"type": "string"}


def _list_of(name: str, properties: Mapping[str, Any], key: str) -> dict[str, Any]:
    item = {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
        "x-key": key,
    }
    del item["x-key"]
    return {
        "type": "object",
        "properties": {name: {"type": "array", "items": item}},
        "required": [name],
        "additionalProperties": False,
    }


PERSONAS = _list_of(
    "personas",
    {
        "name": _TEXT,
        "age": {"type": "integer"},
        "background": _TEXT,
        "traits": _TEXT,
        "concern": _TEXT,
        "rare": {"type": "boolean"},
    },
    "name",
)
SCENARIOS = _list_of(
    "scenarios",
    {"title": _TEXT, "situation": _TEXT, "category": _TEXT, "rare": {"type": "boolean"}},
    "title",
)
CONVERSATION = _list_of("messages", {"role": {"type": "string", "enum": ["user", "assistant"]}, "content": _TEXT}, "")
