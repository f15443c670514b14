"""The `gemini` provider: answers of Google's Gemini models, live or by batches, through the official SDK."""

from broker.providers.gemini.provider import GeminiProvider, create

__all__ = ["GeminiProvider", "create"]
