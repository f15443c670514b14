"""The `broker` command: its options, its commands, its exit codes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer

from broker.cli import jobs, models, results, serve, setup, submit
from broker.cli.context import STATE
from broker.cli.output import OUT
from broker.errors import EXIT_INTERRUPTED, EXIT_USAGE, BrokerError

if TYPE_CHECKING:
    from collections.abc import Sequence

EPILOG = """Exit codes: 0 done · 1 a job failed · 2 wrong usage or bad input · 3 a provider failed ·
4 a job is lost and a person must decide · 5 over budget · 6 the store or the disk failed · 130 stopped by Ctrl-C."""

app = typer.Typer(
    name="broker",
    help="Fine-tune anywhere, judge every model on the same validation set.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from broker import __version__

        OUT.console.print(f"finetune-broker {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def options(
    json: Annotated[bool, typer.Option("--json", help="Print results as JSON; the same after any command.")] = False,
    config: Annotated[
        Path | None, typer.Option(help="Settings file in place of the project's broker.toml.", show_default=False)
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of jobs, answers and adapters.", show_default=False)
    ] = None,
    color: Annotated[str, typer.Option(help="auto, always or never; NO_COLOR is obeyed.")] = "auto",
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Fine-tune anywhere, judge every model on the same validation set.

    Begin with `broker demo` (offline, under three minutes), then `broker submit --help`.
    """
    del version
    OUT.json = OUT.json or json
    OUT.color = color
    STATE.config = config
    STATE.overrides = {"data_dir": data_dir} if data_dir is not None else {}


for module in (submit, serve, jobs, results, models, setup):
    module.add_commands(app)


def run(arguments: Sequence[str]) -> int:
    """Run the command.

    Args:
        arguments: As typed, without the program's name.

    Returns:
        The exit code.
    """
    # `--json` is understood anywhere on the line, so that it can be added to the end of any command.
    given = list(arguments)
    if "--json" in given:
        OUT.json = True
        given = [argument for argument in given if argument != "--json"]
    try:
        result: Any = typer.main.get_command(app).main(args=given, prog_name="broker", standalone_mode=False)
    except BrokerError as error:
        OUT.error(error)
        return error.exit_code
    except click.exceptions.Abort:
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        return _usage(error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return 0
    return result if isinstance(result, int) else 0


def _usage(error: click.ClickException) -> int:
    if OUT.json:
        OUT.error(BrokerError(error.format_message(), fix="broker --help"))
    else:
        error.show()
    return EXIT_USAGE
