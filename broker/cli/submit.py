"""`broker submit` and `broker run`: ask, confirm, follow, and end with the table."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli.carrying import carry_out
from broker.cli.hyperparameters import named_parameters, parse_settings
from broker.cli.making import made_request, make_sources
from broker.cli.options import (  # noqa: TC001 - typer reads them when it runs
    ExperimentOption,
    OutputOption,
    PipelineOption,
    PromptsOption,
    ProviderOption,
    RowsOption,
    SourceOption,
    SynthesizeOption,
    TargetModulesOption,
)
from broker.errors import UserError

if TYPE_CHECKING:
    from broker.api import Broker, ExperimentRequest
    from broker.api.synthesis import SynthesisRequest
    from broker.jobs.spec import Method

SUBMIT_HELP = """Fine-tune one model, judge it beside its base, show the table; or have training rows made.

[bold]Examples[/bold]

  broker submit --provider local --precision int8 --train train.jsonl --validation val.jsonl

  broker submit --provider local --model sandbox --train train.jsonl --split 0.1 --epochs 3

  broker submit --provider openai --model gpt-4o-mini --train train.jsonl --validation val.jsonl --budget 5 --yes

  broker submit --provider openai --base-url http://127.0.0.1:8100/v1 --model sandbox --train train.jsonl --split 0.1

  broker submit --provider local --method dpo --beta 0.1 --train preferences.jsonl --validation val.jsonl

  broker submit --provider gemini --source sections.jsonl --pipeline qa --rows 10000 --output data --budget 20

  broker submit --provider openai --synthesize --pipeline persona --rows 200 --output talks --set domain="debt advice"

What is not given comes from \\[defaults] of broker.toml. The same job is never made twice unless you say --again.
Ctrl-C once: remote jobs go on, local ones stop at a checkpoint, and `broker watch` goes on with them.
"""
RUN_HELP = """Run a recipe: jobs and models, one validation set, one table.

[bold]Examples[/bold]

  broker run examples/tone_of_voice.toml

  broker run recipe.toml --dry-run

  broker run recipe.toml --budget 20 --yes --detach
"""


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(help=SUBMIT_HELP, rich_help_panel="Work")(submit)
    app.command(name="run", help=RUN_HELP, rich_help_panel="Work")(run_recipe)


def submit(
    provider: ProviderOption = None,
    base_url: Annotated[str | None, typer.Option(help="Another address, such as broker serve's.")] = None,
    synthesize: SynthesizeOption = False,
    source: SourceOption = None,
    pipeline: PipelineOption = None,
    rows: RowsOption = 100,
    output: OutputOption = None,
    prompts: PromptsOption = None,
    train: Annotated[str | None, typer.Option(help="Training rows: a file, or hf:NAME[:split].")] = None,
    validation: Annotated[str | None, typer.Option(help="Validation rows: a file, or hf:NAME[:split].")] = None,
    model: Annotated[str | None, typer.Option(help="Base model; the account's default when not given.")] = None,
    method: Annotated[str, typer.Option(help="sft or dpo.")] = "sft",
    precision: Annotated[str | None, typer.Option(help="bf16, fp32, int8 or nf4 (local).")] = None,
    epochs: Annotated[str | None, typer.Option(help="Passes over the rows.")] = None,
    batch_size: Annotated[str | None, typer.Option(help="Rows a step and device.")] = None,
    grad_accum: Annotated[str | None, typer.Option(help="Batches an optimizer step (local).")] = None,
    lr: Annotated[str | None, typer.Option(help="Highest learning rate (local).")] = None,
    lr_multiplier: Annotated[str | None, typer.Option(help="Learning-rate multiplier (openai).")] = None,
    rank: Annotated[str | None, typer.Option(help="LoRA rank (local).")] = None,
    alpha: Annotated[str | None, typer.Option(help="LoRA alpha; the rank when not given (local).")] = None,
    dropout: Annotated[str | None, typer.Option(help="LoRA dropout (local).")] = None,
    target_modules: TargetModulesOption = None,
    adapter_dtype: Annotated[str | None, typer.Option(help="fp32 or bf16 (local).")] = None,
    beta: Annotated[str | None, typer.Option(help="Strength of the preference (DPO).")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the training (713), or of the rows made (0).")] = None,
    suffix: Annotated[str | None, typer.Option(help="Your words in the tuned model's name.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, sent along; several times.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Any other NAME=VALUE of the provider.")] = None,
    experiment: ExperimentOption = None,
    label: Annotated[str, typer.Option(help="What the table calls the model.")] = "",
    priority: Annotated[int, typer.Option(help="Higher goes first.")] = 0,
    metric: Annotated[list[str] | None, typer.Option(help="conversational, flesch, judge:empathy, …")] = None,
    encoder: Annotated[str | None, typer.Option(help="Sentence encoder: similarity, de-duplication.")] = None,
    judge: Annotated[str | None, typer.Option(help="PROVIDER:MODEL that judges, for judge:empathy.")] = None,
    judge_samples: Annotated[int | None, typer.Option(help="Judgements of each answer; 3.", min=1, max=100)] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens of an answer; 256.", min=1)] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy, and the default.", min=0)] = None,
    split: Annotated[float | None, typer.Option(help="Share of the rows to hold out for validation.")] = None,
    evaluate: Annotated[bool, typer.Option(help="Judge the model and its base.")] = True,
    batch: Annotated[bool, typer.Option("--batch", help="Ask by batches: half the price (openai, gemini).")] = False,
    budget: Annotated[float | None, typer.Option(help="Most USD that the experiment may cost.", min=0)] = None,
    allow_overlap: Annotated[bool, typer.Option("--allow-overlap", help="Go on; the table says so.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="A new job even if the same exists; all answers anew.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending money.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and price, send nothing.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="A background broker goes on.")] = False,
) -> int:
    """Fine-tune one model and show the table, or have rows made."""
    # Some thirty options: they are passed on as they were given.
    return carry_out(partial(_request, dict(locals())), yes=yes, dry_run=dry_run, detach=detach)


_FLAGS = (
    *("precision", "epochs", "batch_size", "grad_accum", "lr", "lr_multiplier"),
    *("rank", "alpha", "dropout", "target_modules", "adapter_dtype", "beta"),
)
_AS_GIVEN = (
    *("train", "validation", "model", "suffix", "experiment", "label", "priority", "encoder", "split"),
    *("evaluate", "batch", "allow_overlap", "again"),
)


def _request(given: dict[str, Any], broker: Broker) -> ExperimentRequest | SynthesisRequest:
    """Make the request of the options as they were given."""
    account = _account(given["provider"] or broker.settings.defaults.provider, given["base_url"])
    asked = given["synthesize"] or given["pipeline"] or given["source"]
    if account and (asked or not broker.accounts.get(account).capabilities.tuner):
        return made_request(account, given)
    return _tuning(account, given, broker)


def _tuning(account: str | None, given: dict[str, Any], broker: Broker) -> ExperimentRequest:
    from broker.api.judges import named_judge
    from broker.api.request import one_job
    from broker.jobs.spec import Decoding

    method, split = _method(given["method"]), given["split"]
    if split is not None and not 0 < split < 1:
        raise UserError(f"{split} is no share", where="--split", fix="a number between 0 and 1, such as 0.1")
    known = broker.accounts.get(account).capabilities if account else None
    flags = named_parameters({name: given[name] for name in _FLAGS}, known) if known else {}
    return one_job(
        broker.settings,
        provider=account,
        method=method,
        parameters={**flags, **parse_settings(given["set_"] or [], "--set")},
        metadata={key: str(value) for key, value in parse_settings(given["metadata"] or [], "--metadata").items()},
        metrics=tuple(given["metric"]) if given["metric"] else None,
        decoding=Decoding(max_tokens=given["max_tokens"] or 256, temperature=given["temperature"] or 0.0),
        judge=named_judge(given["judge"], given["judge_samples"]),
        seed=713 if given["seed"] is None else given["seed"],
        budget_usd=given["budget"],
        **{name: given[name] for name in _AS_GIVEN},
    )


def _method(name: str) -> Method:
    from broker.jobs.spec import Method

    if name not in list(Method):
        raise UserError(f"{name!r} is no method of tuning", where="--method", fix=f"one of: {', '.join(Method)}")
    return Method(name)


def _account(name: str | None, base_url: str | None) -> str | None:
    """Return the account's name, which says its address when that is another one than usual."""
    if base_url is None or name is None:
        return name
    if not base_url.startswith(("http://", "https://")):
        raise UserError(f"{base_url!r} is no URL", where="--base-url", fix="--base-url http://127.0.0.1:8100/v1")
    return f"{name.partition('@')[0]}@{base_url.rstrip('/')}"


def run_recipe(
    recipe: Annotated[Path, typer.Argument(help="A TOML file; see docs/recipes.md.")],
    budget: Annotated[float | None, typer.Option(help="Most USD that the experiment may cost.", min=0)] = None,
    again: Annotated[bool, typer.Option("--again", help="Make new jobs even if the same ones exist.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending money.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and price, send nothing.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="A background broker goes on.")] = False,
) -> int:
    """Run a recipe and show the table."""
    from broker.api import load_recipe

    read = load_recipe(recipe)
    first = partial(make_sources, read, again=again, yes=yes, dry_run=dry_run, detach=detach)
    if read.synthesis and (code := first()) is not None:
        return code
    wanted = read.request(again=again)
    wanted = replace(wanted, budget_usd=budget) if budget is not None else wanted
    return carry_out(lambda _: wanted, yes=yes, dry_run=dry_run, detach=detach)
