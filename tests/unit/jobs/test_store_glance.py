"""The quick look sees what the store sees."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from broker.errors import StoreError, UnknownNameError
from broker.jobs.ids import new_job_id
from broker.jobs.records import EventKind, Experiment, Failure, NewEvent, NewJob, Wish
from broker.jobs.spec import DatasetRef, EvaluateSpec, ModelRef, PromptPolicy, RowFormat, Spec, SynthesizeSpec, TuneSpec
from broker.jobs.states import JobKind, State
from broker.jobs.store import Store, open_store, open_view
from broker.jobs.store.glance import Glance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Life = Any

OTHER = DatasetRef(
    sha256="cd" * 32,
    name="v",
    format=RowFormat.PREFERENCE,
    rows=1,
    bytes=2,
    tokens=3,
    longest_tokens=4,
    extra_sha256="ef" * 32,
)


@pytest.fixture
def filled(tmp_path: Path, sqlite_life: Callable[[Store], Life]) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path}/broker.db")
    life = sqlite_life(store)
    notes = {"encoder": "x", "deep": [1, {"y": None}]}
    store.add_experiment(Experiment(name="b", created_at=datetime.now(UTC), budget_usd=3.0, notes=notes))
    leases = [life.claimed(label=f"job {n}", priority=n) for n in range(6)]
    life.end(leases[0], State.SUCCEEDED, model=ModelRef(provider="p", name="n"), result={"loss": 0.5}, cost_usd=0.5)
    look = Failure(code="c", message="m", fix="f", at=datetime.now(UTC))
    life.end(leases[1], State.FAILED, failure=Failure(code="c", message="m"), look=look)
    store.restart(leases[1].job_id)
    life.submitted(leases[2])
    store.record_send(leases[2], store.job(leases[2].job_id).intent_key or "")
    store.wish(leases[2].job_id, Wish.CANCEL)
    model = ModelRef(provider="p", name="n", adapter="/a", precision="int8")
    policy = PromptPolicy(name="concise", system="s")
    synthesize = SynthesizeSpec(
        provider="p",
        model="m",
        pipeline="qa",
        source="s",
        source_name="n",
        rows=3,
        output="o",
        options={"list": ("a",), "n": 1.5, "none": None},
    )
    specs: list[Spec] = [
        EvaluateSpec(provider="p", validation=OTHER, model=model, policy=policy, metrics=("a", "b"), encoder="e"),
        TuneSpec(provider="p", model="m", train=OTHER, validation=OTHER, suffix="s", metadata={"k": "v"}),
        synthesize,
    ]
    store.add_jobs("b", [NewJob(id=new_job_id(kind), spec=spec) for kind, spec in zip(_KINDS, specs, strict=True)])
    store.append_events([NewEvent(job_id=leases[0].job_id, kind=EventKind.LOG, data={"x": [1, "ü"]})] * 5)
    store.add_model(model, alias="casual", job_id=None)
    store.reserve_expense("b", "judge x--y", 0.5)
    store.settle_expense("b", "judge x--z", 0.25)
    yield store
    store.close()


_KINDS = (JobKind.EVALUATE, JobKind.TUNE, JobKind.SYNTHESIZE)
_QUERIES: list[dict[str, Any]] = [
    {},
    {"experiment": "b"},
    {"experiment": "none"},
    {"newest_first": True, "limit": 3, "offset": 2},
    {"offset": 4},
    {"limit": 0},
    {"states": [State.SUCCEEDED, State.SUBMITTING]},
    {"states": []},
    {"kinds": [JobKind.SYNTHESIZE], "providers": ["p", "q"], "experiment": "b"},
]


def test_the_view_answers_like_the_store(filled: Store, tmp_path: Path) -> None:
    view = open_view(f"sqlite:///{tmp_path}/broker.db")
    assert isinstance(view, Glance)
    for query in _QUERIES:
        assert view.jobs(**query) == filled.jobs(**query), query
    jobs = filled.jobs()
    handles = [job.handle.id for job in jobs if job.handle]
    assert view.jobs(handles=handles) == filled.jobs(handles=handles) != []
    for job in jobs:
        assert view.job(job.id) == view.job(job.id[:-2]) == job
        assert view.intents(job.id) == filled.intents(job.id)
        assert view.events(job.id, after=2, limit=4) == filled.events(job.id, after=2, limit=4)
    assert view.events() == filled.events()
    assert view.last_seq() == filled.last_seq()
    assert view.models() == filled.models() != []
    assert view.experiments() == filled.experiments()
    assert view.experiment("b") == filled.experiment("b")
    for name in ("tone", "b", "none"):
        assert view.count_jobs(experiment=name) == filled.count_jobs(experiment=name)
        assert view.spent(name) == filled.spent(name)
        assert view.expenses(name) == filled.expenses(name)
    assert len(view.expenses("b")) == 2
    assert view.count_jobs() == filled.count_jobs()
    for wrong in ("tune-", "", "tune-none", jobs[0].id + "x"):
        with pytest.raises(UnknownNameError) as seen:
            view.job(wrong)
        with pytest.raises(UnknownNameError) as stored:
            filled.job(wrong)
        assert str(seen.value) == str(stored.value)
    with pytest.raises(UnknownNameError, match="no experiment 'c'"):
        view.experiment("c")
    view.close()


def test_a_store_that_is_not_there_yet_is_empty_and_stays_away(tmp_path: Path) -> None:
    view = open_view(f"sqlite:///{tmp_path}/data/broker.db")
    assert (view.jobs(), view.count_jobs(), view.events(), view.experiments()) == ([], {}, [], [])
    assert (view.last_seq(), view.spent("x")) == (0, 0.0)
    with pytest.raises(UnknownNameError):
        view.job("tune-x")
    view.close()
    assert list(tmp_path.iterdir()) == []


def test_other_stores_are_opened_in_full(store_url: str) -> None:
    if store_url.startswith("sqlite"):
        open_store(store_url).close()
        engine_url = store_url + "?timeout=5"
    else:
        engine_url = store_url
    view = open_view(engine_url)
    assert not isinstance(view, Glance)
    assert view.jobs() == []
    view.close()


def test_an_old_schema_is_brought_up_to_date_first(tmp_path: Path) -> None:
    (tmp_path / "broker.db").write_bytes(b"")
    view = open_view(f"sqlite:///{tmp_path}/broker.db")
    assert not isinstance(view, Glance)
    view.close()
    view = open_view(f"sqlite:///{tmp_path}/broker.db")
    assert isinstance(view, Glance)
    view.close()


def test_a_file_that_is_no_store_is_explained(tmp_path: Path) -> None:
    (tmp_path / "broker.db").write_bytes(b"no database " * 100)
    with pytest.raises(StoreError, match=r"cannot be read: file is not a database"):
        open_view(f"sqlite:///{tmp_path}/broker.db")


def test_the_view_is_light(filled: Store, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom broker.jobs.store import open_view\n"
        f"assert len(open_view('sqlite:///{tmp_path}/broker.db').jobs()) == {len(filled.jobs())}\n"
        "print(sorted({'sqlalchemy', 'alembic', 'pydantic', 'asyncio', 'anyio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
