"""For tests of a provider: the conformance suite that every provider of this project passes.

```python
class TestMine(ProviderConformance):
    @pytest.fixture
    def case(self) -> ProviderCase:
        return ProviderCase(account=Account(kind="mine"), model="my-base", parameters={"epochs": 1})
```

Needs pytest and anyio's pytest plugin (`pytest.mark.anyio`).
"""

from broker.testing.case import ProviderCase, open_case
from broker.testing.conformance import ProviderConformance

__all__ = ["ProviderCase", "ProviderConformance", "open_case"]
