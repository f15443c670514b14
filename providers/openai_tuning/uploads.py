"""Files at the account: each content once, found again after a crash or a lost answer, in parts when it is big.

A file carries no metadata, so its name does: `broker-<sha256>.jsonl`. Before an upload goes out, the time is noted in
the ledger; whoever comes next (this process, or one started after a crash) first looks whether that upload arrived,
until it is older than the grace time.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
from openai import omit

from broker.errors import OutcomeUnknownError, ProviderError, RefusedError, UnavailableError
from broker.providers.contract import UploadLedger
from broker.providers.foreign_json import Item, fields
from broker.providers.openai_tuning.connection import Connection
from broker.providers.openai_tuning.listing import pages
from broker.providers.openai_tuning.statuses import FILE_READY

if TYPE_CHECKING:
    from pathlib import Path

    from openai import AsyncOpenAI

MIB = 1024 * 1024
_LOOK_S = 0.2
_LOOK_MOST_S = 10.0
_MIME = "application/jsonl"
# A status that OpenAI calls deprecated is not waited for longer than this, seconds.
_DEPRECATED_WAIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRules:
    """How files go up.

    Attributes:
        grace_s: How long an uploaded file may stay invisible in the listing, seconds.
        single_bytes: Largest file sent in one piece.
        part_bytes: Size of the parts of a larger one.
        processing_s: Longest wait for a file to be processed, seconds.
    """

    grace_s: float = 60.0
    single_bytes: int = 64 * MIB
    part_bytes: int = 32 * MIB
    processing_s: float = 900.0


@dataclass(slots=True)
class Uploads:
    """The files of one account.

    Attributes:
        connection: The account.
        ledger: What it already holds.
        rules: How files go up.
        report: Shows progress: (text, done, total).
    """

    connection: Connection
    ledger: UploadLedger
    rules: UploadRules = field(default_factory=UploadRules)
    report: Callable[[str, int, int], None] = lambda _text, _done, _total: None
    _locks: dict[str, anyio.Lock] = field(default_factory=dict[str, anyio.Lock])
    # This server leaves its files `uploaded`: seen once, not waited for again.
    _word_is_final: bool = False

    async def ensure(self, path: Path, sha256: str, *, purpose: str = "fine-tune") -> str:
        """Return the id of the remote file with this content, uploading it if need be, ready for use.

        Args:
            path: The file here.
            sha256: Its content hash.
            purpose: `fine-tune` or `batch`.

        Raises:
            RefusedError: The account does not take the file, or found it unusable.
            UnavailableError: It cannot be done now.
        """
        async with self._locks.setdefault(purpose + sha256, anyio.Lock()):
            held = await self.ledger.get(sha256, purpose)
            found = await self._look_at(held) if held else None
            if held and (found is None or FILE_READY.get(str(found.get("status"))) is False):
                await self.ledger.forget(held)
                found = None
            if found is None:
                found = await self._settle(sha256, purpose) or await self._send(path, sha256, purpose)
                await self.ledger.put(sha256, purpose, str(found["id"]))
            return await self._ready(found)

    async def known(self, sha256: str, *, purpose: str = "fine-tune") -> str | None:
        """Return the id under which the account holds this content, as far as the ledger knows."""
        return await self.ledger.get(sha256, purpose)

    async def _look_at(self, file_id: str) -> Item | None:
        """Return a remote file, or None when it is gone."""
        try:
            found = await self.connection.read(lambda c: c.files.with_raw_response.retrieve(file_id), "files")
        except RefusedError as error:
            verdict = self.connection.reader.read(error)
            if verdict.code == "not_found":
                return None
            raise
        return None if str(found.get("status")) in {"deleted", "deleting"} else found

    # --- doubt ----------------------------------------------------------------------------------------------------

    async def _settle(self, sha256: str, purpose: str) -> Item | None:
        """Find out what became of an upload of this content that was noted and never confirmed."""
        noted = await self.ledger.get(sha256, _pending(purpose))
        if noted is None:
            return None
        found = await self._look_for(sha256, purpose, until=_noted_at(noted) + self.rules.grace_s)
        await self.ledger.forget(noted)
        return found

    async def _look_for(self, sha256: str, purpose: str, *, until: float) -> Item | None:
        """List files until one has this content or the wall clock says `until`; at least once."""
        # A clock that was set back must not make this wait for a day.
        ends = anyio.current_time() + min(max(0.0, until - time.time()), self.rules.grace_s)
        pause_s = _LOOK_S
        while True:
            if (found := await self._listed(sha256, purpose)) is not None:
                return found
            if anyio.current_time() >= ends:
                return None
            await anyio.sleep(min(pause_s, max(0.01, ends - anyio.current_time())))
            pause_s = min(_LOOK_MOST_S, pause_s * 1.6)

    async def _listed(self, sha256: str, purpose: str) -> Item | None:
        async def fetch(after: str | None) -> dict[str, Any]:
            def call(client: AsyncOpenAI) -> Any:
                listing = client.files.with_raw_response
                return listing.list(purpose=purpose, limit=10_000, order="desc", after=after or omit)

            return await self.connection.read(call, "files")

        async for page in pages(fetch):
            for item in page:
                ready = FILE_READY.get(str(item.get("status")))
                if item.get("filename") == file_name(sha256) and ready is not False:
                    return item
        return None

    # --- sending --------------------------------------------------------------------------------------------------

    async def _send(self, path: Path, sha256: str, purpose: str) -> Item:
        for last in (False, True):
            # Unique: the ledger forgets by this value, and many uploads begin in the same millisecond.
            noted = f"sent@{time.time():.3f}@{purpose}@{sha256}"
            await self.ledger.put(sha256, _pending(purpose), noted)
            try:
                found = await self._send_once(path, sha256, purpose)
            except OutcomeUnknownError as error:
                listed = await self._look_for(sha256, purpose, until=time.time() + self.rules.grace_s)
                if listed is not None:
                    found = listed
                elif last:
                    raise UnavailableError(error.message, fix=error.fix, where="files") from None
                else:
                    continue
            except ProviderError:
                await self.ledger.forget(noted)  # certainly no file was made
                raise
            await self.ledger.put(sha256, purpose, str(found["id"]))
            await self.ledger.forget(noted)
            return found
        raise AssertionError("unreachable")

    async def _send_once(self, path: Path, sha256: str, purpose: str) -> Item:
        size = (await anyio.Path(path).stat()).st_size
        if size > self.rules.single_bytes:
            try:
                return await self._send_parts(path, sha256, purpose, size)
            except RefusedError as error:
                if self.connection.reader.read(error).code != "not_found":
                    raise  # not: a server without the Uploads API
        content = _Counted(await anyio.Path(path).read_bytes(), self.report)
        name = file_name(sha256)

        def call(client: AsyncOpenAI) -> Any:
            return client.files.with_raw_response.create(file=(name, content, _MIME), purpose=_purpose(purpose))

        return _file_of(await self.connection.create(call, "files", upload=True))

    async def _send_parts(self, path: Path, sha256: str, purpose: str, size: int) -> Item:
        """Send a big file in parts. A part sent twice is no harm; only the last call makes a file."""

        def begin(client: AsyncOpenAI) -> Any:
            return client.uploads.with_raw_response.create(
                bytes=size, filename=file_name(sha256), mime_type=_MIME, purpose=_purpose(purpose)
            )

        upload_id = str((await self.connection.read(begin, "uploads"))["id"])
        part_ids: list[str] = []
        async with await anyio.open_file(path, "rb") as source:
            while part := await source.read(self.rules.part_bytes):
                part_ids.append(await self._send_part(upload_id, part))
                self.report("uploading", await source.tell(), size)

        def complete(client: AsyncOpenAI) -> Any:
            return client.uploads.with_raw_response.complete(upload_id, part_ids=part_ids)

        done = await self.connection.create(complete, "uploads", upload=True)
        return _file_of(fields(done.get("file")))

    async def _send_part(self, upload_id: str, part: bytes) -> str:
        def call(client: AsyncOpenAI) -> Any:
            return client.uploads.parts.with_raw_response.create(upload_id, data=("part", part, _MIME))

        return str((await self.connection.read(call, "uploads"))["id"])

    # --- processing -----------------------------------------------------------------------------------------------

    async def _ready(self, file: Item) -> str:
        """Wait until a file is processed."""
        begun, pause_s, file_id = anyio.current_time(), _LOOK_S, str(file["id"])
        while (ready := FILE_READY.get(str(file.get("status")))) is not True:
            waited_s = anyio.current_time() - begun
            if ready is False:
                await self.ledger.forget(file_id)
                why = self.connection.reader.censor(str(file.get("status_details") or "no reason was given"))
                fix = "run `broker check` on the file, mend the rows it names, and submit again"
                raise RefusedError(f"the file {file_id} was found unusable: {why}", fix=fix, where="files")
            if waited_s > self._longest_wait_s(str(file.get("status"))):
                self._word_is_final = str(file.get("status")) == "uploaded"
                break  # the job's own validation has the last word
            await anyio.sleep(pause_s)
            pause_s = min(_LOOK_MOST_S, pause_s * 1.6)
            found = await self._look_at(file_id)
            if found is None:
                await self.ledger.forget(file_id)
                raise UnavailableError(f"the file {file_id} vanished while it was processed", where="files")
            file = found
        return file_id

    def _longest_wait_s(self, status: str) -> float:
        patient = status in {"pending", "running"}
        if self._word_is_final and status == "uploaded":
            return 0.0
        return self.rules.processing_s if patient else min(_DEPRECATED_WAIT_S, self.rules.processing_s)


class _Counted(io.BytesIO):
    """Bytes that tell how far they were read."""

    def __init__(self, content: bytes, report: Callable[[str, int, int], None]) -> None:
        super().__init__(content)
        self._report, self._total = report, len(content)

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(size)
        if chunk:
            self._report("uploading", self.tell(), self._total)
        return chunk


def file_name(sha256: str) -> str:
    """Return the remote name of a content, by which it is found again."""
    return f"broker-{sha256}.jsonl"


def _pending(purpose: str) -> str:
    return f"{purpose}:sending"


def _noted_at(noted: str) -> float:
    return float(noted.split("@")[1])


def _purpose(purpose: str) -> Any:
    return purpose


def _file_of(found: Item) -> Item:
    if not found.get("id"):
        raise OutcomeUnknownError("the answer to the upload holds no file id", where="files")
    return found
