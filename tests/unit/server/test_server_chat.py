"""Chat completions over the fake provider: bodies, streams and refusals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.broker_server import MODEL, load_wire

if TYPE_CHECKING:
    import httpx

    from tests.fakes.broker_server import Served
    from tests.unit.server.conftest import ServeWith

HI = [{"role": "user", "content": "hi there"}]
ASK = {"model": MODEL, "messages": HI}


def chat(served: Served, **body: Any) -> httpx.Response:
    return served.client.post("/chat/completions", json={**ASK, **body})


def events(answer: httpx.Response) -> list[str]:
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("\n\n")
    found = answer.text.removesuffix("\n\n").split("\n\n")
    assert all(event.startswith("data: ") for event in found)
    return [event.removeprefix("data: ") for event in found]


def test_an_answer_with_choices_and_usage(served: Served) -> None:
    body = chat(served, n=3, metadata={"a": "b"}, max_completion_tokens=50).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    usage = body["usage"]
    assert usage["prompt_tokens"] == 2, "the prompt is counted once"
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert body["metadata"] == {"a": "b"}
    assert body["system_fingerprint"].startswith("fp_")


def test_a_stream_is_role_text_end_usage_done(served: Served) -> None:
    whole = chat(served).json()["choices"][0]["message"]["content"]
    found = events(chat(served, stream=True, n=2, stream_options={"include_usage": True}))
    assert found[-1] == "[DONE]"
    chunks = [json.loads(event) for event in found[:-1]]
    wire = load_wire()
    for chunk in chunks:
        if wire is not None:
            wire.check_as("CreateChatCompletionStreamResponse", chunk)
    assert len({chunk["id"] for chunk in chunks}) == 1
    for index in (0, 1):
        mine = [c["choices"][0] for c in chunks if c["choices"] and c["choices"][0]["index"] == index]
        assert mine[0]["delta"]["role"] == "assistant"
        assert "".join(choice["delta"].get("content", "") for choice in mine) == whole
        assert [choice["finish_reason"] for choice in mine][-1] == "stop"
        assert all(choice["finish_reason"] is None for choice in mine[:-1])
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 2 * len(whole.split())
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert all("usage" not in json.loads(event) for event in events(chat(served, stream=True))[:-1])


def test_content_parts_and_all_roles(served: Served) -> None:
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}], "name": "d"},
        {"role": "system", "content": "And short."},
        {"role": "user", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "content": "4", "tool_call_id": "1"},
        {"role": "user", "content": "three four five"},
    ]
    assert chat(served, messages=messages).json()["usage"]["prompt_tokens"] == 3


def test_no_tokens_wanted_is_an_empty_answer(served: Served) -> None:
    choice = chat(served, max_tokens=0).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "length")


def test_parameters_without_effect_are_named(served: Served) -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    answer = chat(served, user="u", store=True, presence_penalty=-2, tools=[tool], tool_choice="none")
    assert answer.status_code == 200
    assert answer.headers["x-broker-ignored"] == "presence_penalty, store, tools, user"
    assert "x-broker-ignored" not in chat(served, temperature=0.5, service_tier=None).headers


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "response_format"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"logit_bias": {"50256": -100}}, "logit_bias"),
        ({"logprobs": True}, "logprobs"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_served_is_refused(served: Served, body: dict[str, Any], param: str, stream: bool) -> None:
    answer = chat(served, stream=stream, **body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, param, "unsupported_parameter")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": ""}, {"role": "boss", "content": ""}]}, "messages[1].role"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": "x", "mood": 1}]}, "messages[0].mood"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": 7}, "stop"),
        ({"seed": 2**63}, "seed"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include": 1}}, "stream_options.include"),
        ({"top_k": 5}, "top_k"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
    ],
)
def test_a_bad_body_is_told(served: Served, body: dict[str, Any], param: str) -> None:
    answer = chat(served, **body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("model", ["gpt-0", "ft:gpt-4o-mini:broker::zzzzzzzz", "../../../etc", "fake-base/../x"])
@pytest.mark.parametrize("stream", [False, True])
def test_unknown_models_are_404(served: Served, model: str, stream: bool) -> None:
    answer = chat(served, model=model, stream=stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_too_many_at_once_are_429(serve_with: ServeWith) -> None:
    from broker.server.config import Limits

    with serve_with(limits=Limits(chats_waiting=2)) as served:
        assert chat(served, n=2).status_code == 200
        answer = chat(served, n=3)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert answer.headers["retry-after"] == "1"
        assert chat(served, n=2).status_code == 200, "a refused request leaves no place taken"
