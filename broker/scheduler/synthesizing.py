"""The life of a synthesis: ask until enough rows came through, write them, and stop cleanly where the money ends."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import CancelScope

from broker.errors import BrokerError
from broker.jobs.blocking import blocking
from broker.jobs.durable import guarded, make_folder, write_whole
from broker.jobs.records import EXHAUSTED, Failure
from broker.jobs.spec import FRESH, ModelRef, SynthesizeSpec
from broker.jobs.states import JobKind, State
from broker.scheduler.patience import interrupted, until_done
from broker.scheduler.tuning import obey_at_rest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from broker.jobs.spec import Spec
    from broker.providers.contract import CompletionRequest, Provider
    from broker.scheduler.parts import Held, Parts
    from broker.synthesis.run import Means, Order, Outcome, Progress

# Code of a failure that more money mends.
BUDGET = "budget"
# A row that a batch does not answer is asked live, at twice a batch's price.
_LIVE = 2.0
# What the job's record tells of the manifest.
_TOLD = (
    "accepted",
    "requested",
    "requests",
    "answers_of_other_jobs",
    "possibly_paid_twice",
    "seconds",
    "cost_usd",
    "row_format",
    "coverage",
    "split",
)
# Answers of so many earlier jobs of the account are looked through.
_EARLIER = 100
# Beside the answers: what decides them and is no part of a request. Options that only tell how to ask are none.
_ACCOUNT = "account.json"
_PACE = re.compile(r"_per_minute$|_s$|^batch|^tries$|^paid$")


def synthesis_folder(data_dir: Path, job_id: str) -> Path:
    """Return the folder that holds the answers of a synthesis."""
    return data_dir / "synthesis" / job_id


async def drive_synthesis(parts: Parts, provider: Provider, held: Held) -> bool:
    """Bring a synthesis to its end; killed and started again, it asks only for what was never answered.

    Args:
        parts: What drivers share.
        provider: The account that answers.
        held: The job, leased.

    Returns:
        False: a synthesis needs no following.
    """
    await obey_at_rest(parts, held)
    if held.job.resting:
        return False
    spec = _spec(held)
    model = ModelRef(provider=spec.provider, name=spec.model)
    if not await _can_open(parts, held):
        return False
    if held.job.state is State.QUEUED:
        await parts.transition(held, State.PREPARING)
    if held.job.state is State.PREPARING:
        problems = [problem for problem in provider.check_model(model) if problem.severity == "error"]
        if problems:
            what, fix = "\n".join(map(str, problems)), problems[0].fix
            await parts.fail(held, Failure(code="model", message=what, fix=fix, at=datetime.now(UTC)))
            return False
        await parts.transition(held, State.RUNNING, failure=None, started_at=held.job.started_at or datetime.now(UTC))
    counted = _Counter(parts, held.job.id)
    with held.scope:
        await until_done(
            parts,
            provider,
            held,
            partial(_once, parts, provider, held, counted),
            lambda: counted.progress,
            partial(_paid, parts, held.job.id),
        )
    if held.scope.cancelled_caught:
        await interrupted(parts, held, cost_usd=counted.cost_usd)
    return False


async def _can_open(parts: Parts, held: Held) -> bool:
    """Say whether the pipeline can be had here; else the job rests until somebody starts a broker that has it."""
    from broker.synthesis.pipeline import open_pipeline

    try:
        await blocking(open_pipeline, _spec(held).pipeline)
    except BrokerError as error:
        fix = f"{error.fix}; broker resume {held.job.id} goes on" if error.fix else f"broker resume {held.job.id}"
        failure = Failure(code="pipeline", message=error.message, fix=fix, at=datetime.now(UTC))
        await parts.transition(held, State.PAUSED, failure=failure, data={"why": error.message})
        return False
    return True


async def _paid(parts: Parts, job_id: str) -> float:
    """Return what the stored answers of a job have cost, USD."""
    from broker.synthesis.answerbook import AnswerBook

    return (await blocking(AnswerBook, synthesis_folder(parts.data_dir, job_id))).cost_usd


async def _once(parts: Parts, provider: Provider, held: Held, counted: _Counter, _again: bool) -> None:
    from broker.synthesis.run import synthesize

    spec = _spec(held)
    completer = provider.completer(ModelRef(provider=spec.provider, name=spec.model))
    try:
        order = await blocking(_order, parts, spec, held.job.id)
        means = await _means(parts, provider, held, completer)
        outcome = await synthesize(order, means, counted)
    finally:
        with CancelScope(shield=True):
            await completer.aclose()
    await _end(parts, held, outcome)


def _order(parts: Parts, spec: SynthesizeSpec, job_id: str) -> Order:
    """Read what is to be made (blocking)."""
    from broker.synthesis.pipeline import open_pipeline
    from broker.synthesis.prompting import Prompt
    from broker.synthesis.run import Order

    pipeline = open_pipeline(spec.pipeline)
    texts = _json(parts, str(spec.options["prompts"]))
    records = list(_lines(parts.artifacts.path(spec.source))) if spec.source else []
    return Order(
        pipeline=pipeline,
        records=records,
        rows=spec.rows,
        options=pipeline.with_defaults(spec.options),
        prompts={name: Prompt(name=name, text=text) for name, text in texts.items()},
        model=f"{spec.provider}:{spec.model}",
        seed=spec.seed,
        facts={"job": job_id, "source": {"name": spec.source_name, "sha256": spec.source, "rows": len(records)}},
    )


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield what each line holds; only a newline ends one, texts may hold other ends of lines (U+2028, U+0085)."""
    with path.open("rb") as lines:
        yield from map(json.loads, lines)


def _json(parts: Parts, sha256: str) -> Mapping[str, Any]:
    data: Mapping[str, Any] = json.loads(parts.artifacts.path(sha256).read_text(encoding="utf-8"))
    return data


async def _means(parts: Parts, provider: Provider, held: Held, completer: Any) -> Means:
    from broker.jobs.datasets import estimate_tokens
    from broker.sandbox import encoder_dir
    from broker.synthesis.flow import BATCH_WINDOW
    from broker.synthesis.run import Means

    spec = _spec(held)
    model = ModelRef(provider=spec.provider, name=spec.model)
    batch = bool(parts.settings.account(spec.provider).options.get("batch"))
    dearest = _LIVE if batch else 1.0

    def price(request: CompletionRequest) -> float:
        asked = sum(estimate_tokens(str(message["content"])) for message in request.messages)
        return dearest * provider.estimate_answers(model, asked, request.decoding.max_tokens).high_usd

    encoder = str(spec.options.get("encoder") or "")
    sandbox = str(encoder_dir(parts.settings.cache_dir))
    return Means(
        completer=completer,
        folder=synthesis_folder(parts.data_dir, held.job.id),
        output=Path(spec.output),
        earlier=await _earlier(parts, provider, held),
        workers=parts.workers,
        encoder=sandbox if encoder == "sandbox-encoder" else encoder,
        price=price,
        limit_usd=await _limit_usd(parts, held),
        waves=batch or not provider.capabilities.remote,
        window=BATCH_WINDOW if batch else 0,
    )


async def _earlier(parts: Parts, provider: Provider, held: Held) -> list[Path]:
    """Return the folders of other jobs whose paid answers can be used, the newest first.

    An answer fits by its key: the same account and model, messages, schema, drawing and row. What the key does not hold
    (where the account is, and its options) must be the same as well, and is noted beside the answers.
    """
    spec, folder = _spec(held), synthesis_folder(parts.data_dir, held.job.id)
    noted = _account(parts, spec.provider)
    with guarded(folder, "note the account"):
        await blocking(_note, folder, noted)
    if spec.options.get(FRESH) or not provider.capabilities.paid:
        return []
    kinds, accounts = [JobKind.SYNTHESIZE], [spec.provider]
    jobs = await blocking(parts.store.jobs, kinds=kinds, providers=accounts, newest_first=True, limit=_EARLIER)
    others = [job for job in jobs if job.id != held.job.id and _alike(job.spec, spec)]
    folders = [synthesis_folder(parts.data_dir, job.id) for job in others]
    return [one for one in folders if await blocking(_is_noted, one / _ACCOUNT, noted)]


def _alike(one: Spec, other: SynthesizeSpec) -> bool:
    return isinstance(one, SynthesizeSpec) and (one.model, one.seed) == (other.model, other.seed)


def _account(parts: Parts, name: str) -> bytes:
    """Return what decides an account's answers beside the request; how fast it is asked does not."""
    account = parts.settings.account(name)
    options = {key: value for key, value in account.options.items() if not _PACE.search(key)}
    told = [account.kind, account.base_url, account.organization, account.project, options]
    return json.dumps(told, sort_keys=True, default=str).encode()


def _note(folder: Path, noted: bytes) -> None:
    """Note what decides the answers of a folder; nothing, for ever, where some came under other settings (blocking)."""
    from broker.synthesis.answerbook import ANSWERS

    make_folder(folder)
    alike = _is_noted(folder / _ACCOUNT, noted) or not (folder / ANSWERS).exists()
    write_whole(folder / _ACCOUNT, noted if alike else b"")


def _is_noted(path: Path, noted: bytes) -> bool:
    return path.is_file() and path.read_bytes() == noted


async def _limit_usd(parts: Parts, held: Held) -> float | None:
    """Return what the job may cost: the experiment's budget without what else it has paid or reserved."""
    experiment = await blocking(parts.store.experiment, held.job.experiment)
    if experiment.budget_usd is None:
        return None
    job = await blocking(parts.store.job, held.job.id)
    own = job.reserved_usd if job.cost_usd is None else job.cost_usd
    others = await blocking(parts.store.spent, held.job.experiment) - own
    return max(0.0, experiment.budget_usd - others)


async def _end(parts: Parts, held: Held, outcome: Outcome) -> None:
    made, job_id = outcome.manifest, held.job.id
    result = {name: made.get(name) for name in _TOLD}
    result |= {"rejected": sum(made["rejected"].values()), "reasons": made["rejected"]}
    so_far = f"{made['accepted']} of {made['requested']} rows are in {_spec(held).output}"
    if outcome.complete:
        await parts.end(held, State.SUCCEEDED, result=result, cost_usd=made["cost_usd"])
    elif outcome.broke:
        what = f"the budget is spent ({made['cost_usd']:.4f} USD): {so_far}"
        fix = f"broker resume {job_id} --budget MORE goes on with them"
        failure = Failure(code=BUDGET, message=what, fix=fix, at=datetime.now(UTC))
        await parts.transition(held, State.PAUSED, failure=failure, result=result, data={"why": what})
    else:
        what = f"the sources are used up: {so_far}"
        fix = "tune on what is there, or submit again with more sources, or with --set passes=2"
        failure = Failure(code=EXHAUSTED, message=what, fix=fix, at=datetime.now(UTC))
        await parts.end(
            held,
            State.FAILED,
            failure=failure,
            result=result,
            cost_usd=made["cost_usd"],
            data={"code": failure.code, "why": what},
        )


def _spec(held: Held) -> SynthesizeSpec:
    spec = held.job.spec
    assert isinstance(spec, SynthesizeSpec)
    return spec


class _Counter:
    """Notes how far the synthesis is, for watchers and for whoever decides whether it goes on."""

    def __init__(self, parts: Parts, job_id: str) -> None:
        self._parts = parts
        self._job_id = job_id
        self.progress = 0
        self.cost_usd: float | None = None

    def __call__(self, progress: Progress) -> None:
        rejected = sum(progress.rejected.values())
        self.progress = progress.accepted + rejected + progress.requests
        self.cost_usd = progress.cost_usd
        data = {
            "rows": progress.accepted,
            "total_rows": progress.wanted,
            "rejected": dict(progress.rejected),
            "requests": progress.requests,
            "requests_per_s": round(progress.requests_per_s, 2),
            "cost_usd": round(progress.cost_usd, 6),
            "taken": progress.taken,
            "left_s": None if progress.left_s is None else round(progress.left_s, 1),
        }
        self._parts.progress(self._job_id, data)
