"""Models, prices and shutdown dates: data with a source and a date, never code.

```python
catalog = Catalog.load()
catalog.pin("openai", "gpt-4o-mini")  # gpt-4o-mini-2024-07-18
catalog.training_cost("openai", "gpt-4o-mini", tokens=1_000_000)  # Cost(usd=3.0, basis="…")
catalog.shutdown("gemini", "gemini-2.0-flash-001", date.today())  # a problem that names what lives
```
"""

from __future__ import annotations

from broker.catalog.catalog import Catalog, Cost
from broker.catalog.rows import Announcement, ModelFacts, Price, Use

__all__ = ["Announcement", "Catalog", "Cost", "ModelFacts", "Price", "Use"]
