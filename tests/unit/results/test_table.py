from __future__ import annotations

from csv import DictReader
from dataclasses import replace
from random import Random

import pytest

from broker.evaluation import Direction, Kind, MetricResult
from broker.evaluation.statistics import compare, holm
from broker.jobs.records import Failure
from broker.jobs.spec import ModelRef
from broker.jobs.states import State
from broker.results import (
    Cell,
    ResultRow,
    ResultsTable,
    build_table,
    to_csv,
    to_data,
    to_html,
    to_markdown,
)
from tests.unit.results.lab import Lab, Values, share


def by_label(table: ResultsTable) -> dict[str, ResultRow]:
    return {row.label: row for row in table.rows}


def cell(table: ResultsTable, label: str, metric: str = "conversational") -> Cell:
    return by_label(table)[label].cells[metric]


def test_bases_come_first(lab: Lab) -> None:
    tuned = lab.tune(label="tuned")
    lab.evaluate({"conversational": share(30)}, tuned=tuned)
    lab.evaluate({"conversational": share(8)}, label="base")
    assert [row.label for row in lab.table().rows] == ["base", "tuned"]
    assert [row.kind for row in lab.table().rows] == ["base", "tuned"]


def test_what_a_row_says(lab: Lab) -> None:
    lab.evaluate({"conversational": share(8)}, cost_usd=0.5)
    tuned = lab.tune(parameters={"precision": "int8"}, cost_usd=2.0, label="mine")
    lab.evaluate({"conversational": share(30)}, tuned=tuned, cost_usd=0.25)
    base, row = lab.table().rows
    assert (base.label, base.method, base.rows_trained, base.train_s, base.cost_usd) == ("sandbox", "", None, None, 0.5)
    assert (row.method, row.precision, row.provider, row.model) == ("sft", "int8", "local", "sandbox")
    assert (row.rows_trained, row.n, row.train_s, row.cost_usd) == (100, 40, 6.0, 2.25)
    assert row.bases == (base.key,)


def test_an_unknown_cost_is_not_zero(lab: Lab) -> None:
    lab.evaluate({"conversational": share(30)}, tuned=lab.tune(cost_usd=None))
    assert lab.table().rows[0].cost_usd is None


def test_jobs_in_work_and_failed_jobs_stay_in_the_table(full: Lab) -> None:
    rows = by_label(full.table())
    assert (rows["<b>mini</b>"].state, rows["<b>mini</b>"].stage) == ("running", "evaluation")
    hot = rows["hot tuned"]
    assert (hot.state, hot.stage, hot.detail) == ("failed", "tuning", "the loss became NaN at step 12")
    assert len(rows) == 6
    assert any("NaN at step 12" in warning for warning in full.table().warnings)


def test_a_tuning_job_without_an_evaluation_has_a_row(lab: Lab) -> None:
    lab.tune(label="alone")
    (row,) = lab.table().rows
    assert (row.label, row.state) == ("alone", "not evaluated")


def test_a_failed_evaluation_never_hides_the_tuning_job(lab: Lab) -> None:
    failure = Failure(code="x", message="no such model")
    lab.evaluate(tuned=lab.tune(label="mine"), state=State.FAILED, failure=failure)
    (row,) = lab.table().rows
    assert (row.state, row.stage, row.detail, row.train_s) == ("failed", "evaluation", "no such model", 6.0)


def test_an_empty_experiment(lab: Lab) -> None:
    table = lab.table()
    assert (table.rows, table.columns, table.notes) == ((), (), ())


def test_identical_runs_tie(lab: Lab) -> None:
    values: dict[str, Values] = {"conversational": share(30), "flesch": [50.0 + i for i in range(40)]}
    for label in ("one", "two"):
        lab.evaluate(values, tuned=lab.tune(label=label))
    table = lab.table()
    for metric in values:
        one, two = cell(table, "one", metric), cell(table, "two", metric)
        assert (one.best, one.tied) == (two.best, two.tied) == (False, True)
        assert one.letters == two.letters == "a"


def test_a_clear_winner_is_alone(full: Lab) -> None:
    table = full.table()
    best = cell(table, "sandbox tuned")
    assert best.best
    assert best.letters == "a"
    assert not cell(table, "sandbox").tied
    assert cell(table, "sandbox").letters == "b"
    assert cell(table, "=HYPERLINK(1)").tied


def test_ties_are_not_transitive(lab: Lab) -> None:
    # 40 prompts: 40 against 35 passed, and 35 against 30, cannot be told apart; 40 against 30 can.
    for label, passed in (("A", 40), ("B", 35), ("C", 30)):
        lab.evaluate({"conversational": share(passed)}, tuned=lab.tune(label=label))
    table = lab.table()
    assert [cell(table, label).letters for label in "ABC"] == ["a", "ab", "b"]


def test_each_is_compared_with_its_base_and_the_best(full: Lab) -> None:
    table = full.table()
    keys = {row.key: row.label for row in table.rows}
    wanted = {
        (keys[one.left], keys[one.right])
        for one in table.comparisons
        if one.metric == "conversational" and one.against in ("base", "best")
    }
    assert wanted == {
        ("sandbox tuned", "sandbox"),
        ("sandbox tuned", "sandbox (verbose)"),
        ("=HYPERLINK(1)", "sandbox"),
        ("=HYPERLINK(1)", "sandbox (verbose)"),
        ("=HYPERLINK(1)", "sandbox tuned"),
    }


def test_holm_goes_over_those(full: Lab) -> None:
    table = full.table()
    family = [one for one in table.comparisons if one.metric == "conversational" and one.against != "other"]
    assert [one.p_adjusted for one in family] == pytest.approx(holm([one.p for one in family]))
    assert all(one.different == (one.p_adjusted < 0.05) for one in family)


def test_all_pairs_on_request_are_one_family(full: Lab) -> None:
    pairs = [one for one in full.table(all_pairs=True).comparisons if one.metric == "conversational"]
    assert len(pairs) == 4 * 3 / 2
    assert [one.p_adjusted for one in pairs] == pytest.approx(holm([one.p for one in pairs]))
    assert all(one.low is not None for one in pairs)


def test_a_comparison_is_the_paired_test(full: Lab) -> None:
    table = full.table()
    one = next(one for one in table.comparisons if one.metric == "conversational")
    found = compare(
        Kind.PROPORTION,
        full.results[one.left].metrics["conversational"].values,
        full.results[one.right].metrics["conversational"].values,
    )
    assert (one.p, one.difference, one.low, one.high) == (found.p, found.difference, found.low, found.high)


def test_no_best_where_no_way_is_better(full: Lab) -> None:
    table = full.table()
    assert next(column for column in table.columns if column.name == "length").direction is Direction.NONE
    cells = [row.cells["length"] for row in table.rows if "length" in row.cells]
    assert not any(each.best or each.tied or each.letters for each in cells)
    assert {one.against for one in table.comparisons if one.metric == "length"} == {"base"}


def test_many_models_have_no_letters_but_ties_with_the_best(lab: Lab) -> None:
    for i in range(13):
        lab.evaluate({"conversational": share(40 - i)}, tuned=lab.tune(label=f"m{i}"))
    table = lab.table()
    assert cell(table, "m0").best
    assert cell(table, "m1").tied
    assert cell(table, "m1").letters == ""
    assert len(table.comparisons) == 12


def test_rows_on_another_validation_set_are_not_compared(lab: Lab) -> None:
    lab.evaluate({"conversational": share(10)}, tuned=lab.tune(label="here"))
    lab.evaluate({"conversational": share(40)}, tuned=lab.tune(label="elsewhere"), validation="ff" * 32)
    table = lab.table()
    assert table.comparisons == ()
    assert not cell(table, "elsewhere").best
    assert any("different validation sets" in warning for warning in table.warnings)


def test_scores_of_different_versions_are_not_compared(lab: Lab) -> None:
    one = lab.evaluate({"conversational": share(10)}, tuned=lab.tune(label="old"))
    lab.evaluate({"conversational": share(40)}, tuned=lab.tune(label="new"))
    found = lab.results[one.id]
    old = replace(found.metrics["conversational"], version="textstat 0.7.4")
    lab.results[one.id] = replace(found, metrics={"conversational": old})
    table = lab.table()
    assert table.comparisons == ()
    assert table.columns[0].mixed
    assert any("computed in different ways" in warning for warning in table.warnings)


def test_a_metric_that_could_not_be_computed_says_why(lab: Lab) -> None:
    broken = MetricResult(
        name="similarity",
        label="similarity",
        unit="",
        direction=Direction.HIGHER,
        kind=Kind.MEAN,
        version="gte",
        failure="the encoder gte cannot be loaded (pip install …)",
    )
    lab.evaluate({"conversational": share(10), "similarity": broken}, label="base")
    table = lab.table()
    found = cell(table, "base", "similarity")
    assert (found.value, found.low, found.failure) == (None, None, broken.failure)
    assert any("the encoder gte cannot be loaded" in warning for warning in table.warnings)
    assert "not computed" in str(table)


def test_failed_rows_are_counted_and_left_out_of_pairs(lab: Lab) -> None:
    values = share(30)
    values[39] = None
    lab.evaluate({"conversational": values}, tuned=lab.tune(label="A"), failed=1, failures={"HTTP 500": 1})
    lab.evaluate({"conversational": share(10)}, tuned=lab.tune(label="B"))
    table = lab.table()
    assert (by_label(table)["A"].n, by_label(table)["A"].failed) == (40, 1)
    assert table.comparisons[0].n == 39
    assert "A: 1 of 40 prompts have no answer (HTTP 500)" in table.warnings


def test_what_n_could_have_shown(full: Lab) -> None:
    found = next(one for one in full.table().detectable if one.metric == "conversational")
    assert found.n == 40
    assert found.now is not None
    assert found.with_1000 is not None
    assert found.with_1000 < found.now
    text = "\n".join(full.table().notes)
    assert f"With n = 40, differences under {found.now * 100:.1f} points in conversational cannot be seen" in text
    assert "n = 1,000 would show" in text


def test_too_few_prompts_to_show_anything(lab: Lab) -> None:
    for label, passed in (("A", 3), ("B", 1)):
        lab.evaluate({"conversational": share(passed, 4)}, tuned=lab.tune(label=label))
    assert any("too few to show any difference" in note for note in lab.table().notes)


def test_own_base_has_the_same_precision_and_policy_first(lab: Lab) -> None:
    int8, bf16 = (ModelRef(provider="local", name="sandbox", precision=p) for p in ("int8", "bf16"))
    lab.evaluate({"conversational": share(8)}, model=bf16, label="b bf16")
    lab.evaluate({"conversational": share(8)}, model=int8, policy="verbose", label="b int8 verbose")
    lab.evaluate({"conversational": share(8)}, model=int8, label="b int8")
    lab.evaluate({"conversational": share(8)}, model=ModelRef(provider="local", name="other"), label="b other")
    lab.evaluate({"conversational": share(30)}, tuned=lab.tune(parameters={"precision": "int8"}, label="mine"))
    rows = by_label(lab.table())
    assert rows["mine"].bases == (rows["b int8"].key, rows["b int8 verbose"].key)


def test_equal_labels_are_told_apart_by_what_differs(lab: Lab) -> None:
    for rate in (1e-3, 1e-4):
        lab.tune(parameters={"learning_rate": rate, "epochs": 5})
    lab.tune(parameters={"learning_rate": 1e-4, "epochs": 5})
    assert [row.label for row in lab.table().rows] == [
        "sandbox tuned (lr=0.001)",
        "sandbox tuned (lr=0.0001) #1",
        "sandbox tuned (lr=0.0001) #2",
    ]


def test_conditions_stand_under_the_table(full: Lab) -> None:
    text = "\n".join(full.table().notes)
    for part in (
        "val.jsonl (ab12ab12ab12)",
        "40 prompts",
        "greedy, at most 256 tokens",
        "textstat 0.7.8",
        "“Be verbose.”",
    ):
        assert part in text


def test_the_hash_is_in_every_form(full: Lab) -> None:
    table = full.table()
    sha = "ab12" * 16
    assert "val.jsonl (ab12ab12ab12)" in " ".join(str(table).split())
    assert f"sha256 of the validation set: {sha}" in to_markdown(table)
    assert f"sha256 of the validation set: {sha}" in to_html(table)
    data = to_data(table)
    assert data["conditions"]["validation_sha256"] == sha
    assert {row["validation_sha256"] for row in data["rows"] if row["n"]} == {sha}
    lines = list(DictReader(to_csv(table).splitlines()))
    assert {line["validation_sha256"] for line in lines if line["n"]} == {sha}


def test_both_hashes_where_rows_differ(lab: Lab) -> None:
    lab.evaluate({"conversational": share(10)}, tuned=lab.tune(label="here"))
    lab.evaluate({"conversational": share(40)}, tuned=lab.tune(label="elsewhere"), validation="ff" * 32)
    table = lab.table()
    assert "validation sets val.jsonl (ab12ab12ab12 and ffffffffffff)" in "\n".join(table.notes)
    assert all(f"sha256 of the validation set: {sha}" in to_markdown(table) for sha in ("ab12" * 16, "ff" * 32))


def test_rows_with_another_decoding_are_not_compared(lab: Lab) -> None:
    for label, passed in (("one", 10), ("two", 30)):
        lab.evaluate({"conversational": share(passed)}, tuned=lab.tune(label=label))
    other = lab.evaluate({"conversational": share(40)}, tuned=lab.tune(label="hot"))
    drawn = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 256, "seed": 0}
    found = lab.results[other.id]
    lab.results[other.id] = replace(found, conditions={**found.conditions, "decoding": drawn})
    table = lab.table()
    assert cell(table, "two").best
    assert not any((cell(table, "hot").best, cell(table, "hot").tied, cell(table, "hot").letters))
    assert {label for one in table.comparisons for label in (one.left, one.right)} & {other.id} == set()
    assert any("different ways of decoding" in warning for warning in table.warnings)


def test_the_flattery_of_the_best_is_told(lab: Lab) -> None:
    for i in range(4):
        lab.evaluate({"conversational": share(30 - i)}, tuned=lab.tune(label=f"m{i}"))
    assert not any("flatters" in note for note in lab.table().notes)
    lab.evaluate({"conversational": share(20)}, tuned=lab.tune(label="m4"))
    assert any("best of 5 models is chosen on the same prompts" in note for note in lab.table().notes)


def test_narrow_intervals_of_few_prompts_are_told(lab: Lab) -> None:
    for n, told in ((30, False), (12, True)):
        lab.evaluate({"flesch": [float(i) for i in range(n)]}, label=f"of {n}")
        assert any("too narrow" in note for note in lab.table().notes) is told


def test_means_that_never_differ_promise_nothing(lab: Lab) -> None:
    same: list[float | None] = [50.0 + i for i in range(40)]
    for label in ("one", "two"):
        lab.evaluate({"flesch": same, "conversational": share(30)}, tuned=lab.tune(label=label))
    assert [one.metric for one in lab.table().detectable] == ["conversational"]


def test_letters_never_contradict_the_marks(lab: Lab) -> None:
    random = Random(11)
    for i in range(9):
        values: list[float | None] = [float(random.random() < 0.3 + i / 16) for _ in range(60)]
        lab.evaluate({"conversational": values}, tuned=lab.tune(label=f"m{i}"))
    for all_pairs in (False, True):
        table = lab.table(all_pairs=all_pairs)
        cells = {row.key: row.cells["conversational"] for row in table.rows}
        (best,) = [key for key, one in cells.items() if one.best]
        for key, one in cells.items():
            if key != best:
                assert one.tied == bool(set(one.letters) & set(cells[best].letters))
        for pair in table.comparisons:
            shared = set(cells[pair.left].letters) & set(cells[pair.right].letters)
            assert pair.different == (not shared)


def test_an_allowed_overlap_marks_the_table(lab: Lab) -> None:
    lab.experiment = replace(lab.experiment, notes={"overlap": "3 validation prompts are in the training data"})
    assert lab.table().warnings == ("overlap: 3 validation prompts are in the training data",)


def test_the_same_input_gives_the_same_table(full: Lab) -> None:
    random = Random(1)
    assert build_table(full.experiment, full.jobs, full.results) == full.table()
    shuffled = sorted(full.jobs, key=lambda _job: random.random())
    assert build_table(full.experiment, shuffled, full.results).rows == full.table().rows


def test_means_are_compared_by_permutation(lab: Lab) -> None:
    random = Random(7)
    easy = [random.gauss(60, 15) for _ in range(40)]
    lab.evaluate({"flesch": easy}, tuned=lab.tune(label="A"))
    lab.evaluate({"flesch": [value + random.gauss(5, 2) for value in easy]}, tuned=lab.tune(label="B"))
    table = lab.table()
    assert table.comparisons[0].method == "paired permutation"
    assert table.comparisons[0].different
    assert cell(table, "B", "flesch").letters == "a"
    assert cell(table, "A", "flesch").letters == "b"


def test_a_star_is_not_the_first_one_s_alone(lab: Lab) -> None:
    for label, passed in (("A", 30), ("B", 30), ("C", 5)):
        lab.evaluate({"conversational": share(passed)}, label=label)
    cells = {row.label: row.cells["conversational"] for row in lab.table().rows}
    assert [(cells[name].best, cells[name].tied) for name in "ABC"] == [(True, False), (True, False), (False, False)]


def test_where_all_are_equal_none_is_the_best(lab: Lab) -> None:
    for label in "ABC":
        lab.evaluate({"conversational": share(0)}, label=label)
    table = lab.table()
    assert [(row.cells["conversational"].best, row.cells["conversational"].tied) for row in table.rows] == [
        (False, True)
    ] * 3
    assert any(note.startswith("★ best; = not told apart") for note in table.notes)
