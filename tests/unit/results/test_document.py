"""The results page as text: its policy, its data, its escapes. What a browser makes of it: tests/acceptance."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest

from broker.evaluation import Kind
from broker.evaluation.metrics import RowMetric
from broker.evaluation.preference import Pair, PreferenceResult, Source
from broker.evaluation.scoring import summarise
from broker.jobs.spec import ModelRef
from broker.results import Arrangement, Report, arrange, as_text, to_page
from broker.results.document.answers import embedded
from broker.results.headline import headline
from tests.unit.results.grids import HOSTILE, grid, report
from tests.unit.results.lab import Lab, share


class Reader(HTMLParser):
    """Notes elements, links, texts of scripts, and whether every element is closed."""

    VOID = frozenset({"meta", "link", "input", "br", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.handlers: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append((known, ""))
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        self.ids += [known["id"] or ""] if "id" in known else []
        self.handlers += [name for name in known if name.startswith("on")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            known, text = self.scripts[-1]
            self.scripts[-1] = (known, text + data)


@pytest.fixture(scope="module")
def hostile() -> Report:
    lab = Lab()
    lab.experiment = replace(lab.experiment, name=f"tone {HOSTILE[1]}", notes={HOSTILE[0]: HOSTILE[2]})
    lab.evaluate({"conversational": share(8), "length": [3.0] * 40}, label=HOSTILE[0])
    for i, text in enumerate(HOSTILE):
        lab.evaluate({"conversational": share(20 + i)}, tuned=lab.tune(label=text, rows=10 * (i + 1)))
    return report(lab.table(), texts=HOSTILE)


def data_of(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Reader(text).scripts[0][1])
    return found


def test_the_page_is_whole_and_asks_nobody(full: Lab) -> None:
    text = to_page(report(full.table()))
    reader = Reader(text)
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))
    assert all(link.startswith(("#", "data:image/svg+xml,")) for link in reader.links)
    assert {link[1:] for link in reader.links if link.startswith("#")} <= set(reader.ids)
    assert "@import" not in text
    assert "url(" not in text
    assert reader.handlers == []


def test_its_policy_lets_one_script_run(hostile: Report) -> None:
    text = to_page(hostile)
    scripts = Reader(text).scripts
    assert [known.get("type") for known, _ in scripts] == ["application/json", None]
    wanted = b64encode(hashlib.sha256(scripts[1][1].encode()).digest()).decode()
    policy = unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1])  # type: ignore[index]
    assert policy == (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{wanted}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    assert text.index("Content-Security-Policy") < text.index("<style>")


def test_nothing_that_somebody_wrote_becomes_an_element(hostile: Report) -> None:
    reader = Reader(to_page(hostile))
    assert reader.open == []
    assert reader.tags.count("script") == 2
    assert "img" not in reader.tags
    assert reader.handlers == []


def test_answers_arrive_as_they_were(hostile: Report) -> None:
    data = data_of(to_page(hostile))
    labels = [row.label for row in hostile.table.rows]
    assert [model["label"] for model in data["models"]] == labels
    keys = [row.key for row in hostile.table.rows]
    for prompt, (number, question, expected, answers) in zip(hostile.answers.prompts, data["prompts"], strict=True):
        assert number == prompt.number
        assert [tuple(turn) for turn in question] == list(prompt.question)
        assert expected == prompt.expected
        assert [answer[0] for answer in answers] == [prompt.answers[key].text for key in keys]


@pytest.mark.parametrize("text", [*HOSTILE, "<!--", "</SCRIPT >", "&amp;", "\u2028", "“quotes”"])
def test_json_in_a_page_ends_no_element(text: str) -> None:
    made = embedded({text: [text]})
    assert not set(made) & set("<>&\u2028\u2029")
    assert json.loads(made) == {text: [text]}


def test_rows_carry_what_they_are_sorted_by(full: Lab) -> None:
    text = to_page(report(full.table()))
    body = text[text.index('<table id="results">') : text.index("</table>")]
    row = next(part for part in body.split("<tr") if "sandbox tuned" in part)
    assert 'data-v="97.5"' in row
    assert 'data-v="100"' in row
    unfinished = next(part for part in body.split("<tr") if "hot tuned" in part)
    assert 'data-v=""' in unfinished
    assert "tuning failed" in unfinished


def test_groups_are_bodies_with_a_head(full: Lab) -> None:
    table = arrange(full.table(), Arrangement(group="precision", columns=("conversational", "lr")))
    text = to_page(report(table))
    heads = re.findall(r'<tr class="group"><th colspan="3" scope="rowgroup">([^<]*)', text)
    assert heads == ["no precision", "precision int8", "precision bf16"]


def test_missing_figures_say_why(full: Lab) -> None:
    text = to_page(report(full.table()))
    assert "Not drawn: a curve needs at least two sizes of training set, and all tuned models had 100 rows." in text
    assert text.count("<svg") >= 2


def test_what_was_left_out_is_said(full: Lab) -> None:
    made = report(full.table())
    few = replace(made, answers=replace(made.answers, prompts=made.answers.prompts[:10], total=1234))
    text = to_page(few)
    assert "10 of 1,234 prompts: by each metric in turn the worst and the most changed." in text
    assert "broker results tone --html --answers 1234" in text


def test_an_empty_experiment_has_a_page(lab: Lab) -> None:
    reader = Reader(to_page(Report(table=lab.table())))
    assert reader.open == []


def test_preferences_are_bars(full: Lab) -> None:
    pair = Pair(experiment="tone", left="a", right="b", left_label="tuned", right_label="<b>base</b>")
    result = PreferenceResult(
        pair=pair, source=Source.JUDGE, by="a judge", n=12, wins=8, losses=1, ties=3, win_rate=0.79, p=0.039
    )
    text = to_page(report(replace(full.table(), preferences=(result, replace(result, n=0)))))
    assert text.count("<h3>tuned is preferred to &lt;b&gt;base&lt;/b&gt;</h3>") == 1
    assert 'aria-label="8 won by tuned, 3 tied, 1 by &lt;b&gt;base&lt;/b&gt;"' in text
    assert "win rate 79.0 %, sign test p = 0.039" in text


def test_the_headline(full: Lab) -> None:
    facts = {fact.name: (fact.value, fact.more) for fact in headline(full.table())}
    assert facts["best by conversational"] == ("sandbox tuned", "97.5 % [87.1, 99.6]; 1 other ties with it")
    value, more = facts["over its base"]
    assert value == "+77.5 points"
    assert more.endswith("p < 0.001")
    assert facts["models"] == ("6", "4 tuned, 2 base")
    assert facts["judged on"] == ("40 prompts", "val.jsonl")


def test_the_headline_of_nothing(lab: Lab) -> None:
    assert [fact.name for fact in headline(lab.table())] == ["models"]


def test_the_headline_is_about_all_models_whatever_is_shown() -> None:
    whole = grid().table()
    few = arrange(whole, Arrangement(filters=("precision=int8",)))
    assert headline(few) == headline(whole)


def test_the_parts_of_numbers_stand_on_the_page(lab: Lab) -> None:
    followed = RowMetric(function=lambda _row: None, name="ifeval:all", label="IFEval", unit="%", kind=Kind.RATIO)
    parts = {
        "case:capital_<b>": {"total": 4, "strict": 1, "loose": 3},
        "no_comma": {"total": 2, "strict": 2, "loose": 2},
    }
    base = replace(summarise(followed, [1.0, 0.0], 2, [1.0, 1.0]), breakdown=parts)
    tuned = replace(base, breakdown={"case:capital_<b>": {"total": 3, "strict": 3, "loose": 3}})
    lab.evaluate({"ifeval:all": base}, label="the <base>")
    lab.evaluate({"ifeval:all": tuned}, tuned=lab.tune(label="tuned"))
    page = to_page(report(lab.table()))
    section = page[page.index('<section id="parts"') : page.index("</section>", page.index('<section id="parts"'))]
    assert '<a href="#parts">Parts</a>' in page
    assert "ifeval: strict / loose, by part" in section
    assert '<th scope="col">the &lt;base&gt;</th><th scope="col">tuned</th>' in section
    assert "25 % <small>1 / 3</small>" in section
    assert "100 % <small>3 / 3 of 3</small>" in section  # a row of this model has no verdict
    assert "<td>–</td>" in section
    assert "<b>" not in section


def test_without_parts_there_is_no_such_section(lab: Lab) -> None:
    lab.evaluate({"conversational": share(8)})
    assert 'id="parts"' not in to_page(report(lab.table()))


def test_columns_that_tell_nothing_are_left_out(lab: Lab) -> None:
    for name in ("a", "b"):
        lab.evaluate({"conversational": share(8)}, model=ModelRef(provider="openai", name=name))
    page = to_page(report(lab.table()))
    for name in ("precision", "prompt", "rows", "training"):
        assert f">{name}</button>" not in page, name
    assert ">provider</button>" in page
    assert "precision" not in as_text(lab.table(), 200).splitlines()[2]
