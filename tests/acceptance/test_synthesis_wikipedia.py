"""200 rows from real encyclopaedia sections, through Google's SDK and every fault: nothing is passed on silently."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.jobs.datasets import read_dataset
from broker.jobs.datasets.overlaps import overlap
from tests.fakes.data_maker import DataMaker
from tests.fakes.gemini_server import Habits, Rule, running
from tests.fakes.gemini_writer import answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.gemini_server import Running

ROWS = 200
DATA = os.environ.get("BROKER_TEST_DATA", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not DATA, reason="BROKER_TEST_DATA names no folder with data/wikipedia_sections.jsonl"),
]
FAULTS = (
    Rule("safety", nth=[3, 50]),
    Rule("recitation", nth=[7, 60]),
    Rule("blocked", nth=[11]),
    Rule("max_tokens", nth=[15, 90]),
    Rule("repetition", nth=[19]),
    Rule("finish", nth=[23]),
    Rule("429", nth=[27], options={"retry_s": 0.3}),
    Rule("503", nth=[31, 120]),
)


@pytest.fixture(scope="module")
def fake() -> Iterator[Running]:
    with running(Habits(), answering=answer) as found:
        found.state.rules = list(FAULTS)
        yield found


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory, fake: Running, encoder_dir: Path) -> DataMaker:
    made = DataMaker(tmp_path_factory.mktemp("wikipedia"), fake.url, encoder_dir)
    source = Path(DATA) / "data" / "wikipedia_sections.jsonl"
    ended = made.run(*made.submit(source, ROWS), timeout_s=800)
    assert ended.code == 0, ended.err
    return made


def test_the_gates_pass_and_reject_and_every_reason_is_counted(maker: DataMaker, fake: Running) -> None:
    manifest, rejected = maker.manifest, maker.rows("rejected.jsonl")
    assert manifest["accepted"] == len(maker.rows()) == ROWS
    assert Counter(row["reason"] for row in rejected) == manifest["rejected"]
    assert {"safety", "blocked", "flesch"} <= set(manifest["rejected"])
    assert all(row["detail"] for row in rejected)
    assert all(row["lineage"]["scores"]["flesch"] >= 75 for row in maker.rows())
    assert all(row["lineage"]["scores"].get("nearest", 0) <= 0.8 for row in maker.rows())
    for fault in FAULTS:
        assert fault.count >= max(fault.nth), fault
    assert fake.state.asked_twice() == []
    assert fake.state.statuses[429] == 1
    ids = [row["lineage"]["id"] for row in maker.rows()] + [row["id"] for row in rejected]
    assert len(ids) == len(set(ids))


def test_the_files_are_what_the_manifest_says(maker: DataMaker) -> None:
    for name, told in maker.manifest["files"].items():
        data = (maker.made / name).read_bytes()
        assert (len(data.splitlines()), hashlib.sha256(data).hexdigest()) == (told["rows"], told["sha256"]), name
    texts = {name: [json.dumps(row) for row in maker.rows(name)] for name in ("rows.jsonl", "train.jsonl")}
    validation = [json.dumps(row) for row in maker.rows("validation.jsonl")]
    assert sorted(texts["train.jsonl"] + validation) == sorted(texts["rows.jsonl"])


def test_nothing_to_judge_on_is_trained_on(maker: DataMaker) -> None:
    train, validation = (read_dataset(maker.made / f"{name}.jsonl") for name in ("train", "validation"))
    assert len(validation.rows) > 0
    assert overlap(train, validation) == []
