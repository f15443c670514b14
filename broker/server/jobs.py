"""Fine-tuning jobs: taken at once, their files read in the background, then handed to the broker.

The record is stored before the client has its answer; a server that was killed goes on from the record. Handing over is
safe to repeat: the backend makes one broker job for one record.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from broker.errors import BrokerError, DataError, StoreError, UnavailableError, UserError
from broker.jobs.blocking import blocking
from broker.jobs.spec import Method, ModelRef
from broker.server.backend import Backend, StepCheckpoint, TuneOrder
from broker.server.bodies import Dpo, NewJob, SupervisedHyperparameters
from broker.server.documents import DocumentStore, Shelf
from broker.server.errors import ApiError, invalid, no_such_job, unsupported
from broker.server.files import Files, new_file
from broker.server.ids import short, sort_key
from broker.server.jobview import ENDED, metric_lines, status_of
from broker.server.naming import BaseName, ModelNames, short_id_of, split_checkpoint, tuned_name
from broker.server.records import JobRecord, Note, unix_now

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anyio.abc import TaskGroup

    from broker.jobs.records import Event, Job

log = logging.getLogger("broker.server")
DEFAULT_SEED = 713
_RETRY_S = 5.0
_SETTLE_S = 5.0
_LOOK_S = 0.05
_METHODS = {"supervised": Method.SFT, "dpo": Method.DPO}


class JobDesk:
    """Takes jobs and answers for them."""

    def __init__(
        self,
        store: DocumentStore,
        files: Files,
        backend: Backend,
        names: ModelNames,
        tasks: TaskGroup,
        organization: str,
    ) -> None:
        """Set up.

        Args:
            store: Where the documents are.
            files: The clients' files.
            backend: The broker.
            names: Which base models clients may name.
            tasks: For reading files in the background.
            organization: The server's organisation.
        """
        self._shelf = Shelf(store, "server-job", JobRecord, lambda record: record.id)
        self._files = files
        self._backend = backend
        self._names = names
        self._tasks = tasks
        self._organization = organization
        self._locks: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)
        self._by_short: dict[str, str] = {}

    async def start(self) -> None:
        """Go on with jobs that an earlier run left unread."""
        for record in await self._shelf.all():
            self._by_short[short(record.id)] = record.id
            if not record.broker_job and record.ended_at is None:
                self._tasks.start_soon(self._admit, record.id)

    async def create(self, job_id: str, body: NewJob, owner: str) -> JobRecord:
        """Take a job, or return the one taken with this id.

        Args:
            job_id: Its id.
            body: What is asked.
            owner: Name of the token.

        Raises:
            ApiError: 400 about the model, the method or a file.
        """
        known = await self._shelf.get(job_id)
        if known is not None:
            return known
        base = await self._base(body.model)
        method, values = _method(body)
        await self._check_file(body.training_file, "training_file")
        if body.validation_file is not None:
            await self._check_file(body.validation_file, "validation_file")
        now = unix_now()
        integrations = [item.model_dump() for item in body.integrations] if body.integrations else None
        record = JobRecord(
            id=job_id,
            created_at=now,
            model=base.public,
            base=base.base,
            training_file=body.training_file,
            validation_file=body.validation_file,
            method=method,
            hyperparameters=values,
            seed=DEFAULT_SEED if body.seed is None else body.seed,
            suffix=body.suffix,
            integrations=integrations,
            metadata=body.metadata,
            owner=owner,
            notes=(
                Note(at=now, message=f"Created fine-tuning job: {job_id}"),
                Note(at=now, message=f"Validating training file: {body.training_file}"),
            ),
        )
        await self._shelf.put(record)
        self._by_short[short(record.id)] = record.id
        self._tasks.start_soon(self._admit, record.id)
        return record

    async def get(self, job_id: str) -> tuple[JobRecord, Job | None]:
        """Return a job and what became of it. Raises `ApiError` 404."""
        record = await self._record(job_id)
        job = await self._backend.job(record.broker_job) if record.broker_job else None
        return await self._with_result(record, job), job

    async def records(self) -> list[JobRecord]:
        """Return all jobs as asked for."""
        return await self._shelf.all()

    async def with_jobs(self, records: Sequence[JobRecord]) -> list[tuple[JobRecord, Job | None]]:
        """Return jobs with what became of them."""
        found = await self._backend.jobs([record.broker_job for record in records if record.broker_job])
        pairs = [(record, found.get(record.broker_job)) for record in records]
        return [(await self._with_result(record, job), job) for record, job in pairs]

    async def cancel(self, job_id: str) -> tuple[JobRecord, Job | None]:
        """End a job; one that was cancelled is returned as it is. Raises `ApiError` 404, or 400 when it has ended."""
        async with await self._lock(job_id):
            record, job = await self.get(job_id)
            status = status_of(record, job)
            if status == "cancelled":
                return record, job
            _require(record, status not in ENDED, f"Job has already completed with status {status}", "job_ended")
            if job is None:
                return await self._end(record, "The job has been cancelled"), None
            await self._backend.cancel(job.id)
        return await self._settled(job_id, lambda status: status in ENDED)

    async def pause(self, job_id: str) -> tuple[JobRecord, Job | None]:
        """Ask for a pause and return the job as it was when asked; a later look says `paused`.

        The SDK's own type of a job has no `paused` among its states, so an answer that waited would not fit it.

        Raises:
            ApiError: 404, or 400 when the job has ended.
        """
        async with await self._lock(job_id):
            record, job = await self.get(job_id)
            status = status_of(record, job)
            _require(record, status not in ENDED, f"Job has already completed with status {status}", "job_ended")
            if status != "paused" and job is None:
                await self._shelf.put(replace(record, wish="pause"))
            elif status != "paused" and job is not None:
                await self._backend.pause(job.id)
            return record, job

    async def resume(self, job_id: str) -> tuple[JobRecord, Job | None]:
        """Go on with a paused job; one that runs is returned as it is. Raises `ApiError` 404 or 400 (it has ended)."""
        async with await self._lock(job_id):
            record, job = await self.get(job_id)
            status = status_of(record, job)
            _require(record, status not in ENDED, f"Job has already completed with status {status}", "job_ended")
            if status != "paused":
                return record, job
            if job is None:
                record = await self._shelf.put(replace(record, wish=""))
                self._tasks.start_soon(self._admit, record.id)
                return record, None
            await self._backend.resume(job.id)
        return await self._settled(job_id, lambda status: status != "paused")

    async def tuned(self, name: str) -> tuple[JobRecord, ModelRef] | None:
        """Return the job and the model behind a tuned model's name (or a checkpoint's), or None.

        Args:
            name: `ft:BASE:ORG:SUFFIX:ID`, or that with `:ckpt-step-N`.
        """
        tuned, step = split_checkpoint(name)
        short_id = short_id_of(tuned)
        record = await self._by_short_id(short_id) if short_id else None
        if record is None or record.deleted or not record.broker_job:
            return None
        if tuned != tuned_name(record.model, self._organization, record.suffix, short(record.id)):
            return None
        if step is not None:
            found = [item.model for item in await self.checkpoints(record) if item.step == step]
            return (record, found[0]) if found else None
        job = await self._backend.job(record.broker_job)
        return (record, job.model) if status_of(record, job) == "succeeded" and job.model else None

    async def forget_model(self, record: JobRecord) -> None:
        """Delete a tuned model: it can no longer be asked for by its name."""
        async with self._locks[record.id]:
            await self._shelf.put(replace(await self._record(record.id), deleted=True))

    async def events(self, record: JobRecord) -> list[Event]:
        """Return the broker's events of a job, oldest first."""
        return await self._backend.events(record.broker_job) if record.broker_job else []

    async def checkpoints(self, record: JobRecord) -> list[StepCheckpoint]:
        """Return the intermediate models of a job, oldest first."""
        return await self._backend.checkpoints(record.broker_job) if record.broker_job else []

    # --- reading the files, handing over ----------------------------------------------------------------------------

    async def _admit(self, job_id: str) -> None:
        while True:
            async with self._locks[job_id]:
                record = await self._record(job_id)
                if record.broker_job or record.ended_at is not None or record.wish:
                    return
                try:
                    await self._hand_over(record)
                except (UnavailableError, StoreError) as error:
                    log.warning("job %s waits: %s", job_id, error)
                else:
                    return
            await anyio.sleep(_RETRY_S)

    async def _hand_over(self, record: JobRecord) -> None:
        try:
            order = await self._order(record)
            broker_job, rows = await self._backend.submit(order)
        except (UnavailableError, StoreError):
            raise
        except Exception as error:  # whatever one job's files do, the server goes on
            if not isinstance(error, ApiError | BrokerError):
                log.exception("job %s cannot be handed over", record.id)
            await self._refuse(record, error)
            return
        resolved = self._backend.resolve(_METHODS[record.method], record.hyperparameters, rows)
        note = Note(at=unix_now(), message="Files validated, moving job to queued state")
        await self._shelf.put(replace(record, broker_job=broker_job, resolved=resolved, notes=(*record.notes, note)))

    async def _order(self, record: JobRecord) -> TuneOrder:
        train = await self._files.get(record.training_file)
        validation = await self._files.get(record.validation_file) if record.validation_file else None
        return TuneOrder(
            id=record.id,
            base=record.base,
            method=_METHODS[record.method],
            train=self._files.path(train),
            train_name=train.filename,
            validation=self._files.path(validation) if validation else None,
            validation_name=validation.filename if validation else "",
            hyperparameters=record.hyperparameters,
            seed=record.seed,
            suffix=record.suffix,
            metadata=record.metadata or {},
        )

    async def _refuse(self, record: JobRecord, error: Exception) -> None:
        code, param = "server_error", None
        message = "The server had an error while it handed the job over; its log says more."
        if isinstance(error, ApiError | DataError):
            code, param = "invalid_training_file", "training_file"
        elif isinstance(error, UserError):
            code = "invalid_job"
        if isinstance(error, ApiError | BrokerError):
            message = error.message if isinstance(error, ApiError) else str(error)
        await self._end(replace(record, error_code=code, error_message=message, error_param=param), message)

    async def _end(self, record: JobRecord, message: str) -> JobRecord:
        note = Note(at=unix_now(), message=message, level="error" if record.error_code else "info")
        return await self._shelf.put(replace(record, ended_at=unix_now(), wish="", notes=(*record.notes, note)))

    async def _lock(self, job_id: str) -> anyio.Lock:
        """Return the lock of a job that exists: what strangers ask for leaves no lock behind."""
        return self._locks[(await self._record(job_id)).id]

    # --- small steps ------------------------------------------------------------------------------------------------

    async def _record(self, job_id: str) -> JobRecord:
        record = await self._shelf.get(job_id)
        if record is None:
            raise no_such_job(job_id)
        return record

    async def _by_short_id(self, short_id: str) -> JobRecord | None:
        if short_id not in self._by_short:
            self._by_short = {short(record.id): record.id for record in await self._shelf.all()}
        job_id = self._by_short.get(short_id)
        return await self._shelf.get(job_id) if job_id else None

    async def _base(self, name: str) -> BaseName:
        base = self._names.find(name)
        if base is None:
            hint = f"This server knows: {', '.join(self._names.public) or 'none'}."
        else:
            hint = await blocking(self._backend.against, base.base)
            if not hint:
                return base
        message = f"Model {name[:80]} is not available for fine-tuning or does not exist. {hint}"
        raise ApiError(400, message, param="model", code="model_not_available")

    async def _check_file(self, file_id: str, param: str) -> None:
        record = await self._files.find(file_id)
        if record is None:
            raise invalid(f"invalid {param}: no such file: {file_id[:80]}", param=param, code="invalid_file_id")
        if record.purpose != "fine-tune":
            message = f"invalid {param}: the file {record.id} has the purpose '{record.purpose}', not 'fine-tune'"
            raise invalid(message, param=param, code="invalid_file_purpose")

    async def _settled(self, job_id: str, done: Callable[[str], bool]) -> tuple[JobRecord, Job | None]:
        """Wait a short while until a wish has come true, so that the answer can say so."""
        record, job = await self.get(job_id)
        with anyio.move_on_after(_SETTLE_S):
            while not done(status_of(record, job)):
                await anyio.sleep(_LOOK_S)
                record, job = await self.get(job_id)
        return record, job

    async def _with_result(self, record: JobRecord, job: Job | None) -> JobRecord:
        """Make the file of step metrics of a job that has succeeded, once."""
        if job is None or record.result_file or status_of(record, job) != "succeeded":
            return record
        file_id = f"file-{sort_key(record.id)}"
        lines = metric_lines(await self._backend.events(job.id))
        life = new_file(
            file_id=file_id,
            filename="step_metrics.csv",
            size=0,
            purpose="fine-tune-results",
            life_s=None,
            owner=record.owner,
        )
        await self._files.write(life, lines)
        return await self._shelf.put(replace(await self._record(record.id), result_file=file_id))


def _method(body: NewJob) -> tuple[str, dict[str, int | float | str]]:
    if body.method is None:
        return "supervised", _values(body.hyperparameters)
    if body.method.type == "reinforcement":
        raise unsupported("method.type", "it trains by 'supervised' and by 'dpo'")
    if body.method.type == "dpo":
        return "dpo", _values((body.method.dpo or Dpo()).hyperparameters)
    chosen = body.method.supervised.hyperparameters if body.method.supervised else body.hyperparameters
    return "supervised", _values(chosen)


def _values(asked: SupervisedHyperparameters | None) -> dict[str, int | float | str]:
    return (asked or SupervisedHyperparameters()).model_dump()


def _require(record: JobRecord, holds: bool, message: str, code: str) -> None:
    if not holds:
        raise ApiError(400, f"{message}: {record.id}", param="fine_tuning_job_id", code=code)
