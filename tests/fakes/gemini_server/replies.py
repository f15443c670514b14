"""The body of an answer, on good days and with each of the faults an answer may have."""

from __future__ import annotations

import json
from typing import Any

from tests.fakes.gemini_server.answers import Answering, counted, tokens_of

_CATEGORIES = ("SEXUALLY_EXPLICIT", "HATE_SPEECH", "HARASSMENT", "DANGEROUS_CONTENT")
_LOOP = "and so on and on, "


def reply(request: dict[str, Any], answering: Answering, response_id: str) -> dict[str, Any]:
    """Return a `GenerateContentResponse` without a fault."""
    made = answering(request)
    text = made if isinstance(made, str) else json.dumps(made, ensure_ascii=False)
    config: dict[str, Any] = request.get("generationConfig", {})
    for stop in config.get("stopSequences", ()):
        text = text.split(stop)[0]
    most = int(config.get("maxOutputTokens", 8192))
    if counted(text) > most:
        return body(request, response_id, text=text[: most * 4], reason="MAX_TOKENS")
    return body(request, response_id, text=text)


def faulty(fault: str, options: dict[str, Any], request: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    """Return an answer with a fault.

    Args:
        fault: A word of `faults.ANSWERS`.
        options: The rule's.
        request: What was asked.
        whole: The answer without the fault.
    """
    response_id, model = str(whole["responseId"]), str(whole["modelVersion"])
    text = str(options.get("text", _text_of(whole)))
    if fault == "raw":
        made: dict[str, Any] = options["body"]
    elif fault in {"blocked", "no_candidates"}:
        made = _without_candidates(fault, options, request, response_id, model)
    elif fault in {"thoughts", "cached", "unknown_fields", "no_reason", "no_content"}:
        made = _odd(fault, options, whole)
    else:
        made = _ended(fault, options, request, response_id, text)
    return made


def body(
    request: dict[str, Any], response_id: str, *, text: str | None, reason: str = "STOP", **candidate: Any
) -> dict[str, Any]:
    """Return a response with one candidate."""
    first: dict[str, Any] = {"finishReason": reason, "index": 0, **candidate}
    if text is not None:
        first = {"content": {"parts": [{"text": text}], "role": "model"}, **first}
    return {
        "candidates": [first],
        "usageMetadata": usage(tokens_of(request), counted(text or "")),
        "modelVersion": request["model"].removeprefix("models/"),
        "responseId": response_id,
    }


def usage(prompt: int, answer: int, *, thoughts: int = 0, cached: int = 0) -> dict[str, Any]:
    """Return the usage of an answer; counts of nothing are left out, as protobuf's JSON does."""
    made: dict[str, Any] = {
        "promptTokenCount": prompt,
        "totalTokenCount": prompt + answer + thoughts,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
    }
    counts = {"candidatesTokenCount": answer, "thoughtsTokenCount": thoughts, "cachedContentTokenCount": cached}
    return made | {name: count for name, count in counts.items() if count}


def ratings(category: str | None = None) -> list[dict[str, Any]]:
    """Return safety ratings; one category may be the one that blocked."""
    made: list[dict[str, Any]] = []
    for name in _CATEGORIES:
        bad = name == category
        rating = {"category": f"HARM_CATEGORY_{name}", "probability": "HIGH" if bad else "NEGLIGIBLE"}
        made.append({**rating, "blocked": True} if bad else rating)
    return made


def _text_of(whole: dict[str, Any]) -> str:
    return str(whole["candidates"][0]["content"]["parts"][0]["text"])


def _ended(fault: str, options: dict[str, Any], request: dict[str, Any], response_id: str, text: str) -> dict[str, Any]:
    """Return an answer that ended for another reason than being done."""
    category = str(options.get("category", "DANGEROUS_CONTENT"))
    piece = str(options.get("loop", _LOOP))
    loop = piece * max(60, 600 // len(piece))
    match fault:
        case "safety":
            return body(request, response_id, text=None, reason="SAFETY", safetyRatings=ratings(category))
        case "recitation":
            source = {"startIndex": 4, "endIndex": 40, "uri": "https://example.com/poem", "license": ""}
            cited = {"citationSources": [source]}
            return body(request, response_id, text=None, reason="RECITATION", citationMetadata=cited)
        case "max_tokens":
            return body(request, response_id, text=text[: max(1, len(text) // 2)], reason="MAX_TOKENS")
        case "repetition":
            return body(request, response_id, text=text[:20] + loop, reason="MAX_TOKENS")
        case "looping":
            return body(request, response_id, text=text[:20] + loop)
        case "empty":
            return body(request, response_id, text="", reason=str(options.get("reason", "STOP")))
        case "malformed":
            return body(request, response_id, text=None, reason="MALFORMED_RESPONSE")
        case _:
            said = {"finishMessage": options["message"]} if "message" in options else {}
            kept = text if options.get("keep") else None
            return body(
                request, response_id, text=kept, reason=str(options.get("reason", "A_REASON_OF_TOMORROW")), **said
            )


def _without_candidates(
    fault: str, options: dict[str, Any], request: dict[str, Any], response_id: str, model: str
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "usageMetadata": usage(tokens_of(request), 0),
        "modelVersion": model,
        "responseId": response_id,
    }
    if fault == "blocked":
        reason = str(options.get("block_reason", "PROHIBITED_CONTENT"))
        rated = {"safetyRatings": ratings(str(options.get("category", "HATE_SPEECH")))} if reason == "SAFETY" else {}
        made["promptFeedback"] = {"blockReason": reason, **rated}
    return made


def _odd(fault: str, options: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    """Return a good answer in an odd form."""
    made: dict[str, Any] = json.loads(json.dumps(whole))
    first, used = made["candidates"][0], made["usageMetadata"]
    prompt, answer = used["promptTokenCount"], used.get("candidatesTokenCount", 0)
    match fault:
        case "thoughts":
            first["content"]["parts"].insert(0, {"text": "I wonder what to say.", "thought": True})
            made["usageMetadata"] = usage(prompt, answer, thoughts=int(options.get("tokens", 100)))
        case "cached":
            made["usageMetadata"] = usage(prompt, answer, cached=int(options.get("tokens", prompt // 2)))
        case "unknown_fields":
            first["aFieldOfTomorrow"] = {"deep": [1, 2]}
            first["content"]["parts"][0]["partOfTomorrow"] = "x"
            made["fieldOfTomorrow"] = True
        case "no_reason":
            del first["finishReason"]
        case _:
            first["content"] = {"role": "model"}
    return made
