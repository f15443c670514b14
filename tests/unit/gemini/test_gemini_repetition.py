"""Endless repetition is found, and nothing else is taken for it."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import pytest

from broker.providers.gemini.repetition import loop

PROSE = (
    "The kettle had been on the stove since before dawn, and nobody in the house could say who had put it there. "
    "Mara looked at it for a while, then at the window, where the first light lay thin and grey over the orchard. "
    "Her brother came down with one sock on, asked for bread, and got a shrug; there was none, and there was no milk. "
    "They walked to the mill together without a word, which was how they liked each other best in the mornings. "
)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "\n",
        " ",
        "ha",
        "no. ",
        "I am I ",
        "and so on, ",
        "- Drink water.\n",
        "\\n",
        PROSE[:110],
        PROSE[:60] + "\n\n",
    ],
)
@pytest.mark.parametrize("before", ["", "A short beginning. ", PROSE * 2])
@pytest.mark.parametrize("cut", [0, 1, 7])
def test_a_loop_up_to_the_end_is_found(piece: str, before: str, cut: int) -> None:
    text = before + piece * max(8, 300 // len(piece) + 1)
    found = loop(text[: len(text) - cut])
    assert found
    assert sorted(set(found)) == sorted(set(piece))


def test_a_loop_that_was_closed_as_json_is_found() -> None:
    assert loop('{"answer": "' + "very " * 100 + '"}')
    assert loop(json.dumps({"rows": [{"answer": "I do not know. " * 40}]}, indent=2))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes",
        "ha" * 60,
        "-" * 200,
        PROSE,
        PROSE * 3,
        "\n".join(f"{n}. Drink water in the morning." for n in range(1, 60)),
        "\n".join(f"- Item {n}: see page {n * 7}" for n in range(80)),
        "| a | b |\n|---|---|\n" + "\n".join(f"| {n} | {n * n} |" for n in range(60)),
        json.dumps([{"question": f"What is {n} + {n}?", "answer": str(2 * n)} for n in range(40)], indent=2),
        "Row, row, row your boat, gently down the stream. Merrily, merrily, merrily, merrily, life is but a dream. "
        * 2,
        "def f(x):\n    return x\n\n\n"
        + "\n\n".join(f"def f{n}(x):\n    return f{n - 1}(x) + 1" for n in range(1, 30)),
        "no " * 120 + "and then she stopped, thought about it, and told me the whole story from the beginning.",
        " ".join(random.Random(3).choices(["oak", "rain", "iron", "bread", "music", "winter"], k=600)),
        "01" * 50 + "10" * 50,
        PROSE + "\n" + "=" * 120 + "\n",
    ],
)
def test_other_text_is_no_loop(text: str) -> None:
    assert loop(text) == ""


def test_real_texts_are_no_loops() -> None:
    if "BROKER_TEST_DATA" not in os.environ:
        pytest.skip("BROKER_TEST_DATA is not set")
    path = Path(os.environ["BROKER_TEST_DATA"]) / "data" / "wikipedia_sections.jsonl"
    with path.open() as lines:
        found = [line for line, _ in zip(lines, range(2000), strict=False) if any(map(loop, _texts(json.loads(line))))]
    assert found == []


def _texts(row: dict[str, object]) -> list[str]:
    return [value for value in row.values() if isinstance(value, str)]


def test_a_long_text_costs_little_time() -> None:
    worst = ("ab" * 1999 + "c") * 4
    begun = time.process_time()
    for _ in range(20):
        loop(worst)
    assert (time.process_time() - begun) / 20 < 0.05
