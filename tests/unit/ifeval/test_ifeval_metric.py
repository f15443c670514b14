"""The four numbers, by hand, and what has no number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from broker.errors import SpecError
from broker.evaluation import EvaluationResult, Kind, MetricContext, MetricResult, Scored, load_result, save_result
from broker.evaluation.metrics import open_metric
from broker.evaluation.scoring import score_metric

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Given = tuple[str, dict[str, Any]]
NO_COMMA: Given = ("punctuation:no_comma", {})
QUOTED: Given = ("startend:quotation", {})
TITLED: Given = ("detectable_format:title", {})
FEW_WORDS: Given = ("length_constraints:number_words", {"num_words": 4, "relation": "less than"})
NAMES = ("ifeval", "ifeval:prompt-loose", "ifeval:instruction-strict", "ifeval:instruction-loose")


def asked(*instructions: Given) -> dict[str, Any]:
    return {"instruction_id_list": [id_ for id_, _ in instructions], "kwargs": [given for _, given in instructions]}


def scored(answer: str, *instructions: Given, id_: str = "0", **extra: Any) -> Scored:
    prompt = ({"role": "user", "content": "Do it."},)
    return Scored(id=id_, prompt=prompt, expected="", answer=answer, extra={**asked(*instructions), **extra})


# strict and loose followed: 1 of 1 and 1; 1 of 3 and 3 of 3; 0 of 2 and 1 of 2.
ROWS = [
    scored("No comma.", NO_COMMA),
    scored("Yes, <<A title>>:\nNo.", NO_COMMA, TITLED, FEW_WORDS),
    scored('Well, here:\n"It is."', NO_COMMA, FEW_WORDS),
]


async def found(name: str, rows: Sequence[Scored | None] = ROWS) -> MetricResult:
    return await score_metric(open_metric(name, MetricContext()), rows)


@pytest.mark.anyio
async def test_the_four_numbers_by_hand() -> None:
    numbers = {name: await found(name) for name in NAMES}
    assert [numbers[name].values for name in NAMES] == [
        (1.0, 0.0, 0.0),
        (1.0, 1.0, 1.0),
        (1.0, pytest.approx(1 / 3), 0.0),
        (1.0, 1.0, 1.0),
    ]
    assert [numbers[name].value for name in NAMES] == pytest.approx([1 / 3, 1.0, 2 / 6, 1.0])
    assert [numbers[name].kind for name in NAMES] == [Kind.PROPORTION, Kind.PROPORTION, Kind.RATIO, Kind.RATIO]
    assert [numbers[name].parts for name in NAMES] == [(), (), (1.0, 3.0, 2.0), (1.0, 3.0, 2.0)]
    assert all(one.name == name and one.failure is None for name, one in numbers.items())


@pytest.mark.anyio
async def test_instructions_are_counted_over_the_whole_set_not_averaged_by_row() -> None:
    rows = [scored("No.", NO_COMMA), scored("Yes, no.", NO_COMMA, QUOTED, TITLED, FEW_WORDS)]
    one = await found("ifeval:instruction-strict", rows)
    assert one.values == (1.0, 0.25)
    assert one.value == pytest.approx(2 / 5)


@pytest.mark.anyio
async def test_the_breakdown_counts_each_kind() -> None:
    breakdown = (await found("ifeval")).breakdown
    assert breakdown == {
        "detectable_format:title": {"total": 1, "strict": 1, "loose": 1},
        "length_constraints:number_words": {"total": 2, "strict": 0, "loose": 2},
        "punctuation:no_comma": {"total": 3, "strict": 1, "loose": 3},
    }
    assert (await found("ifeval:instruction-loose")).breakdown == breakdown


@pytest.mark.anyio
async def test_unknown_instructions_are_not_scored_and_never_a_pass() -> None:
    rows = [ROWS[0], None, scored("No comma.", NO_COMMA, ("poetry:rhyme", {}), id_="7"), ROWS[1]]
    one = await found("ifeval:instruction-strict", rows)
    assert one.values == (1.0, None, None, 1 / 3)
    assert one.parts == (1.0, 0.0, 0.0, 3.0)
    assert (one.scored, one.unscored, one.value) == (2, 1, 2 / 4)
    (remark,) = one.remarks
    assert "1 of 3 rows are not scored" in remark
    assert "row 7, instruction_id_list: no instruction is called 'poetry:rhyme'" in remark


@pytest.mark.anyio
async def test_rows_without_instructions_have_no_numbers_and_say_why() -> None:
    plain = Scored(id="0", prompt=(), expected="", answer="Yes.")
    one = await found("ifeval", [plain, plain])
    assert one.value is None
    assert one.failure is not None
    assert "none of 2 rows has instructions" in one.failure.partition("\n")[0]
    told = Scored(
        id="7", prompt=(), expected="", answer="Yes.", extra={"instruction_id_list": ["poetry:rhyme"], "kwargs": [{}]}
    )
    failure = (await found("ifeval", [told])).failure
    assert failure is not None
    assert "no instruction is called 'poetry:rhyme'" in failure.partition("\n")[0]


@pytest.mark.anyio
async def test_metrics_that_compare_say_that_there_is_nothing_to_compare_with() -> None:
    for name in ("exact-match", "extracted-match", "similarity"):
        assert (await found(name)).failure == "the validation rows have no expected answers"
    assert (await found("length")).value == pytest.approx((2 + 4 + 4) / 3)


def test_another_number_is_refused_with_those_there_are() -> None:
    with pytest.raises(SpecError, match=r"ifeval:strict.*ifeval:prompt-loose, ifeval:instruction-strict"):
        open_metric("ifeval:strict", MetricContext())
    assert open_metric("ifeval:prompt-strict", MetricContext()).name == "ifeval"


@pytest.mark.anyio
async def test_parts_and_breakdown_survive_the_file(tmp_path: Path) -> None:
    metrics = {name: await found(name) for name in NAMES}
    save_result(EvaluationResult(job_id="eval-1", model="base", n=3, metrics=metrics), tmp_path)
    loaded = load_result(tmp_path)
    assert loaded is not None
    assert loaded.metrics == metrics
