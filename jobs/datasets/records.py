"""Files to records: a line number and a value each, or a problem. Nothing is known here about what a row means."""

from __future__ import annotations

import codecs
import csv
from dataclasses import dataclass
from difflib import get_close_matches
from typing import IO, TYPE_CHECKING, Any

from broker.errors import Problem
from broker.jobs.datasets.jsontext import JsonFault, parse_array, parse_json, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader
    from pathlib import Path

MAX_ROW_BYTES = 8 * 1024 * 1024
_BOM = "\ufeff"
_JSON_COLUMNS = frozenset({"messages", "conversations", "tools"})


@dataclass(frozen=True, slots=True)
class Record:
    """One value of a file.

    Attributes:
        line: The line on which it begins, from 1; the row's number where a file has no lines (Parquet).
        value: What was parsed.
    """

    line: int
    value: Any


def read_records(path: Path, label: str) -> Iterator[Record | Problem]:
    """Yield the records of a file, and a problem in place of each that cannot be read.

    Args:
        path: A JSONL, JSON (an array), CSV, TSV or Parquet file, told apart by the ending and the first bytes.
        label: What problems call the file.
    """
    problem = _openable(path, label)
    if problem:
        yield problem
        return
    try:
        with path.open("rb") as stream:
            yield from _by_content(path, stream, label)
    except OSError as error:
        yield Problem(where=label, what=f"cannot be read: {error.strerror}", fix=f"check with: ls -l {path}")


def _openable(path: Path, label: str) -> Problem | None:
    if path.is_dir():
        return Problem(where=label, what="is a folder, not a file", fix="name one file in it")
    if not path.exists():
        return Problem(where=label, what="there is no such file", fix=_nearest_file(path))
    if path.is_file() and path.stat().st_size == 0:
        return Problem(where=label, what="the file is empty (0 bytes)", fix="put one row on each line")
    return None


def _nearest_file(path: Path) -> str:
    folder = path.parent
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    near = get_close_matches(path.stem, [entry.stem for entry in entries], n=1)  # equal endings bring nothing near
    if near:
        meant = [entry.name for entry in entries if entry.stem == near[0]]
        return f"did you mean {folder / get_close_matches(path.name, meant, n=1, cutoff=0)[0]}?"
    return "check the path" if entries else f"the folder {folder} does not exist or is empty"


def _by_content(path: Path, stream: BufferedReader, label: str) -> Iterator[Record | Problem]:
    head = stream.peek(4)[:4]
    suffix = path.suffix.lower()
    problem = _foreign(head, label)
    if problem:
        yield problem
    elif head == b"PAR1" or suffix == ".parquet":
        from broker.jobs.datasets.columns import read_parquet

        yield from read_parquet(path, label)
    elif suffix in (".csv", ".tsv"):
        yield from read_csv(stream, label)
    elif suffix == ".json" and stream.peek(64).removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"[":
        yield from read_json_array(stream, label)
    else:
        yield from read_json_lines(stream, label)


def _foreign(head: bytes, label: str) -> Problem | None:
    """Name a file that is no text in UTF-8 by its first bytes."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or head[1:4:2] == b"\0\0" or head[0:3:2] == b"\0\0":
        what, fix = "the file is UTF-16 (or UTF-32), not UTF-8", "iconv -f UTF-16 -t UTF-8 FILE > NEW"
    elif head.startswith(b"\x1f\x8b"):
        what, fix = "the file is compressed (gzip)", "gunzip it"
    elif head.startswith(b"PK\x03\x04"):
        what, fix = "the file is a zip archive or a spreadsheet (.xlsx)", "unpack it, or save the sheet as CSV (UTF-8)"
    else:
        return None
    return Problem(where=label, what=f"{what}; it begins with {head!r}", fix=fix)


# --- JSON -----------------------------------------------------------------------------------------------------------


def read_json_lines(stream: IO[bytes], label: str) -> Iterator[Record | Problem]:
    """Yield the records of JSON Lines; lines of white space alone carry nothing and are passed over.

    Args:
        stream: The file, in binary.
        label: What problems call it.
    """
    number, first = 0, True
    while raw := stream.readline(MAX_ROW_BYTES + 1):
        number += 1
        where = f"{label}:{number}"
        if len(raw) > MAX_ROW_BYTES and not raw.endswith(b"\n"):
            _skip_line(stream)
            yield _too_long(where)
            continue
        raw = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
        if not raw.strip():
            continue
        if first and (problem := _not_lines(raw.strip(), where)):
            yield problem
            return
        first = False
        yield _parse_line(raw, where, number)


def _skip_line(stream: IO[bytes]) -> None:
    while (rest := stream.readline(MAX_ROW_BYTES)) and not rest.endswith(b"\n"):
        pass


def _too_long(where: str) -> Problem:
    return Problem(
        where=where,
        what=f"the line is longer than {MAX_ROW_BYTES // 1024 // 1024} MiB",
        fix="cut the row into several, or write one row a line",
    )


def _not_lines(line: bytes, where: str) -> Problem | None:
    if line.startswith(b"["):
        what = "the file is one JSON array, not JSON Lines"
    elif line == b"{":
        what = "the file is pretty-printed JSON, not JSON Lines"
    else:
        return None
    fix = (
        "write one object a line: jq -c '.[]' FILE > NEW.jsonl" if line.startswith(b"[") else "jq -c . FILE > NEW.jsonl"
    )
    return Problem(where=where, what=f"{what}; it begins with {shown(line[:20].decode(errors='replace'))}", fix=fix)


def _parse_line(raw: bytes, where: str, number: int) -> Record | Problem:
    if b"\0" in raw:
        return Problem(
            where=where,
            what=f"{raw.count(0)} NUL byte(s) in the line, the first at byte {raw.index(0) + 1}",
            fix="the file was cut off while being written, or is not text: write it again",
        )
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return _undecodable(error, where)
    if text.startswith(_BOM):
        return Problem(
            where=where, what="a byte order mark (U+FEFF) inside the file", fix="remove it; two files were joined"
        )
    try:
        return Record(number, parse_json(text.rstrip()))
    except JsonFault as fault:
        return Problem(where=where, what=fault.what, fix=fault.fix)


def _undecodable(error: UnicodeDecodeError, where: str) -> Problem:
    found = error.object[max(0, error.start - 8) : error.end + 8]
    return Problem(
        where=where,
        what=f"not UTF-8: byte 0x{error.object[error.start]:02x} at byte {error.start + 1}, near {found!r}",
        fix="save the file as UTF-8 (iconv -f CP1252 -t UTF-8 FILE > NEW)",
    )


def read_json_array(stream: IO[bytes], label: str) -> Iterator[Record | Problem]:
    """Yield the elements of one JSON array, as ShareGPT and Alpaca files come; the whole file is held in memory.

    Args:
        stream: The file, in binary.
        label: What problems call it.
    """
    try:
        for line, value in parse_array(stream.read().decode("utf-8-sig")):
            yield Record(line, value)
    except UnicodeDecodeError as error:
        yield _undecodable(error, label)
    except JsonFault as fault:
        yield Problem(where=label, what=fault.what, fix=fault.fix)


# --- CSV ------------------------------------------------------------------------------------------------------------


def read_csv(stream: IO[bytes], label: str) -> Iterator[Record | Problem]:
    """Yield the rows of a CSV or TSV file as objects; the separator (comma, semicolon, tab) is taken from the header.

    Args:
        stream: The file, in binary.
        label: What problems call it.
    """
    csv.field_size_limit(MAX_ROW_BYTES)
    try:
        header = stream.readline().decode("utf-8-sig")
        separator = max(",;\t", key=header.count)
        columns = next(csv.reader([header], delimiter=separator, strict=True), list[str]())
    except (csv.Error, UnicodeDecodeError) as error:
        yield _bad_csv(error, f"{label}:1")
        return
    if problem := _bad_header(columns, f"{label}:1"):
        yield problem
        return
    yield from _csv_records(stream, separator, columns, label)


def _csv_records(stream: IO[bytes], separator: str, columns: list[str], label: str) -> Iterator[Record | Problem]:
    # Decoded line by line, so that a bad byte is found on its own line.
    reader = csv.reader((line.decode() for line in stream), delimiter=separator, strict=True)
    line = 2
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield _csv_record(columns, cells, line, label)
            line = reader.line_num + 2
    except csv.Error as error:
        yield _bad_csv(error, f"{label}:{line}")
    except UnicodeDecodeError as error:
        yield _bad_csv(error, f"{label}:{reader.line_num + 2}")


def _bad_csv(error: csv.Error | UnicodeDecodeError, where: str) -> Problem:
    if isinstance(error, UnicodeDecodeError):
        return _undecodable(error, where)
    return Problem(where=where, what=f"not valid CSV: {error}", fix='put " around the text and double each " in it')


def _bad_header(columns: list[str], where: str) -> Problem | None:
    if not any(name.strip() for name in columns):
        return Problem(where=where, what="there is no header line", fix="begin with a line such as: prompt,completion")
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        return Problem(
            where=where, what=f"the column {shown(twice[0])} stands twice in the header", fix="rename one of them"
        )
    return None


def _csv_record(columns: list[str], cells: list[str], line: int, label: str) -> Record | Problem:
    where = f"{label}:{line}"
    if len(cells) != len(columns):
        return Problem(
            where=where,
            what=f"{len(cells)} cells, but the header has {len(columns)} columns; the row begins {shown(cells[0])}",
            fix='put " around texts that hold separators, quotes or line breaks',
        )
    value: dict[str, Any] = {name.strip(): cell for name, cell in zip(columns, cells, strict=True) if cell != ""}
    if any("\0" in cell for cell in cells):
        return Problem(where=where, what="the row holds NUL characters", fix="write the file again as UTF-8 text")
    for name in _JSON_COLUMNS & value.keys():
        try:
            value[name] = parse_json(value[name])
        except JsonFault as fault:
            return Problem(where=where, what=f"column {name}: {fault.what}", fix=fault.fix)
    return Record(line, value)
