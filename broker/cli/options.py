"""Options that want several words: as types, so that a command's signature has one line for each."""

from __future__ import annotations

from typing import Annotated

import typer

from broker.cli.completion import complete_experiment, complete_provider

_MADE = "Having rows made"

ProviderOption = Annotated[
    str | None, typer.Option(help="local, openai, … or an account of broker.toml.", autocompletion=complete_provider)
]
ExperimentOption = Annotated[
    str | None, typer.Option(help="Name of the experiment.", autocompletion=complete_experiment)
]
TargetModulesOption = Annotated[str | None, typer.Option(help="Modules with adapters, separated by commas (local).")]
SynthesizeOption = Annotated[
    bool, typer.Option("--synthesize", help="Have rows made; any provider that answers can.", rich_help_panel=_MADE)
]
SourceOption = Annotated[
    str | None, typer.Option(help='Source texts: {"title": …, "text": …} a line.', rich_help_panel=_MADE)
]
PipelineOption = Annotated[
    str | None, typer.Option(help="qa, preference, persona, or module:attribute.", rich_help_panel=_MADE)
]
RowsOption = Annotated[int, typer.Option(help="Accepted rows wanted.", min=1, rich_help_panel=_MADE)]
OutputOption = Annotated[
    str | None, typer.Option("--output", "-o", help="Folder that receives them.", rich_help_panel=_MADE)
]
PromptsOption = Annotated[str | None, typer.Option(help="Folder with prompt files of your own.", rich_help_panel=_MADE)]
