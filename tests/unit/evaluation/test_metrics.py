from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from broker.errors import MissingExtraError, SpecError, UnknownNameError, WorkerError
from broker.evaluation import Direction, Kind, MetricContext, Scored, check_metrics, metric, metric_names
from broker.evaluation.flesch import FLESCH_VERSION
from broker.evaluation.metrics import BUILT_IN, Metric, RowMetric, open_metric
from broker.evaluation.scoring import score_metric
from broker.evaluation.similarity import CHUNK, cosine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.anyio

CASUAL = "Well, it shut down in 1967. They filled it in and sold the land."
FORMAL = "Subsequent municipal considerations necessitated comprehensive infrastructural modernisation."


def row(answer: str, expected: str = "It closed.", id_: str = "0") -> Scored:
    return Scored(id=id_, prompt=({"role": "user", "content": "What happened?"},), expected=expected, answer=answer)


class Encoder:
    """Stands where the worker processes stand: one direction for each distinct first word."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.calls: list[list[str]] = []

    async def call(self, op: str, args: dict[str, Any]) -> dict[str, Any]:
        assert op == "embed"
        assert args["model"] == "some/encoder"
        if self.failure:
            raise self.failure
        self.calls.append(args["texts"])
        vectors = [[3.0, 0.0] if text.startswith("It") else [0.0, 0.5] for text in args["texts"]]
        return {"vectors": vectors, "model": "some/encoder", "version": "sentence-transformers 6.2.0"}


async def scores(name: str, rows: Sequence[Scored], context: MetricContext | None = None) -> list[float | None]:
    return await open_metric(name, context or MetricContext()).score(rows)


async def test_conversational_counts_an_empty_answer_as_not_conversational() -> None:
    assert await scores("conversational", [row(CASUAL), row(FORMAL), row("")]) == [1.0, 0.0, 0.0]


async def test_threshold_is_settable_and_named() -> None:
    found = open_metric("conversational:95", MetricContext())
    assert await found.score([row(FORMAL), row("It is so.")]) == [0.0, 1.0]
    assert found.name == "conversational:95"
    assert "95" in found.label


async def test_threshold_includes_the_score_itself() -> None:
    from broker.evaluation.flesch import flesch

    exact = flesch(CASUAL)
    assert await scores(f"conversational:{exact!r}", [row(CASUAL)]) == [1.0]


async def test_bad_threshold_names_place_and_fix() -> None:
    with pytest.raises(SpecError, match=r"conversational:easy.*not a number"):
        open_metric("conversational:easy", MetricContext())


async def test_flesch_has_no_score_for_an_empty_answer() -> None:
    values = await scores("flesch", [row(CASUAL), row("")])
    assert values[0] is not None
    assert values[0] > 60
    assert values[1] is None


async def test_flesch_metrics_carry_the_version() -> None:
    for name in ("flesch", "conversational"):
        assert FLESCH_VERSION in open_metric(name, MetricContext()).version


async def test_flesch_warns_on_foreign_text() -> None:
    rows = [row(CASUAL), row("Das Schwimmbad wurde im Jahr 1967 geschlossen, und es ist nicht mehr da.")]
    result = await score_metric(open_metric("flesch", MetricContext()), rows)
    assert result.remarks == ("1 of 2 answers do not look English: Flesch scores are made for English text",)


async def test_length_counts_words() -> None:
    assert await scores("length", [row("one two  three"), row("")]) == [3.0, 0.0]
    assert open_metric("length", MetricContext()).direction is Direction.NONE


async def test_similarity_by_the_worker() -> None:
    encoder = Encoder()
    found = open_metric("similarity", MetricContext(workers=encoder, encoder="some/encoder"))
    assert await found.score([row("It did."), row("No."), row(""), row("It.", expected=" ")]) == [1.0, 0.0, None, None]
    assert found.version == "some/encoder, sentence-transformers 6.2.0"


async def test_similarity_in_chunks() -> None:
    encoder = Encoder()
    context = MetricContext(workers=encoder, encoder="some/encoder")
    values = await scores("similarity", [row("It did.")] * (CHUNK + 1), context)
    assert values == [1.0] * (CHUNK + 1)
    assert [len(texts) for texts in encoder.calls] == [2 * CHUNK, 2]


@pytest.mark.parametrize(
    "failure",
    [
        WorkerError("some/encoder cannot be loaded", kind="embed", fix="broker models build sandbox-encoder"),
        MissingExtraError("sentence-transformers is not installed", fix="pip install"),
    ],
)
async def test_an_encoder_that_cannot_be_loaded_gives_a_reason_and_no_number(failure: Exception) -> None:
    context = MetricContext(workers=Encoder(failure), encoder="some/encoder")
    result = await score_metric(open_metric("similarity", context), [row("It did.")])
    assert result.failure
    assert str(failure).split("\n", maxsplit=1)[0] in result.failure
    assert (result.value, result.low, result.high, result.values) == (None, None, None, ())


async def test_similarity_without_workers_names_the_extra() -> None:
    result = await score_metric(open_metric("similarity", MetricContext()), [row("It did.")])
    assert "similarity" in (result.failure or "")
    assert "pip install" in (result.failure or "")


def test_cosine() -> None:
    assert cosine([1, 2], [2, 4]) == 1.0
    assert cosine([1, 0], [-1, 0]) == -1.0
    assert cosine([0, 0], [1, 0]) is None
    assert cosine([1.0, 0.0], [1.0, 1e-9]) == 1.0


async def test_matches() -> None:
    rows = [row("The answer is 42.", "42"), row("41", "42"), row("42", "")]
    assert await scores("extracted-match", rows) == [1.0, 0.0, None]
    assert await scores("exact-match", [row("the Pool!", "A pool"), row("a pond", "a pool")]) == [1.0, 0.0]
    assert await scores("exact-match", [row("", "A"), row("A.", "A"), row("B", "A")]) == [0.0, 1.0, 0.0]


async def test_metric_of_a_function() -> None:
    @metric("shouts", unit="", direction="lower", version="2")
    def shouts(row: Scored) -> float:
        return row.answer.count("!")

    assert await scores("shouts", [row("No!!"), row("no")]) == [2.0, 0.0]
    assert shouts.direction is Direction.LOWER
    assert "shouts" in metric_names()


async def test_proportion_of_a_function() -> None:
    @metric("short", kind="proportion")
    def short(row: Scored) -> bool:
        return len(row.answer) < 5

    result = await score_metric(short, [row("No."), row("Not so short")])
    assert (result.value, result.unit, result.kind) == (0.5, "%", Kind.PROPORTION)
    assert result.interval == "Wilson"


async def test_metric_by_module_and_attribute() -> None:
    found = open_metric("broker.evaluation.matching:length", MetricContext())
    assert await found.score([row("a b")]) == [2.0]


async def test_metric_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "their_metrics-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-metrics\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[broker.metrics]\nvowels = their_metrics:vowels\nlonger = their_metrics:make\n"
    )
    (tmp_path / "their_metrics.py").write_text(
        "from broker.evaluation.metrics import RowMetric\n"
        "vowels = RowMetric(function=lambda row: sum(row.answer.count(v) for v in 'aeiou'), name='vowels', label='v')\n"
        "def make(context, argument):\n"
        "    return RowMetric(function=lambda row: len(row.answer) > int(argument), name='longer', label='longer')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert {"vowels", "longer"} <= set(metric_names())
    assert await scores("vowels", [row("a tree")]) == [3.0]
    assert await scores("longer:3", [row("a tree"), row("no")]) == [1.0, 0.0]


@pytest.mark.parametrize("name", ["conversatonal", "nowhere:at_all", "broker.evaluation.matching:nothing", ""])
def test_unknown_metric_names_the_known(name: str) -> None:
    with pytest.raises(UnknownNameError, match="similarity"):
        check_metrics([name])


def test_nearest_match() -> None:
    with pytest.raises(UnknownNameError, match="did you mean conversational"):
        check_metrics(["conversatonal"])


def test_built_in_metrics_keep_the_protocol() -> None:
    for name in BUILT_IN:
        assert isinstance(open_metric("judge:empathy" if name == "judge" else name, MetricContext()), Metric)


async def test_a_broken_metric_costs_its_own_column_only() -> None:
    @metric("broken")
    def broken(row: Scored) -> float:
        return 1 / len(row.answer)

    result = await score_metric(broken, [row("x"), *[row("")] * 4])
    said = "row 0: ZeroDivisionError: division by zero"
    assert result.failure == f"4 of 5 rows cannot be scored ({said}; {said}; {said}; …)"
    assert (result.value, result.values) == (None, ())


@pytest.mark.parametrize(
    ("value", "says"),
    [("7", "'7' is no number"), ([1.0], r"\[1.0\] is no number"), (float("nan"), "nan is no finite number")],
)
async def test_what_is_no_number_is_told_with_its_row(value: Any, says: str) -> None:
    result = await score_metric(RowMetric(function=lambda _row: value, name="odd", label="odd"), [row("x")])
    assert re.search(f"1 of 1 rows cannot be scored \\(row 0: .*{says}", result.failure or "")


async def test_an_async_function_is_refused_with_the_way_out() -> None:
    async def later(_row: Scored) -> float:
        return 1.0

    function: Any = later
    result = await score_metric(RowMetric(function=function, name="later", label="later"), [row("x")])
    assert "the function is async; give an object with `async score(rows)` instead" in (result.failure or "")


async def test_numbers_that_are_none_are_refused() -> None:
    @metric("infinite")
    def infinite(_row: Scored) -> float:
        return float("nan")

    assert "finite" in ((await score_metric(infinite, [row("x")])).failure or "")


async def test_failed_rows_stay_without_a_value() -> None:
    result = await score_metric(open_metric("length", MetricContext()), [row("a b"), None, row("a b c d")])
    assert result.values == (2.0, None, 4.0)
    assert (result.value, result.scored, result.unscored) == (3.0, 2, 0)


async def test_all_rows_failed() -> None:
    result = await score_metric(open_metric("length", MetricContext()), [None, None])
    assert (result.value, result.scored, result.failure) == (None, 0, None)
