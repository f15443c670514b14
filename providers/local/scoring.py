"""How well a local model expects responses: their nats and tokens, from the torch process."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.errors import UserError
from broker.jobs.blocking import blocking
from broker.sandbox.writer import NAME as WRITER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker.jobs.spec import ModelRef
    from broker.worker.pool import WorkerPool


async def score_lines(
    workers: WorkerPool,
    model: ModelRef,
    lines: Sequence[str],
    *,
    base: str | None = None,
    batch_size: int | None = None,
    max_length: int | None = None,
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> tuple[list[tuple[float, float]], int]:
    """Score chat rows.

    Args:
        workers: The torch processes.
        model: A local model.
        lines: Canonical chat rows, one a line.
        base: Folder or hub id of the base, where `model.name` is only a name (`sandbox`).
        batch_size: Rows at once.
        max_length: Longest row, tokens; the rest is cut off.
        on_event: Receives progress.

    Returns:
        Nats and tokens of each row's assistant turns, and how many rows were cut off.

    Raises:
        UserError: The model has no weights.
        WorkerError: It failed.
    """
    if model.name == WRITER:
        raise UserError(
            f"{WRITER} works by rules: it expects nothing of a text", where="--model", fix="--model sandbox"
        )
    found: dict[int, tuple[float, float]] = {}

    def tell(event: dict[str, Any]) -> None:
        if event["kind"] == "scores":
            found.update({row["index"]: (row["nats"], row["tokens"]) for row in event["rows"]})
        elif on_event is not None:
            on_event(event)

    with tempfile.TemporaryDirectory(prefix="broker-scoring-") as folder:
        file = Path(folder) / "rows.jsonl"
        await blocking(_write, file, lines)
        args = {
            "model": base or await blocking(_place, model.name),
            "adapter": model.adapter,
            "precision": model.precision or "bf16",
            "file": str(file),
            "batch_size": batch_size,
            "max_length": max_length,
        }
        result = await workers.call("perplexity", args, on_event=tell)
    return [found[index] for index in range(len(lines))], int(result["truncated_rows"])


def _place(name: str) -> str:
    folder = Path(name).expanduser()
    return str(folder.resolve()) if folder.is_dir() else name


def _write(file: Path, lines: Sequence[str]) -> None:
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
