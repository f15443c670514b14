"""The `openai` provider: tuning and answers at any service that speaks OpenAI's protocol."""

from broker.providers.openai_tuning.provider import OpenAIProvider, create

__all__ = ["OpenAIProvider", "create"]
