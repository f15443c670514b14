"""`broker submit` and `broker run`: ask, confirm, follow, and end with the table."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli import context
from broker.cli.completion import complete_experiment, complete_provider
from broker.cli.hyperparameters import in_flags, named_parameters, parse_settings
from broker.cli.output import OUT
from broker.errors import EXIT_INTERRUPTED, EXIT_OK, SpecError, UserError
from broker.jobs.states import JobKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from broker.api import Broker, ExperimentRequest, Plan
    from broker.jobs.records import Job
    from broker.jobs.spec import Method, Spec

SUBMIT_HELP = """Fine-tune one model, judge it beside its base, show the table.

[bold]Examples[/bold]

  broker submit --provider local --precision int8 --train train.jsonl --validation val.jsonl

  broker submit --provider local --model sandbox --train train.jsonl --split 0.1 --epochs 3

  broker submit --provider openai --model gpt-4o-mini --train train.jsonl --validation val.jsonl --budget 5 --yes

  broker submit --provider openai --base-url http://127.0.0.1:8100/v1 --model sandbox --train train.jsonl --split 0.1

  broker submit --provider local --method dpo --beta 0.1 --train preferences.jsonl --validation val.jsonl

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
    provider: Annotated[
        str | None,
        typer.Option(help="local, openai, … or an account of broker.toml.", autocompletion=complete_provider),
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Another address, such as broker serve's.")] = None,
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
    experiment: Annotated[
        str | None, typer.Option(help="Name of the experiment.", autocompletion=complete_experiment)
    ] = None,
    label: Annotated[str, typer.Option(help="What the table calls the model.")] = "",
    priority: Annotated[int, typer.Option(help="Higher goes first.")] = 0,
    metric: Annotated[list[str] | None, typer.Option(help="conversational, flesch, judge:empathy, …")] = None,
    encoder: Annotated[str | None, typer.Option(help="Sentence encoder of the similarity metric.")] = None,
    judge: Annotated[str | None, typer.Option(help="PROVIDER:MODEL that judges, for judge:empathy.")] = None,
    judge_samples: Annotated[int | None, typer.Option(help="Judgements of each answer; 3.", min=1, max=100)] = None,
    max_tokens: Annotated[int, typer.Option(help="Most tokens of an answer.", min=1)] = 256,
    temperature: Annotated[float, typer.Option(help="0 is greedy.", min=0)] = 0.0,
    split: Annotated[float | None, typer.Option(help="Share of the rows to hold out for validation.")] = None,
    evaluate: Annotated[bool, typer.Option(help="Judge the model and its base.")] = True,
    batch: Annotated[bool, typer.Option("--batch", help="Ask by batches: half the price (openai, gemini).")] = False,
    budget: Annotated[float | None, typer.Option(help="Most USD that the experiment may cost.", min=0)] = None,
    allow_overlap: Annotated[bool, typer.Option("--allow-overlap", help="Go on; the table says so.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Make a new job even if the same one exists.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending money.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and price, send nothing.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="A background broker goes on.")] = False,
) -> int:
    """Fine-tune one model and show the table."""
    # Some thirty options: they are passed on as they were given.
    return carry_out(partial(_request, dict(locals())), yes=yes, dry_run=dry_run, detach=detach)


_FLAGS = (
    *("precision", "epochs", "batch_size", "grad_accum", "lr", "lr_multiplier"),
    *("rank", "alpha", "dropout", "target_modules", "adapter_dtype", "beta"),
)
_AS_GIVEN = (
    *("train", "validation", "model", "seed", "suffix", "experiment", "label", "priority", "encoder", "split"),
    *("evaluate", "batch", "allow_overlap", "again"),
)


def _request(given: dict[str, Any], broker: Broker) -> ExperimentRequest:
    """Make the request of the options as they were given."""
    from broker.api.judges import named_judge
    from broker.api.request import one_job
    from broker.jobs.spec import Decoding

    method, split = _method(given["method"]), given["split"]
    if split is not None and not 0 < split < 1:
        raise UserError(f"{split} is no share", where="--split", fix="a number between 0 and 1, such as 0.1")
    account = _account(given["provider"] or broker.settings.defaults.provider, given["base_url"])
    known = broker.accounts.get(account).capabilities if account else None
    flags = named_parameters({name: given[name] for name in _FLAGS}, known) if known else {}
    return one_job(
        broker.settings,
        provider=account,
        method=method,
        parameters={**flags, **parse_settings(given["set_"] or [], "--set")},
        metadata={key: str(value) for key, value in parse_settings(given["metadata"] or [], "--metadata").items()},
        metrics=tuple(given["metric"]) if given["metric"] else None,
        decoding=Decoding(max_tokens=given["max_tokens"], temperature=given["temperature"]),
        judge=named_judge(given["judge"], given["judge_samples"]),
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
    wanted = read.request(again=again)
    wanted = replace(wanted, budget_usd=budget) if budget is not None else wanted
    return carry_out(lambda _: wanted, yes=yes, dry_run=dry_run, detach=detach)


def carry_out(
    request: Callable[[Broker], ExperimentRequest | Awaitable[ExperimentRequest]],
    *,
    yes: bool,
    dry_run: bool,
    detach: bool,
) -> int:
    """Plan, confirm, start, follow, and show the table.

    Args:
        request: Makes the request once the broker is open.
        yes: Do not ask before spending money.
        dry_run: Only show the plan.
        detach: Leave the work to a background broker.

    Returns:
        The exit code.
    """
    from broker.api import ExperimentRequest
    from broker.cli.follow import Steps

    steps = Steps()
    started: list[Job] = []

    async def work(broker: Broker) -> tuple[Plan, int]:
        wanted = request(broker)
        plan = await _planned(broker, wanted if isinstance(wanted, ExperimentRequest) else await wanted)
        _show_plan(plan, dry_run=dry_run)
        if dry_run:
            return plan, EXIT_OK
        await confirm_cost(plan.high_usd if plan.paid else 0.0, yes=yes)
        started.extend(await broker.start(plan))
        steps.close()
        return plan, EXIT_OK if detach else await _to_the_table(broker, plan, started)

    try:
        plan, code = context.run(work, drive=not dry_run and not detach, report=steps.report)
    except context.StoppedError:
        _how_to_come_back(started)
        return EXIT_INTERRUPTED
    finally:
        steps.close()
    if detach and not dry_run:
        _detached(plan, started)
    return code


async def _planned(broker: Broker, request: ExperimentRequest) -> Plan:
    try:
        return await broker.plan(request)
    except SpecError as error:
        options = [name.removesuffix("_") for name in signature(submit).parameters]
        raise SpecError([in_flags(problem, options) for problem in error.problems]) from error


def _show_plan(plan: Plan, *, dry_run: bool) -> None:
    from broker.cli.words import spread

    if not plan.jobs and not plan.reused:
        raise UserError("this asks for nothing", fix="name jobs, or models with a validation set; see docs/recipes.md")
    for warning in dict.fromkeys(plan.warnings):
        OUT.warn(warning)
    for job in plan.reused:
        if job.kind is JobKind.TUNE:
            OUT.note(f"the same job exists: {job.id} ({job.state}); it is used (--again makes a new one)")
    if dry_run and OUT.json:
        OUT.data(_plan_data(plan))
    elif dry_run:
        _print_plan(plan)
    elif plan.paid:
        OUT.note(f"estimated cost: {spread(plan.low_usd, plan.high_usd)}")


def _print_plan(plan: Plan) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from broker.cli.words import spec_title, spread
    from broker.jobs.spec import EvaluateSpec

    OUT.say(f"experiment {plan.experiment.name}")
    new = {planned.job.id for planned in plan.jobs}
    table = Table("job", "rows", "cost", box=box.SIMPLE_HEAD)
    for planned in plan.jobs:
        spec = planned.job.spec
        tuned = isinstance(spec, EvaluateSpec) and spec.tune_job in new and not planned.job.label
        what = "evaluate the tuned model" if tuned else spec_title(spec, planned.job.label)
        table.add_row(Text(what), str(_rows(spec)), spread(planned.estimate.low_usd, planned.estimate.high_usd))
    OUT.table(table)
    for line in dict.fromkeys(line for planned in plan.jobs for line in planned.estimate.basis):
        OUT.say(f"  {line}")
    OUT.say(f"total: {spread(plan.low_usd, plan.high_usd)}; nothing was sent")


def _rows(spec: Spec) -> int | str:
    data = getattr(spec, "train", None) or getattr(spec, "validation", None)
    return data.rows if data is not None else "–"


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


async def confirm_cost(high_usd: float, *, yes: bool) -> None:
    """Ask before money is spent.

    Args:
        high_usd: The most that it can cost; nobody is asked about nothing.
        yes: Do not ask.

    Raises:
        UserError: Nobody can be asked.
        Abort: The answer was no.
    """
    from broker.cli.keyboard import confirm
    from broker.cli.words import dollars

    if not high_usd or yes:
        return
    if OUT.json or not sys.stdin.isatty():
        fix = "add --yes to spend without being asked, or --dry-run to see the plan"
        raise UserError(f"this costs up to {dollars(high_usd)} and nobody can be asked here", fix=fix)
    if not await confirm(f"Spend up to {dollars(high_usd)}?"):
        OUT.note("nothing was sent")
        raise typer.Abort


async def _to_the_table(broker: Broker, plan: Plan, jobs: Sequence[Job]) -> int:
    from broker.cli.follow import follow
    from broker.cli.outcome import show_outcome

    named = [job for job in jobs if job.kind is JobKind.TUNE] or jobs
    OUT.note("  ".join(job.id for job in named))
    ended = await follow(broker, jobs)
    also = {"experiment": plan.experiment.name, "warnings": [str(warning) for warning in plan.warnings]}
    return show_outcome(ended, [await broker.results(plan.experiment.name)], also=also)


def _detached(plan: Plan, jobs: Sequence[Job]) -> None:
    """Leave the jobs to a background broker and say which they are."""
    from broker.cli.background import start_background

    process = start_background()
    name = plan.experiment.name
    if OUT.json:
        OUT.data({"experiment": name, "jobs": [job.id for job in jobs], "process": process})
        return
    for job in jobs:
        OUT.say(job.id)
    OUT.note(f"broker watch --experiment {name} follows them, broker results {name} shows the table")


def _how_to_come_back(jobs: Sequence[Job]) -> None:
    if not jobs:
        OUT.note("stopped; nothing was started")
        return
    experiment = jobs[0].experiment
    OUT.note(
        "stopped. Remote jobs go on at their provider; local ones wait at a checkpoint.\n"
        f"go on:  broker watch --experiment {experiment}\n"
        f"table:  broker results {experiment}"
    )
