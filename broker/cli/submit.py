"""`broker submit` and `broker run`: ask, confirm, follow, and end with the table."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli import context
from broker.cli.hyperparameters import named_parameters, parse_settings
from broker.cli.output import OUT
from broker.errors import EXIT_INTERRUPTED, EXIT_JOB_FAILED, EXIT_LOST, EXIT_OK, UserError
from broker.jobs.states import JobKind, State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker.api import Broker, ExperimentRequest, Plan
    from broker.jobs.records import Job

SUBMIT_HELP = """Fine-tune one model, judge it beside its base on the validation set, show the table.

[bold]Examples[/bold]

  broker submit --provider local --precision int8 --train train.jsonl --validation val.jsonl

  broker submit --provider local --model sandbox --train train.jsonl --split 0.1 --epochs 3

  broker submit --provider openai --model gpt-4o-mini --train train.jsonl --validation val.jsonl --budget 5 --yes

  broker submit --provider local --method dpo --beta 0.1 --train preferences.jsonl --validation val.jsonl

What is not given comes from \\[defaults] of broker.toml. The same job is never made twice unless you say --again.
Ctrl-C once: remote jobs go on, local ones stop at a checkpoint, and `broker watch` goes on with them.
"""
RUN_HELP = """Run a recipe: several jobs and models, one validation set, one table.

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
    provider: Annotated[str | None, typer.Option(help="local, openai, … or an account of broker.toml.")] = None,
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
    target_modules: Annotated[
        str | None, typer.Option(help="Modules with adapters, separated by commas (local).")
    ] = None,
    adapter_dtype: Annotated[str | None, typer.Option(help="fp32 or bf16 (local).")] = None,
    beta: Annotated[str | None, typer.Option(help="Strength of the preference (DPO).")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the training.")] = 713,
    suffix: Annotated[str | None, typer.Option(help="Your words in the tuned model's name.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, sent along; several times.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Any other NAME=VALUE of the provider.")] = None,
    experiment: Annotated[str | None, typer.Option(help="Name of the experiment.")] = None,
    label: Annotated[str, typer.Option(help="What the table calls the model.")] = "",
    priority: Annotated[int, typer.Option(help="Higher goes first.")] = 0,
    metric: Annotated[list[str] | None, typer.Option(help="conversational, flesch, similarity, length, …")] = None,
    encoder: Annotated[str | None, typer.Option(help="Sentence encoder of the similarity metric.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Most tokens of an answer.", min=1)] = 256,
    temperature: Annotated[float, typer.Option(help="0 is greedy.", min=0)] = 0.0,
    split: Annotated[float | None, typer.Option(help="Share of the rows to hold out for validation.")] = None,
    evaluate: Annotated[bool, typer.Option(help="Judge the model and its base.")] = True,
    budget: Annotated[float | None, typer.Option(help="Most USD that the experiment may cost.", min=0)] = None,
    allow_overlap: Annotated[bool, typer.Option("--allow-overlap", help="Go on; the table says so.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Make a new job even if the same one exists.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending money.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and price, send nothing.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="A background broker goes on.")] = False,
) -> int:
    """Fine-tune one model and show the table."""
    from broker.jobs.spec import Decoding, Method

    if method not in list(Method):
        raise UserError(f"{method!r} is no method of tuning", where="--method", fix=f"one of: {', '.join(Method)}")
    if split is not None and not 0 < split < 1:
        raise UserError(f"{split} is no share", where="--split", fix="a number between 0 and 1, such as 0.1")
    flags = {
        "precision": precision,
        "epochs": epochs,
        "batch_size": batch_size,
        "grad_accum": grad_accum,
        "lr": lr,
        "lr_multiplier": lr_multiplier,
        "rank": rank,
        "alpha": alpha,
        "dropout": dropout,
        "target_modules": target_modules,
        "adapter_dtype": adapter_dtype,
        "beta": beta,
    }

    def request(broker: Broker) -> ExperimentRequest:
        from broker.api.request import one_job

        account = provider or broker.settings.defaults.provider
        given = named_parameters(flags, broker.accounts.get(account).capabilities) if account else {}
        return one_job(
            broker.settings,
            provider=provider,
            train=train,
            validation=validation,
            evaluate=evaluate,
            split=split,
            experiment=experiment,
            metrics=tuple(metric) if metric else None,
            encoder=encoder,
            decoding=Decoding(max_tokens=max_tokens, temperature=temperature),
            budget_usd=budget,
            allow_overlap=allow_overlap,
            again=again,
            model=model,
            method=Method(method),
            parameters={**given, **parse_settings(set_ or [], "--set")},
            seed=seed,
            suffix=suffix,
            metadata={key: str(value) for key, value in parse_settings(metadata or [], "--metadata").items()},
            label=label,
            priority=priority,
        )

    return carry_out(request, yes=yes, dry_run=dry_run, detach=detach)


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
    wanted = read.request(again=again)
    wanted = replace(wanted, budget_usd=budget) if budget is not None else wanted
    return carry_out(lambda _: wanted, yes=yes, dry_run=dry_run, detach=detach)


def carry_out(request: Callable[[Broker], ExperimentRequest], *, yes: bool, dry_run: bool, detach: bool) -> int:
    """Plan, confirm, start, follow, and show the table.

    Args:
        request: Makes the request once the settings are known.
        yes: Do not ask before spending money.
        dry_run: Only show the plan.
        detach: Leave the work to a background broker.

    Returns:
        The exit code.
    """
    from broker.cli.follow import Steps

    steps = Steps()
    started: list[Job] = []

    async def work(broker: Broker) -> int:
        plan = await broker.plan(request(broker))
        _show_plan(plan, dry_run=dry_run)
        if dry_run:
            return EXIT_OK
        _confirm(plan, yes=yes)
        started.extend(await broker.start(plan))
        steps.close()
        if detach:
            return _detached(started)
        return await _to_the_table(broker, plan, started)

    try:
        code = context.run(work, drive=not dry_run and not detach, report=steps.report)
    except context.StoppedError:
        steps.close()
        _how_to_come_back(started)
        return EXIT_INTERRUPTED
    if detach and not dry_run:
        from broker.cli.background import start_background

        start_background()
    return code


def _show_plan(plan: Plan, *, dry_run: bool) -> None:
    from broker.cli.words import dollars

    for warning in plan.warnings:
        OUT.notes.print(f"warning: {warning}", style="yellow", highlight=False, markup=False)
    for job in plan.reused:
        if job.kind is JobKind.TUNE:
            text = f"the same job exists: {job.id} ({job.state}); it is used (--again makes a new one)"
            OUT.notes.print(text, highlight=False, markup=False)
    if dry_run and OUT.json:
        OUT.data(_plan_data(plan))
    elif dry_run:
        _print_plan(plan)
    elif plan.paid:
        spread = f"{dollars(plan.low_usd)} to {dollars(plan.high_usd)}"
        OUT.notes.print(f"estimated cost: {spread}", highlight=False)


def _print_plan(plan: Plan) -> None:
    from rich.table import Table

    from broker.cli.words import dollars

    table = Table("job", "provider", "what", "low", "high", title=f"experiment {plan.experiment.name}")
    for planned in plan.jobs:
        spec = planned.job.spec
        what = planned.job.label or str(getattr(spec, "model", None) or f"model of {getattr(spec, 'tune_job', '')}")
        low, high = dollars(planned.estimate.low_usd), dollars(planned.estimate.high_usd)
        table.add_row(str(planned.kind), spec.provider, what, low, high)
    OUT.console.print(table)
    basis = dict.fromkeys(line for planned in plan.jobs for line in planned.estimate.basis)
    for line in basis:
        OUT.console.print(f"  {line}", highlight=False, markup=False)
    OUT.console.print(f"total: {dollars(plan.low_usd)} to {dollars(plan.high_usd)}; nothing was sent", highlight=False)


def _plan_data(plan: Plan) -> dict[str, Any]:
    from broker.jobs.codec import dump

    jobs = [
        {"job": dump(planned.job), "kind": planned.kind, "estimate": dump(planned.estimate)} for planned in plan.jobs
    ]
    return {
        "experiment": plan.experiment.name,
        "jobs": jobs,
        "reused": [job.id for job in plan.reused],
        "low_usd": plan.low_usd,
        "high_usd": plan.high_usd,
        "warnings": [str(warning) for warning in plan.warnings],
    }


def _confirm(plan: Plan, *, yes: bool) -> None:
    from broker.cli.words import dollars

    if not plan.paid or yes:
        return
    if not sys.stdin.isatty():
        fix = "add --yes to spend without being asked, or --dry-run to see the plan"
        raise UserError(f"this costs up to {dollars(plan.high_usd)} and nobody can be asked here", fix=fix)
    if not typer.confirm(f"Spend up to {dollars(plan.high_usd)}?", err=True):
        raise typer.Abort


def _detached(jobs: Sequence[Job]) -> int:
    if OUT.json:
        OUT.data({"jobs": [job.id for job in jobs], "experiment": jobs[0].experiment if jobs else None})
    else:
        for job in jobs:
            OUT.console.print(job.id, highlight=False)
        OUT.notes.print("a background broker goes on; broker watch shows it, broker results the table")
    return EXIT_OK


async def _to_the_table(broker: Broker, plan: Plan, jobs: Sequence[Job]) -> int:
    from broker.cli.follow import follow
    from broker.cli.results import show_table

    ended = await follow(broker, jobs)
    show_table(await broker.results(plan.experiment.name))
    return tell_failures(ended)


def tell_failures(jobs: Sequence[Job]) -> int:
    """Say why jobs did not succeed; return the exit code."""
    for job in jobs:
        if job.failure is not None and job.state in (State.FAILED, State.LOST):
            OUT.notes.print(f"{job.id} {job.state}: {job.failure.message}", style="red", highlight=False, markup=False)
            if job.failure.fix:
                OUT.notes.print(f"  fix: {job.failure.fix}", highlight=False, markup=False)
    states = {job.state for job in jobs}
    if State.LOST in states:
        return EXIT_LOST
    return EXIT_JOB_FAILED if states & {State.FAILED, State.CANCELLED} else EXIT_OK


def _how_to_come_back(jobs: Sequence[Job]) -> None:
    if not jobs:
        OUT.notes.print("stopped; nothing was started")
        return
    experiment = jobs[0].experiment
    OUT.notes.print(
        f"stopped. Remote jobs go on at their provider; local ones wait at a checkpoint.\n"
        f"go on:  broker watch --experiment {experiment}\n"
        f"table:  broker results {experiment}",
        highlight=False,
        markup=False,
    )
