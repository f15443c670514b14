"""Forms with a file: the file goes straight to the disk, whatever its size; memory holds one buffer of it."""

from __future__ import annotations

import hashlib
import os
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import anyio
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from broker.errors import StoreError
from broker.jobs.blocking import blocking
from broker.server.errors import invalid, too_large
from broker.server.ids import new_id
from broker.server.jsonbody import chunks

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from python_multipart.multipart import MultipartCallbacks
    from starlette.requests import Request

_BUFFER = 1024 * 1024
_MAX_FIELDS = 32
_MAX_FIELD_BYTES = 64 * 1024
_MAX_NAME = 255
# What a form may have besides its file: the other fields and the lines between.
_FORM_ROOM = _MAX_FIELDS * _MAX_FIELD_BYTES


@dataclass(slots=True, kw_only=True)
class Form:
    """A form that was read.

    Attributes:
        fields: The small fields.
        path: The file, under a temporary name; it is removed when the form is left, unless it was moved away.
        filename: The name that the client gave it, without folders.
        size: Its bytes.
        sha256: Hash of its bytes, hex.
    """

    fields: dict[str, str]
    path: Path | None
    filename: str
    size: int
    sha256: str


def read_form(
    request: Request, *, file_field: str, folder: Path, limit: int, idle_s: float
) -> AbstractAsyncContextManager[Form]:
    """Read a form, with its file on disk while the context is open.

    Args:
        request: The request.
        file_field: Name of the field that is the file.
        folder: Where the temporary file goes.
        limit: Most bytes of the file.
        idle_s: Longest silence of the client, seconds.

    Raises:
        ApiError: 400 or 413 about what is wrong.
        StoreError: The disk is full or fails.
    """
    return _read_form(request, file_field=file_field, folder=folder, limit=limit, idle_s=idle_s)


@asynccontextmanager
async def _read_form(
    request: Request, *, file_field: str, folder: Path, limit: int, idle_s: float
) -> AsyncGenerator[Form]:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit + _FORM_ROOM:
        raise too_large("The file", limit, param=file_field)
    reader = _Reader(_boundary(request), file_field=file_field, path=folder / f"{new_id('tmp-')}.part", limit=limit)
    try:
        async for chunk in chunks(request, idle_s=idle_s):
            reader.feed(chunk)
            if reader.waiting >= _BUFFER:
                await blocking(reader.flush)
        await blocking(reader.finish)
        yield reader.form()
    finally:
        with anyio.CancelScope(shield=True):
            await blocking(reader.discard)


def clean_filename(name: str) -> str:
    """Return a file's name without folders and control characters; it is shown, never used as a path."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    shown = "".join(letter for letter in last if letter.isprintable()).strip()
    return shown[-_MAX_NAME:] if shown not in ("", ".", "..") else "upload"


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise invalid(
            "This path wants a form: Content-Type multipart/form-data with a boundary.", code="invalid_content_type"
        )
    return boundary


@dataclass(slots=True)
class _Part:
    headers: dict[str, str] = field(default_factory=dict[str, str])
    name: str = ""
    filename: str | None = None
    value: bytearray = field(default_factory=bytearray)


class _Reader:
    """The callbacks of the parser. `feed` is quick and stays on the event loop; `flush` writes, in a thread."""

    def __init__(self, boundary: bytes, *, file_field: str, path: Path, limit: int) -> None:
        self._file_field = file_field
        self._path = path
        self._limit = limit
        self._part = _Part()
        self._header = (bytearray(), bytearray())
        self._fields: dict[str, str] = {}
        self._file: BinaryIO | None = None
        self._filename: str | None = None
        self._buffer = bytearray()
        self._size = 0
        self._hash = hashlib.sha256()
        self._ended = False
        try:
            self._parser = MultipartParser(boundary, self._callbacks())
        except FormParserError as error:
            raise invalid(f"The form cannot be read: {error}", code="invalid_form") from None

    @property
    def waiting(self) -> int:
        return len(self._buffer)

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise invalid(f"The form cannot be read: {error}", code="invalid_form") from None

    def flush(self) -> None:
        if self._filename is None:
            return
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("xb")
            self._file.write(self._buffer)
            self._hash.update(self._buffer)
        except OSError as error:
            raise StoreError(f"the file cannot be written: {error.strerror}", where=str(self._path)) from error
        self._buffer.clear()

    def finish(self) -> None:
        if not self._ended:
            raise invalid("The form ends too early: its last boundary is missing.", code="invalid_form")
        self.flush()
        if self._file is not None:
            try:
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError as error:
                raise StoreError(f"the file cannot be written: {error.strerror}", where=str(self._path)) from error
            self._file.close()

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)

    def form(self) -> Form:
        here = self._filename is not None
        name = clean_filename(self._filename or "")
        path = self._path if here else None
        return Form(fields=self._fields, path=path, filename=name, size=self._size, sha256=self._hash.hexdigest())

    def _callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_name,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }

    def _on_part_begin(self) -> None:
        self._part = _Part()

    def _on_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _on_header_end(self) -> None:
        name, value = self._header
        self._part.headers[name.decode("latin-1").lower()] = value.decode("utf-8", "replace")
        self._header = (bytearray(), bytearray())

    def _on_headers_finished(self) -> None:
        kind, options = _disposition(self._part.headers.get("content-disposition", ""))
        if kind != "form-data" or not options.get("name"):
            raise invalid("Each part of the form needs a Content-Disposition with a name.", code="invalid_form")
        self._part.name = options["name"]
        if self._part.name == self._file_field:
            if self._filename is not None:
                raise invalid("Only one file may be sent in a request.", param=self._file_field)
            self._filename = options.get("filename", "")
        elif len(self._fields) >= _MAX_FIELDS:
            raise invalid(f"The form has more than {_MAX_FIELDS} fields.", code="invalid_form")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._part.name == self._file_field:
            self._size += end - start
            if self._size > self._limit:
                raise too_large("The file", self._limit, param=self._file_field)
            self._buffer += data[start:end]
            return
        self._part.value += data[start:end]
        if len(self._part.value) > _MAX_FIELD_BYTES:
            raise too_large(f"The field '{self._part.name[:64]}'", _MAX_FIELD_BYTES, param=self._part.name[:64])

    def _on_part_end(self) -> None:
        if self._part.name == self._file_field:
            return
        if self._part.name in self._fields:
            raise invalid(f"The field '{self._part.name[:64]}' is given twice.", param=self._part.name[:64])
        try:
            self._fields[self._part.name] = self._part.value.decode("utf-8")
        except UnicodeDecodeError:
            raise invalid("The field is not UTF-8.", param=self._part.name[:64]) from None

    def _on_end(self) -> None:
        self._ended = True


def _disposition(header: str) -> tuple[str, dict[str, str]]:
    """Split a Content-Disposition; the parser's own function works on latin-1, while clients send UTF-8."""
    kind, options = parse_options_header(header.encode("utf-8").decode("latin-1"))
    texts = {_utf8(name): _utf8(value) for name, value in options.items()}
    return _utf8(kind), texts


def _utf8(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
