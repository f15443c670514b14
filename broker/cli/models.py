"""Models: what there is, making the sandbox, talking to one, exporting one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli import context
from broker.cli.output import OUT
from broker.errors import EXIT_INTERRUPTED, EXIT_OK, UserError

if TYPE_CHECKING:
    from broker.api import Broker

MODELS_HELP = """Models that jobs made, and those that the catalog knows.

[bold]Examples[/bold]

  broker models

  broker models build sandbox

  broker models build sandbox-encoder
"""
CHAT_HELP = """Talk to a model: of a job, the sandbox, or PROVIDER:NAME.

[bold]Examples[/bold]

  broker chat tune-k3f9

  broker chat local:sandbox --message "What is a birch?"

  broker chat openai:gpt-4o-mini -m "Why is the sky blue?" --system "Be brief."
"""
EXPORT_HELP = """Write a tuned local model to a folder.

The adapter, or with --merge a whole bf16 model, checked against the adapter's logits.

[bold]Examples[/bold]

  broker export tune-k3f9 --output my-adapter

  broker export tune-k3f9 --merge --output my-model
"""


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    panel = "Models"
    models = typer.Typer(help=MODELS_HELP, invoke_without_command=True, rich_markup_mode="rich")
    models.callback()(list_models)
    models.command(help="Make an offline model: sandbox or sandbox-encoder.")(build)
    app.add_typer(models, name="models", rich_help_panel=panel)
    app.command(help=CHAT_HELP, rich_help_panel=panel)(chat)
    app.command(help=EXPORT_HELP, rich_help_panel=panel)(export)


def list_models(ctx: typer.Context) -> int:
    """List the models."""
    if ctx.invoked_subcommand is not None:
        return EXIT_OK
    with context.look() as store:
        made = store.models()
    from broker.catalog import Catalog

    known = Catalog.load(context.settings().catalog_path).models
    if OUT.json:
        from broker.jobs.codec import dump

        tuned = [{"alias": alias, "job": job, "model": dump(model)} for alias, model, job in made]
        OUT.data({"made": tuned, "known": [dump(facts) for facts in known]})
        return EXIT_OK
    _print_made(made)
    _print_known(known)
    return EXIT_OK


def _print_made(made: list[tuple[str, Any, str | None]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table("model", "base", "provider", "where", box=box.SIMPLE_HEAD, title="made by jobs", title_justify="left")
    for alias, model, _ in made:
        base = model.name + (f" ({model.precision})" if model.precision else "")
        table.add_row(Text(alias), Text(base), Text(model.provider), Text(model.adapter or model.name))
    OUT.table(table)
    if not made:
        OUT.note("none yet; broker submit --help")


def _print_known(known: Any) -> None:
    from datetime import UTC, datetime

    from rich import box
    from rich.table import Table
    from rich.text import Text

    today = datetime.now(UTC).date()
    table = Table("model", "provider", "ends", box=box.SIMPLE_HEAD, title="in the catalog", title_justify="left")
    for facts in known:
        ends = facts.shutdown
        gone = ends is not None and ends <= today
        table.add_row(
            Text(facts.name, style="dim" if gone else ""),
            Text(facts.kind),
            Text(f"{ends} (gone)" if gone else str(ends or "–"), style="red" if gone else ""),
        )
    OUT.table(table)


def build(
    name: Annotated[str, typer.Argument(help="sandbox or sandbox-encoder.")],
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make it anew even if it is there.")] = False,
) -> int:
    """Make an offline model."""
    from broker.cli.follow import Steps

    if name not in ("sandbox", "sandbox-encoder"):
        raise UserError(f"{name!r} cannot be made here", where="models build", fix="sandbox or sandbox-encoder")
    steps = Steps()

    async def work(broker: Broker) -> Path:
        return await broker.build_sandbox(encoder=name == "sandbox-encoder", rebuild=rebuild)

    try:
        folder = context.run(work, drive=False, report=steps.report)
    except context.StoppedError:
        return EXIT_INTERRUPTED
    finally:
        steps.close()
    if OUT.json:
        OUT.data({"name": name, "folder": str(folder)})
    else:
        OUT.say(str(folder))
    return EXIT_OK


def chat(
    model: Annotated[str, typer.Argument(help="A job, an alias, sandbox, or PROVIDER:NAME.")],
    message: Annotated[str | None, typer.Option("--message", "-m", help="Ask this and end.")] = None,
    system: Annotated[str | None, typer.Option(help="System message.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Most tokens of an answer.", min=1)] = 256,
    temperature: Annotated[float, typer.Option(help="0 is greedy.", min=0)] = 0.0,
) -> int:
    """Talk to a model."""
    from broker.cli.conversation import Conversation
    from broker.cli.follow import Steps
    from broker.jobs.spec import Decoding

    steps = Steps()
    decoding = Decoding(max_tokens=max_tokens, temperature=temperature)

    async def work(broker: Broker) -> int:
        found = await broker.model(model)
        talk = Conversation(broker, found, system=system, decoding=decoding)
        if message is not None:
            talk.show(await talk.ask(message))
            return EXIT_OK
        return await talk.run(interactive=sys.stdin.isatty())

    try:
        return context.run(work, drive=False, report=steps.report)
    except context.StoppedError:
        return EXIT_INTERRUPTED
    finally:
        steps.close()


def export(
    job: Annotated[str, typer.Argument(help="A succeeded local tuning job.", metavar="JOB")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write; must not exist.")],
    merge: Annotated[bool, typer.Option("--merge", help="Merge the adapter into a bf16 model.")] = False,
) -> int:
    """Write a tuned local model to a folder."""
    if output.exists():
        raise UserError(f"{output} exists", where="--output", fix="name a folder that does not exist")

    async def work(broker: Broker) -> dict[str, Any]:
        return await broker.export(job, output, merge=merge)

    try:
        report = context.run(work, drive=False)
    except context.StoppedError:
        return EXIT_INTERRUPTED
    if OUT.json:
        OUT.data(report)
    else:
        OUT.say(str(output))
        if "max_abs_diff" in report:
            OUT.note(f"logits differ from the adapter's by at most {report['max_abs_diff']:.3g}")
    return EXIT_OK
