from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.evaluation.preference import PreferenceResult, Source
from broker.jobs.records import Expense
from broker.results import as_text, build_table, to_data, to_html, to_markdown
from broker.results.headline import headline
from broker.results.preferences import p_value, preference_notes, preference_verdict, preference_warnings
from broker.voting import tally
from tests.unit.voting.poll import ballot, votes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.unit.results.lab import Lab


def voted(wins: Mapping[str, str], count: int = 12) -> PreferenceResult:
    made = ballot(count)
    # Answers differ in their ease by the number of the row.
    return tally(
        made,
        votes(made, wins),
        score=lambda text: float(len(text) + (int(text.split()[-1][:-1]) % 3) * (text[0] == "w")),
    )


CLEAR = {"ann": "llllllllllrl", "bob": "lllllllllllr"}


def test_people_stand_under_every_form_of_the_table(lab: Lab) -> None:
    result = voted(CLEAR)
    lab.evaluate(label="plain")
    table = build_table(lab.experiment, lab.jobs, lab.results, preferences=[result])
    for text in (as_text(table), to_markdown(table), to_html(table)):
        assert "Frida-7B is preferred to Otto-8B" in text.replace("\\", "")
    (data,) = to_data(table)["preferences"]
    assert (data["left"], data["right"], data["source"], data["n"]) == ("eval-a", "eval-b", "people", 12)
    assert data["panel"]["votes"] == 24
    assert "rows" not in data


def test_what_was_found_is_said_in_full() -> None:
    verdict, votes_said, ease = preference_notes([voted(CLEAR)])
    assert "10 of 12 prompts won by Frida-7B, 0 by Otto-8B, 2 tied; win rate 91.7 % [" in verdict
    assert "sign test p = 0.002" in verdict
    assert "asked “Which answer do you prefer?”" in verdict
    assert "agree in 83.3 % of cases (Krippendorff's alpha " in verdict
    assert votes_said.startswith(
        "Votes: 22 for Frida-7B, 2 for Otto-8B, 0 for neither, 0 skipped; Frida-7B has 91.7 % ["
    )
    assert "rho of ease and preference over 12 prompts" in ease


def test_what_cannot_be_told_apart_is_said_to_be_so() -> None:
    assert preference_verdict(voted({"ann": "lrlrlrlrlrlr"})) == "Frida-7B and Otto-8B cannot be told apart"
    assert preference_verdict(voted({"ann": "rrrrrrrrrrrr"})) == "Otto-8B is preferred to Frida-7B"


def test_ease_that_does_not_vary_is_said_to_be_so() -> None:
    made = ballot(6)
    result = tally(made, votes(made, {"ann": "llllll"}), score=lambda text: 90.0 if text.startswith("warm") else 30.0)
    assert "won 100.0 % [" in preference_notes([result])[-1]
    assert "cannot be said: one of them does not vary" in preference_notes([result])[-1]


def test_in_a_terminal_it_stands_above_the_notes_once(lab: Lab) -> None:
    lab.evaluate({"length": [9.0] * 40}, label="plain")
    text = as_text(build_table(lab.experiment, lab.jobs, lab.results, preferences=[voted(CLEAR)]), width=400)
    assert text.count("Preference, by 2 voters") == 1
    assert text.index("Preference, by") < text.index("Numbers in brackets")


def test_what_judging_pairs_costs_is_said(lab: Lab) -> None:
    lab.evaluate(label="plain")
    now = lab.experiment.created_at
    held = Expense(name="judge c--d", at=now, reserved_usd=2.0)
    spent = [Expense(name="judge a--b", at=now, cost_usd=0.5), held, replace(held, name="judge c--e")]
    table = build_table(lab.experiment, lab.jobs, lab.results, expenses=spent)
    notes = "\n".join(table.notes)
    assert "Judging pairs cost $0.50 more." in notes
    assert "Judging 2 pairs is under way or was stopped: $4.00 are reserved until it is settled" in notes
    (cost,) = [fact for fact in headline(table) if fact.name == "cost"]
    assert (cost.value, cost.more) == ("$4.50", "training $0, judging pairs $4.50")
    assert [one["name"] for one in to_data(table)["expenses"]] == ["judge a--b", "judge c--d", "judge c--e"]


def test_a_judge_has_no_panel() -> None:
    result = replace(voted(CLEAR), source=Source.JUDGE, by="openai:judge", panel=None)
    (line,) = preference_notes([result])
    assert line.startswith("Preference, by openai:judge: Frida-7B is preferred")


def test_remarks_are_warnings() -> None:
    (warning,) = preference_warnings([voted({"ann": "llllllllllll"})])
    assert warning.startswith("Frida-7B against Otto-8B (1 voter): one voter: ")


def test_a_vote_without_votes_is_not_in_the_notes() -> None:
    assert preference_notes([voted({})]) == []


@pytest.mark.parametrize(("p", "said"), [(0.0001, "<0.001"), (0.0123, "0.012"), (0.5, "0.50"), (1.0, "1.00")])
def test_p_values(p: float, said: str) -> None:
    assert p_value(p) == said
