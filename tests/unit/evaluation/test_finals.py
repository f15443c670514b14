"""Final answers: where a text states one, and whether it is the expected one."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.evaluation.finals import agree, normalised, same, stated

EQUAL = [
    ("The answer is 1,250.", "1250"),
    ("It comes to $1,250.00", "1250"),
    ("0.75", "3/4"),
    ("2/4", "1/2"),
    ("The answer is 2 1/2 cups", "2.5"),
    ("The answer is -2 1/2", "-2.5"),
    ("x = -5", "-5"),
    ("The answer is \u22125.", "-5"),  # a typeset minus
    ("The answer is 7 × 6 = 42.", "42"),
    ("42 dollars", "$42"),
    ("The answer is 10 cm^2", "10"),
    ("50%", "50 %"),
    ("The answer is 1e-3.", "0.001"),
    ("The answer is 3.0e8", "300,000,000"),
    ("The speed is 3 × 10^8 m/s", "3e8"),
    (r"The answer is $3 \times 10^{-5}$", "3e-5"),
    (r"So it is \boxed{\frac{3}{4}}", "0.75"),
    (r"\boxed{-\frac{1}{2}}", "-1/2"),
    (r"\boxed{\dfrac{1}{2}}", r"\frac{1}{2}"),
    (r"$\frac12$", "0.5"),
    (r"\boxed{1{,}250}", "1250"),
    (r"\boxed{12\text{ cm}}", "12 cm"),
    (r"\boxed{x^{2^{3}}}", "x^{2^{3}}"),
    (r"First \boxed{3}, then \boxed{4}", "4"),
    ("Steps…\n#### 1,234", "We add. #### 1234"),
    ("First 3, then 4, so 7 apples", "7"),
    ("The train leaves at\nAnswer: 12:30", "12:30"),
    ("The final answer is: **Paris**.", "paris"),
    ("The answer is U.S. Grant", "U.S. Grant"),
    ("The total is 42 apples.", "so in the end there are 42 of them"),
    ("A", "A"),
    ("The answer is A.", "A"),
    ("**Answer:** (B)", "B"),
    ("The answer is **(C) Paris**.", "C"),
    ("The correct option is B because the others are not.", "B"),
    (r"\boxed{\text{B}}", "B"),
    ("B) Paris", "B"),
]
UNEQUAL = [
    ("12 and 13", "12"),
    ("1/0", "1"),
    ("5", "-5"),
    ("The answer is 50%", "0.5"),
    ("The answer is 1e999999999", "1"),
    # The last number of an expected answer that is no number is none of it.
    ("it is 2", r"\sqrt{2}"),
    ("it is 2", r"\frac{1}{2}"),
    ("at 30", "12:30"),
    ("it is -6", "2024-05-06"),
    ("The answer is CO2", "2"),
    ("Boeing 11", "Apollo 11"),
    ("B", "A"),
    ("The answer is the.", "A"),
    ("The answer is a dog", "A"),
    ("", "A"),
    ("", "42"),
    (r"\boxed{}", "5"),
    ("The capital is Rome", "Paris"),
]


@pytest.mark.parametrize(("answer", "expected"), EQUAL)
def test_the_expected_answer_is_found(answer: str, expected: str) -> None:
    assert agree(answer, expected)


@pytest.mark.parametrize(("answer", "expected"), UNEQUAL)
def test_another_answer_is_not_the_expected_one(answer: str, expected: str) -> None:
    assert not agree(answer, expected)


@pytest.mark.parametrize(
    ("text", "final"),
    [
        (r"So \boxed{3} and then \boxed{\frac{1}{2}}", "1/2"),
        ("We add. The answer is 12. Good.", "12"),
        ("The answer is vitamin C. It is in oranges.", "vitamin C"),
        ("My answer isn't ready", None),
        ("Paris", None),
        ("", None),
    ],
)
def test_what_a_text_states(text: str, final: str | None) -> None:
    assert stated(text) == final


@pytest.mark.parametrize(
    ("answer", "expected", "equal"),
    [
        ("The Paris.", "paris", True),
        ("A", "a.", True),
        ("", "A", False),  # an article alone is an answer, and nothing is none
        ("The", "A", False),
        ("?", "!", False),
        ("", "", True),
    ],
)
def test_same(answer: str, expected: str, equal: bool) -> None:
    assert same(answer, expected) is equal


def test_normalised_keeps_an_article_that_stands_alone() -> None:
    assert normalised("The  cat, a hat.") == "cat hat"
    assert normalised("(A)") == "a"


@pytest.mark.parametrize(
    "answer", ["1" * 5000, "The answer is 1/" + "3" * 5000, "5 " + "1,111" * 2000, "1e5" + "1" * 5000]
)
def test_a_model_that_does_not_stop_writing_digits_is_wrong(answer: str) -> None:
    assert not agree(answer, "5")
    assert not agree("5", answer)


@given(st.text(), st.text())
def test_no_text_breaks_it(answer: str, expected: str) -> None:
    assert isinstance(agree(answer, expected), bool)


@pytest.mark.parametrize("piece", ["\\boxed{", "answer is ", "\\frac{1}{", "1 ", "-1/", "{,}", "#### ", "$ "])
def test_a_long_text_takes_no_time(piece: str) -> None:
    began = time.process_time()
    agree(piece * 50_000, "42")
    assert time.process_time() - began < 5
