"""Every paid answer is on the disk before it is used; what was out at a kill is counted, and nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from broker.providers.contract import Answer
from broker.synthesis.answerbook import ANSWERS, AnswerBook

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


async def reopened(book: AnswerBook, folder: Path) -> AnswerBook:
    await book.close()
    return AnswerBook(folder)


async def test_what_was_kept_is_there_again_and_what_was_out_is_doubtful(tmp_path: Path) -> None:
    book = AnswerBook(tmp_path)
    answer = Answer(id="row", text="Ja — schön", input_tokens=7, output_tokens=3, cost_usd=0.25)
    await book.note_sent(["kept", "refused", "out"])
    await book.keep("kept", answer)
    await book.note_unpaid("refused")
    book = await reopened(book, tmp_path)
    assert book.get("kept") == answer
    assert book.get("refused") is None
    assert (book.doubtful, book.cost_usd, book.paid) == (1, 0.25, [answer])
    # Asked again and answered: it may still have been paid twice.
    await book.note_sent(["out"])
    await book.keep("out", answer)
    book = await reopened(book, tmp_path)
    assert (book.doubtful, book.cost_usd) == (1, 0.5)
    await book.close()


async def test_a_torn_line_is_as_if_it_never_was(tmp_path: Path) -> None:
    book = AnswerBook(tmp_path)
    await book.note_sent(["one", "two"])
    await book.keep("one", Answer(id="1", text="first"))
    await book.keep("two", Answer(id="2", text="second"))
    await book.close()
    path = tmp_path / ANSWERS
    whole = path.read_bytes()
    for cut in range(whole.rindex(b"\n", 0, -1) + 1, len(whole) - 1):
        path.write_bytes(whole[:cut])
        torn = AnswerBook(tmp_path)
        assert torn.get("one") is not None
        assert (torn.get("two"), torn.doubtful) == (None, 1)
        await torn.keep("two", Answer(id="2", text="again"))
        mended = await reopened(torn, tmp_path)
        assert [answer.text for answer in mended.paid] == ["first", "again"]
        await mended.close()


async def test_many_writers_at_once(tmp_path: Path) -> None:
    book = AnswerBook(tmp_path)

    async def one(number: int) -> None:
        await book.note_sent([str(number)])
        await book.keep(str(number), Answer(id="", text=f"answer {number}"))

    async with anyio.create_task_group() as tasks:
        for number in range(200):
            tasks.start_soon(one, number)
    book = await reopened(book, tmp_path)
    assert {answer.text for answer in book.paid} == {f"answer {number}" for number in range(200)}
    assert book.doubtful == 0
    await book.close()
