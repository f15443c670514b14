"""Batches over the fake provider."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from broker.jobs.rowfile import RowFile
from broker.jobs.store import open_store
from tests.fakes.broker_server import MODEL

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.broker_server import Served
    from tests.unit.server.conftest import ServeWith

CHAT = "/v1/chat/completions"
ENDED = ("completed", "failed", "cancelled", "expired")


def row(custom_id: str, **body: Any) -> dict[str, Any]:
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], **body}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": asked}


def new_batch(served: Served, rows: list[Any], **body: Any) -> dict[str, Any]:
    content = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in rows)
    file_id = served.upload(content, "batch", "requests.jsonl")
    wanted = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h", **body}
    answer = served.client.post("/batches", json=wanted)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def done(served: Served, batch: dict[str, Any]) -> dict[str, Any]:
    return served.wait_for(f"/batches/{batch['id']}", *ENDED)


def lines(served: Served, file_id: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in served.client.get(f"/files/{file_id}/content").text.splitlines()]


def test_every_row_is_answered_or_told_why_not(served: Served) -> None:
    rows = [row(f"r{number}") for number in range(150)]
    rows += [row("bad-model", model="gpt-0"), row("bad-body", temperature=9), row("streamed", stream=True)]
    batch = done(served, new_batch(served, rows, metadata={"a": "b"}))
    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": 153, "completed": 151, "failed": 2}
    assert (batch["model"], batch["metadata"]) == (MODEL, {"a": "b"})
    output = lines(served, batch["output_file_id"])
    assert {line["custom_id"] for line in output} == {f"r{number}" for number in range(150)} | {"streamed"}
    assert all(line["response"]["status_code"] == 200 and line["error"] is None for line in output)
    assert all(line["response"]["body"]["object"] == "chat.completion" for line in output)
    spent = sum(line["response"]["body"]["usage"]["completion_tokens"] for line in output)
    assert batch["usage"]["output_tokens"] == spent > 0
    failed = {line["custom_id"]: line["response"] for line in lines(served, batch["error_file_id"])}
    assert (failed["bad-model"]["status_code"], failed["bad-body"]["status_code"]) == (404, 400)
    assert failed["bad-body"]["body"]["error"]["param"] == "temperature"
    for field in ("in_progress_at", "finalizing_at", "completed_at"):
        assert batch[field] >= batch["created_at"]
    assert served.get(f"/files/{batch['output_file_id']}")["purpose"] == "batch_output"


def test_a_bad_input_fails_with_every_line(served: Served) -> None:
    rows = [
        b"not json",
        row("a"),
        row("a"),
        {**row("b"), "method": "GET"},
        {**row("c"), "url": "/v1/embeddings"},
        {**row("d"), "body": "text"},
        {"method": "POST"},
    ]
    batch = done(served, new_batch(served, rows))
    assert batch["status"] == "failed"
    found = [(error["line"], error["code"]) for error in batch["errors"]["data"]]
    assert found == [
        (1, "invalid_json_line"),
        (3, "duplicate_custom_id"),
        (4, "invalid_method"),
        (5, "mismatched_url"),
        (6, "missing_required_parameter"),
        (7, "missing_required_parameter"),
    ]
    assert batch["output_file_id"] is None
    assert done(served, new_batch(served, []))["errors"]["data"][0]["code"] == "empty_file"


def test_an_endpoint_that_is_not_served_fails_the_batch(served: Served) -> None:
    batch = done(served, new_batch(served, [row("a")], endpoint="/v1/embeddings"))
    assert (batch["status"], batch["errors"]["data"][0]["code"]) == ("failed", "unsupported_endpoint")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"endpoint": "/v1/magic"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"input_file_id": "file-none"}, "input_file_id"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, "output_expires_after.seconds"),
        ({"more": 1}, "more"),
    ],
)
def test_a_bad_body_is_told(served: Served, change: dict[str, Any], param: str) -> None:
    body = {"input_file_id": served.upload(b"{}", "batch"), "endpoint": CHAT, "completion_window": "24h", **change}
    answer = served.client.post("/batches", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_a_file_for_something_else_is_refused(served: Served) -> None:
    body = {"input_file_id": served.upload(), "endpoint": CHAT, "completion_window": "24h"}
    assert served.client.post("/batches", json=body).json()["error"]["code"] == "invalid_file_purpose"


def test_a_cancelled_batch_is_cancelled_and_stays_so(served: Served) -> None:
    batch = new_batch(served, [row(f"r{number}") for number in range(2000)])
    cancelled = served.client.post(f"/batches/{batch['id']}/cancel").json()
    assert cancelled["status"] in ("cancelling", "cancelled")
    ended = done(served, batch)
    assert ended["status"] == "cancelled"
    kept = lines(served, ended["output_file_id"]) if ended["output_file_id"] else []
    assert len(kept) == ended["request_counts"]["completed"], "what was answered is kept"
    assert served.client.post(f"/batches/{batch['id']}/cancel").json()["status"] == "cancelled"
    finished = done(served, new_batch(served, [row("a")]))
    answer = served.client.post(f"/batches/{finished['id']}/cancel")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "batch_ended")
    assert served.client.post("/batches/batch_none/cancel").status_code == 404
    assert served.client.get("/batches/batch_none").status_code == 404


def test_batches_are_listed_in_pages(served: Served) -> None:
    made = [new_batch(served, [row("a")])["id"] for _ in range(3)]
    page = served.get("/batches?limit=2")
    assert [batch["id"] for batch in page["data"]] == made[:0:-1]
    assert page["has_more"] is True
    rest = served.get(f"/batches?limit=1&after={page['last_id']}")
    assert rest["data"][0]["id"] == made[0]


def test_outputs_may_expire(served: Served) -> None:
    life = {"anchor": "created_at", "seconds": 3600}
    batch = done(served, new_batch(served, [row("a")], output_expires_after=life))
    file = served.get(f"/files/{batch['output_file_id']}")
    assert file["expires_at"] == file["created_at"] + 3600


def test_a_restarted_server_asks_only_what_is_left(serve_with: ServeWith, tmp_path: Path) -> None:
    data_dir = tmp_path / "kept"
    with serve_with(data_dir=data_dir) as served:
        batch = done(served, new_batch(served, [row("a"), row("b"), row("c")]))
    store = open_store(f"sqlite:///{data_dir / 'broker.db'}")
    record = store.document("server-batch", batch["id"])
    assert record is not None
    answers = RowFile(data_dir / "server" / "batches" / f"{batch['id']}.jsonl")
    kept = answers.read()
    first = {**kept[0], "id": "kept-from-before"}
    answers.rewrite([first])  # as a kill after the first answer leaves it
    answers.close()
    unfinished = {"status": "in_progress", "completed": 1, "output_file_id": None}
    store.put_document("server-batch", batch["id"], {**record, **unfinished})
    store.close()
    with serve_with(data_dir=data_dir) as served:
        ended = done(served, batch)
        assert ended["request_counts"] == {"total": 3, "completed": 3, "failed": 0}
        output = {line["custom_id"]: line["id"] for line in lines(served, ended["output_file_id"])}
        assert output[first["custom_id"]] == "kept-from-before"
        assert set(output) == {"a", "b", "c"}
