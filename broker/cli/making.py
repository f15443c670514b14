"""Having rows made: the request of the flags, the synthesis that a recipe begins with, and what came out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from broker.cli.carrying import carry_out
from broker.cli.hyperparameters import parse_settings
from broker.cli.output import OUT
from broker.errors import EXIT_OK, UserError
from broker.jobs.spec import RowFormat

if TYPE_CHECKING:
    from broker.api import Broker, Recipe
    from broker.api.synthesis import SynthesisRequest
    from broker.jobs.records import Job

# Flags of tuning and judging that mean nothing here, by their default.
_FOREIGN = ("train", "validation", "split", "metric", "judge", "precision", "epochs", "lr", "rank", "suffix")


def made_request(account: str, given: dict[str, Any]) -> SynthesisRequest:
    """Make the request of a synthesis of the options as they were given.

    Args:
        account: The provider.
        given: Options of `broker submit` by name.

    Raises:
        UserError: An option of tuning was given too, or no folder was named.
    """
    from broker.api.synthesis import SynthesisRequest

    foreign = [f"--{name}" for name in _FOREIGN if given[name]]
    if foreign:
        fix = "leave them out; broker submit --train DIR/train.jsonl --validation DIR/validation.jsonl tunes afterwards"
        raise UserError("rows are made here, nothing is tuned", where=", ".join(foreign), fix=fix)
    options = parse_settings(given["set_"] or [], "--set")
    drawn = {name: given[name] for name in ("temperature", "max_tokens") if given[name] is not None}
    return SynthesisRequest(
        provider=account,
        model=given["model"],
        pipeline=given["pipeline"] or "qa",
        source=given["source"],
        rows=given["rows"],
        output=given["output"] or "",
        options={**options, **drawn},
        prompts=given["prompts"],
        encoder=given["encoder"],
        seed=given["seed"] or 0,
        experiment=given["experiment"],
        budget_usd=given["budget"],
        batch=given["batch"],
        again=given["again"],
        label=given["label"],
    )


def make_sources(recipe: Recipe, *, again: bool, yes: bool, dry_run: bool, detach: bool) -> int | None:
    """Have the rows made that a recipe's jobs train on; what was made before is used.

    Args:
        recipe: With `[[synthesis]]`.
        again: Make new rows even if the same ones exist.
        yes: Do not ask before spending money.
        dry_run: Only show the plans.
        detach: Not possible before the rows are there.

    Returns:
        The exit code if the recipe cannot go on now, else None.
    """
    from broker.synthesis.outputs import holds

    for request in recipe.syntheses(again=again):
        if not again and holds(request.output, request.rows):
            _require_as_wanted(request)
            OUT.note(f"rows are there: {request.output}", style="dim")
            continue
        if detach:
            fix = "broker run without --detach makes them; a later --detach goes on from there"
            raise UserError("its training rows must be made first", where="--detach", fix=fix)
        code = carry_out(partial(_as_it_is, request), yes=yes, dry_run=dry_run, detach=False)
        if dry_run:
            OUT.note("the jobs are planned when their training rows are there")
        if code != EXIT_OK or dry_run:
            return code
    return None


def _require_as_wanted(request: SynthesisRequest) -> None:
    """Refuse rows that were made by another recipe: a model would be tuned on what nobody asked for."""
    from broker.synthesis.outputs import otherwise_made

    found = otherwise_made(
        request.output,
        rows=request.rows,
        pipeline=request.pipeline,
        seed=request.seed,
        model=request.model,
        options=request.options,
    )
    if found:
        fix = "name another output in the recipe, remove the folder, or put the recipe back"
        raise UserError(f"its rows were made otherwise: {'; '.join(found)}", where=request.output, fix=fix)


def _as_it_is(request: SynthesisRequest, _broker: Broker) -> SynthesisRequest:
    return request


def show_made(job: Job) -> None:
    """Say what a synthesis made, and what to do with it.

    Args:
        job: A synthesis that has ended or rests.
    """
    from rich import box
    from rich.table import Table

    from broker.cli.words import dollars

    result, output = job.result, getattr(job.spec, "output", "")
    if "accepted" not in result:  # nothing was written yet
        return
    OUT.say(f"{job.label or job.id}: {output}")
    table = Table("", "rows", box=box.SIMPLE_HEAD)
    table.columns[1].justify = "right"
    table.add_row("accepted", f"{result['accepted']:,} of {result['requested']:,}")
    for reason, count in result["reasons"].items():
        table.add_row(f"rejected: {reason}", f"{count:,}")
    if "rare_rows" in (result.get("coverage") or {}):
        table.add_row("rare cases", f"{result['coverage']['rare_rows']:,}")
    table.add_section()
    table.add_row("answers", f"{result['requests']:,}")
    if taken := result.get("answers_of_other_jobs"):
        table.add_row("paid for by earlier jobs", f"{taken:,}")
    if result["possibly_paid_twice"]:
        table.add_row("possibly paid twice", f"{result['possibly_paid_twice']:,}")
    table.add_row("cost", dollars(job.cost_usd if job.cost_usd is not None else result.get("cost_usd")))
    OUT.table(table)
    if result["accepted"]:
        OUT.note(f"look at them:  broker data report {output}", style="dim")
        method = " --method dpo" if result.get("row_format") == RowFormat.PREFERENCE else ""
        split: dict[str, Any] = result.get("split") or {}
        judged = split.get("validation", 1)  # of very few rows none is held out
        held = f"--validation {output}/validation.jsonl" if judged else "--no-evaluate"
        tune = f"broker submit --provider local{method} --train {output}/train.jsonl {held}"
        OUT.note(f"tune on them:  {tune}", style="dim")
