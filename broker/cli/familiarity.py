"""`broker data familiarity`: how well the model to be tuned expects responses."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli import context
from broker.cli.output import OUT
from broker.errors import EXIT_INTERRUPTED, EXIT_OK, UserError

if TYPE_CHECKING:
    from broker.api import Broker
    from broker.evaluation.familiarity import Familiarity, SourcePair
    from broker.evaluation.statistics import Interval

FAMILIARITY_HELP = """How familiar a model is with the responses that it shall learn: their perplexity under it.

Only the assistant's tokens count, in the model's own chat template. Lower is more familiar, and responses of low
perplexity train better (arXiv 2402.11192). Preference rows are read as two sources. The model runs on this machine.

[bold]Examples[/bold]

  broker data familiarity train.jsonl --model sandbox

  broker data familiarity human.jsonl gpt.jsonl --model meta-llama/Llama-3.2-1B-Instruct --precision int8

  broker data familiarity a.jsonl b.jsonl c.jsonl --model sandbox --pick lowest --output best.jsonl

  broker data familiarity train.jsonl --model tune-k3f9 --scores scores.jsonl

With --pick lowest each prompt, in however many files or rows it stands, keeps the response of the lowest perplexity.
"""


class Pick(StrEnum):
    """Which of a prompt's responses is kept."""

    LOWEST = "lowest"


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(help=FAMILIARITY_HELP)(familiarity)


def familiarity(
    data: Annotated[list[str], typer.Argument(help="Rows: files, or hf:NAME[:split].")],
    model: Annotated[str, typer.Option("--model", help="A local model: sandbox, a folder, a hub id, or a job.")],
    precision: Annotated[
        str | None, typer.Option("--precision", help="bf16, fp32, int8 or nf4.", show_default="bf16")
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option("--adapter", help="Folder of an adapter to put on it.", show_default=False)
    ] = None,
    pick: Annotated[
        Pick | None, typer.Option("--pick", help="Keep one response of each prompt.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where --pick writes.", show_default=False)
    ] = None,
    scores: Annotated[
        Path | None, typer.Option("--scores", help="Write each row's score as JSONL.", show_default=False)
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Responses at once.", min=1)] = 8,
    max_length: Annotated[int, typer.Option("--max-length", help="Longest row, tokens; more is cut.", min=8)] = 2048,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> int:
    """Measure perplexity."""
    from broker.cli.follow import Steps

    _check_written(pick, output, [path for path in (output, scores) if path is not None], force=force)
    steps = Steps()

    async def work(broker: Broker) -> Familiarity:
        return await broker.familiarity(
            data, model, precision=precision, adapter=adapter, batch_size=batch_size, max_length=max_length
        )

    try:
        found = context.run(work, drive=False, report=steps.report)
    except context.StoppedError:
        return EXIT_INTERRUPTED
    finally:
        steps.close()
    if scores is not None:
        from broker.evaluation.familiarity import score_lines
        from broker.jobs.datasets import write_lines

        write_lines(scores, score_lines(found))
    kept = _write_picked(found, output) if output is not None else None
    if OUT.json:
        OUT.data({**_familiarity_data(found), "picked": kept})
    else:
        _print_familiarity(found)
        if kept is not None:
            OUT.say(f"{kept['rows']} prompts in {kept['output']}, each with its most familiar response")
            OUT.say(", ".join(f"{count} of {source}" for source, count in kept["of"].items()))
            if kept["alone"]:
                OUT.note(f"{kept['alone']} of them had no other response to choose from", style="dim")
            if kept["unscored"]:
                OUT.warn(f"{kept['unscored']} prompts have no response with a token to score: left out")
    return EXIT_OK


def _check_written(pick: Pick | None, output: Path | None, written: list[Path], *, force: bool) -> None:
    if (pick is None) is not (output is None):
        raise UserError("--pick and --output go together", where="--pick", fix="--pick lowest --output best.jsonl")
    if len({path.resolve() for path in written}) < len(written):
        raise UserError("the kept rows and the scores go to one file", where="--scores", fix="name another file")
    for path in written:
        if path.exists() and not force:
            raise UserError(f"{path} exists", where="--output, --scores", fix="name another file, or --force")


def _write_picked(found: Familiarity, output: Path) -> dict[str, Any]:
    from broker.evaluation.familiarity import pick_lowest
    from broker.jobs.datasets import mixed_lines, write_lines

    dataset, unscored = pick_lowest(found, output.name)
    write_lines(output, mixed_lines(dataset))
    origins = Counter(str(row.extra["provenance"]["source"]) for row in dataset.rows)
    told = {source.source: origins[source.source] for source in found.sources}
    alone = sum(not row.extra["provenance"]["rivals"] for row in dataset.rows)
    return {"output": str(output), "rows": len(dataset.rows), "of": told, "unscored": unscored, "alone": alone}


def _familiarity_data(found: Familiarity) -> dict[str, Any]:
    from broker.jobs.codec import dump

    return {
        "model": found.model,
        "conditions": dict(found.conditions),
        "sources": [dump(source) for source in found.sources],
        "pairs": [dump(pair) for pair in found.pairs],
        "truncated": found.truncated,
    }


def _print_familiarity(found: Familiarity) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    title = f"perplexity under {found.model}"
    heads = ("source", "rows", "tokens", "perplexity", "mean of rows", "median")
    table = Table(*heads, box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for source in found.sources:
        rows = str(source.rows) if source.scored == source.rows else f"{source.scored} of {source.rows}"
        numbers = (_interval(source.perplexity), _interval(source.mean), _number(source.median))
        table.add_row(*(Text(cell) for cell in (source.source, rows, f"{source.tokens:,.0f}", *numbers)))
    OUT.table(table)
    for pair in found.pairs:
        OUT.say(_verdict(pair))
    OUT.note("; ".join(f"{name}: {value}" for name, value in found.conditions.items()), style="dim")
    if found.truncated:
        OUT.warn(f"{found.truncated} responses were longer than the model or --max-length takes, and were cut")


def _verdict(pair: SourcePair) -> str:
    how = f"{pair.n} prompts in common, paired" if pair.paired else "different prompts"
    if pair.ratio is None:
        return f"{pair.left} and {pair.right}: too few rows to compare"
    ends = "" if pair.low is None or pair.high is None else f" [{_number(pair.low)}, {_number(pair.high)}]"
    ratio = f"{_number(pair.ratio)}{ends} times the perplexity"
    said = ratio if pair.differs else f"cannot be told apart, {ratio}"
    p = "p < 0.001" if pair.p < 0.001 else f"p = {pair.p:.3f}"
    return f"{pair.left} over {pair.right}: {said} ({how}; {pair.method}, {p})"


def _interval(interval: Interval) -> str:
    ends = "" if interval.low is None else f" [{_number(interval.low)}, {_number(interval.high)}]"
    return _number(interval.value) + ends


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
