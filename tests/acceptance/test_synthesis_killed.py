"""`kill -9` and Ctrl-C while a model is paid for rows: no stored answer is asked again, and the same rows come out."""

from __future__ import annotations

import json
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from broker.sandbox.sections import source_sections
from tests.fakes.data_maker import CONCURRENCY, DataMaker
from tests.fakes.gemini_server import Habits, running
from tests.fakes.gemini_writer import answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.gemini_server import Running

ROWS = 40
SECTIONS = 120
# The next request goes out while an answer is on its way to the disk.
IN_FLIGHT = 2 * CONCURRENCY
FILES = ("rows.jsonl", "validation.jsonl", "train.jsonl")


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running() as fake:
        yield fake


@pytest.fixture
def fake(served: Running) -> Running:
    served.clear(Habits(latency_s=0.05), answering=answer)
    return served


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "sections.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in source_sections(SECTIONS)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, served: Running, source: Path, encoder_dir: Path
) -> dict[str, Any]:
    """Return the files of a run that nothing happened to."""
    served.clear(answering=answer)
    maker = DataMaker(tmp_path_factory.mktemp("undisturbed"), served.url, encoder_dir)
    ended = maker.run(*maker.submit(source, ROWS))
    assert ended.code == 0, ended.err
    assert maker.manifest["possibly_paid_twice"] == 0
    assert served.state.asked_twice() == []
    return {name: maker.rows(name) for name in FILES}


@pytest.fixture
def maker(tmp_path: Path, fake: Running, encoder_dir: Path, undisturbed: dict[str, Any]) -> DataMaker:
    assert len(undisturbed["rows.jsonl"]) == ROWS
    fake.clear(Habits(latency_s=0.05), answering=answer)
    return DataMaker(tmp_path, fake.url, encoder_dir)


def keys_asked(fake: Running) -> Counter[str]:
    return Counter(one.key for one in fake.state.paid)


@pytest.mark.slow
@pytest.mark.parametrize(("answers", "command"), [(3, "watch"), (90, "resume")])
def test_killed_it_goes_on_with_what_it_has(
    maker: DataMaker, fake: Running, source: Path, undisturbed: dict[str, Any], answers: int, command: str
) -> None:
    killed = maker.stopped(lambda: len(fake.state.paid) >= answers, signal.SIGKILL, *maker.submit(source, ROWS))
    assert killed.code == -signal.SIGKILL
    assert not (maker.made / "rows.jsonl").exists()
    kept = maker.stored()
    # An answer that was made and not stored was in the air, or just on its way to the disk.
    assert len(fake.state.paid) - IN_FLIGHT <= len(kept) <= len(fake.state.paid)

    ended = maker.run(command)
    assert ended.code == 0, ended.err
    assert {name: maker.rows(name) for name in FILES} == undisturbed
    # The server may still be making an answer for the process that is dead: what counts is what was stored.
    repeated = {key for key, times in keys_asked(fake).items() if times > 1}
    assert not repeated & kept
    assert max(keys_asked(fake).values()) <= 2
    assert len(repeated) <= maker.manifest["possibly_paid_twice"] <= IN_FLIGHT
    assert maker.manifest["answers_reused"] >= len(kept)
    assert maker.manifest["requests"] == len(maker.stored()) == len(keys_asked(fake))


@pytest.mark.slow
def test_ctrl_c_waits_for_what_is_in_the_air(
    maker: DataMaker, fake: Running, source: Path, undisturbed: dict[str, Any]
) -> None:
    stopped = maker.stopped(lambda: len(fake.state.paid) >= 30, signal.SIGINT, *maker.submit(source, ROWS))
    assert stopped.code == 130, stopped.err
    assert len(maker.stored()) == len(fake.state.paid)

    ended = maker.run("watch")
    assert ended.code == 0, ended.err
    assert {name: maker.rows(name) for name in FILES} == undisturbed
    assert max(keys_asked(fake).values()) == 1
    assert maker.manifest["possibly_paid_twice"] == 0
