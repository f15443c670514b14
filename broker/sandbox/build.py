"""The ops of the torch process that make the sandbox's models: `build_sandbox` and `build_sandbox_encoder`."""

from __future__ import annotations

from broker.sandbox.chat import build_model
from broker.sandbox.encoder import build_encoder

__all__ = ["build_encoder", "build_model"]
