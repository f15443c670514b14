"""The witness before the server sees what does not fit the wire, whoever sent it; every test relies on it."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from google import genai
from google.genai import types

from tests.fakes.gemini_server import Rule, running
from tests.fakes.gemini_server.witness import check_reply, check_request

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = "/v1beta/models/gemini-3.8-flash:generateContent"
HEADERS = {"x-goog-api-key": "a-key", "content-type": "application/json"}
ASKED: dict[str, Any] = {
    "contents": [{"role": "user", "parts": [{"text": "q"}]}],
    "systemInstruction": {"parts": [{"text": "be kind"}]},
    "generationConfig": {
        "maxOutputTokens": 9, "seed": 1,
        "responseMimeType": "application/json", "responseJsonSchema": {"type": "object"},
        "thinkingConfig": {"thinkingLevel": "LOW"},
    },
}  # fmt: skip
TOLD: dict[str, Any] = {
    "candidates": [
        {"content": {"parts": [{"text": "a"}], "role": "model"}, "finishReason": "STOP", "index": 0},
    ],
    "usageMetadata": {
        "promptTokenCount": 2, "candidatesTokenCount": 1, "totalTokenCount": 3,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 2}],
    },
    "modelVersion": "gemini-3.8-flash",
    "responseId": "r",
}  # fmt: skip
REFUSED: dict[str, Any] = {
    "error": {
        "code": 429,
        "message": "Slow down.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.500s"}],
    }
}


def scope(body: Any = None, path: str = PATH, query: str = "") -> dict[str, Any]:
    sent = None if body is None else json.dumps(body).encode()
    return {"method": "POST", "path": path, "query_string": query.encode(), "asked": sent}


def changed(whole: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """Return a message with another value at a place; None takes it away."""
    made = copy.deepcopy(whole)
    at: Any = made
    *way, last = place.split("/")
    for name in way:
        at = at[int(name)] if isinstance(at, list) else at[name]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return made


def test_what_fits_passes() -> None:
    check_request(scope(ASKED), HEADERS)
    check_reply(scope(), HEADERS, 200, json.dumps(TOLD).encode())
    check_reply(scope(), HEADERS, 429, json.dumps(REFUSED).encode())


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("colour", 1),
        ("model", "models/gemini-3.8-flash"),
        ("contents/0/role", "assistant"),
        ("contents/0/parts", []),
        ("contents", [*ASKED["contents"], *ASKED["contents"]]),
        ("contents", [*ASKED["contents"], {"role": "model", "parts": [{"text": "Well,"}]}]),
        ("systemInstruction/role", "developer"),
        ("generationConfig/temperature", 0.0),
        ("generationConfig/topP", 1.0),
        ("generationConfig/max_output_tokens", 9),
        ("generationConfig/seed", 2**31),
        ("generationConfig/responseMimeType", None),
        ("generationConfig/responseSchema", {"type": "OBJECT"}),
        ("generationConfig/responseJsonSchema", {"type": "string", "minLength": 1}),
        ("generationConfig/responseJsonSchema", {"$ref": "#/$defs/nowhere"}),
        ("generationConfig/thinkingConfig", {"thinking_level": "LOW"}),
        ("generationConfig/thinkingConfig", {"thinkingBudget": 0}),
        ("generationConfig/thinkingConfig", {"thinkingBudget": 0, "thinkingLevel": "LOW"}),
    ],
)
def test_a_request_beside_the_wire_is_seen(place: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_request(scope(changed(ASKED, place, value)), HEADERS)


@pytest.mark.parametrize(
    "call",
    [
        lambda: check_request(scope(ASKED, query="key=a-key"), HEADERS),
        lambda: check_request(scope(ASKED), {}),
        lambda: check_request(scope(ASKED), {**HEADERS, "authorization": "Bearer x"}),
        lambda: check_request(scope(ASKED, path="/v1beta/gemini-3.8-flash:generateContent"), HEADERS),
        lambda: check_request(scope(ASKED, path="/models/gemini-3.8-flash:generateContent"), HEADERS),
    ],
)
def test_a_key_or_a_path_where_it_should_not_be_is_seen(call: Callable[[], None]) -> None:
    with pytest.raises(ValueError, match=r"."):
        call()


@pytest.mark.parametrize(
    ("status", "whole", "place", "value"),
    [
        (200, TOLD, "candidates/0/finish_reason", "STOP"),
        (200, TOLD, "candidates/0/finishReason", "LENGTH"),
        (200, TOLD, "usageMetadata/promptTokenCount", "2"),
        (200, TOLD, "usageMetadata/totalTokenCount", 4),
        (200, TOLD, "usageMetadata/thoughtsTokenCount", 0),
        (200, TOLD, "modelVersion", "models/gemini-3.8-flash"),
        (200, TOLD, "responseId", None),
        (429, REFUSED, "error/code", 503),
        (429, REFUSED, "error/status", "TOO_MANY_REQUESTS"),
        (429, REFUSED, "error/details", [{"@type": "google.rpc.RetryInfo", "retryDelay": "1.500s"}]),
        (429, REFUSED, "error/details/0/retryDelay", "1.5s"),
        (429, REFUSED, "error/details/0/retryDelay", {"seconds": 1}),
    ],
)
def test_an_answer_beside_the_wire_is_seen(status: int, whole: dict[str, Any], place: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_reply(scope(), HEADERS, status, json.dumps(changed(whole, place, value)).encode())


@pytest.mark.anyio
async def test_a_server_at_whose_door_something_was_seen_fails_at_its_end() -> None:
    with pytest.raises(AssertionError, match="takes no sampling parameters"), running() as fake:
        fake.state.rules = [Rule("thoughts")]
        options = types.HttpOptions(base_url=fake.url, api_version="v1beta")
        client = genai.Client(vertexai=False, api_key="a-key-of-this-test", http_options=options)
        config = types.GenerateContentConfig(temperature=0.0)
        await client.aio.models.generate_content(model="gemini-3.8-flash", contents="q", config=config)
        await client.aio.aclose()
