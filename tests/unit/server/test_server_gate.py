"""Who may come in, how often, and what hostile clients get: always one clean answer."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from broker.errors import UserError
from broker.jobs.store import open_store
from broker.server import ServerConfig, delete_token, new_token, serve, token_names
from broker.server.config import Limits, is_loopback
from broker.server.rates import Rates
from broker.server.serving import check_open
from tests.fakes.broker_server import CHAT_ROW, MODEL, fake_config, fake_settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.broker_server import Served
    from tests.unit.server.conftest import ServeWith

JSON = {"content-type": "application/json"}


def raw(served: Served, data: bytes, *, seconds: float = 10) -> bytes:
    """Send bytes as they are and return all that comes until the server closes or falls silent."""
    host, port = served.root.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(data)
        found = b""
        try:
            while block := connection.recv(65536):
                found += block
        except TimeoutError:
            pass
        return found


def parsed(answer: bytes) -> tuple[int, dict[str, Any]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


# --- tokens ---------------------------------------------------------------------------------------------------------


def token_of(data_dir: Path, name: str, **more: Any) -> str:
    store = open_store(f"sqlite:///{data_dir / 'broker.db'}")
    try:
        return new_token(store, name, **more)
    finally:
        store.close()


def test_with_a_token_nobody_else_comes_in(serve_with: ServeWith, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    secrets = {name: token_of(data_dir, name) for name in ("ann", "bob")}
    with serve_with(data_dir=data_dir) as served:
        for header in (
            None,
            "Bearer",
            "Bearer wrong",
            f"Basic {secrets['ann']}",
            f"Bearer {secrets['ann']}x",
        ):
            answer = served.client.get("/models", headers={"authorization": header} if header else {})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert secrets["ann"] not in answer.text
        assert served.client.get("/models", headers={b"authorization": b"Bearer \xff\xfe"}).status_code == 401
        for secret in secrets.values():
            for scheme in ("Bearer", "bearer"):
                assert served.client.get("/models", headers={"authorization": f"{scheme} {secret}"}).status_code == 200
        assert served.client.get(f"{served.root}/healthz").status_code == 200, "health needs no token"
        assert served.client.get(f"{served.root}/metrics").status_code == 401
    for file in data_dir.rglob("*"):
        if file.is_file():
            assert all(secret.encode() not in file.read_bytes() for secret in secrets.values())


def test_a_deleted_token_is_refused_soon(serve_with: ServeWith, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    secret = token_of(data_dir, "ann")
    token_of(data_dir, "bob")
    with serve_with(data_dir=data_dir) as served:
        headers = {"authorization": f"Bearer {secret}"}
        assert served.client.get("/models", headers=headers).status_code == 200
        store = open_store(f"sqlite:///{data_dir / 'broker.db'}")
        assert delete_token(store, "ann")
        assert token_names(store) == ["bob"]
        store.close()
        end = time.monotonic() + 10
        while served.client.get("/models", headers=headers).status_code != 401:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_names_of_tokens(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'broker.db'}")
    assert len(new_token(store, "ann")) > 40
    for name in ("ann", "", "a b", "../x", "x" * 65):
        with pytest.raises(UserError):
            new_token(store, name)
    assert not delete_token(store, "nobody")
    store.close()


def test_other_than_loopback_needs_a_token() -> None:
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.org"):
        with pytest.raises(UserError, match="no token"):
            check_open(ServerConfig(host=host), [])
        check_open(ServerConfig(host=host), ["ann"])
    for host in ("127.0.0.1", "127.9.9.9", "localhost", "::1"):
        check_open(ServerConfig(host=host), [])
    assert not is_loopback("127.0.0.1.evil.com")
    assert not is_loopback("localhost.evil.com")


def test_what_stands_against_the_start_is_raised(served: Served, tmp_path: Path) -> None:
    port = int(served.root.rsplit(":", 1)[1])
    settings = fake_settings(tmp_path / "data")
    for config, said in (
        (fake_config(port=port), "cannot listen"),
        (fake_config(host="0.0.0.0"), "no token"),
        (fake_config(provider="nobody"), "nobody"),
    ):
        with pytest.raises(UserError, match=said):
            anyio.run(serve, config, settings)


def test_a_server_that_cannot_start_leaves_its_port(tmp_path: Path) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    with pytest.raises(UserError, match="nobody"):
        anyio.run(serve, fake_config(provider="nobody", port=port), fake_settings(tmp_path / "data"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))


def test_each_token_has_its_own_rate(serve_with: ServeWith, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    slow, fast = token_of(data_dir, "slow", requests_per_minute=3), token_of(data_dir, "fast")
    with serve_with(data_dir=data_dir) as served:
        answers = [served.client.get("/models", headers={"authorization": f"Bearer {slow}"}) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert answers[0].headers["x-ratelimit-limit-requests"] == "3"
        assert answers[2].headers["x-ratelimit-remaining-requests"] == "0"
        assert 1 <= int(answers[3].headers["retry-after"]) <= 20
        assert answers[3].json()["error"]["code"] == "rate_limit_exceeded"
        assert served.client.get("/models", headers={"authorization": f"Bearer {fast}"}).status_code == 200


def test_guessing_tokens_is_slowed_down(serve_with: ServeWith, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    secret = token_of(data_dir, "ann")
    with serve_with(data_dir=data_dir, limits=Limits(failed_logins_per_minute=3)) as served:
        guesses = [served.client.get("/models", headers={"authorization": f"Bearer {n}"}).status_code for n in range(5)]
        assert guesses == [401, 401, 401, 429, 429]
        assert served.client.get("/models", headers={"authorization": f"Bearer {secret}"}).status_code == 200


def test_buckets_are_forgotten_not_hoarded() -> None:
    rates = Rates()
    for number in range(12_000):
        rates.take(f"address {number}", 5)
    assert len(rates) <= 10_000


# --- where a request comes from -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.com", "evil.com:8100", "127.0.0.1.evil.com", "0.0.0.0", "192.168.1.5", "", "[::2]"]
)
def test_a_foreign_host_is_refused(served: Served, host: str) -> None:
    answer = served.client.get("/models", headers={"host": host})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1", "[::1]:80"])
def test_this_machine_is_known_by_its_names(served: Served, host: str) -> None:
    assert served.client.get("/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.com"},
        {"origin": "null"},
        {"origin": "http://localhost:1"},
        {"origin": "http://[broken"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_foreign_page_is_refused(served: Served, headers: dict[str, str]) -> None:
    answer = served.client.post("/chat/completions", headers=headers, json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "invalid_origin")
    assert "access-control-allow-origin" not in answer.headers
    own = {"origin": served.root, "sec-fetch-site": "same-origin"}
    assert served.client.get("/models", headers=own).status_code == 200


def test_a_name_may_be_allowed(serve_with: ServeWith) -> None:
    with serve_with(allowed_hosts=("tunes.lan",)) as served:
        assert served.client.get("/models", headers={"host": "tunes.lan:80"}).status_code == 200
        assert served.client.get("/models", headers={"host": "other.lan"}).status_code == 400


# --- hostile bodies -------------------------------------------------------------------------------------------------

DEEP = b'{"model": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
PATHS = ("/chat/completions", "/fine_tuning/jobs", "/uploads", "/batches")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b"null",
        b'"text"',
        b"1",
        b"{",
        b'{"model": NaN}',
        b'{"model": Infinity}',
        b'{"model": -Infinity}',
        b'{"model": 1e999}',
        b'{"model": ' + b"9" * 5000 + b"}",
        b'{"model": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"model": "a\\u0000b"}',
        b'{"model": "\xff"}',
        b"\xff\xfe{\x00}\x00",
        DEEP,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"metadata": ' + b'{"a":' * 65 + b"1" + b"}" * 66,
    ],
    ids=range(20),
)
def test_broken_json_is_told(served: Served, path: str, body: bytes) -> None:
    answer = served.client.post(path, content=body, headers=JSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_must_say_that_it_is_json(served: Served, kind: str | None) -> None:
    headers = {"content-type": kind} if kind else {}
    answer = served.client.post("/chat/completions", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_content_type")


def test_giant_bodies_are_refused_before_they_fill_the_memory(serve_with: ServeWith) -> None:
    with serve_with(limits=Limits(json_bytes=100_000)) as served:
        body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "x" * 200_000}]}).encode()
        assert served.client.post("/chat/completions", content=body, headers=JSON).status_code == 413

        sent = 0

        def endless() -> Any:
            nonlocal sent
            while True:
                sent += 1
                yield b"x" * 65536

        answer = served.client.post("/chat/completions", content=endless(), headers=JSON)
        assert answer.status_code == 413
        assert sent < 3000, "the connection is closed when a client goes on all the same"
        assert served.client.get("/models").status_code == 200


def test_a_declared_length_alone_is_enough_to_refuse(served: Served) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    status, body = parsed(raw(served, head + b"Content-Length: 99999999999\r\nConnection: close\r\n\r\n{}", seconds=3))
    assert (status, body["error"]["code"]) == (413, "content_too_large")


def test_a_body_that_stops_coming_is_given_up(serve_with: ServeWith) -> None:
    with serve_with(limits=Limits(body_idle_s=0.3)) as served:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        start = time.monotonic()
        status, body = parsed(raw(served, head + b"Content-Length: 100\r\nConnection: close\r\n\r\n{", seconds=3))
        assert (status, body["error"]["code"]) == (400, "body_timeout")
        assert time.monotonic() - start < 5
        form = (
            b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            b"Content-Length: 1000\r\nConnection: close\r\n\r\n"
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc'
        )
        assert parsed(raw(served, form, seconds=3))[0] == 400
        assert not list((served.data_dir / "server" / "incoming").iterdir())


def test_headers_that_stop_coming_close_the_connection(serve_with: ServeWith) -> None:
    with serve_with(limits=Limits(header_s=0.3)) as served:
        start = time.monotonic()
        assert raw(served, b"", seconds=5) == b""
        assert raw(served, b"GET /v1/models HTTP/1.1\r\nHost: loc", seconds=5) == b""
        assert time.monotonic() - start < 4
        assert served.client.get("/models").status_code == 200


def test_a_client_that_leaves_midway_leaves_nothing(served: Served) -> None:
    form = (
        b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"Content-Length: 10000000\r\n\r\n"
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"a" * 3_000_000
    )
    raw(served, form, seconds=0.3)
    end = time.monotonic() + 10
    while list((served.data_dir / "server" / "incoming").iterdir()):
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n",
        b"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    ],
    ids=range(6),
)
def test_broken_http_is_an_error_object(served: Served, data: bytes) -> None:
    status, body = parsed(raw(served, data))
    assert (status, set(body["error"])) == (400, {"message", "type", "param", "code"})


def test_endless_headers_are_cut_off(served: Served) -> None:
    head = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX: "
    try:
        answer = raw(served, head + b"y" * 1_000_000, seconds=5)
    except ConnectionError:
        return
    assert not answer or parsed(answer)[0] == 400


def test_smuggled_requests_are_not_served_twice(served: Served) -> None:
    data = (
        b"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"
        b"0\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    assert b"gpt-4o-mini" not in raw(served, data, seconds=1)


def test_headers_cannot_be_injected(served: Served) -> None:
    form = (
        b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a%0d%0aset-cookie: b=c"\r\n\r\nabc\r\n--x--\r\n'
    )
    kind = {"content-type": "multipart/form-data; boundary=x"}
    file = served.client.post("/files", content=form, headers=kind).json()
    answer = served.client.get(f"/files/{file['id']}/content")
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    for answer in (served.client.get("/files/a%0d%0aset-cookie:b"), served.client.get("/nope%0d%0aset-cookie:b")):
        assert "set-cookie" not in answer.headers


def test_unknown_paths_and_methods_are_error_objects(served: Served) -> None:
    for path, status in (("/nope", 404), ("/files/", 404), ("/chat", 404), ("/files/a/b/c", 404)):
        answer = served.client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, "unknown_url")
    assert "/v1" in served.client.get(f"{served.root}/files").json()["error"]["message"]
    for method, path, allowed in (
        ("PUT", "/files", "GET, POST"),
        ("PATCH", "/files/x", "GET, DELETE"),
        ("GET", "/chat/completions", "POST"),
        ("DELETE", "/batches/x", "GET"),
        ("OPTIONS", "/models", "GET"),
        ("TRACE", "/models", "GET"),
    ):
        answer = served.client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        assert answer.json()["error"]["code"] == "method_not_supported"


def test_every_answer_has_an_id_and_no_server_name(served: Served) -> None:
    answer = served.client.get("/models")
    assert answer.headers["x-request-id"].startswith("req_")
    assert "server" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_answer_does_not_wait_for_a_full_packet(served: Served) -> None:
    seconds: list[float] = []
    for _ in range(30):
        with httpx.Client(base_url=served.url, trust_env=False) as client:
            start = time.perf_counter()
            client.post("/chat/completions", content=b"{}", headers=JSON)
            seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.035, "Nagle's algorithm waits 40 ms with every answer"


def test_metrics_count_routes_not_ids(served: Served) -> None:
    served.client.get("/files/file-something")
    text = served.client.get(f"{served.root}/metrics").text
    assert 'broker_http_requests_total{method="GET",route="/v1/files/{file_id}",status="404"}' in text
    assert "file-something" not in text
    assert "broker_jobs{" in text


# --- idempotency ----------------------------------------------------------------------------------------------------


def test_the_same_key_and_body_make_one_object(served: Served) -> None:
    file = served.upload()
    job = {"model": MODEL, "training_file": file}
    upload = {"filename": "a", "purpose": "batch", "mime_type": "x", "bytes": 3}
    batch = {
        "input_file_id": served.upload(b"{}", "batch"),
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    }
    for path, body in (("/fine_tuning/jobs", job), ("/uploads", upload), ("/batches", batch)):
        headers = {"idempotency-key": f"key of {path}"}
        ids = {served.client.post(path, json=body, headers=headers).json()["id"] for _ in range(3)}
        assert len(ids) == 1
        assert served.client.post(path, json=body).json()["id"] not in ids
        changed = {**body, "bytes": 4} if path == "/uploads" else {**body, "metadata": {"a": "b"}}
        other = served.client.post(path, json=changed, headers=headers)
        assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")


def test_a_refused_request_does_not_use_up_its_key(served: Served) -> None:
    headers = {"idempotency-key": "mended"}
    body = {"model": MODEL, "training_file": "file-none"}
    assert served.client.post("/fine_tuning/jobs", json=body, headers=headers).status_code == 400
    mended = {**body, "training_file": served.upload()}
    assert served.client.post("/fine_tuning/jobs", json=mended, headers=headers).status_code == 200


def test_the_same_key_and_file_make_one_file(served: Served) -> None:
    def send(content: bytes, boundary: str) -> httpx.Response:
        form = httpx.Request("POST", "http://x", files={"file": ("a.jsonl", content)}, data={"purpose": "batch"})
        del boundary  # each form has a boundary of its own: the bytes of the body differ, the file does not
        headers = {"idempotency-key": "one file", "content-type": form.headers["content-type"]}
        return served.client.post("/files", content=form.read(), headers=headers)

    first, second, other = send(CHAT_ROW, "a"), send(CHAT_ROW, "b"), send(CHAT_ROW * 2, "c")
    assert first.json()["id"] == second.json()["id"]
    assert other.status_code == 422


def test_the_same_key_at_the_same_moment_makes_one_job(served: Served) -> None:
    body = {"model": MODEL, "training_file": served.upload(), "metadata": {"race": "yes"}}
    ids: list[str] = []

    def send() -> None:
        answer = httpx.post(f"{served.url}/fine_tuning/jobs", json=body, headers={"idempotency-key": "race"})
        ids.append(answer.json()["id"])

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(ids) == 8
    assert len(set(ids)) == 1
    assert len(served.get("/fine_tuning/jobs?metadata[race]=yes")["data"]) == 1


def test_a_key_outlives_a_restart(serve_with: ServeWith, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    headers = {"idempotency-key": "once"}
    with serve_with(data_dir=data_dir) as served:
        body = {"model": MODEL, "training_file": served.upload()}
        first = served.client.post("/fine_tuning/jobs", json=body, headers=headers).json()["id"]
    with serve_with(data_dir=data_dir) as served:
        assert served.client.post("/fine_tuning/jobs", json=body, headers=headers).json()["id"] == first
        assert len(served.get("/fine_tuning/jobs")["data"]) == 1


def test_a_key_belongs_to_a_token(serve_with: ServeWith, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    secrets = [token_of(data_dir, name) for name in ("ann", "bob")]
    with serve_with(data_dir=data_dir) as served:
        body = {"filename": "a", "purpose": "batch", "mime_type": "x", "bytes": 3}
        headers = [{"idempotency-key": "mine", "authorization": f"Bearer {secret}"} for secret in secrets]
        ids = {served.client.post("/uploads", json=body, headers=each).json()["id"] for each in headers}
        assert len(ids) == 2


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_has_a_length(served: Served, key: str) -> None:
    body = {"filename": "a", "purpose": "batch", "mime_type": "x", "bytes": 3}
    answer = served.client.post("/uploads", json=body, headers={"idempotency-key": key})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_idempotency_key")
