"""`/healthz` and `/metrics`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from starlette.responses import Response

from broker.server.jobview import status_of
from broker.server.metrics import CONTENT_TYPE
from broker.server.parts import answer, parts_of

if TYPE_CHECKING:
    from starlette.requests import Request


async def healthz(request: Request) -> Response:
    """Say that the server answers. Needs no token."""
    del request
    return answer({"status": "ok"})


async def metrics(request: Request) -> Response:
    """Return the counters for Prometheus."""
    parts = parts_of(request)
    pairs = await parts.jobs.with_jobs(await parts.jobs.records())
    counted = Counter(status_of(record, job) for record, job in pairs)
    for status in ("validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"):
        parts.metrics.jobs.labels(status).set(counted[status])
    parts.metrics.batches.set(parts.batches.open)
    return Response(parts.metrics.text(), media_type=CONTENT_TYPE)
