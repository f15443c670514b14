"""A tuned local model as one folder that needs no PEFT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.errors import Problem, SpecError
from broker.jobs.blocking import blocking

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from broker.jobs.spec import ModelRef
    from broker.worker.pool import WorkerPool


async def export_merged(
    workers: WorkerPool,
    model: ModelRef,
    output: Path,
    *,
    base: str | None = None,
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Merge an adapter into its base and write the whole model in bf16, checked against the adapter's logits.

    The merge is into bf16 whatever the adapter was trained on: into int8 it would lose what was learnt.

    Args:
        workers: The torch processes.
        model: A tuned local model.
        output: Folder to write; must not exist or be empty.
        base: Folder or hub id of the base, where `model.name` is only a name (`sandbox`).
        on_event: Receives progress.

    Returns:
        `output`, `max_abs_diff` and `mean_abs_diff` between the logits of adapter and merged model, `logit_scale`
        (their standard deviation) and `argmax_agreement` (share of places with the same most likely token).

    Raises:
        SpecError: The model has no adapter, or the folder has something in it.
        WorkerError: It failed; the folder is not left half-written.
    """
    problems: list[Problem] = []
    if model.adapter is None:
        problems.append(Problem(where=model.label, what="this model has no adapter to merge", fix="name a tuned model"))
    if await blocking(_occupied, output):
        problems.append(Problem(where=str(output), what="the folder is not empty", fix="name a new one"))
    if problems:
        raise SpecError(problems)
    args = {"model": base or model.name, "adapter": model.adapter, "output": str(output)}
    return await workers.call("merge", args, on_event=on_event)


def _occupied(output: Path) -> bool:
    return output.exists() and (not output.is_dir() or any(output.iterdir()))
