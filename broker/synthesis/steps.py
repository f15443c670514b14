"""Ready-made steps and sources."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from broker.evaluation.flesch import flesch
from broker.synthesis.dedupe import THRESHOLD, Dedupe
from broker.synthesis.flow import blocks, each
from broker.synthesis.rows import RejectedError, Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from broker.synthesis.flow import Bench, Step

_BLOCK = 256
ANSWER = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}


async def sections(records: Sequence[Mapping[str, Any]], bench: Bench) -> AsyncIterator[Row]:
    """Yield source texts that are long enough, shuffled with the job's seed, as often as `passes` says.

    Options: `min_chars` (arXiv 2507.04889, 2.2: 700), `passes`.

    Args:
        records: Source rows with `text` and perhaps `title`.
        bench: Options and seed.
    """
    for turn in range(int(bench.options.get("passes", 1))):
        for index in order(records, bench):
            record = records[index]
            digest = hashlib.sha256(str(record["text"]).encode()).hexdigest()[:16]
            source = {"title": record.get("title", ""), "index": index, "sha256": digest}
            yield Row(id=f"{index}" if not turn else f"{index}.{turn}", source=source, data=record)


def order(records: Sequence[Mapping[str, Any]], bench: Bench) -> list[int]:
    """Return the places of the texts that are long enough, in the order in which they are used."""
    places = long_enough(records, int(bench.options.get("min_chars", 0)))
    bench.random("order").shuffle(places)
    return places


def long_enough(records: Sequence[Mapping[str, Any]], min_chars: int) -> list[int]:
    """Return the places of the source texts with at least so many characters."""
    return [index for index, record in enumerate(records) if len(str(record["text"])) >= min_chars]


def readable(field: str = "answer", *, prompt: str = "simplify") -> Step:
    """Let through what is easy to read; have it simplified up to so many times, then reject it.

    Options: `min_flesch` (75), `simplifications` (3); both arXiv 2507.04889, 2.2. The pipeline declares the prompt.

    Args:
        field: The value that is scored.
        prompt: Asks for an easier one; gives JSON with the key `answer`.
    """

    async def gate(row: Row, bench: Bench) -> Row:
        least, most = float(bench.options.get("min_flesch", 75)), int(bench.options.get("simplifications", 3))
        score = await _flesch(row[field], bench)
        row.trail.scores["flesch_first"] = score
        for _ in range(most):
            if score >= least:
                break
            easier = await bench.ask(row, prompt, schema=ANSWER)
            row = row.having(**{field: easier["answer"]})
            score = await _flesch(row[field], bench)
        row.trail.scores["flesch"] = score
        if score < least:
            raise RejectedError("flesch", f"{score:.1f} < {least:g} after {most} simplifications")
        return row

    return each(gate)


async def _flesch(text: str, bench: Bench) -> float:
    score = await bench.compute(flesch, text)
    if score is None:
        raise RejectedError("empty", "the answer has no word")
    return score


def deduplicated(field: str = "question") -> Step:
    """Let through rows whose value is not too much like that of one that came through before.

    Option: `max_cosine` (0.8; arXiv 2507.04889, 2.2). Exact: every row is compared with every accepted one.

    Args:
        field: The value whose embeddings are compared.
    """

    async def step(rows: AsyncIterator[Row], bench: Bench) -> AsyncIterator[Row]:
        most = float(bench.options.get("max_cosine", THRESHOLD))
        dedupe = Dedupe(threshold=most)
        bench.tasks.start_soon(bench.embed, [field])  # the encoder loads while the first answers are made
        async for block in blocks(rows, bench, _BLOCK):
            vectors = await bench.embed([row[field] for row in block])
            verdicts = await to_thread.run_sync(dedupe.admit, vectors, [row.id for row in block])
            for row, verdict in zip(block, verdicts, strict=True):
                if verdict.cosine is not None:
                    row.trail.scores["nearest"] = verdict.cosine
                if verdict.accepted:
                    yield row
                else:
                    bench.reject(row, "duplicate", f"cosine {verdict.cosine:.3f} > {most:g} with row {verdict.nearest}")

    return step
