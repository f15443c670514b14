from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.errors import UnknownNameError, UserError
from broker.results.picking import pick_row

if TYPE_CHECKING:
    from tests.unit.results.lab import Lab


@pytest.fixture
def picked(lab: Lab) -> Lab:
    lab.evaluate(label="plain")
    lab.evaluate(tuned=lab.tune(label="Warm"))
    lab.evaluate(tuned=lab.tune("gpt-4o-mini", provider="openai", label="cold"))
    return lab


def test_a_row_by_label_or_id_or_the_beginning_of_an_id(picked: Lab) -> None:
    table = picked.table()
    for row in table.rows:
        for name in (row.label, row.key, row.tune_job, row.evaluation_job, f" {row.label} "):
            assert name is None or pick_row(table, name) is row
    plain = table.rows[0]
    others = [row.key for row in table.rows[1:]]
    shortest = next(plain.key[:i] for i in range(1, 99) if not any(key.startswith(plain.key[:i]) for key in others))
    assert pick_row(table, shortest) is plain


def test_a_base_has_the_name_of_its_model_before_what_was_made_of_it(picked: Lab) -> None:
    assert pick_row(picked.table(), "sandbox").label == "plain"


def test_a_model_that_only_one_row_was_made_of(picked: Lab) -> None:
    assert pick_row(picked.table(), "gpt-4o-mini").label == "cold"


def test_case_is_forgiven_when_nothing_else_fits(picked: Lab) -> None:
    assert pick_row(picked.table(), "warm").label == "Warm"


def test_several_rows_are_told_with_their_ids(picked: Lab) -> None:
    picked.evaluate(tuned=picked.tune("gpt-4o-mini", provider="openai", label="colder"))
    table = picked.table()
    with pytest.raises(UserError, match="means 2 rows") as caught:
        pick_row(table, "gpt-4o-mini")
    for row in table.rows:
        assert (row.key in str(caught.value)) == (row.model == "gpt-4o-mini")


@pytest.mark.parametrize(
    ("name", "said"),
    [("Warn", "the nearest are 'Warm'"), ("zzz", "there are 'plain', 'Warm', 'cold'"), ("", "is called ''")],
)
def test_an_unknown_name_is_told_with_the_nearest(picked: Lab, name: str, said: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        pick_row(picked.table(), name)
    assert said in str(caught.value)


def test_an_empty_table(lab: Lab) -> None:
    with pytest.raises(UnknownNameError, match="it has no rows"):
        pick_row(lab.table(), "x")
