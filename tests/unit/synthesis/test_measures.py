"""Histograms and diversity of texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.synthesis.measures import diversity, histogram


class TestHistogram:
    def test_bars_means_and_shares(self) -> None:
        found = histogram("ease", "Flesch", {"a": [10, 25, 60, 75]}, edges=[0, 20, 40, 60, 80], at_least=[60])
        assert found.counts == {"a": (1, 1, 0, 2)}
        assert found.means == {"a": 42.5}
        assert found.shares == {"≥ 60": {"a": 0.5}}

    def test_what_is_beyond_the_edges_is_in_the_first_and_last_bar(self) -> None:
        assert histogram("x", "x", {"a": [-50, 5, 999]}, edges=[0, 10, 20]).counts == {"a": (2, 1)}

    @given(st.lists(st.floats(-1e3, 1e6, allow_nan=False), max_size=200), st.lists(st.integers(0, 500), max_size=50))
    def test_every_value_is_counted_once(self, values: list[float], others: list[int]) -> None:
        found = histogram("x", "x", {"a": values, "b": others})
        assert [sum(counts) for counts in found.counts.values()] == [len(values), len(others)]
        assert list(found.edges) == sorted(set(found.edges))
        assert len(found.edges) <= 25

    def test_few_very_long_texts_do_not_flatten_the_rest(self) -> None:
        found = histogram("x", "words", {"a": [*range(1, 200), 10_000]})
        assert found.edges[-1] < 400
        assert found.counts["a"][-1] >= 1

    def test_nothing_to_count(self) -> None:
        found = histogram("x", "x", {"a": []}, at_least=[1])
        assert found.means == {"a": None}
        assert found.shares == {"≥ 1": {}}


class TestDiversity:
    def test_distinct_ngrams_of_an_example(self) -> None:
        found = diversity(["the cat sat", "the cat ran"])
        # Words: the cat sat the cat ran: 4 different of 6; pairs 3 of 4; triples 2 of 2.
        assert found.distinct == pytest.approx((4 / 6, 3 / 4, 1.0))
        assert found.repeated is None

    def test_what_other_texts_have_too(self) -> None:
        same = "hope that helps you"
        found = diversity([f"birds {same}", f"trees {same}", "nothing in common with them"])
        # Two texts have two 4-grams each, one of which is shared; the third shares none.
        assert found.repeated == pytest.approx((0.5 + 0.5 + 0) / 3)
        assert found.common == ((same, 2),)

    def test_a_text_that_repeats_itself_shares_nothing_with_others(self) -> None:
        assert diversity(["a b c d a b c d", "e f g h"]).repeated == 0

    def test_case_and_punctuation_do_not_count(self) -> None:
        assert diversity(["Well, it's EASY!", "well it's easy"]).distinct[0] == 0.5

    def test_no_texts(self) -> None:
        found = diversity([])
        assert (found.distinct, found.repeated, found.texts) == ((None, None, None), None, 0)
