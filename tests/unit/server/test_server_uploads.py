"""Uploads in parts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from broker.jobs.store import open_store
from tests.fakes.broker_server import CHAT_ROW

if TYPE_CHECKING:
    from tests.fakes.broker_server import Served
    from tests.unit.server.conftest import ServeWith

NEW = {"filename": "train.jsonl", "purpose": "fine-tune", "mime_type": "application/jsonl"}
CONTENT = CHAT_ROW * 1000


def begin(served: Served, size: int = len(CONTENT), **more: Any) -> str:
    answer = served.client.post("/uploads", json={**NEW, "bytes": size, **more})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def part(served: Served, upload: str, data: bytes) -> str:
    answer = served.client.post(f"/uploads/{upload}/parts", files={"data": ("blob", data)})
    assert answer.status_code == 200, answer.text
    assert answer.json()["upload_id"] == upload
    return str(answer.json()["id"])


def test_parts_in_the_order_named_become_a_file(served: Served) -> None:
    upload = begin(served)
    pieces = [CONTENT[:40_000], CONTENT[40_000:70_000], CONTENT[70_000:]]
    ids = [part(served, upload, piece) for piece in reversed(pieces)][::-1]
    part(served, upload, b"never used")
    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    answer = served.client.post(f"/uploads/{upload}/complete", json={"part_ids": ids, "md5": md5})
    body = answer.json()
    assert (answer.status_code, body["status"]) == (200, "completed")
    file = body["file"]
    assert (file["bytes"], file["filename"], file["purpose"]) == (len(CONTENT), "train.jsonl", "fine-tune")
    assert served.client.get(f"/files/{file['id']}/content").content == CONTENT
    assert served.done_job(training_file=file["id"])["status"] == "succeeded"
    again = served.client.post(f"/uploads/{upload}/complete", json={"part_ids": ids})
    assert (again.status_code, again.json()["file"]["id"]) == (200, file["id"]), "a repeated completion is the same"
    late = served.client.post(f"/uploads/{upload}/parts", files={"data": ("blob", b"x")})
    assert (late.status_code, late.json()["error"]["code"]) == (400, "upload_completed")
    assert served.client.post(f"/uploads/{upload}/cancel").json()["error"]["code"] == "upload_completed"
    assert not (served.data_dir / "server" / "parts" / upload).exists()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"md5": "0" * 32}, "checksum_mismatch"),
        ({"part_ids": []}, "upload_size_mismatch"),
        ({"part_ids": ["part_none"]}, "part_not_found"),
        ({"part_ids": ["ID", "ID"]}, "invalid_value"),
        ({"part_ids": "ID"}, "invalid_type"),
        ({"part_ids": None}, "invalid_type"),
        ({"colour": 1}, "unknown_parameter"),
    ],
)
def test_a_bad_completion_is_told_and_can_be_mended(served: Served, change: dict[str, Any], code: str) -> None:
    upload = begin(served, 5)
    mine = part(served, upload, b"hello")
    body = {"part_ids": [mine], **change}
    if isinstance(body["part_ids"], list):
        body["part_ids"] = [mine if name == "ID" else name for name in body["part_ids"]]
    answer = served.client.post(f"/uploads/{upload}/complete", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    good = served.client.post(f"/uploads/{upload}/complete", json={"part_ids": [mine]})
    assert good.json()["status"] == "completed"


def test_a_cancelled_upload_takes_nothing(served: Served) -> None:
    upload = begin(served, 5)
    mine = part(served, upload, b"hello")
    for _ in range(2):
        assert served.client.post(f"/uploads/{upload}/cancel").json()["status"] == "cancelled"
    assert served.client.post(f"/uploads/{upload}/parts", files={"data": ("b", b"x")}).status_code == 400
    answer = served.client.post(f"/uploads/{upload}/complete", json={"part_ids": [mine]})
    assert answer.json()["error"]["code"] == "upload_cancelled"


def test_an_upload_expires_after_an_hour(serve_with: ServeWith) -> None:
    with serve_with() as served:
        upload = begin(served, 5)
        mine = part(served, upload, b"hello")
        store = open_store(f"sqlite:///{served.data_dir / 'broker.db'}")
        record = store.document("server-upload", upload)
        assert record is not None
        assert record["expires_at"] - record["created_at"] == 3600
        store.put_document("server-upload", upload, {**record, "expires_at": record["created_at"] - 1})
        store.close()
        answer = served.client.post(f"/uploads/{upload}/complete", json={"part_ids": [mine]})
        assert answer.json()["error"]["code"] == "upload_expired"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"bytes": -1}, 400),
        ({"bytes": 9 * 2**30}, 413),
        ({"purpose": "user_data"}, 400),
        ({"filename": ""}, 400),
        ({"mime_type": 3}, 400),
        ({"expires_after": {"anchor": "created_at", "seconds": 10}}, 400),
        ({"more": 1}, 400),
    ],
)
def test_a_bad_upload_is_told(served: Served, change: dict[str, Any], status: int) -> None:
    assert served.client.post("/uploads", json={**NEW, "bytes": 5, **change}).status_code == status


def test_parts_are_bounded(serve_with: ServeWith) -> None:
    from broker.server.config import Limits

    with serve_with(limits=Limits(part_bytes=1000)) as served:
        upload = begin(served, 1500)
        too_large = served.client.post(f"/uploads/{upload}/parts", files={"data": ("b", b"x" * 1001)})
        assert too_large.status_code == 413
        for _ in range(4):
            part(served, upload, b"x" * 1000)
        flood = served.client.post(f"/uploads/{upload}/parts", files={"data": ("b", b"x" * 1000)})
        assert flood.json()["error"]["code"] == "upload_too_large"
        empty = served.client.post(f"/uploads/{upload}/parts", files={"other": ("b", b"x")})
        assert empty.status_code == 400


def test_unknown_uploads_are_404(served: Served) -> None:
    assert served.client.post("/uploads/nobody/cancel").status_code == 404
    assert served.client.post("/uploads/nobody/complete", json={"part_ids": []}).status_code == 404
    assert served.client.post("/uploads/../parts", files={"data": ("b", b"x")}).status_code in (404, 405)
    assert served.client.post("/uploads/nobody/parts", files={"data": ("b", b"x")}).status_code == 404
