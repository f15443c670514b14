"""Mixing real with synthetic rows."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import DataError, UserError
from broker.jobs.datasets import content_hash, mix, mixed_lines, read_dataset, read_ratio, write_lines
from broker.jobs.rows import ChatRow, Dataset, PreferenceRow
from broker.jobs.spec import RowFormat

if TYPE_CHECKING:
    from pathlib import Path


def chats(name: str, count: int, **extras: list[Any]) -> Dataset:
    """Return rows whose other keys are dealt from lists in turn."""
    rows = tuple(
        ChatRow(
            messages=(
                {"role": "user", "content": f"{name}: what of number {line * 7919}?"},
                {"role": "assistant", "content": "word " * (1 + line % 40)},
            ),
            extra={key: values[line % len(values)] for key, values in extras.items()},
            line=line,
        )
        for line in range(1, count + 1)
    )
    return Dataset(name=f"{name}.jsonl", format=RowFormat.CHAT, rows=rows)


def prompts(dataset: Dataset) -> list[str]:
    return [row.messages[0]["content"] for row in dataset.rows]


REAL, MADE = chats("real", 400), chats("made", 250)


class TestRatio:
    @pytest.mark.parametrize(
        ("text", "rows", "counts"),
        [
            ("300:200", None, (300, 200)),
            ("60:40", 500, (300, 200)),
            ("300:200", 50, (30, 20)),
            ("0.6 : 0.4", 10, (6, 4)),
            ("1:2", 100, (33, 67)),
            ("0:5", None, (0, 5)),
        ],
    )
    def test_counts_without_rows_shares_with_them(self, text: str, rows: int | None, counts: tuple[int, int]) -> None:
        assert read_ratio(text, rows) == counts

    @pytest.mark.parametrize(
        ("text", "rows"), [("300", None), ("3:2:1", None), ("-1:2", None), ("0:0", 10), ("0.5:0.5", None), ("a:b", 5)]
    )
    def test_what_is_no_ratio_is_refused_with_a_fix(self, text: str, rows: int | None) -> None:
        with pytest.raises(UserError) as caught:
            read_ratio(text, rows)
        assert caught.value.fix

    @given(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 5000))
    def test_shares_add_up(self, real: int, synthetic: int, rows: int) -> None:
        if real + synthetic:
            first, second = read_ratio(f"{real}:{synthetic}", rows)
            assert first + second == rows
            assert abs(first - rows * real / (real + synthetic)) <= 0.5


class TestMix:
    def test_every_row_says_where_it_came_from(self) -> None:
        mixed = mix(REAL, MADE, (30, 20), seed=3)
        sources = {"real": REAL, "synthetic": MADE}
        assert Counter(row.extra["provenance"]["source"] for row in mixed.dataset.rows) == {"real": 30, "synthetic": 20}
        for row in mixed.dataset.rows:
            told = row.extra["provenance"]
            source = sources[told["source"]]
            assert (told["file"], told["sha256"]) == (source.name, content_hash(source))
            assert source.rows[told["line"] - 1].messages == row.messages

    def test_the_lineage_of_synthetic_rows_stays(self, tmp_path: Path) -> None:
        made = chats("made", 30, lineage=[{"source": {"title": "Owl"}, "model": "m"}])
        mixed = mix(REAL, made, (3, 20))
        write_lines(tmp_path / "new" / "mixed.jsonl", mixed_lines(mixed.dataset))
        read = read_dataset(tmp_path / "new" / "mixed.jsonl")
        kept = [row.extra for row in read.rows if row.extra["provenance"]["source"] == "synthetic"]
        assert len(kept) == 20
        assert all(extra["lineage"] == {"source": {"title": "Owl"}, "model": "m"} for extra in kept)

    def test_the_seed_decides_and_nothing_else(self) -> None:
        mixed = mix(REAL, MADE, (100, 100), seed=1)
        assert mixed == mix(REAL, MADE, (100, 100), seed=1)
        assert set(prompts(mixed.dataset)) != set(prompts(mix(REAL, MADE, (100, 100), seed=2).dataset))

    def test_the_order_is_mixed_too(self) -> None:
        sources = [row.extra["provenance"]["source"] for row in mix(REAL, MADE, (200, 200)).dataset.rows]
        changes = sum(a != b for a, b in pairwise(sources))
        assert 150 < changes < 250

    def test_the_files_order_does_not_matter(self) -> None:
        turned = replace(REAL, rows=tuple(reversed(REAL.rows)))
        assert set(prompts(mix(REAL, MADE, (50, 50)).dataset)) == set(prompts(mix(turned, MADE, (50, 50)).dataset))

    def test_more_rows_of_one_seed_hold_the_fewer(self) -> None:
        few, many = (mix(REAL, MADE, (count, 0), seed=5, stratify="none") for count in (40, 90))
        assert set(prompts(few.dataset)) < set(prompts(many.dataset))

    def test_a_mix_of_a_mix_remembers_both(self) -> None:
        first = mix(REAL, MADE, (30, 20)).dataset
        second = mix(first, chats("third", 10), (50, 10)).dataset
        told = next(row.extra["provenance"] for row in second.rows if row.extra["provenance"]["source"] == "real")
        assert told["earlier"]["source"] in ("real", "synthetic")

    def test_preference_rows(self) -> None:
        rows = tuple(
            PreferenceRow(
                messages=({"role": "user", "content": f"Question {line}?"},),
                preferred=({"role": "assistant", "content": "Sure!"},),
                non_preferred=({"role": "assistant", "content": "Indeed."},),
                line=line,
            )
            for line in range(1, 21)
        )
        pairs = Dataset(name="p.jsonl", format=RowFormat.PREFERENCE, rows=rows)
        lines = [json.loads(line) for line in mixed_lines(mix(pairs, pairs, (5, 5)).dataset)]
        assert all(set(line) == {"input", "preferred_output", "non_preferred_output", "provenance"} for line in lines)


class TestStrata:
    def test_each_category_has_its_share(self) -> None:
        real = chats("real", 400, category=["a", "a", "a", "b"])
        (part, _) = mix(real, MADE, (100, 10)).parts
        assert part.key == "category"
        assert [(one.name, one.rows, one.taken) for one in part.strata] == [("a", 300, 75), ("b", 100, 25)]

    def test_the_sources_title_is_next_and_length_the_last(self) -> None:
        made = chats("made", 90, lineage=[{"source": {"title": title}} for title in ("Owl", "Oak", "Tea")])
        real, synthetic = mix(REAL, made, (100, 30)).parts
        assert synthetic.key == "lineage.source.title"
        assert {one.name: one.taken for one in synthetic.strata} == {"Owl": 10, "Oak": 10, "Tea": 10}
        assert real.key == "length"
        assert len(real.strata) == 4
        assert all(abs(one.taken - one.rows / 4) <= 1 for one in real.strata)

    def test_a_named_key_may_be_any_value(self) -> None:
        real = chats("real", 40, meta=[{"age": 20}, {"age": 30}, {}])
        part = mix(real, MADE, (20, 0), stratify="meta.age").parts[0]
        assert {one.name for one in part.strata} == {"20", "30", "null"}

    @given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.data())
    def test_shares_are_whole_and_near(self, sizes: list[int], data: st.DataObject) -> None:
        names = [str(index) for index, size in enumerate(sizes) for _ in range(size)]
        real = chats("real", len(names), category=names)
        count = data.draw(st.integers(0, len(names)))
        part = mix(real, MADE, (count, 1)).parts[0]
        assert part.taken == count == sum(one.taken for one in part.strata)
        assert all(abs(one.taken - count * one.rows / len(names)) < 1 for one in part.strata)


class TestRefusals:
    def test_too_few_rows_name_the_largest_mix_of_this_ratio(self) -> None:
        with pytest.raises(DataError) as caught:
            mix(REAL, MADE, (600, 400))
        assert [problem.where for problem in caught.value.problems] == ["real.jsonl", "made.jsonl"]
        assert "--ratio 375:250" in caught.value.problems[0].fix
        assert mix(REAL, MADE, (375, 250)).dataset.rows

    def test_a_key_that_no_row_has(self) -> None:
        with pytest.raises(DataError, match="no row has the key 'mood'") as caught:
            mix(chats("real", 9, topic=["x"]), MADE, (3, 3), stratify="mood")
        assert "topic" in caught.value.problems[0].fix

    def test_rows_of_two_forms(self) -> None:
        with pytest.raises(DataError, match="mix files of one form"):
            mix(REAL, replace(MADE, format=RowFormat.PREFERENCE), (1, 1))


def test_rows_marked_for_validation_stay_out() -> None:
    real = chats("real", 100, split=["train", "train", "train", "validation"])
    mixed = mix(real, MADE, (75, 5))
    assert mixed.parts[0].held_out == 25
    assert mixed.parts[0].rows == 75
    assert all(row.extra.get("split") != "validation" for row in mixed.dataset.rows)


def test_synthetic_prompts_that_are_real_ones_are_reported() -> None:
    same = replace(MADE, rows=(replace(MADE.rows[0], messages=REAL.rows[0].messages), *MADE.rows[1:]))
    (found,) = mix(REAL, same, (400, 250)).overlaps
    assert (found.exact, found.train_line, found.validation_line) == (True, 1, 1)
    assert mix(REAL, MADE, (400, 250)).overlaps == ()
