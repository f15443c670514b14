"""finetune-broker: fine-tune anywhere, judge every model on the same validation set.

```python
from broker import Broker

async with Broker() as broker:
    job = await broker.submit(provider="local", model="sandbox", train="train.jsonl", validation="val.jsonl")
    async for event in broker.watch(job):
        print(event.data)
    print(await broker.results())
```

The names below are loaded when they are first used, so that `import broker` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from broker.api import (
        BlockingBroker,
        Broker,
        ExperimentRequest,
        ModelRequest,
        Plan,
        Recipe,
        TuneRequest,
        load_recipe,
    )
    from broker.errors import BrokerError
    from broker.jobs.spec import Decoding, ModelRef, PromptPolicy

__version__ = "0.1.0"
__all__ = [
    "BlockingBroker",
    "Broker",
    "BrokerError",
    "Decoding",
    "ExperimentRequest",
    "ModelRef",
    "ModelRequest",
    "Plan",
    "PromptPolicy",
    "Recipe",
    "TuneRequest",
    "__version__",
    "load_recipe",
]

_HOMES = {
    "BrokerError": "broker.errors",
    "Decoding": "broker.jobs.spec",
    "ModelRef": "broker.jobs.spec",
    "PromptPolicy": "broker.jobs.spec",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name not in __all__:
        raise AttributeError(f"module 'broker' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES.get(name, "broker.api")), name)
    globals()[name] = value
    return value
