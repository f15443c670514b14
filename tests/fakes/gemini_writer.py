"""The sandbox's writer as the answer function of a loopback Gemini server."""

from __future__ import annotations

from typing import Any

from broker.sandbox.writer import write


def answer(request: dict[str, Any]) -> str:
    """Answer a parsed `generateContent` request: the last content, the configuration's seed and schema."""
    config: dict[str, Any] = request.get("generationConfig") or {}
    parts: list[dict[str, Any]] = request["contents"][-1]["parts"]
    prompt = "".join(str(part.get("text", "")) for part in parts)
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    return write(prompt, seed=int(config.get("seed") or 0), schema=schema)
