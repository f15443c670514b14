"""Events and the ledgers beside the jobs."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from broker.jobs.records import EventKind, NewEvent, NewJob
from broker.jobs.spec import ModelRef

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.jobs.records import Event
    from broker.jobs.store import Store

    Life = Any


def _progress(job_id: str, step: int, **fields: Any) -> NewEvent:
    return NewEvent(job_id=job_id, kind=EventKind.PROGRESS, data={"step": step}, **fields)


def test_events_come_in_order_and_once(life: Life, store: Store) -> None:
    one, two = life.added(), life.added()
    start = store.last_seq()
    then = datetime(2026, 5, 7, 12, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    store.append_events([_progress(one.id, step, source_id=f"e{step}", at=then) for step in range(5)])
    store.append_events([_progress(one.id, step, source_id=f"e{step}") for step in range(3, 8)])
    store.append_events([_progress(two.id, 0, source_id="e0"), _progress(two.id, 1), _progress(two.id, 1)])
    store.append_events([])
    mine = store.events(one.id, after=start)
    assert [event.data["step"] for event in mine] == list(range(8))
    assert mine[0].at == then
    assert mine[0].at.utcoffset() == timedelta(0)
    assert abs(mine[-1].at - datetime.now(UTC)) < timedelta(minutes=1)
    everything = store.events(after=start)
    assert [event.seq for event in everything] == sorted(event.seq for event in everything)
    assert [event.data["step"] for event in everything if event.job_id == two.id] == [0, 1, 1]
    assert store.last_seq() == everything[-1].seq
    assert store.events(after=store.last_seq()) == []
    assert store.events("tune-none") == []
    followed: list[Event] = []
    after = start
    while page := store.events(one.id, after=after, limit=3):
        followed, after = [*followed, *page], page[-1].seq
    assert followed == mine


def test_numbers_that_json_lacks_are_stored_as_null(life: Life, store: Store) -> None:
    job = life.added()
    data = {"loss": float("nan"), "curve": [1.5, float("inf")], "text": "\u0000 \ud83d ü"}
    store.append_events([NewEvent(job_id=job.id, kind=EventKind.LOG, data=data)])
    assert store.events(job.id)[-1].data == {"loss": None, "curve": [1.5, None], "text": "\u0000 \ud83d ü"}


def test_a_reader_misses_no_event_of_writers_beside_it(life: Life, open_one: Callable[[], Store]) -> None:
    jobs = life.add(*(life.tune() for _ in range(6)))
    each = 40
    reader, start = open_one(), life.store.last_seq()

    def write(store: Store, job: NewJob) -> None:
        for step in range(0, each, 2):
            store.append_events([_progress(job.id, step), _progress(job.id, step + 1)])

    threads = [threading.Thread(target=write, args=(open_one(), job)) for job in jobs]
    for thread in threads:
        thread.start()
    seen, after = 0, start
    while any(thread.is_alive() for thread in threads) or reader.last_seq() > after:
        for event in reader.events(after=after, limit=7):
            assert event.seq > after
            seen, after = seen + 1, event.seq
    for thread in threads:
        thread.join()
    assert seen == len(jobs) * each


def test_uploads(store: Store) -> None:
    store.remember_upload("openai", "aa", "fine-tune", "file-1")
    store.remember_upload("openai", "aa", "batch", "file-2")
    store.remember_upload("azure", "aa", "fine-tune", "file-1")
    assert store.upload("openai", "aa", "fine-tune") == "file-1"
    assert store.upload("openai", "bb", "fine-tune") is None
    store.remember_upload("openai", "aa", "fine-tune", "file-3")
    assert store.upload("openai", "aa", "fine-tune") == "file-3"
    store.forget_upload("openai", "file-3")
    store.forget_upload("openai", "file-none")
    assert store.upload("openai", "aa", "fine-tune") is None
    assert store.upload("openai", "aa", "batch") == "file-2"
    assert store.upload("azure", "aa", "fine-tune") == "file-1"


def test_models(store: Store) -> None:
    first = ModelRef(provider="local", name="sandbox", adapter="/a", precision="bf16")
    store.add_model(first, alias="casual", job_id="tune-1")
    store.add_model(
        ModelRef(provider="openai", name="ft:x"), alias="x", job_id=None, at=datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert [(alias, job) for alias, _, job in store.models()] == [("x", None), ("casual", "tune-1")]
    assert store.models()[1][1] == first
    again = ModelRef(provider="local", name="sandbox", adapter="/b")
    store.add_model(again, alias="casual", job_id="tune-2")
    assert store.models()[0] == ("casual", again, "tune-2")
    assert len(store.models()) == 2


def test_documents(store: Store, open_one: Callable[[], Store]) -> None:
    store.put_document("file", "b", {"n": [1, {"x": None}], "at": datetime(2026, 1, 1, tzinfo=UTC)})
    store.put_document("file", "a", {"n": 2})
    store.put_document("token", "a", {"n": 3})
    store.put_document("file", "b", {"n": "new"})
    other = open_one()
    assert other.documents("file") == {"b": {"n": "new"}, "a": {"n": 2}}
    assert list(other.documents("file")) == ["b", "a"]
    assert other.document("token", "a") == {"n": 3}
    assert other.document("file", "none") is None
    assert other.documents("none") == {}
    assert store.delete_document("file", "b") is True
    assert store.delete_document("file", "b") is False
    assert list(other.documents("file")) == ["a"]
