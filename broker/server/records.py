"""What the server keeps of its own objects, and how each looks to a client."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

UPLOAD_LIFE_S = 3600
BATCH_LIFE_S = 24 * 3600


def unix_now() -> int:
    """Return the time as clients see it: whole seconds since 1970."""
    return int(time.time())


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """A file. Its bytes lie under its id in the server's folder.

    Attributes:
        id: `file-…`.
        filename: As the client called it.
        bytes: Its size.
        purpose: What it is for.
        created_at: Unix time, seconds.
        expires_at: When it goes away, if it does.
        owner: Name of the token that sent it.
    """

    id: str
    filename: str
    bytes: int
    purpose: str
    created_at: int
    expires_at: int | None = None
    owner: str = ""

    @property
    def expired(self) -> bool:
        """Say whether its time is over."""
        return self.expires_at is not None and self.expires_at <= unix_now()

    def view(self) -> dict[str, Any]:
        """Return the file object."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.bytes,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRecord:
    """A part of an upload."""

    id: str
    upload_id: str
    bytes: int
    created_at: int

    def view(self) -> dict[str, Any]:
        """Return the part object."""
        return {
            "id": self.id,
            "object": "upload.part",
            "created_at": self.created_at,
            "upload_id": self.upload_id,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRecord:
    """A file that comes in parts.

    Attributes:
        id: `upload_…`.
        filename: As the client called it.
        bytes: Its size, as announced.
        purpose: What it will be for.
        mime_type: As announced.
        created_at: Unix time, seconds.
        expires_at: When it can no longer be completed.
        expires_after_s: Life of the finished file, if it has an end.
        status: `pending`, `completed` or `cancelled`; `expired` follows from the time.
        part_ids: Of which parts it was completed, in order.
        file: The finished file.
        owner: Name of the token that began it.
    """

    id: str
    filename: str
    bytes: int
    purpose: str
    mime_type: str
    created_at: int
    expires_at: int
    expires_after_s: int | None = None
    status: str = "pending"
    part_ids: tuple[str, ...] = ()
    file: FileRecord | None = None
    owner: str = ""

    @property
    def now(self) -> str:
        """Return the status at this moment."""
        return "expired" if self.status == "pending" and self.expires_at <= unix_now() else self.status

    def view(self) -> dict[str, Any]:
        """Return the upload object; it has a `file` only once there is one."""
        body: dict[str, Any] = {
            "id": self.id,
            "object": "upload",
            "bytes": self.bytes,
            "created_at": self.created_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": self.now,
            "expires_at": self.expires_at,
        }
        return body if self.file is None else body | {"file": self.file.view()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something that happened to a job before the broker had it, or beside it."""

    at: int
    message: str
    level: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A fine-tuning job as the client asked for it. What became of it is in the broker's job.

    Attributes:
        id: `ftjob-…`.
        created_at: Unix time, seconds.
        model: The model's public name (a key of the map).
        base: The provider's own name for it.
        training_file: Id of the training file.
        validation_file: Id of the validation file.
        method: `supervised` or `dpo`.
        hyperparameters: As asked, `auto` included.
        resolved: The values that `auto` became, once known.
        seed: Seed of the training.
        suffix: The client's words in the model's name.
        integrations: Kept and given back.
        metadata: The client's own pairs.
        owner: Name of the token.
        broker_job: Id of the broker's job; empty until the files were validated.
        wish: `cancel` or `pause`, asked for before the broker had the job.
        error_code: Why it never came to a broker job.
        error_message: The same for people.
        error_param: Which parameter is to blame.
        ended_at: When it ended without a broker job.
        notes: What happened before there was a broker job.
        deleted: The tuned model was deleted.
        result_file: Id of the file with the step metrics.
    """

    id: str
    created_at: int
    model: str
    base: str
    training_file: str
    validation_file: str | None = None
    method: str = "supervised"
    hyperparameters: dict[str, int | float | str] = field(default_factory=dict[str, int | float | str])
    resolved: dict[str, int | float | str] = field(default_factory=dict[str, int | float | str])
    seed: int = 0
    suffix: str | None = None
    integrations: list[dict[str, Any]] | None = None
    metadata: dict[str, str] | None = None
    owner: str = ""
    broker_job: str = ""
    wish: str = ""
    error_code: str = ""
    error_message: str = ""
    error_param: str | None = None
    ended_at: int | None = None
    notes: tuple[Note, ...] = ()
    deleted: bool = False
    result_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """A batch.

    Attributes:
        id: `batch_…`.
        endpoint: Path that its rows call.
        input_file_id: The requests.
        completion_window: `24h`.
        created_at: Unix time, seconds.
        expires_at: When what is not answered yet is given up.
        status: As OpenAI names it.
        output_life_s: Life of the output files, if it has an end.
        metadata: The client's own pairs.
        errors: Why the input was refused.
        total: Requests.
        completed: Requests answered.
        failed: Requests that failed.
        input_tokens: Tokens read.
        output_tokens: Tokens written.
        model: The model of the rows.
        output_file_id: The answers.
        error_file_id: The failures.
        times: When each status came, by the name of its field (`in_progress_at`, …).
        owner: Name of the token.
    """

    id: str
    endpoint: str
    input_file_id: str
    completion_window: str
    created_at: int
    expires_at: int
    status: str = "validating"
    output_life_s: int | None = None
    metadata: dict[str, str] | None = None
    errors: list[dict[str, Any]] | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    model: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    times: dict[str, int] = field(default_factory=dict[str, int])
    owner: str = ""

    @property
    def ended(self) -> bool:
        """Say whether nothing more will happen to it."""
        return self.status in ("failed", "completed", "expired", "cancelled")

    def view(self) -> dict[str, Any]:
        """Return the batch object."""
        moments = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": self.model,
            "errors": None if self.errors is None else {"object": "list", "data": self.errors},
            "input_file_id": self.input_file_id,
            "completion_window": self.completion_window,
            "status": self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            **{f"{name}_at": self.times.get(f"{name}_at") for name in moments},
            "request_counts": {"total": self.total, "completed": self.completed, "failed": self.failed},
            "usage": {
                "input_tokens": self.input_tokens,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": self.output_tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": self.input_tokens + self.output_tokens,
            },
            "metadata": self.metadata,
        }
