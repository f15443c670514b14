"""Files: what goes in comes out, page by page, until it is deleted or its time is over."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from broker.server.ids import new_id
from broker.server.multipart import clean_filename
from broker.server.records import unix_now
from tests.fakes.broker_server import CHAT_ROW

if TYPE_CHECKING:
    from tests.fakes.broker_server import Served
    from tests.unit.server.conftest import ServeWith


ANCHOR, SECONDS = "expires_after[anchor]", "expires_after[seconds]"


def test_a_file_goes_in_and_comes_out(served: Served) -> None:
    content = bytes(range(256)) * 5000
    file_id = served.upload(content, "user_data", "a ä 文.bin")
    file = served.get(f"/files/{file_id}")
    assert (file["bytes"], file["filename"], file["purpose"]) == (len(content), "a ä 文.bin", "user_data")
    answer = served.client.get(f"/files/{file_id}/content")
    assert answer.content == content
    assert answer.headers["content-disposition"].startswith("attachment; filename*=UTF-8''a%20%C3%A4")
    assert served.client.delete(f"/files/{file_id}").json() == {"id": file_id, "object": "file", "deleted": True}
    for path in (f"/files/{file_id}", f"/files/{file_id}/content"):
        assert served.client.get(path).status_code == 404
    assert served.client.delete(f"/files/{file_id}").status_code == 404
    assert not list((served.data_dir / "server" / "files").glob(file_id)), "the bytes are gone too"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\system32", "system32"),
        ("/abs/olute.jsonl", "olute.jsonl"),
        ("..", "upload"),
        ("", "upload"),
        ("a\x00b\x1fc.txt", "abc.txt"),
        ("x" * 400, "x" * 255),
        ("con\r\nset-cookie: a=b", "conset-cookie: a=b"),
    ],
)
def test_names_lose_folders_and_control_characters(sent: str, kept: str) -> None:
    assert clean_filename(sent) == kept


def test_a_name_with_folders_writes_nowhere_else(served: Served) -> None:
    file_id = served.upload(CHAT_ROW, name="../../../outside.jsonl")
    assert served.get(f"/files/{file_id}")["filename"] == "outside.jsonl"
    assert not list(served.data_dir.rglob("outside*"))
    assert not (served.data_dir.parent / "outside.jsonl").exists()


@pytest.mark.parametrize(
    "path", ["..%2f..%2fetc%2fpasswd", "%2e%2e", "..", "file-..%2f", "a%00b", "%0d%0ax-evil:1", "x" * 2000]
)
def test_ids_are_only_looked_up(served: Served, path: str) -> None:
    for tail in ("", "/content"):
        answer = served.client.get(f"/files/{path}{tail}")
        assert answer.status_code in (400, 404)
        assert "x-evil" not in answer.headers


def test_pages_end_and_hold_everything_once(serve_with: ServeWith) -> None:
    with serve_with() as served:
        made = [served.upload(CHAT_ROW, name=f"{number}.jsonl") for number in range(7)]
        for order, wanted in (("asc", made), ("desc", made[::-1])):
            seen: list[str] = []
            after: dict[str, str] = {}
            while True:
                page = served.client.get("/files", params={"limit": 3, "order": order, **after}).json()
                seen += [file["id"] for file in page["data"]]
                assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
                if not page["has_more"]:
                    break
                after = {"after": page["last_id"]}
            assert seen == wanted


def test_a_page_goes_on_after_a_deleted_file(serve_with: ServeWith) -> None:
    with serve_with() as served:
        for number in range(5):
            served.upload(CHAT_ROW, name=f"{number}.jsonl")
        after, deleted = None, 0
        while True:
            params = {"limit": 2} | ({"after": after} if after else {})
            page = served.client.get("/files", params=params).json()
            for file in page["data"]:
                assert served.client.delete(f"/files/{file['id']}").status_code == 200
                deleted += 1
            if not page["has_more"]:
                break
            after = page["last_id"]
        assert deleted == 5


def test_a_foreign_cursor_and_no_limit_end_the_list(served: Served) -> None:
    served.upload()
    for params in ({"after": "after"}, {"limit": 0}, {"after": new_id("file-")[:9]}):
        page = served.client.get("/files", params=params).json()
        assert (page["data"], page["has_more"]) == ([], False)


@pytest.mark.parametrize(
    ("params", "param"), [({"limit": "-1"}, "limit"), ({"limit": "many"}, "limit"), ({"order": "up"}, "order")]
)
def test_a_bad_query_is_told(served: Served, params: dict[str, str], param: str) -> None:
    answer = served.client.get("/files", params=params)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_lists_are_filtered_by_purpose(served: Served) -> None:
    mine = served.upload(b"{}", "vision")
    found = {file["id"] for file in served.get("/files?purpose=vision")["data"]}
    assert mine in found
    assert all(file["purpose"] == "vision" for file in served.get("/files?purpose=vision")["data"])


def test_files_expire(serve_with: ServeWith) -> None:
    with serve_with() as served:
        form = {"purpose": "batch", ANCHOR: "created_at", SECONDS: "3600"}
        file = served.client.post("/files", files={"file": ("x", b"{}")}, data=form).json()
        assert file["expires_at"] == file["created_at"] + 3600
        nested = {"purpose": "batch", "expires_after": json.dumps({"anchor": "created_at", "seconds": 7200})}
        assert served.client.post("/files", files={"file": ("x", b"{}")}, data=nested).status_code == 200
        kept = served.data_dir / "server" / "files" / file["id"]
        assert kept.exists()
        _age(served, file["id"])
        assert served.client.get(f"/files/{file['id']}").status_code == 404
        assert file["id"] not in {item["id"] for item in served.get("/files")["data"]}


def _age(served: Served, file_id: str) -> None:
    """Move a file's end into the past, as an hour's waiting would."""
    from broker.jobs.store import open_store

    store = open_store(f"sqlite:///{served.data_dir / 'broker.db'}")
    try:
        record = store.document("server-file", file_id)
        assert record is not None
        store.put_document("server-file", file_id, {**record, "expires_at": unix_now() - 1})
    finally:
        store.close()


@pytest.mark.parametrize(
    ("data", "param"),
    [
        ({}, "purpose"),
        ({"purpose": "mischief"}, "purpose"),
        ({"purpose": "batch", "colour": "red"}, "colour"),
        ({"purpose": "batch", ANCHOR: "created_at"}, "expires_after.seconds"),
        ({"purpose": "batch", ANCHOR: "never", SECONDS: "3600"}, "expires_after.anchor"),
        ({"purpose": "batch", ANCHOR: "created_at", SECONDS: "1"}, "expires_after.seconds"),
        ({"purpose": "batch", "expires_after": "{"}, "expires_after"),
    ],
)
def test_a_bad_form_is_told_and_leaves_nothing(served: Served, data: dict[str, str], param: str) -> None:
    answer = served.client.post("/files", files={"file": ("x.jsonl", CHAT_ROW)}, data=data)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert not list((served.data_dir / "server" / "incoming").iterdir())


def test_a_form_without_a_file_is_told(served: Served) -> None:
    answer = served.client.post("/files", files={"purpose": (None, b"batch")})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "file")


BOUNDARY = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"--x--"),
        (BOUNDARY, b""),
        (BOUNDARY, b"no boundary here"),
        (BOUNDARY, b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc'),
        (BOUNDARY, b"--x\r\nContent-Disposition: attachment\r\n\r\nabc\r\n--x--\r\n"),
        (BOUNDARY, b"--x\r\n" + b"A: b\r\n" * 5000 + b"\r\n\r\n--x--\r\n"),
        (BOUNDARY, b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n\xff\xfe\r\n--x--\r\n'),
        (BOUNDARY, b'--x\r\nContent-Disposition: form-data; name="' + b"n" * 9000 + b'"\r\n\r\n1\r\n--x--\r\n'),
        ("multipart/form-data; boundary=" + "b" * 3000, b"--x--"),
    ],
)
def test_broken_forms_are_told(served: Served, kind: str, body: bytes) -> None:
    answer = served.client.post("/files", content=body, headers={"content-type": kind})
    assert answer.status_code == 400, answer.text


def test_too_large_a_file_is_refused_and_leaves_nothing(serve_with: ServeWith) -> None:
    from broker.server.config import Limits

    with serve_with(limits=Limits(file_bytes=100_000)) as served:
        answer = served.client.post("/files", files={"file": ("x", b"a" * 3_000_000)}, data={"purpose": "batch"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "content_too_large")
        answer = served.client.post("/files", files={"file": ("x", b"a" * 100_001)}, data={"purpose": "batch"})
        assert answer.status_code == 413
        assert served.upload(b"a" * 100_000, "batch")
        assert not list((served.data_dir / "server" / "incoming").iterdir())


def test_a_token_has_only_so_much_room(serve_with: ServeWith) -> None:
    from broker.server.config import Limits

    with serve_with(limits=Limits(stored_bytes=1000)) as served:
        first = served.upload(b"a" * 900, "batch")
        answer = served.client.post("/files", files={"file": ("x", b"a" * 200)}, data={"purpose": "batch"})
        assert answer.status_code == 413
        served.client.delete(f"/files/{first}")
        assert served.upload(b"a" * 200, "batch")
