from __future__ import annotations

import subprocess
import sys
from math import sqrt

import pytest

from broker.evaluation import Direction, MetricContext, Scored
from broker.evaluation.grades import fog_index, smog_grade
from broker.evaluation.metrics import open_metric
from broker.evaluation.scoring import score_metric

# Words of three and more syllables, counted by hand: library, elephants, hospital, umbrella (4 in 3 sentences).
LONG_WORDS = "The library lent books on elephants. She went to the hospital. An umbrella kept her dry."


def test_smog_by_hand() -> None:
    assert smog_grade(LONG_WORDS) == pytest.approx(3.1291 + 1.043 * sqrt(4 * 30 / 3))
    assert smog_grade("He ran. She hid. We ate.") == pytest.approx(3.1291)


def test_smog_of_thirty_sentences_is_mclaughlins() -> None:
    # Ten long words in thirty sentences: 3.1291 + 1.043 * sqrt(10).
    assert smog_grade("The elephant ate. " * 10 + "He ran off. " * 20) == pytest.approx(6.4274, abs=1e-4)


def test_fog_by_hand() -> None:
    # 16 words, 3 sentences, 4 hard words.
    assert fog_index(LONG_WORDS) == pytest.approx(0.4 * (16 / 3 + 100 * 4 / 16))


@pytest.mark.parametrize(
    ("text", "words", "hard"),
    [
        ("We saw Jennifer today.", 4, 0),  # a name
        ("Elephants eat hay.", 3, 1),  # a capital that says nothing
        ("They created a state-of-the-art pool.", 5, 0),  # a third syllable from -ed; short parts
        ("He is beginning.", 3, 0),
        ("It is a university-wide rule.", 5, 1),
        ("He was congratulated.", 3, 1),
        ('He said "enormously" twice.', 4, 1),
    ],
)
def test_what_is_hard(text: str, words: int, hard: int) -> None:
    assert fog_index(text) == pytest.approx(0.4 * (words + 100 * hard / words))


@pytest.mark.parametrize("text", ["", "\U0001f600", "...", "**"])
def test_no_words_no_grade(text: str) -> None:
    assert fog_index(text) is None
    assert smog_grade(text) is None


def test_two_sentences_are_too_few_for_smog() -> None:
    assert smog_grade("The elephant ate. He ran.") is None


@pytest.mark.parametrize("text", ["1967", "CI/CD. cicd. 3.14.", "x" * 5_000, "-", "a - b", "\u2019tis so", "--x--"])
def test_awkward_words_do_not_crash(text: str) -> None:
    assert (fog_index(text) or 0) >= 0
    assert (smog_grade(text) or 4) > 3


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["smog", "fog"])
async def test_as_metrics(name: str) -> None:
    metric = open_metric(name, MetricContext())
    rows = [Scored(id=str(i), prompt=(), expected="", answer=answer) for i, answer in enumerate((LONG_WORDS, ""))]
    result = await score_metric(metric, rows)
    assert (result.scored, result.unscored) == (1, 1)
    assert metric.direction is Direction.LOWER
    assert "grades 1, textstat 0.7.8" in metric.version
    german = Scored(id="0", prompt=(), expected="", answer="Das ist nicht so gut. Wir gehen heim. Es ist schon spät.")
    assert "do not look English" in (await score_metric(metric, [german])).remarks[0]


def test_grades_without_a_network_in_a_fresh_process() -> None:
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise OSError('no network here')\n"
        "socket.socket.connect = refuse\n"
        "socket.getaddrinfo = refuse\n"
        "from broker.evaluation.grades import fog_index, smog_grade\n"
        "print(fog_index('It is in 1967.'), smog_grade('It is cicd. So is he. An elephant ran.'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    fog, smog = map(float, done.stdout.split())
    assert fog == pytest.approx(0.4 * 4)
    assert smog == pytest.approx(3.1291 + 1.043 * sqrt(10))
