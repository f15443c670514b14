"""`/fine_tuning/jobs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.server.bodies import NewJob
from broker.server.jobview import checkpoint_views, event_views, job_view
from broker.server.pages import cut, list_body, metadata_query, page_query
from broker.server.parts import answer, json_body, no_body, owner_of, parts_of
from broker.server.validation import validated

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MOST = 100
_JOBS = 20
_EVENTS = 20
_MOST_EVENTS = 1000
_CHECKPOINTS = 10


async def create(request: Request) -> Response:
    """Take a job; its files are read in the background."""
    parts = parts_of(request)
    raw, data = await json_body(request)
    body = validated(NewJob, data)
    async with parts.keys.promise(request, raw, "ftjob-") as job_id:
        record = await parts.jobs.create(job_id, body, owner_of(request))
        _, job = await parts.jobs.get(record.id)
        return answer(job_view(record, job, parts.config.organization))


async def listing(request: Request) -> Response:
    """List jobs, newest first; those with all of `metadata[key]=value` if asked."""
    parts = parts_of(request)
    asked = page_query(request.query_params, default=_JOBS, most=MOST)
    wanted = metadata_query(request.query_params).items()
    records = [record for record in await parts.jobs.records() if wanted <= (record.metadata or {}).items()]
    page, more = cut(records, asked, lambda record: record.id)
    views = [job_view(record, job, parts.config.organization) for record, job in await parts.jobs.with_jobs(page)]
    return answer(list_body(views, more))


async def retrieve(request: Request) -> Response:
    """Return one job."""
    parts = parts_of(request)
    record, job = await parts.jobs.get(request.path_params["job_id"])
    return answer(job_view(record, job, parts.config.organization))


async def cancel(request: Request) -> Response:
    """End a job."""
    await no_body(request)
    parts = parts_of(request)
    record, job = await parts.jobs.cancel(request.path_params["job_id"])
    return answer(job_view(record, job, parts.config.organization))


async def pause(request: Request) -> Response:
    """Pause a job."""
    await no_body(request)
    parts = parts_of(request)
    record, job = await parts.jobs.pause(request.path_params["job_id"])
    return answer(job_view(record, job, parts.config.organization))


async def resume(request: Request) -> Response:
    """Go on with a paused job."""
    await no_body(request)
    parts = parts_of(request)
    record, job = await parts.jobs.resume(request.path_params["job_id"])
    return answer(job_view(record, job, parts.config.organization))


async def events(request: Request) -> Response:
    """List the events of a job, newest first."""
    parts = parts_of(request)
    asked = page_query(request.query_params, default=_EVENTS, most=_MOST_EVENTS)
    record, _ = await parts.jobs.get(request.path_params["job_id"])
    views = event_views(record, await parts.jobs.events(record))
    page, more = cut(views, asked, lambda view: str(view["id"]))
    return answer(list_body(page, more))


async def checkpoints(request: Request) -> Response:
    """List the checkpoints of a job, newest first."""
    parts = parts_of(request)
    asked = page_query(request.query_params, default=_CHECKPOINTS, most=MOST)
    record, _ = await parts.jobs.get(request.path_params["job_id"])
    views = checkpoint_views(record, await parts.jobs.checkpoints(record), parts.config.organization)
    page, more = cut(views, asked, lambda view: str(view["id"]))
    return answer(list_body(page, more))
