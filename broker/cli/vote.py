"""`broker vote`: people say, blindly, which of two models answers better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from broker.cli import context
from broker.cli.output import OUT
from broker.errors import EXIT_OK, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from broker.api import Broker
    from broker.evaluation.preference import PreferenceResult
    from broker.voting import Booth

VOTE_HELP = """Let people say which of two models answers better, without knowing which is which.

[bold]Examples[/bold]

  broker vote sandbox warm

  broker vote sandbox warm --voters 3 --prompts 20

  broker vote sandbox warm --ask "Which answer sounds more human?"

  broker vote sandbox warm --terminal

  broker vote --results

A and B are rows of the table: a label, a model, or the id of a job. The page needs no login beyond the link. Every vote
is stored at once: end with Ctrl-C, and the same command goes on later. More in docs/voting.md.
"""


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(help=VOTE_HELP, rich_help_panel="Results")(vote)


def vote(
    first: Annotated[str | None, typer.Argument(metavar="A", help="One row of the table.")] = None,
    second: Annotated[str | None, typer.Argument(metavar="B", help="Another one.")] = None,
    experiment: Annotated[str | None, typer.Option(help="Name of the experiment; the newest when not given.")] = None,
    prompts: Annotated[int | None, typer.Option(help="Most prompts to ask; all when not given.", min=1)] = None,
    ask: Annotated[
        str | None, typer.Option(help="What voters are asked.", show_default="Which answer do you prefer?")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Chooses the prompts.", show_default="713")] = None,
    show_expected: Annotated[bool, typer.Option("--show-expected", help="Show the expected answer too.")] = False,
    voters: Annotated[
        int | None, typer.Option(help="So many personal links, rather than one link for everybody.", min=1, max=1000)
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(help="Port to listen on; the last one of this vote, else a free one.", min=0, max=65535),
    ] = None,
    url: Annotated[str | None, typer.Option(help="What the links begin with, behind a proxy.")] = None,
    terminal: Annotated[bool, typer.Option("--terminal", help="Vote here rather than on a page.")] = False,
    voter: Annotated[str | None, typer.Option(help="Your name, in the terminal.")] = None,
    results: Annotated[bool, typer.Option("--results", help="Count the votes cast so far, end.")] = False,
) -> int:
    """Hold a blind vote."""
    if results:
        return _results(first, second, experiment)
    if first is None or second is None:
        raise UserError("which two models?", fix="broker vote A B; broker results shows the names")
    if voter is not None and not terminal:
        raise UserError(
            "names are for the terminal: on the page a link is who one is", where="--voter", fix="--terminal"
        )
    base = _base(url)
    if terminal:
        from broker.cli.booth import check_terminal

        check_terminal()

    chosen: dict[str, Any] = {"prompts": prompts, "seed": seed, "criterion": ask, "show_expected": show_expected}
    given = {name: value for name, value in chosen.items() if value is not None}

    async def opened(broker: Broker) -> tuple[Booth, Path]:
        return await broker.booth(first, second, experiment, **given), broker.data_dir

    booth, data_dir = context.run(opened, drive=False)
    if terminal:
        from broker.cli.booth import vote_here

        return vote_here(booth, data_dir, voter)
    return _hold(booth, data_dir, voters, host, port, base)


def _hold(booth: Booth, data_dir: Path, voters: int | None, host: str, port: int | None, base: str | None) -> int:
    """Serve until Ctrl-C, then count."""
    from broker.cli.hall import Hall
    from broker.voting.counting import count_votes

    Hall(booth, voters).hold(host, port, base)
    result = count_votes(booth, data_dir)
    OUT.note(f"in the table:  broker results {result.pair.experiment}", style="dim")
    OUT.note("go on:         the same command; personal links hold", style="dim")
    show_preferences([result] if result.n else [])
    return EXIT_OK


def show_preferences(results: Sequence[PreferenceResult]) -> None:
    """Print what people prefer, or its data with `--json`."""
    from broker.results.export import preference_data
    from broker.results.preferences import preference_notes, preference_warnings

    if OUT.json:
        OUT.data([preference_data(result) for result in results])
        return
    for line in preference_warnings(results):
        OUT.warn(line)
    for line in preference_notes(results) or ["no votes yet"]:
        OUT.console.print(line, markup=False, highlight=False, soft_wrap=not OUT.console.is_terminal)


def _results(first: str | None, second: str | None, experiment: str | None) -> int:
    from broker.results.picking import pick_row

    async def work(broker: Broker) -> list[PreferenceResult]:
        table = await broker.results(experiment)
        wanted = {pick_row(table, name).evaluation_job for name in (first, second) if name is not None}
        counted = await broker.count_all_votes(table.experiment)
        return [result for result in counted if wanted <= {result.pair.left, result.pair.right}]

    show_preferences(context.run(work, drive=False))
    return EXIT_OK


def _base(url: str | None) -> str | None:
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise UserError(f"{url!r} is no base URL", where="--url", fix="--url https://vote.example.org")
    return f"{parts.scheme}://{parts.netloc}"
