"""What a pipeline is, and how one is found by its name."""

from __future__ import annotations

import difflib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

from broker.errors import MissingExtraError, UnknownNameError, UserError
from broker.jobs.spec import RowFormat
from broker.providers.contract import Parameter
from broker.synthesis.flow import Bench, Step
from broker.synthesis.rows import Row
from broker.synthesis.steps import sections

Options = Mapping[str, Any]
Source = Callable[[Sequence[Mapping[str, Any]], Bench], AsyncIterator[Row]]

BUILT_IN: Mapping[str, str] = {
    "qa": "broker.synthesis.pipelines.qa:pipeline",
    "preference": "broker.synthesis.pipelines.preference:pipeline",
    "persona": "broker.synthesis.pipelines.persona:pipeline",
}

# What every pipeline can be told.
SHARED = (
    Parameter(name="temperature", types=("float",), default=0.7, minimum=0, maximum=2, help="Of the first try."),
    Parameter(name="top_p", types=("float",), default=1.0, minimum=0, maximum=1, help="Nucleus mass."),
    Parameter(name="max_tokens", types=("int",), default=1024, minimum=16, help="Most tokens of an answer."),
    Parameter(name="passes", types=("int",), default=1, minimum=1, help="How often each source text is used at most."),
    Parameter(
        name="validation",
        types=("float", "int"),
        default=0.1,
        minimum=0,
        help="Rows to judge on, never trained on: a share, or a number (arXiv 2507.04889, 2.2: 1,000 of 10,000).",
    ),
    Parameter(
        name="subsets",
        types=("list",),
        default=(),
        help="Sizes of the nested training subsets; scaled from the paper's 100, 1000, 5000 of 9000 when not given.",
    ),
    Parameter(name="system", types=("str",), default="", help="System message of every row that is written."),
    Parameter(name="window", types=("int",), minimum=1, help="Most rows on their way at once."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """From sources to rows.

    Attributes:
        name: Shown and counted by.
        steps: Makes the steps for the options of a job.
        source: Makes the first rows of the source's records.
        write: Returns a row as it stands in the file, without its lineage; a question and its answer by default.
        options: What can be told, beside `SHARED`.
        prompts: Names of its prompt files.
        format: Of the rows that are written.
        needs_source: It cannot do without a source file.
        required: Names of options that have no sensible default.
        requests: Requests for a row, at least and at most; for the estimate.
        coverage: Counts what the accepted rows cover, for the report.
        most: Returns how many rows can come of the source's records and the options, where that is known.
    """

    name: str
    steps: Callable[[Options], Sequence[Step]]
    source: Source = sections
    write: Callable[[Row], dict[str, Any]] | None = None
    options: tuple[Parameter, ...] = ()
    prompts: tuple[str, ...] = ()
    format: RowFormat = RowFormat.CHAT
    needs_source: bool = True
    required: tuple[str, ...] = ()
    requests: tuple[int, int] = (1, 3)
    coverage: Callable[[Sequence[Row]], dict[str, Any]] | None = None
    most: Callable[[Sequence[Mapping[str, Any]], Options], int] | None = None

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Return everything that can be told; a pipeline's own default is stronger."""
        own = {parameter.name: parameter for parameter in self.options}
        return tuple({**{parameter.name: parameter for parameter in SHARED}, **own}.values())

    def with_defaults(self, options: Options) -> dict[str, Any]:
        """Return the options with the defaults for those not given."""
        return {**{parameter.name: parameter.default for parameter in self.parameters}, **options}

    def written(self, row: Row, system: str = "") -> dict[str, Any]:
        """Return a row as it stands in the file.

        Args:
            row: An accepted row.
            system: System message to begin with, if any.
        """
        made = (self.write or question_and_answer)(row)
        if not system:
            return made
        first = {"role": "system", "content": system}
        if "messages" in made:
            return {**made, "messages": [first, *made["messages"]]}
        return {**made, "input": {**made["input"], "messages": [first, *made["input"]["messages"]]}}


def question_and_answer(row: Row) -> dict[str, Any]:
    """Return a row with a question and an answer as a chat."""
    asked, answered = str(row["question"]), str(row["answer"])
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]}


def open_pipeline(name: str) -> Pipeline:
    """Return a pipeline by its name.

    Args:
        name: `qa`, `preference`, `persona`, or `module:attribute` of one's own.

    Raises:
        UnknownNameError: Nobody knows it; the message names the known ones and the nearest.
        UserError: It is no pipeline.
        MissingExtraError: Its module needs a package that is not installed.
    """
    target = BUILT_IN.get(name, name)
    module, _, attribute = target.partition(":")
    if not attribute:
        raise _unknown(name)
    try:
        found = cast("object", getattr(import_module(module), attribute))
    except ModuleNotFoundError as error:
        if error.name and not module.startswith(error.name):
            raise MissingExtraError(f"{name} needs {error.name}", fix=f"pip install {error.name}") from error
        raise _not_found(name, module) from error
    except AttributeError as error:
        what, fix = f"the module {module!r} has no {attribute!r}", "the name that the Pipeline has there"
        raise UnknownNameError(what, where="--pipeline", fix=fix) from error
    if not isinstance(found, Pipeline):
        what = f"{name} is a {type(found).__name__}, not a Pipeline"
        raise UserError(what, where="--pipeline", fix="pipeline = Pipeline(name=…, steps=…); see docs/synthesis.md")
    return found


def _not_found(name: str, module: str) -> UnknownNameError:
    if name in BUILT_IN:
        return _unknown(name)
    file = f"{module.replace('.', '/')}.py"
    fix = f"put PYTHONPATH=FOLDER before the command, FOLDER being where {file} is"
    return UnknownNameError(f"the module of the pipeline {name!r} cannot be found", where="--pipeline", fix=fix)


def _unknown(name: str) -> UnknownNameError:
    near = difflib.get_close_matches(name, BUILT_IN, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    fix = f"{hint}known: {', '.join(BUILT_IN)}, or module:attribute of your own"
    return UnknownNameError(f"no pipeline is called {name!r}", where="--pipeline", fix=fix)
