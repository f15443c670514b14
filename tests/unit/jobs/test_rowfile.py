"""Row files: what was appended stays; what was torn is as if it never was."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from broker.jobs.rowfile import RowFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ROWS = [{"id": f"row-{number}", "text": "ü\n\r\u2028" * (number % 2), "n": number} for number in range(20)]


def test_rows_come_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "answers.jsonl"
    with RowFile(path) as rows:
        assert rows.read() == []
        assert not path.exists()
        rows.append(ROWS[:1])
        rows.append([])
        rows.append(ROWS[1:])
        assert rows.read() == ROWS
        assert RowFile(path).read() == ROWS
    assert [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] == ROWS
    assert path.stat().st_mode & 0o777 == 0o600


def test_reading_on_gives_each_row_once_and_leaves_a_torn_one_for_later(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    file = RowFile(path)
    assert file.read_on(0) == ([], 0)
    whole = b'{"a":1}\n{"a":2}\n{"a":3}\n'
    found: list[dict[str, int]] = []
    place = 0
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        rows, place = file.read_on(place)
        found += rows
    assert found == [{"a": 1}, {"a": 2}, {"a": 3}]
    assert place == len(whole)


def test_a_file_cut_at_any_byte_loses_only_the_torn_row(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jsonl"
    RowFile(whole).append(ROWS)
    data = whole.read_bytes()
    ends = [index + 1 for index, byte in enumerate(data) if byte == 0x0A]
    path = tmp_path / "cut.jsonl"
    for size in range(len(data) + 1):
        path.write_bytes(data[:size])
        kept = sum(end <= size for end in ends)
        rows = RowFile(path)
        assert rows.read() == ROWS[:kept], size
        assert path.stat().st_size == size  # reading changes nothing: somebody may be writing
        rows.append(ROWS[kept:])
        assert rows.read() == ROWS, size
        assert path.read_bytes() == data, size
        rows.close()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["cut.jsonl", "whole.jsonl"]


@pytest.mark.parametrize(
    "tail", [b"null\n", b"12\n", b'"x"\n', b"{]\n", b"\x00" * 4096, b"\xff\xfe\n", b"\n", b"[" * 9999]
)
def test_a_tail_that_is_no_row_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "answers.jsonl"
    RowFile(path).append(ROWS[:3])
    path.write_bytes(path.read_bytes() + tail)
    rows = RowFile(path)
    assert rows.read() == ROWS[:3]
    rows.append(ROWS[3:])
    assert RowFile(path).read() == ROWS
    assert not path.with_name("answers.jsonl.damaged").exists()


def test_a_damaged_row_in_the_middle_is_left_out_and_kept_aside(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    RowFile(path).append(ROWS)
    lines = path.read_bytes().split(b"\n")
    lines[7] = b"\x00" * len(lines[7])
    damaged = b"\n".join(lines)
    path.write_bytes(damaged)
    rows = RowFile(path)
    good = [*ROWS[:7], *ROWS[8:]]
    assert rows.read() == good
    rows.append([ROWS[7]])
    assert rows.read() == [*good, ROWS[7]]
    assert path.with_name("answers.jsonl.damaged").read_bytes() == damaged


def test_rows_follow_a_tail_that_another_process_tore_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    rows = RowFile(path)
    rows.append(ROWS[:2])
    with path.open("ab") as other:
        other.write(b'{"id": "to')
    rows.append(ROWS[2:])
    assert rows.read() == ROWS


def test_rewriting_replaces_everything_at_once(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    rows = RowFile(path)
    rows.append(ROWS)
    rows.rewrite(row for row in ROWS[5:])
    assert rows.read() == ROWS[5:]
    rows.append(ROWS[:5])
    assert rows.read() == [*ROWS[5:], *ROWS[:5]]

    def broken() -> Iterator[Mapping[str, object]]:
        yield ROWS[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        rows.rewrite(broken())
    assert rows.read() == [*ROWS[5:], *ROWS[:5]]
    assert list(tmp_path.iterdir()) == [path]


_APPEND = """
import sys
from pathlib import Path
from broker.jobs.rowfile import RowFile
rows = RowFile(Path(sys.argv[1]))
number = 0
while True:
    rows.append([{"n": number + k, "text": "x" * 3000} for k in range(5)])
    number += 5
    print(number, flush=True)
"""


def test_rows_survive_a_writer_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    process = subprocess.Popen([sys.executable, "-c", _APPEND, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    stored = 0
    for _ in range(6):
        stored = int(process.stdout.readline())
    process.kill()
    rest = process.communicate()[0].split()
    stored = int(rest[-1]) if rest else stored
    numbers = [row["n"] for row in RowFile(path).read()]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= stored
