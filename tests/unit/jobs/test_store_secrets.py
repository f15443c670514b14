"""No secret reaches the store, whichever way it is let slip."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from broker.jobs.records import EventKind, Failure, NewEvent
from broker.jobs.spec import ModelRef
from broker.jobs.states import State
from broker.jobs.store import open_store
from broker.jobs.store.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from broker.jobs.store import Store

    Life = Any

CANARY = 'canary"\\-1234567890'
SHAPED = "sk-proj-Ab3dEf6hIj9lMn2pQr5t"


def test_a_known_secret_is_written_nowhere(tmp_path: Path, sqlite_life: Callable[[Store], Life]) -> None:
    store = open_store(f"sqlite:///{tmp_path}/broker.db", secrets=[CANARY, "short"])
    life = sqlite_life(store)
    text = f"Authorization: {CANARY}, short"
    lease = life.claimed(label=text)
    store.transition(
        lease, State.PREPARING, data={"note": [text, {"deep": text}]}, look=Failure(code="x", message=text)
    )
    store.update(lease, remote_status=text, model=ModelRef(provider="p", name=text), result={"why": text})
    store.append_events([NewEvent(job_id=lease.job_id, kind=EventKind.LOG, data={"message": text})])
    store.put_document("d", "n", {"key": text, "again": CANARY})
    job = store.job(lease.job_id)
    assert job.look is not None
    assert job.look.message == "Authorization: [hidden], short"
    assert job.label == job.remote_status == "Authorization: [hidden], short"
    store.close()
    for path in tmp_path.iterdir():
        for form in (CANARY, json.dumps(CANARY)[1:-1], CANARY[-10:]):
            assert form.encode() not in path.read_bytes()


def test_what_looks_like_a_key_is_hidden_in_messages_only(life: Life, store: Store) -> None:
    lease = life.claimed()
    text = f"Incorrect API key provided: {SHAPED}. Header: Bearer abcdef0123456789abcdef=="
    failure = Failure(code="auth", message=text, fix=text)
    store.transition(lease, State.FAILED, data={"message": text}, failure=failure, result={"path": f"/a/{SHAPED}"})
    job = store.job(lease.job_id)
    assert job.failure is not None
    assert job.failure.message == job.failure.fix == "Incorrect API key provided: [hidden]. Header: [hidden]"
    assert SHAPED not in json.dumps([dict(event.data) for event in store.events()])
    assert job.result == {"path": f"/a/{SHAPED}"}


@pytest.mark.parametrize(
    "harmless",
    [
        "task-abcdefghijklmnop-1234567890",
        "sk-learn-without-numbers-in-its-name",
        "ftjob-AbCdEf123456AbCdEf123456",
        "bearer of bad news that goes on and on",
        "hf_model",
        "ab" * 32,
    ],
)
def test_what_is_no_key_stays(harmless: str) -> None:
    assert Redactor().message({"x": [harmless]}) == {"x": [harmless]}
