"""The `broker` command: its options, its commands, its exit codes."""

from __future__ import annotations

import sys
from contextlib import suppress
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from broker.cli import compare, control, data, evaluate, jobs, judge, models, plot, results, serve, setup, submit, vote
from broker.cli.context import STATE, StoppedError
from broker.cli.front import TITLE, FrontPage
from broker.cli.output import OUT, silence
from broker.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, BrokerError, StoreError, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

# The root of click's errors. Newer typers carry a click of their own, so it is found by way of one that typer exports.
_CLICK_ERROR = cast(
    "type[Exception]", next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
)


class Color(StrEnum):
    """When to use colors."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


app = typer.Typer(
    name="broker",
    cls=FrontPage,
    help=TITLE,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from broker import __version__

        OUT.data({"version": __version__}) if OUT.json else OUT.say(f"finetune-broker {__version__}")
        raise typer.Exit


@app.callback()
def options(
    json: Annotated[bool, typer.Option("--json", help="Results as JSON; understood after any command too.")] = False,
    config: Annotated[
        Path | None, typer.Option(help="Settings file in place of the project's broker.toml.", show_default=False)
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of jobs, answers and adapters.", show_default=False)
    ] = None,
    color: Annotated[Color | None, typer.Option(help="Use colors; NO_COLOR is obeyed.", show_default="auto")] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Take the options that stand before a command."""
    del version
    OUT.json = OUT.json or json
    STATE.color = color
    OUT.color = color or Color.AUTO
    STATE.config = config
    STATE.overrides = {"data_dir": data_dir} if data_dir is not None else {}


for module in (submit, evaluate, serve, jobs, control, results, plot, compare, judge, vote, models, setup, data):
    module.add_commands(app)


def run(arguments: Sequence[str]) -> int:
    """Run the command.

    Args:
        arguments: As typed, without the program's name.

    Returns:
        The exit code.
    """
    STATE.config, STATE.overrides, STATE.color, OUT.color = None, {}, None, Color.AUTO
    # For `module:attribute` of one's own: the last place to look, so that no name of ours is ever taken.
    with suppress(OSError):  # the folder may be gone
        sys.path.append(str(Path.cwd()))
    code = _run(_without_json(arguments) or ["--help"])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
    return code


def _without_json(arguments: Sequence[str]) -> list[str]:
    """Take `--json` from anywhere on the line, so that it can be added to the end of any command."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    OUT.json = "--json" in arguments[:end]
    return [argument for argument in arguments[:end] if argument != "--json"] + list(arguments[end:])


def _run(arguments: list[str]) -> int:
    try:
        result = _dispatch(arguments)
    except BrokerError as error:
        OUT.error(error)
        return error.exit_code
    except _CLICK_ERROR as error:
        return _usage(error)
    except StoppedError:
        OUT.note("stopped")
        return EXIT_INTERRUPTED
    except (typer.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except SystemExit:  # rich leaves so when whoever read the help went away
        return EXIT_OK
    except OSError as error:
        OUT.error(StoreError(error.strerror or str(error), where=str(error.filename or "")))
        silence(sys.stdout)
        return StoreError.exit_code
    return result if isinstance(result, int) else EXIT_OK


def _dispatch(arguments: list[str]) -> Any:
    # The two looks that people take most do not wait for typer to build every command and to load pydantic for them.
    match arguments:
        case ["jobs"]:
            return jobs.list_jobs()
        case ["status", job] if not job.startswith("-"):
            return jobs.status(job)
        case _:
            return _command().main(args=arguments, prog_name="broker", standalone_mode=False)


@cache
def _command() -> Any:
    return typer.main.get_command(app)


def _usage(error: Any) -> int:
    if OUT.json:
        command = error.ctx.command_path if getattr(error, "ctx", None) else "broker"
        OUT.error(UserError(error.format_message(), fix=f"{command} --help"))
    else:
        error.show()
    return EXIT_USAGE
