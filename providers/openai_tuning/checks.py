"""Everything that stands against a job before anything is sent. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from broker.errors import Problem
from broker.jobs.spec import DatasetRef, Method, RowFormat, TuneSpec
from broker.providers.openai_tuning.payloads import INTENT_KEY
from broker.providers.parameters import check_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.catalog import Catalog
    from broker.providers.contract import Capabilities

# Limits: the published specification, 2026-08.
MIN_ROWS = 10
FILE_BYTES = 512 * 1024 * 1024
UPLOAD_BYTES = 8 * 1024 * 1024 * 1024
SUFFIX_LENGTH = 64
SEED_MOST = 2_147_483_647
PAIRS, KEY_LENGTH, VALUE_LENGTH = 16, 64, 512
KIND = "openai"


def today() -> date:
    """Return the day by which dates are judged."""
    return datetime.now(UTC).date()


def check_spec(spec: TuneSpec, capabilities: Capabilities, catalog: Catalog, *, official: bool) -> list[Problem]:
    """Return every problem of a job at once.

    Args:
        spec: The job.
        capabilities: What the account can do.
        catalog: Row lengths and dates.
        official: It is OpenAI's own service, to which the dates apply.
    """
    problems = check_parameters(spec, capabilities)
    problems += _files(spec, capabilities, catalog)
    problems += _words(spec)
    problems += _metadata(spec)
    problems += _wandb(spec)
    return problems + (_dates(spec, catalog) if official else [])


def _files(spec: TuneSpec, capabilities: Capabilities, catalog: Catalog) -> Iterator[Problem]:
    facts = catalog.model(KIND, spec.model)
    longest = (facts.max_row_tokens if facts else None) or capabilities.max_row_tokens
    if spec.train.rows < capabilities.min_rows:
        what = f"{spec.train.rows} training rows are fewer than the {capabilities.min_rows} that are needed"
        yield Problem(where=spec.train.name, what=what, fix=f"add {capabilities.min_rows - spec.train.rows} row(s)")
    for data in (spec.train, *([spec.validation] if spec.validation else [])):
        yield from _file(data, spec.method, longest, capabilities)


def _file(data: DatasetRef, method: Method, longest: int | None, capabilities: Capabilities) -> Iterator[Problem]:
    wanted = RowFormat.PREFERENCE if method is Method.DPO else RowFormat.CHAT
    if data.format is not wanted:
        what = f"{method} needs {wanted} rows, not {data.format} rows"
        fix = "use --method dpo" if data.format is RowFormat.PREFERENCE else "use rows with messages, or --method sft"
        yield Problem(where=data.name, what=what, fix=fix)
    most = capabilities.max_bytes
    if most is not None and data.bytes > most:
        what = f"the file has {data.bytes:,} bytes, more than the {most:,} that are taken"
        yield Problem(where=data.name, what=what, fix="split it, or use fewer rows")
    if longest is not None and data.longest_tokens > longest:
        what = f"its longest row has about {data.longest_tokens:,} tokens; what is beyond {longest:,} is cut off unseen"
        yield Problem(where=data.name, what=what, fix="shorten the row", severity="warning")


def _words(spec: TuneSpec) -> Iterator[Problem]:
    if spec.suffix is not None and not 1 <= len(spec.suffix) <= SUFFIX_LENGTH:
        what = f"the suffix has {len(spec.suffix)} characters"
        yield Problem(where="--suffix", what=what, fix=f"1 to {SUFFIX_LENGTH} characters")
    if not 0 <= spec.seed <= SEED_MOST:
        yield Problem(where="--seed", what=f"{spec.seed} is out of range", fix=f"0 to {SEED_MOST}")
    if "beta" in spec.parameters and spec.method is not Method.DPO and spec.parameters["beta"] is not None:
        yield Problem(where="--beta", what="beta belongs to DPO", fix="leave it out, or use --method dpo")


def _metadata(spec: TuneSpec) -> Iterator[Problem]:
    if INTENT_KEY in spec.metadata:
        what = f"the key {INTENT_KEY!r} is the broker's own"
        yield Problem(where="metadata", what=what, fix="use another key")
    if len(spec.metadata) > PAIRS - 1:
        what = f"{len(spec.metadata)} pairs are too many; one of {PAIRS} is the broker's own"
        yield Problem(where="metadata", what=what, fix=f"at most {PAIRS - 1} pairs")
    for key, value in spec.metadata.items():
        if not 1 <= len(key) <= KEY_LENGTH:
            what = f"the key {key[:80]!r} has {len(key)} characters"
            yield Problem(where="metadata", what=what, fix=f"1 to {KEY_LENGTH} characters")
        if len(value) > VALUE_LENGTH:
            what = f"the value of {key[:80]!r} has {len(value)} characters"
            yield Problem(where="metadata", what=what, fix=f"at most {VALUE_LENGTH} characters")


def _wandb(spec: TuneSpec) -> Iterator[Problem]:
    others = [name for name in ("wandb_name", "wandb_entity", "wandb_tags") if spec.parameters.get(name)]
    if others and not spec.parameters.get("wandb_project"):
        what = f"{', '.join(others)} given without a project"
        yield Problem(where="--wandb-project", what=what, fix="give --wandb-project NAME")


def _dates(spec: TuneSpec, catalog: Catalog) -> list[Problem]:
    day = today()
    problems = catalog.announcements_for(KIND, "tuning", day)
    gone = catalog.shutdown(KIND, spec.model, day)
    facts = catalog.model(KIND, spec.model)
    if facts is not None and not facts.tunable:
        what = f"{spec.model} cannot be fine-tuned"
        tunable = [
            other.name for other in catalog.of(KIND) if other.tunable and not catalog.gone(KIND, other.name, day)
        ]
        problems.append(Problem(where="--model", what=what, fix=f"one of: {', '.join(tunable) or 'none is left'}"))
    return [*problems, *([gone] if gone else [])]
