"""`broker judge`: a model says which of two models answers better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli import context
from broker.cli.completion import complete_experiment
from broker.cli.output import OUT
from broker.errors import EXIT_INTERRUPTED, EXIT_OK

if TYPE_CHECKING:
    from broker.api import Broker
    from broker.api.judging import PairPlan
    from broker.evaluation.judging.asking import Counted
    from broker.evaluation.preference import PreferenceResult

JUDGE_HELP = """Have a model say which of two models answers better, prompt by prompt, in both orders.

[bold]Examples[/bold]

  broker judge "sandbox tuned" sandbox --judge local:sandbox-writer

  broker judge tune-k3f9 gpt-4o-mini --judge openai:gpt-4.1-mini --samples 1

  broker judge warm cold --ask "Which answer sounds more like a person?" --prompts 100

  broker judge warm cold --judge openai:gpt-4.1-mini --dry-run

A and B are rows of the table: a label, a model, or the id of a job. A verdict counts only if it is the same when the
answers change places. Every reply is stored at once: stopped and begun again, only what is missing is asked and paid.
The result stands under the table (`broker results`). More in docs/metrics.md.
"""


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(help=JUDGE_HELP, rich_help_panel="Results")(judge)


def judge(
    a: Annotated[str, typer.Argument(metavar="A", help="A row: its label, its model, or the id of a job.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    experiment: Annotated[
        str | None,
        typer.Option(help="Name of the experiment; the newest when not given.", autocompletion=complete_experiment),
    ] = None,
    judge_: Annotated[
        str | None, typer.Option("--judge", help="PROVIDER:MODEL; [defaults.judge] of broker.toml when not given.")
    ] = None,
    samples: Annotated[int | None, typer.Option(help="Verdicts on each prompt; 3.", min=1, max=100)] = None,
    prompts: Annotated[int | None, typer.Option(help="Most prompts to judge; all when not given.", min=1)] = None,
    ask: Annotated[str, typer.Option(help="What the judge is asked, in your words.")] = "",
    again: Annotated[bool, typer.Option("--again", help="Ask once more for verdicts that could not be had.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending money.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and price, ask nothing.")] = False,
) -> int:
    """Compare two models by a judge."""
    from broker.api.judges import named_judge
    from broker.cli.carrying import confirm_cost
    from broker.cli.follow import Steps
    from broker.cli.vote import show_preferences

    steps = Steps()

    def judged(counted: Counted) -> None:
        steps.report("verdicts", counted.done, counted.total)

    async def work(broker: Broker) -> PreferenceResult | None:
        wanted = named_judge(judge_, samples)
        plan = await broker.plan_judging(a, b, experiment, judge=wanted, prompts=prompts, criterion=ask, again=again)
        _show(plan, dry_run=dry_run)
        if dry_run:
            return None
        await confirm_cost(plan.estimate.high_usd if plan.paid else 0.0, yes=yes)
        return await broker.judge(plan, on_judged=judged)

    try:
        result = context.run(work, drive=False, report=steps.report)
    except context.StoppedError:
        OUT.note("what the judge said is stored; the same command goes on")
        return EXIT_INTERRUPTED
    finally:
        steps.close()
    if result is not None:
        show_preferences([result])
    return EXIT_OK


def _show(plan: PairPlan, *, dry_run: bool) -> None:
    """Say what will be asked, and what it costs."""
    from broker.cli.words import spread

    if dry_run and OUT.json:
        OUT.data(_data(plan))
        return
    cost = spread(plan.estimate.low_usd, plan.estimate.high_usd)
    pair = f"{plan.pair.left_label} against {plan.pair.right_label}"
    told = f"{pair}: {plan.replies:,} replies of {plan.judge.label} ({plan.judge.samples} samples, both orders), {cost}"
    if not dry_run:
        OUT.note(told, style="dim")
        return
    OUT.say(told)
    for line in plan.estimate.basis:
        OUT.say(f"  {line}")
    OUT.say("nothing was asked")


def _data(plan: PairPlan) -> dict[str, Any]:
    from broker.jobs.codec import dump

    kept = ("pair", "judge", "criterion", "replies", "estimate", "paid")
    return {**{name: dump(getattr(plan, name)) for name in kept}, "prompts": len(plan.rows)}
