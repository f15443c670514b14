"""Polling costs the smaller of one request for each job and the pages back to the oldest of them."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.errors import RefusedError, UnavailableError
from broker.providers.openai_tuning.listing import pages
from broker.providers.openai_tuning.looks import Looks

if TYPE_CHECKING:
    from broker.providers.foreign_json import Item

pytestmark = pytest.mark.anyio


@dataclass
class Remote:
    """A listing in memory, newest first."""

    ids: list[str] = field(default_factory=list[str])
    lists: bool = True

    def item(self, job_id: str) -> Item:
        return {"id": job_id, "status": "running", "created_at": int(job_id[1:])}

    async def page(self, after: str | None) -> Item:
        if not self.lists:
            raise RefusedError("no listing here")
        start = self.ids.index(after) + 1 if after else 0
        chosen = self.ids[start : start + 100]
        return {"data": [self.item(one) for one in chosen], "has_more": start + 100 < len(self.ids)}

    async def one(self, job_id: str) -> Item | None:
        return self.item(job_id) if job_id in self.ids else None

    def add(self, count: int) -> None:
        for _ in range(count):
            self.ids.insert(0, f"j{len(self.ids)}")


def remote(count: int) -> Remote:
    made = Remote()
    made.ids = [f"j{n}" for n in reversed(range(count))]
    return made


def best(ids: list[str], remote: Remote) -> int:
    depth = max((remote.ids.index(one) for one in ids), default=-1)
    return min(len(ids), depth // 100 + 1)


async def cost(looks: Looks, ids: list[str]) -> int:
    before = looks.requests
    found, failed = await looks.look(ids, dict)
    assert sorted(found) == sorted(ids)
    assert failed == {}
    return looks.requests - before


@pytest.mark.parametrize("count", [1, 2, 99, 100, 101, 1000])
async def test_all_jobs_of_an_account_cost_one_request_for_a_hundred(count: int) -> None:
    far = remote(count)
    looks = Looks(fetch=far.page, retrieve=far.one)
    for _ in range(3):
        assert await cost(looks, far.ids) == math.ceil(count / 100)


async def test_few_old_jobs_under_many_others_cost_one_request_each() -> None:
    far = remote(20_000)
    looks = Looks(fetch=far.page, retrieve=far.one)
    old = far.ids[-5:]
    assert await cost(looks, old) <= 5 + 3
    for _ in range(3):
        assert await cost(looks, old) == 5


async def test_young_jobs_go_by_pages_and_a_few_old_ones_beside_them() -> None:
    far = remote(20_000)
    looks = Looks(fetch=far.page, retrieve=far.one)
    mixed = [*far.ids[:300], far.ids[10_000], far.ids[19_999]]
    await cost(looks, mixed)
    assert await cost(looks, mixed) == 3 + 2


async def test_new_jobs_push_the_known_ones_down() -> None:
    far = remote(1000)
    looks = Looks(fetch=far.page, retrieve=far.one)
    mine = far.ids[500:600]
    await cost(looks, mine)
    for _ in range(20):
        far.add(37)
        assert await cost(looks, mine) <= best(mine, far) + 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 4000))
@example(51, 10, 430)  # the first walk ends one page before the last three
@example(654, 10, 2482)  # pages without a job stand between pages with one, again and again
async def test_any_set_of_jobs_is_cheap_from_the_second_look_on(seed: int, wanted: int, total: int) -> None:
    far = remote(total)
    looks = Looks(fetch=far.page, retrieve=far.one)
    mine = random.Random(seed).sample(far.ids, min(wanted, total))
    first = await cost(looks, mine)
    second = await cost(looks, mine)
    assert first <= 2 * len(mine)
    assert second <= max(len(mine), 1)
    # Of n jobs below n // 2 pages without any, the walk knows no more than that: up to (n - 1) // 2 requests too many.
    assert second <= best(mine, far) + max(0, len(looks.deep) - 1) // 2


async def test_a_missing_job_is_missing_and_ended_ones_are_forgotten() -> None:
    far = remote(300)
    looks = Looks(fetch=far.page, retrieve=far.one)
    found, failed = await looks.look([*far.ids[:3], "j999999"], dict)
    assert (sorted(found), failed) == (sorted(far.ids[:3]), {})
    await looks.look(far.ids[:1], dict)
    assert set(looks.positions) | looks.deep <= set(far.ids[:1])


async def test_a_server_without_a_listing_is_asked_one_by_one() -> None:
    far = remote(10)
    far.lists = False
    looks = Looks(fetch=far.page, retrieve=far.one)
    assert await cost(looks, far.ids) == 11
    assert await cost(looks, far.ids) == 10


async def test_a_job_that_cannot_be_asked_for_is_told_apart() -> None:
    far = remote(3)

    async def broken(job_id: str) -> Item | None:
        if job_id == "j1":
            raise UnavailableError("not now")
        return await far.one(job_id)

    far.lists = False
    found, failed = await Looks(fetch=far.page, retrieve=broken).look(far.ids, dict)
    assert (sorted(found), sorted(failed)) == (["j0", "j2"], ["j1"])


@pytest.mark.parametrize("ending", ["same page for ever", "empty page", "null ids", "no data"])
async def test_pages_end_whatever_the_server_says(ending: str) -> None:
    calls = 0
    first = [{"id": "a"}, {"id": "b"}]

    async def fetch(_after: str | None) -> Item:
        nonlocal calls
        calls += 1
        later = {"same page for ever": first, "empty page": [], "null ids": [{"id": None}, 5, None]}
        data = first if calls == 1 else later.get(ending)
        return {"data": data, "has_more": True}

    found = [item async for page in pages(fetch) for item in page]
    assert [item["id"] for item in found] == ["a", "b"]
    assert calls == 2
