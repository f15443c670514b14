"""Source texts come as people have them, and each row is used once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from broker import Broker
from broker.api.synthesis import SynthesisRequest
from broker.errors import DataError
from broker.jobs.states import State
from broker.synthesis import Pipeline, each
from broker.synthesis.sources import read_sources

if TYPE_CHECKING:
    from pathlib import Path

    from broker.synthesis import Bench, Row

pytestmark = pytest.mark.anyio
PARAGRAPH = "Rain falls on the hill, and the hill lets it run down to the brook below. " * 8


@each
async def copy(row: Row, _bench: Bench) -> Row:
    """Take the text as it is."""
    return row.having(question=row["title"], answer=row["text"])


copied = Pipeline(name="copied", steps=lambda _options: [copy])


def test_a_text_is_cut_into_sections_at_blank_lines_and_headings(tmp_path: Path) -> None:
    path = tmp_path / "weather.md"
    long, short = "\r\n\r\n".join([PARAGRAPH] * 7), "A short end."
    path.write_bytes(f"\ufeff# Rain\r\n\r\n{long}\r\n\r\n{short}\r\n## Snow\r\n\r\nIt is white.\r\n".encode())
    found = read_sources(str(path))
    assert (found[0]["title"], found[-1]) == ("Rain", {"title": "Snow", "text": "It is white."})
    rain = [row["text"] for row in found if row["title"] == "Rain"]
    assert all(700 <= len(text) <= 3 * len(PARAGRAPH) + 800 for text in rain)
    assert "\r" not in "".join(rain)
    assert "".join(rain).count("Rain falls") == 7 * 8


def test_a_folder_is_all_its_files_of_texts_and_rows(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "b.txt").write_text("Of b.", encoding="utf-8")
    (tmp_path / "deep" / "a.jsonl").write_text('{"article": "Of a."}\n', encoding="utf-8")
    (tmp_path / ".hidden" / "c.txt").write_text("Of c.", encoding="utf-8")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    assert read_sources(str(tmp_path)) == [{"title": "b", "text": "Of b."}, {"text": "Of a."}]
    (tmp_path / "deep" / "a.jsonl").write_text('{"text": "x"}\n{"none": 1}\n', encoding="utf-8")
    (tmp_path / "b.txt").write_bytes("Café".encode("latin-1"))
    with pytest.raises(DataError) as caught:
        read_sources(str(tmp_path))
    places = [problem.where for problem in caught.value.problems]
    assert places == [str(tmp_path / "b.txt"), f"{tmp_path / 'deep' / 'a.jsonl'}:2"]


def test_an_empty_folder_says_what_may_be_in_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file of texts or rows .*\.jsonl"):
        read_sources(str(tmp_path))


async def test_a_row_that_stands_there_twice_is_used_once_and_texts_keep_their_odd_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "sections.jsonl"
    rows = [{"title": f"T{number}", "text": f"{number} is\u2028a number.\x85" + "x" * 700} for number in range(4)]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in (*rows, rows[1], rows[0], rows[1])]
    path.write_text("".join(lines), encoding="utf-8")
    request = SynthesisRequest(
        provider="local",
        model="sandbox-writer",
        pipeline=f"{__name__}:copied",
        source=str(path),
        rows=4,
        output=str(tmp_path / "made"),
    )
    async with Broker(data_dir=tmp_path / "data", drive=False) as broker:
        plan = await broker.plan_synthesis(request)
        (planned,) = plan.jobs
        stored = (tmp_path / "data" / "artifacts").rglob(getattr(planned.job.spec, "source", ""))
    assert [json.loads(line) for line in next(stored).read_bytes().split(b"\n")[:-1]] == rows
    async with Broker(data_dir=tmp_path / "data") as broker:
        (job,) = await broker.start(plan)
        (ended,) = await broker.wait(job)
    assert ended.state is State.SUCCEEDED, ended.failure
    assert any("3 of 7 source rows stand there twice" in str(warning) for warning in plan.warnings)
