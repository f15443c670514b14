"""`broker serve`: OpenAI's fine-tuning protocol over any provider."""

from __future__ import annotations

from typing import Annotated

import typer

from broker.cli import context
from broker.cli.output import OUT
from broker.errors import EXIT_OK, Problem, SpecError

SERVE_HELP = """Speak OpenAI's fine-tuning protocol: your code changes its base_url and nothing else.

[bold]Examples[/bold]

  broker serve

  broker serve --map gpt-4o-mini=meta-llama/Llama-3.2-1B-Instruct --map 'gpt-4.1-mini*=sandbox'

  broker serve --new-token alice

  broker serve --host 0.0.0.0 --port 8100

Without a token only this machine may use it. Clients: OpenAI(base_url="http://127.0.0.1:8100/v1", api_key="the token").
"""


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(help=SERVE_HELP, rich_help_panel="Work")(serve)


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than this machine needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8100,
    provider: Annotated[str, typer.Option(help="Account that tunes and answers.")] = "local",
    map_: Annotated[list[str] | None, typer.Option("--map", help="NAME=MODEL: what clients call a model.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="A model that clients may name as it is.")] = None,
    organization: Annotated[str, typer.Option(help="The ORG in ft:BASE:ORG:SUFFIX:ID.")] = "broker",
    allow_host: Annotated[list[str] | None, typer.Option(help="A name that a Host header may have.")] = None,
    new_token: Annotated[str | None, typer.Option(help="Make a token with this name, print it once, end.")] = None,
    delete_token: Annotated[str | None, typer.Option(help="Delete a token, end.")] = None,
    list_tokens: Annotated[bool, typer.Option("--list-tokens", help="List the names of the tokens, end.")] = False,
) -> int:
    """Serve until Ctrl-C."""
    if new_token is not None or delete_token is not None or list_tokens:
        return _tokens(new_token, delete_token)
    import anyio

    from broker.server import ServerConfig
    from broker.server import serve as run_server

    config = ServerConfig(
        host=host,
        port=port,
        provider=provider,
        model_map=_pairs(map_ or []),
        models=tuple(model or ()),
        organization=organization,
        allowed_hosts=tuple(allow_host or ()),
    )
    settings = context.settings()

    def started(url: str) -> None:
        if OUT.json:
            OUT.line({"base_url": url})
        else:
            OUT.console.print(
                f"serving {provider} at {url} (Ctrl-C ends; jobs go on at the next start)", highlight=False
            )

    async def main() -> None:
        await run_server(config, settings, started=started)

    anyio.run(main)
    return EXIT_OK


def _pairs(maps: list[str]) -> dict[str, str]:
    problems = [
        Problem(where="--map", what=f"{text!r} is not NAME=MODEL", fix="--map gpt-4o-mini=sandbox")
        for text in maps
        if not all(part.strip() for part in text.partition("="))
    ]
    if problems:
        raise SpecError(problems)
    return {name.strip(): target.strip() for name, _, target in (text.partition("=") for text in maps)}


def _tokens(new: str | None, old: str | None) -> int:
    from broker.errors import UnknownNameError
    from broker.server import delete_token, token_names
    from broker.server import new_token as make_token

    with context.store() as store:
        if old is not None and not delete_token(store, old):
            raise UnknownNameError(
                f"no token is called {old!r}", fix=f"known: {', '.join(token_names(store)) or 'none'}"
            )
        secret = make_token(store, new) if new is not None else None
        names = token_names(store)
    if OUT.json:
        OUT.data({"names": names, **({"token": secret} if secret else {})})
    elif secret is not None:
        OUT.notes.print("this is shown once; give it to the client as its api_key:")
        OUT.console.print(secret, highlight=False, markup=False, soft_wrap=True)
    else:
        OUT.console.print("\n".join(names) or "no tokens", highlight=False, markup=False)
    return EXIT_OK
