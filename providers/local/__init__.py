"""The local machine as a provider: LoRA training and answers in a torch process of the broker's."""

from __future__ import annotations

from broker.providers.local.provider import LocalProvider, create

__all__ = ["LocalProvider", "create"]
