"""`broker data mix`: real and synthetic rows in a ratio."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli import context
from broker.cli.output import OUT
from broker.errors import EXIT_OK

if TYPE_CHECKING:
    from broker.jobs.datasets import Mix, MixPart

MIX_HELP = """Mix real with synthetic rows in a ratio, each row with where it came from.

The ratio is one of counts, A real rows and B synthetic ones; with --rows N it is one of shares of N rows.

[bold]Examples[/bold]

  broker data mix --real real.jsonl --synthetic made.jsonl --ratio 300:200 --output mixed.jsonl

  broker data mix --real real.jsonl --synthetic made.jsonl --ratio 60:40 --rows 500 --output mixed.jsonl

  broker data mix --real r.jsonl --synthetic s.jsonl --ratio 1:1 --rows 100 --stratify topic --seed 7 --output m.jsonl

The draw is stratified, so that each part of a file has its share: by --stratify KEY (a key beside the messages, such as
lineage.source.title), else by category or lineage.source.title where all rows of a file have it, else by length.
"""
# How many near-duplicates and strata are shown; --json has all.
_SHOWN = 5


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(help=MIX_HELP)(mix)


def mix(
    real: Annotated[str, typer.Option("--real", help="Rows that people wrote: a file, or hf:NAME[:split].")],
    synthetic: Annotated[str, typer.Option("--synthetic", help="Rows that a model wrote.")],
    ratio: Annotated[str, typer.Option("--ratio", help="A:B, counts; with --rows shares.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The JSONL file to write.")],
    rows: Annotated[
        int | None, typer.Option("--rows", help="Rows of the mix: the ratio is one of shares.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the draw and the order.")] = 0,
    stratify: Annotated[
        str | None, typer.Option("--stratify", help="A key beside the messages, length, or none.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the output if it is there.")] = False,
) -> int:
    """Mix real with synthetic rows."""
    from broker.api.curating import mix_files

    token = context.settings().hf_token
    mixed = mix_files(
        real,
        synthetic,
        ratio=ratio,
        output=output,
        rows=rows,
        seed=seed,
        stratify=stratify,
        overwrite=force,
        token=token.get_secret_value() if token else None,
    )
    if OUT.json:
        from broker.jobs.codec import dump

        parts = [dump(part) for part in mixed.parts]
        alike = [dump(found) for found in mixed.overlaps]
        total = len(mixed.dataset.rows)
        OUT.data({"output": str(output), "rows": total, "seed": seed, "parts": parts, "near_duplicates": alike})
    else:
        _print_mix(mixed, output)
    return EXIT_OK


def _print_mix(mixed: Mix, output: Path) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table("source", "file", "rows", "taken", "stratified by", box=box.SIMPLE_HEAD)
    for part in mixed.parts:
        cells = (part.source, part.file, str(part.rows), str(part.taken), f"{part.key}: {_strata(part)}")
        table.add_row(*(Text(cell) for cell in cells))
    OUT.table(table)
    OUT.say(f"{len(mixed.dataset.rows)} rows in {output}, seed {mixed.seed}")
    for part in mixed.parts:
        if part.held_out:
            OUT.warn(f"{part.held_out} rows of {part.file} are marked as validation: they are left out")
    if mixed.overlaps:
        OUT.warn(f"{len(mixed.overlaps)} synthetic prompt(s) are, or nearly are, real ones; they train twice:")
        for found in mixed.overlaps[:_SHOWN]:
            how = "the same as" if found.exact else f"like (similarity {found.similarity:.2f})"
            OUT.note(f'  synthetic line {found.validation_line} "{found.prompt}" is {how} real line {found.train_line}')
        if len(mixed.overlaps) > _SHOWN:
            OUT.note(f"  and {len(mixed.overlaps) - _SHOWN} more (--json lists them)")


def _strata(part: MixPart) -> str:
    told = [f"{one.name} {one.taken}/{one.rows}" for one in part.strata[:_SHOWN]]
    more = len(part.strata) - _SHOWN
    return ", ".join(told) + (f", {more} more" if more > 0 else "")
