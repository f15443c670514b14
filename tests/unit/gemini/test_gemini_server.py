"""The fake itself, asked by the official SDK: the true wire, strict about what it gets, true to its ledger."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
import httpx
import pytest
from google import genai
from google.genai import errors, types

from tests.fakes.gemini_server import Habits, Rule, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.fakes.gemini_server import Running

pytestmark = pytest.mark.anyio
# One that takes everything that can be set.
MODEL = "gemini-2.5-flash"


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running() as fake:
        yield fake


@pytest.fixture
def fake(served: Running) -> Running:
    served.clear()
    return served


@pytest.fixture
async def sdk(fake: Running) -> AsyncIterator[genai.client.AsyncClient]:
    once = types.HttpRetryOptions(attempts=1)
    options = types.HttpOptions(base_url=fake.url, api_version="v1beta", retry_options=once, timeout=5000)
    client = genai.Client(vertexai=False, api_key="a-key-of-this-test", http_options=options)
    yield client.aio
    await client.aio.aclose()


async def ask(sdk: genai.client.AsyncClient, text: str, **config: Any) -> types.GenerateContentResponse:
    return await sdk.models.generate_content(
        model=MODEL, contents=text, config=types.GenerateContentConfig(**config) if config else None
    )


async def test_an_answer_has_text_reason_and_usage(fake: Running, sdk: genai.client.AsyncClient) -> None:
    found = await ask(sdk, "hello", temperature=0.0, seed=3, stop_sequences=["END"])
    assert found.text == "answer to hello"
    assert found.candidates is not None
    assert found.candidates[0].finish_reason is types.FinishReason.STOP
    assert found.usage_metadata is not None
    assert found.usage_metadata.total_token_count == 2 + 4
    assert fake.state.bodies[-1]["generationConfig"] == {"temperature": 0.0, "seed": 3, "stopSequences": ["END"]}


async def test_a_schema_is_obeyed_and_a_limit_kept(sdk: genai.client.AsyncClient) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "n": {"type": "array", "items": {"$ref": "#/$defs/d"}}},
    }
    found = await ask(
        sdk,
        "q",
        response_mime_type="application/json",
        response_json_schema={**schema, "$defs": {"d": {"type": "integer"}}},
    )
    assert json.loads(found.text or "") == {"a": "answer to q", "n": [1]}
    short = await ask(sdk, "a long question", max_output_tokens=2)
    assert short.text == "answer t"
    assert short.candidates is not None
    assert short.candidates[0].finish_reason is types.FinishReason.MAX_TOKENS


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"contents": [{"parts": [{"text": "x"}]}], "colour": 1}, 'Unknown name "colour"'),
        ({"contents": [{"parts": [{"txt": "x"}]}]}, "Unknown name \"txt\" at 'contents[0].parts[0]'"),
        ({"contents": [{"parts": [{"text": 3}]}]}, "Invalid value at 'contents[0].parts[0].text'"),
        ({"contents": []}, "contents is not specified"),
        ({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "valid role"),
        ({"contents": [{"role": "user", "parts": []}]}, "must not be empty"),
        ({"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"temperature": 3}}, "temperature"),
        (
            {"contents": [{"parts": [{"text": "x"}]}], "generation_config": {"stop_sequences": list("abcdef")}},
            "up to 5",
        ),
        ({"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"responseJsonSchema": {}}}, "mime type"),
    ],
)
async def test_a_wrong_request_is_refused_as_google_would(fake: Running, body: dict[str, Any], said: str) -> None:
    async with httpx.AsyncClient(headers={"x-goog-api-key": "k"}) as client:
        found = await client.post(f"{fake.url}/v1beta/models/{MODEL}:generateContent", json=body)
    assert found.status_code == 400
    error = found.json()["error"]
    assert error["status"] == "INVALID_ARGUMENT"
    assert said in error["message"]
    assert fake.state.paid == []


async def test_keys_models_and_versions_are_checked(fake: Running) -> None:
    fake.state.habits = Habits(key="right")
    path, body = f"/models/{MODEL}:generateContent", {"contents": [{"parts": [{"text": "x"}]}]}
    async with httpx.AsyncClient(base_url=fake.url) as client:
        none = await client.post(f"/v1beta{path}", json=body)
        wrong = await client.post(f"/v1beta{path}", json=body, headers={"x-goog-api-key": "wrong"})
        right = {"x-goog-api-key": "right"}
        other = await client.post(f"/v1{path}", json=body, headers=right)
        gone = await client.post("/v1beta/models/gemini-2.0-flash-001:generateContent", json=body, headers=right)
        good = await client.post(f"/v1beta{path}", json=body, headers=right)
    assert [found.status_code for found in (none, wrong, other, gone, good)] == [403, 400, 404, 404, 200]
    assert wrong.json()["error"]["details"][0]["reason"] == "API_KEY_INVALID"


@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [
        ("429", 429, "RESOURCE_EXHAUSTED"),
        ("500", 500, "INTERNAL"),
        ("503", 503, "UNAVAILABLE"),
        ("404", 404, "NOT_FOUND"),
    ],
)
async def test_refusals_cost_nothing(
    fake: Running, sdk: genai.client.AsyncClient, fault: str, code: int, status: str
) -> None:
    fake.state.rules = [Rule(fault, nth=[1])]
    with pytest.raises(errors.APIError) as raised:
        await ask(sdk, "x")
    assert (raised.value.code, raised.value.status) == (code, status)
    assert fake.state.paid == []
    assert (await ask(sdk, "x")).text == "answer to x"


async def test_answers_that_were_lost_are_in_the_ledger(fake: Running, sdk: genai.client.AsyncClient) -> None:
    fake.state.rules = [Rule("lose", nth=[1]), Rule("truncated", nth=[1])]
    for _ in range(2):
        with pytest.raises(Exception, match=r"isconnect|not completed|peer closed|incomplete"):
            await ask(sdk, "x")
    await ask(sdk, "x")
    assert fake.state.asked_twice() == []
    await ask(sdk, "x")
    assert fake.state.asked_twice() == ["x"]
    assert fake.state.answers_per_prompt() == {"x": 4}


async def test_answers_may_be_no_good(fake: Running, sdk: genai.client.AsyncClient) -> None:
    fake.state.rules = [
        Rule("safety", contains="one"), Rule("blocked", contains="two"), Rule("finish", contains="three"),
    ]  # fmt: skip
    first = (await ask(sdk, "one")).candidates
    assert first is not None
    assert (first[0].finish_reason, first[0].content) == (types.FinishReason.SAFETY, None)
    blocked = await ask(sdk, "two")
    assert blocked.candidates is None
    assert blocked.prompt_feedback is not None
    assert blocked.prompt_feedback.block_reason is types.BlockedReason.PROHIBITED_CONTENT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        odd = (await ask(sdk, "three")).candidates
    assert odd is not None
    assert str(odd[0].finish_reason and odd[0].finish_reason.value) == "A_REASON_OF_TOMORROW"
    assert len(fake.state.paid) == 3


@pytest.mark.parametrize("window_s", [0.0, 1.0])
async def test_a_limit_says_when_to_come_back(fake: Running, sdk: genai.client.AsyncClient, window_s: float) -> None:
    fake.state.habits = Habits(requests_per_minute=120, burst=2, window_s=window_s)
    await ask(sdk, "1")
    await ask(sdk, "2")
    with pytest.raises(errors.ClientError) as raised:
        await ask(sdk, "3")
    details: list[dict[str, Any]] = cast("Any", raised.value.details)["error"]["details"]
    assert details[0]["violations"][0]["quotaId"] == "GenerateRequestsPerMinutePerProjectPerModel"
    assert details[-1]["@type"] == "type.googleapis.com/google.rpc.RetryInfo"
    wait_s = float(details[-1]["retryDelay"].removesuffix("s"))
    assert 0 < wait_s <= 1
    await anyio.sleep(wait_s + 0.01)
    assert (await ask(sdk, "3")).text == "answer to 3"
    assert fake.state.limited == 1


async def test_a_batch_of_inline_requests_and_one_of_a_file(
    fake: Running, sdk: genai.client.AsyncClient, tmp_path: Path
) -> None:
    row: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "q"}]}]}
    inline = await sdk.batches.create(
        model=MODEL, src=[types.InlinedRequest(**row, metadata={"key": "k"})], config={"display_name": "inline"}
    )
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"key": "k", "request": row}) + "\n")
    config = types.UploadFileConfig(name="rows-1", display_name="rows", mime_type="application/jsonl")
    file = await sdk.files.upload(file=path, config=config)
    filed = await sdk.batches.create(model=MODEL, src=file.name or "", config={"display_name": "filed"})
    for made in (inline, filed):
        await sdk.batches.get(name=made.name or "")
        seen = await sdk.batches.get(name=made.name or "")
        assert seen.state is types.JobState.JOB_STATE_SUCCEEDED
        assert seen.dest is not None
        if made is inline:
            (answered,) = seen.dest.inlined_responses or []
            assert answered.metadata == {"key": "k"}
            assert answered.response is not None
            assert answered.response.text == "answer to q"
        else:
            content = await sdk.files.download(file=seen.dest.file_name or "")
            assert isinstance(content, bytes)
            assert json.loads(content)["key"] == "k"
    pager = await sdk.batches.list(config={"page_size": 1})
    assert [batch.display_name async for batch in pager] == ["filed", "inline"]
    assert [one.batch for one in fake.state.paid] == [inline.name, filed.name]


async def test_it_runs_as_a_process() -> None:
    command = [sys.executable, "-m", "tests.fakes.gemini_server", "--habits", '{"key": "k"}']
    async with await anyio.open_process(command, cwd=Path(__file__).parents[3], stderr=None) as process:
        assert process.stdout is not None
        url = json.loads(await process.stdout.receive())["url"]
        body = {"contents": [{"parts": [{"text": "x"}]}]}
        async with httpx.AsyncClient(base_url=url, headers={"x-goog-api-key": "k"}) as client:
            await client.post("/_control/rules", json={"rules": [{"fault": "empty", "nth": [2]}]})
            for _ in range(2):
                await client.post(f"/v1beta/models/{MODEL}:generateContent", json=body)
            ledger = (await client.get("/_control/ledger")).json()
        assert [one["fault"] for one in ledger["paid"]] == ["", "empty"]
        process.kill()
