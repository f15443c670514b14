"""`broker eval`: judge models that are there already."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli.carrying import carry_out
from broker.cli.completion import complete_experiment
from broker.errors import Problem, SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.api import Broker, ExperimentRequest
    from broker.jobs.spec import PromptPolicy

EVAL_HELP = """Judge models that are there already: tuned elsewhere, served anywhere, or made here.

[bold]Examples[/bold]

  broker eval --validation val.jsonl --model openai:ft:gpt-4o-mini-2024-07-18:org::id --model openai:gpt-4o-mini

  broker eval --validation val.jsonl --model http://127.0.0.1:8000/v1#Qwen2.5-0.5B --model local:my-adapter

  broker eval --validation val.jsonl --model openai@https://api.example.com/v1:NAME --budget 2

  broker eval --validation val.jsonl --model sandbox --policy paper-concise --policy paper-verbose

  broker eval --validation val.jsonl --model sandbox --metric judge:empathy --judge openai:gpt-4.1-mini

  broker eval --validation val.jsonl --model tune-k3f9 --policy brief="Answer in one sentence."

A model is ACCOUNT:NAME, http://HOST/v1#NAME, a folder (a model or a PEFT adapter), sandbox, or a job's id.
Models judged on the same set share a table with those that were tuned: see `broker results` and `broker compare`.
"""


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(name="eval", help=EVAL_HELP, rich_help_panel="Work")(evaluate)


def evaluate(
    model: Annotated[list[str] | None, typer.Option(help="What to judge; several times.", show_default=False)] = None,
    validation: Annotated[str | None, typer.Option(help="Validation rows: a file, or hf:NAME[:split].")] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="System message: NAME=TEXT, NAME=@FILE, or as-is, paper-concise, paper-verbose."),
    ] = None,
    experiment: Annotated[
        str | None, typer.Option(help="Name of the experiment.", autocompletion=complete_experiment)
    ] = None,
    precision: Annotated[str | None, typer.Option(help="bf16, fp32, int8 or nf4 (local).")] = None,
    base: Annotated[str | None, typer.Option(help="Base of an adapter that does not name one that is here.")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="conversational, flesch, judge:empathy, …")] = None,
    encoder: Annotated[str | None, typer.Option(help="Sentence encoder of the similarity metric.")] = None,
    judge: Annotated[str | None, typer.Option(help="PROVIDER:MODEL that judges, for judge:empathy.")] = None,
    judge_samples: Annotated[int | None, typer.Option(help="Judgements of each answer; 3.", min=1, max=100)] = None,
    max_tokens: Annotated[int, typer.Option(help="Most tokens of an answer.", min=1)] = 256,
    temperature: Annotated[float, typer.Option(help="0 is greedy.", min=0)] = 0.0,
    batch: Annotated[bool, typer.Option("--batch", help="Ask by batches: half the price (openai, gemini).")] = False,
    budget: Annotated[float | None, typer.Option(help="Most USD that the experiment may cost.", min=0)] = None,
    allow_overlap: Annotated[bool, typer.Option("--allow-overlap", help="Go on; the table says so.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending money.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and price, send nothing.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="A background broker goes on.")] = False,
) -> int:
    """Judge models and show the table."""
    # Passed on as they were given.
    given = dict(locals())
    return carry_out(partial(_request, given, read_policies(policy or ())), yes=yes, dry_run=dry_run, detach=detach)


_AS_GIVEN = ("experiment", "precision", "base", "encoder", "batch", "allow_overlap")


async def _request(given: Mapping[str, Any], policies: Sequence[PromptPolicy], broker: Broker) -> ExperimentRequest:
    """Make the request of the options as they were given."""
    from broker.api.judges import named_judge
    from broker.jobs.spec import Decoding

    return await broker.judgement(
        given["model"] or (),
        given["validation"],
        policies=policies,
        metrics=given["metric"] or None,
        judge=named_judge(given["judge"], given["judge_samples"]),
        decoding=Decoding(max_tokens=given["max_tokens"], temperature=given["temperature"]),
        budget_usd=given["budget"],
        **{name: given[name] for name in _AS_GIVEN},
    )


def read_policies(texts: Sequence[str]) -> list[PromptPolicy]:
    """Return the policies that were typed.

    Args:
        texts: `NAME=TEXT` (an empty text sends no system message), `NAME=@FILE`, or a known name.

    Raises:
        SpecError: Names that nobody knows, files that are missing, names given twice; all at once.
    """
    problems: list[Problem] = []
    found: dict[str, PromptPolicy] = {}
    for text in texts:
        policy = _policy(text, problems)
        if policy is not None and found.setdefault(policy.name, policy) != policy:
            fix = "give each its own name"
            problems.append(Problem(where="--policy", what=f"two policies are called {policy.name!r}", fix=fix))
    if problems:
        raise SpecError(problems)
    return list(found.values())


def _policy(text: str, problems: list[Problem]) -> PromptPolicy | None:
    from broker.evaluation.policies import named_policies
    from broker.jobs.spec import PromptPolicy

    name, equals, system = text.partition("=")
    name, known = name.strip(), named_policies()
    if not equals and name in known:
        return known[name]
    if not equals or not name:
        fix = f"NAME=TEXT, NAME=@FILE, or one of: {', '.join(known)}"
        problems.append(Problem(where="--policy", what=f"no policy is called {text!r}", fix=fix))
        return None
    if name in known:
        fix = f"another name, or --policy {name} for the one that has it"
        problems.append(Problem(where="--policy", what=f"the name {name!r} is taken", fix=fix))
        return None
    if not system.startswith("@"):
        return PromptPolicy(name=name, system=system)
    try:
        return PromptPolicy(name=name, system=Path(system[1:]).expanduser().read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem(where="--policy", what=f"{system[1:]} cannot be read: {error}", fix=f"{name}=@FILE"))
        return None
