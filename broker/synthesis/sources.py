"""Source rows as people have them: rows of a file or of the hub, plain texts cut into sections, or a folder of these.

A row is an object with a text, or a prompt, or people and situations. A text file (`.txt`, `.md`) is cut at its blank
lines, and at Markdown's headings, into sections of about the length that the paper's have.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from broker.errors import DataError, Problem
from broker.jobs.datasets.reading import HUB_PREFIX, hub_records
from broker.jobs.datasets.records import Record, read_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STDIN = "-"
# Names under which a source row may hold its text.
TEXT_KEYS = ("text", "content", "section", "body", "passage", "article", "document", "context", "paragraph")
_PROMPT_KEYS = ("prompt", "question")
_CAST_KEYS = ("persona", "scenario")
_TEXTS = frozenset({".txt", ".md"})
_ROWS = frozenset({".jsonl", ".json", ".csv", ".tsv", ".parquet"})
# A section ends with the paragraph that brings it here, characters; a rest that is shorter than the paper's least
# (arXiv 2507.04889, 2.2) goes with the section before it.
_ENOUGH, _LEAST = 1500, 700
_BLANK = re.compile(r"\n\s*\n|\n(?=#{1,6}\s)")
_HEADING = re.compile(r"#{1,6}\s+(\S.*)")


def read_sources(source: str, *, token: str | None = None) -> list[dict[str, Any]]:
    """Read source rows (blocking).

    Args:
        source: A JSONL, JSON, CSV, Parquet or text file, a folder of these, `hf:NAME[:split]`, or `-`: JSONL that comes
            by standard input.
        token: For gated data sets of the hub.

    Raises:
        DataError: With every problem: file and line, what is wrong, what to change.
        MissingExtraError: An optional package is needed.
    """
    found: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for label, record in _records(source, token):
        if isinstance(record, Problem):
            problems.append(record)
        elif isinstance(row := _source_row(record.value), str):
            problems.append(Problem(where=f"{label}:{record.line}", what=row, fix='{"title": "…", "text": "…"}'))
        else:
            found.append(row)
    if not problems and not found:
        problems.append(Problem(where=source, what="holds no rows", fix='one {"text": "…"} on each line'))
    if problems:
        raise DataError(problems)
    return found


def source_name(source: str) -> str:
    """Return what a person calls a source.

    Args:
        source: As it was given.
    """
    return source if source.startswith(HUB_PREFIX) or source == STDIN else Path(source).name


def _records(source: str, token: str | None) -> Iterator[tuple[str, Record | Problem]]:
    """Yield records with what problems call their file."""
    if source.startswith(HUB_PREFIX):
        yield from ((source, record) for record in hub_records(source, token=token))
        return
    path = Path("/dev/stdin" if source == STDIN else source).expanduser()
    if not path.is_dir():
        yield from ((source, record) for record in _file_records(path, source))
        return
    files = sorted(one for one in path.rglob("*") if one.suffix.lower() in _TEXTS | _ROWS and _seen(one, path))
    if not files:
        fix = f"put files there that end in {', '.join(sorted(_TEXTS | _ROWS))}"
        yield source, Problem(where=source, what="the folder holds no file of texts or rows", fix=fix)
    for file in files:
        yield from ((str(file), record) for record in _file_records(file, str(file)))


def _seen(path: Path, folder: Path) -> bool:
    return path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)


def _file_records(path: Path, label: str) -> Iterable[Record | Problem]:
    return _sections(path, label) if path.suffix.lower() in _TEXTS and path.is_file() else read_records(path, label)


def _sections(path: Path, label: str) -> Iterator[Record | Problem]:
    """Yield the sections of a text file, numbered from 1."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        fix = "save the file as UTF-8 (iconv -f CP1252 -t UTF-8 FILE > NEW)"
        yield Problem(where=label, what=f"not UTF-8 at byte {error.start + 1}", fix=fix)
        return
    except OSError as error:
        yield Problem(where=label, what=f"cannot be read: {error.strerror}", fix=f"check with: ls -l {path}")
        return
    text = text.replace("\0", "")
    for number, (title, section) in enumerate(_cut(text, path.stem), 1):
        yield Record(number, {"title": title, "text": section})


def _cut(text: str, title: str) -> Iterator[tuple[str, str]]:
    """Yield (title, section) of a text: paragraphs together until there are enough characters, headings apart."""
    ready: list[tuple[str, str]] = []
    parts: list[str] = []

    def close() -> None:
        if not parts:
            return
        section = "\n\n".join(parts)
        parts.clear()
        if ready and len(section) < _LEAST and ready[-1][0] == title:
            ready[-1] = (title, f"{ready[-1][1]}\n\n{section}")
        else:
            ready.append((title, section))

    for paragraph in _BLANK.split(text):
        line, _, rest = paragraph.strip().partition("\n")
        if heading := _HEADING.fullmatch(line):
            close()
            title, paragraph = heading[1].strip(), rest
        if paragraph.strip():
            parts.append(paragraph.strip())
        if sum(map(len, parts)) >= _ENOUGH:
            close()
    close()
    yield from ready


def _source_row(value: Any) -> dict[str, Any] | str:
    """Return a source row with its text under `text`, or what is wrong with it."""
    if not isinstance(value, dict):
        return f"a source row is an object, not {type(value).__name__}"
    row = cast("dict[str, Any]", value)
    key = next((key for key in TEXT_KEYS if isinstance(row.get(key), str) and row[key].strip()), None)
    if key is not None:
        return {**{name: item for name, item in row.items() if name != key}, "text": row[key].strip()}
    asked = next((row[name] for name in _PROMPT_KEYS if isinstance(row.get(name), str) and row[name].strip()), None)
    if asked is not None:
        return {**row, "text": asked}
    if any(row.get(name) for name in _CAST_KEYS):
        return {**row, "text": ""}
    return f"no text: it has {', '.join(sorted(row)[:6]) or 'nothing'}, and a text in none of {', '.join(TEXT_KEYS)}"
