from __future__ import annotations

import pytest

from broker.evaluation import Direction, Kind
from broker.results import Column, wording

SHARE = Column(name="c", label="c", unit="%", direction=Direction.HIGHER, kind=Kind.PROPORTION, version="1")
COSINE = Column(name="s", label="s", unit="", direction=Direction.HIGHER, kind=Kind.MEAN, version="1", decimals=3)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"), (0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (60, "1 min 00 s"),
        (245, "4 min 05 s"), (3600, "1 h 00 min"), (7800, "2 h 10 min"), (90000, "1 d 1 h"),
    ],
)  # fmt: skip
def test_duration(seconds: float | None, text: str) -> None:
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (None, "–"), (0, "$0"), (0.000001, "<$0.0001"), (0.0042, "$0.0042"), (0.01, "$0.01"), (3.5, "$3.50"),
        (1240.4, "$1,240"),
    ],
)  # fmt: skip
def test_money(usd: float | None, text: str) -> None:
    assert wording.money(usd) == text


def test_numbers() -> None:
    assert wording.number(SHARE, 0.974) == "97.4"
    assert wording.number(SHARE, 1.0) == "100.0"
    assert wording.number(COSINE, 0.8567) == "0.857"
    assert wording.number(COSINE, -0.0001) == "0.000"
    assert wording.number(COSINE, None) == "–"


def test_differences() -> None:
    assert wording.difference(SHARE, 0.031) == "3.1 points"
    assert wording.difference(SHARE, 0.0004) == "0.04 points"
    assert wording.difference(COSINE, 0.011) == "0.011"
    assert wording.difference(COSINE, None) == "–"
