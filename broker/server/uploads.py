"""Big files that come in parts."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from broker.errors import StoreError
from broker.jobs.blocking import blocking
from broker.server.documents import DocumentStore, Shelf
from broker.server.errors import ApiError, invalid, no_such_upload, too_large
from broker.server.files import Files, new_file
from broker.server.ids import new_id
from broker.server.multipart import Form, clean_filename
from broker.server.records import UPLOAD_LIFE_S, PartRecord, UploadRecord, unix_now

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from broker.server.bodies import CompleteUpload, NewUpload

_COPY_BYTES = 1024 * 1024


class Uploads:
    """All uploads and their parts."""

    def __init__(self, store: DocumentStore, folder: Path, files: Files, *, upload_bytes: int, part_bytes: int) -> None:
        """Set up.

        Args:
            store: Where the documents are.
            folder: The server's own folder.
            files: Where a finished file goes.
            upload_bytes: Largest file.
            part_bytes: Largest part.
        """
        self._uploads = Shelf(store, "server-upload", UploadRecord, lambda record: record.id)
        self._parts = Shelf(store, "server-part", PartRecord, lambda record: record.id)
        self._folder = folder / "parts"
        self._files = files
        self._upload_bytes = upload_bytes
        self._part_bytes = part_bytes

    async def create(self, upload_id: str, body: NewUpload, owner: str) -> UploadRecord:
        """Begin an upload, or return the one begun with this id.

        Args:
            upload_id: Its id.
            body: What will come.
            owner: Name of the token.
        """
        known = await self._uploads.get(upload_id)
        if known is not None:
            return known
        if body.bytes > self._upload_bytes:
            raise too_large("The upload", self._upload_bytes, param="bytes")
        await self._files.check_room(owner, body.bytes)
        now = unix_now()
        record = UploadRecord(
            id=upload_id,
            filename=clean_filename(body.filename),
            bytes=body.bytes,
            purpose=body.purpose,
            mime_type=body.mime_type,
            created_at=now,
            expires_at=now + UPLOAD_LIFE_S,
            expires_after_s=body.expires_after.seconds if body.expires_after else None,
            owner=owner,
        )
        return await self._uploads.put(record)

    async def get(self, upload_id: str) -> UploadRecord:
        """Return an upload. Raises `ApiError` 404."""
        record = await self._uploads.get(upload_id)
        if record is None:
            raise no_such_upload(upload_id)
        return record

    async def pending(self, upload_id: str) -> UploadRecord:
        """Return an upload that can take parts. Raises `ApiError` 404 or 400."""
        record = await self.get(upload_id)
        if record.now != "pending":
            raise ApiError(400, f"The upload is {record.now}; it takes no more parts.", code=f"upload_{record.now}")
        return record

    async def add_part(self, upload: UploadRecord, part_id: str, form: Form) -> PartRecord:
        """Keep a part, or return the one kept with this id.

        Args:
            upload: From `pending`.
            part_id: Its id.
            form: The form that brought it.
        """
        known = await self._parts.get(part_id)
        if known is not None:
            return known
        if form.path is None:
            raise invalid("Missing required parameter: 'data'.", param="data", code="missing_required_parameter")
        kept = sum(part.bytes for part in await self._parts_of(upload.id))
        if kept + form.size > 2 * upload.bytes + self._part_bytes:  # room for parts that were sent twice
            raise invalid("The parts are together larger than the upload.", param="data", code="upload_too_large")
        folder = self._folder / upload.id
        await blocking(_place, form.path, folder, folder / part_id)
        return await self._parts.put(
            PartRecord(id=part_id, upload_id=upload.id, bytes=form.size, created_at=unix_now())
        )

    async def complete(self, upload_id: str, body: CompleteUpload) -> UploadRecord:
        """Join the parts to a file. Done again with the same parts, it returns the same.

        Args:
            upload_id: The upload.
            body: The parts in order.

        Raises:
            ApiError: 404, or 400 about the state, the parts, their size or their MD5.
        """
        upload = await self.get(upload_id)
        if upload.status == "completed" and upload.part_ids == tuple(body.part_ids):
            return upload
        if upload.now != "pending":
            raise ApiError(400, f"The upload is {upload.now}; it cannot be completed.", code=f"upload_{upload.now}")
        parts = await self._chosen(upload, body.part_ids)
        size = sum(part.bytes for part in parts)
        if size != upload.bytes:
            message = f"The parts have {size} bytes together, but the upload was announced with {upload.bytes}."
            raise invalid(message, param="part_ids", code="upload_size_mismatch")
        target = self._files.incoming / f"{new_id('tmp-')}.part"
        md5 = await blocking(_join, [self._folder / upload.id / part.id for part in parts], target)
        if body.md5 is not None and body.md5.lower() != md5:
            await blocking(target.unlink)
            raise invalid(f"The MD5 of the parts together is {md5}.", param="md5", code="checksum_mismatch")
        return await self._finish(upload, tuple(body.part_ids), target)

    async def cancel(self, upload_id: str) -> UploadRecord:
        """End an upload and drop its parts. Raises `ApiError` 404, or 400 when it is completed or expired."""
        upload = await self.get(upload_id)
        if upload.now == "cancelled":
            return upload
        if upload.now != "pending":
            raise ApiError(400, f"The upload is {upload.now}; it cannot be cancelled.", code=f"upload_{upload.now}")
        done = await self._uploads.put(replace(upload, status="cancelled"))
        await self._drop_parts(upload.id)
        return done

    async def sweep(self) -> None:
        """Drop the parts of uploads whose hour is over."""
        for upload in await self._uploads.all():
            if upload.now == "expired":
                await self._uploads.put(replace(upload, status="expired"))
                await self._drop_parts(upload.id)

    async def _finish(self, upload: UploadRecord, part_ids: tuple[str, ...], joined: Path) -> UploadRecord:
        record = new_file(
            file_id=f"file-{upload.id.removeprefix('upload_')}",
            filename=upload.filename,
            size=upload.bytes,
            purpose=upload.purpose,
            life_s=upload.expires_after_s,
            owner=upload.owner,
        )
        await self._files.add(record, joined)
        done = await self._uploads.put(replace(upload, status="completed", file=record, part_ids=part_ids))
        await self._drop_parts(upload.id)
        return done

    async def _chosen(self, upload: UploadRecord, part_ids: Sequence[str]) -> list[PartRecord]:
        known = {part.id: part for part in await self._parts_of(upload.id)}
        if len(set(part_ids)) != len(part_ids):
            raise invalid("A part is named twice.", param="part_ids")
        for part_id in part_ids:
            if part_id not in known:
                raise invalid(f"The upload has no part '{part_id[:80]}'.", param="part_ids", code="part_not_found")
        return [known[part_id] for part_id in part_ids]

    async def _parts_of(self, upload_id: str) -> list[PartRecord]:
        return [part for part in await self._parts.all() if part.upload_id == upload_id]

    async def _drop_parts(self, upload_id: str) -> None:
        for part in await self._parts_of(upload_id):
            await self._parts.delete(part.id)
        await blocking(shutil.rmtree, self._folder / upload_id, ignore_errors=True)


def _place(source: Path, folder: Path, target: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        source.replace(target)
    except OSError as error:
        raise StoreError(f"the part cannot be kept: {error.strerror}", where=str(target)) from error


def _join(parts: Sequence[Path], target: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with target.open("xb") as out:
            for part in parts:
                with part.open("rb") as source:
                    while block := source.read(_COPY_BYTES):
                        digest.update(block)
                        out.write(block)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        target.unlink(missing_ok=True)
        raise StoreError(f"the parts cannot be joined: {error.strerror}", where=str(target)) from error
    return digest.hexdigest()
