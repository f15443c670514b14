r"""The final answer that a text states, and whether it is the expected one. Nothing that a model wrote is run.

Where a text states its answer (`stated`): the last `\boxed{…}`, what follows the last `####`, what follows the last
"answer is", "answer:", "option is" or "choice is" up to the end of the sentence. Where it does not, a short expected
answer is taken whole; of a longer one, and of an answer to compare with a number, the last number counts.

LaTeX is read as the number or text that it shows (`\frac{3}{4}` is 3/4, `1{,}250` is 1250, `\text{B}` is B).
"""

from __future__ import annotations

import re
import string
from fractions import Fraction

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation + "“”\u2018\u2019…—–")
_HASHES = re.compile(r"####\s*(.+)")
_SAID = re.compile(r"\b(?:answer|option|choice)\s*(?:is\b|:)[\s:*]*(.+)", re.IGNORECASE)
# Not after "U.S."; after "vitamin C." it is one.
_SENTENCE_END = re.compile(r"(?<!\.[A-Z])\.(?:\s|$)")
_BOX = re.compile(r"\\f?box(?:ed)?\s*\{")

_BRACED = r"\{([^{}]*)\}"
_FRACTION = re.compile(rf"\\[dtc]?frac\s*(?:{_BRACED}\s*{_BRACED}|(\d)\s*(\d))")
_TIMES = r"(?:\\times|\\cdot|[×x*·])"
_POWER_OF_TEN = re.compile(rf"(?<=[\d.])\s*{_TIMES}\s*10\s*(?:\^|\*\*)\s*(?:\{{\s*([-+]?\d+)\s*\}}|([-+]?\d+))")
_LATEX = (
    (re.compile(rf"\\(?:text|textbf|mathrm|mathbf|mbox|operatorname)\s*{_BRACED}"), r"\1"),
    (re.compile(r"\{,\}|(?<=\d)(?:\\,|[\u00a0\u2009\u202f])(?=\d)"), ""),
    (re.compile(r"\\left|\\right|\\[,;:! ]|\^\s*\{?\\circ\}?"), ""),
    (re.compile(r"\\[()\[\]]|(?<!\\)\$(?!\d)"), ""),
    (re.compile(r"\\([%$&#])"), r"\1"),
    (re.compile(r"(?<=[A-Za-z])\^\{?\d\}?"), ""),  # cm^2: the unit's, no number of its own
)
_MINUS = re.compile(r"[\u2212\u2012\u2013](?=[\d.])")

_WHOLE = r"(?:\d{1,3}(?:,\d{3})+|\d+)"
_DECIMAL = rf"(?:{_WHOLE}(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{{1,3}}(?!\w))?(?![eE][-+]?\d)"
# A digit within a word (CO2, x1) is no number, nor is a hyphen before one a minus (10-5, 2024-05-06).
_NUMBER = re.compile(rf"(?<![\w)\]])(?:[-+]\s?)?(?<![\w.])(?:(?:{_WHOLE}\s+)?{_WHOLE}/{_WHOLE}|{_DECIMAL})")
_UNIT = r"[%°$€£]?(?:\s*[^\W\d_][^\d:=]{0,24})?"
_QUANTITY = re.compile(rf"(?:[A-Za-z]\w*\s*=\s*)?(?:[A-Z]{{0,3}}[$€£]\s?)?({_NUMBER.pattern})\s*{_UNIT}")
_LETTER = re.compile(r"\W*([A-Za-z])\W*")
_CHOICE = re.compile(r"\W*([A-Z])(?:\W*$|[.):\]*,]|\s+(?:because|since|as)\b)", re.MULTILINE)
# So many boxes are tried from the end: a text of thousands that never close is no reason to wait.
_BOXES = 8
# Python makes no number of more than 4,300 digits.
_DIGITS = 4_000
# An expected answer of more words than this is an explanation, whose last number counts.
_SHORT_WORDS = 3


def normalised(text: str) -> str:
    """Return the text in lower case without punctuation, articles and extra white space (as SQuAD's scorer does).

    A text of articles alone keeps them: the choice "A" is an answer.
    """
    bare = " ".join(text.casefold().translate(_PUNCTUATION).split())
    return " ".join(_ARTICLES.sub(" ", bare).split()) or bare


def same(answer: str, expected: str) -> bool:
    """Say whether two texts are equal as normalised; texts of nothing but punctuation must be equal as they stand."""
    wanted = normalised(expected)
    return normalised(answer) == wanted if wanted else answer.strip() == expected.strip()


def stated(text: str) -> str | None:
    """Return the final answer that a text states in so many words; None where it does not.

    Args:
        text: An answer, with or without the way to it.
    """
    boxed = _boxed(text)
    if boxed is not None:
        return _plain(boxed)
    if hashes := _HASHES.findall(text):
        return _plain(str(hashes[-1]))
    if said := _SAID.findall(text):
        return _plain(_SENTENCE_END.split(str(said[-1]), maxsplit=1)[0])
    return None


def agree(answer: str, expected: str) -> bool:
    """Say whether an answer comes to the expected one.

    Args:
        answer: What a model wrote.
        expected: The expected answer, or a text that ends in it.

    Returns:
        Where a number is expected ("1,250", "$3.50", "3/4", "12 cm"), whether the answer's final one equals it, units
        left aside; where a letter is expected, whether that choice is named; else whether the texts are the same.
    """
    wanted = _wanted(expected)
    found = stated(answer)
    quantity = _QUANTITY.fullmatch(wanted)
    if quantity is not None:
        numbers = _numbers(found) if found is not None else _numbers(_plain(answer))[-1:]
        return len(numbers) == 1 and numbers[0] is not None and numbers[0] == _value(quantity.group(1))
    letter = _LETTER.fullmatch(wanted)
    if letter is not None and letter.group(1).isupper():
        return _chosen(_plain(answer) if found is None else found) == letter.group(1)
    return same(_plain(answer) if found is None else found, wanted)


def _wanted(expected: str) -> str:
    found = stated(expected)
    if found is not None:
        return found
    plain = _plain(expected)
    if len(plain.split()) <= _SHORT_WORDS:
        return plain
    numbers = _NUMBER.findall(plain)
    return str(numbers[-1]) if numbers else plain


def _chosen(text: str) -> str | None:
    found = _LETTER.fullmatch(text) or _CHOICE.match(text)
    return found.group(1).upper() if found else None


def _numbers(text: str) -> list[Fraction | None]:
    """Return the numbers of a final answer: those after its last equals sign, where it has one."""
    return [_value(number) for number in _NUMBER.findall(text.rpartition("=")[2])]


def _value(number: str) -> Fraction | None:
    """Return a number's value; None for a division by nothing, and for a model that does not stop writing digits."""
    if len(number) > _DIGITS:
        return None
    plain = number.replace(",", "").replace("- ", "-").replace("+ ", "+")
    whole, _, part = plain.rpartition(" ") if "/" in plain else ("", "", plain)
    top, _, bottom = part.partition("/")
    if bottom and int(bottom) == 0:
        return None
    value = Fraction(top) / (int(bottom) if bottom else 1)
    return value + int(whole) if whole and not whole.startswith("-") else int(whole) - value if whole else value


def _boxed(text: str) -> str | None:
    """Return what stands in the last box, braces within it balanced; None without a whole one."""
    for box in reversed(list(_BOX.finditer(text))[-_BOXES:]):
        depth = 1
        for at in range(box.end(), len(text)):
            depth += (text[at] == "{") - (text[at] == "}")
            if not depth:
                return text[box.end() : at]
    return None


def _plain(text: str) -> str:
    """Return a text with LaTeX's numbers as one types them, minus signs as hyphens, and no stop at its end."""
    even = _FRACTION.sub(_divided, text)
    for pattern, instead in _LATEX:
        even = pattern.sub(instead, even)
    even = _POWER_OF_TEN.sub(lambda found: f"e{found.group(1) or found.group(2)}", _MINUS.sub("-", even))
    return even.strip().removesuffix(".").strip("* \t\n")


def _divided(found: re.Match[str]) -> str:
    top, bottom = (found.group(i) if found.group(i) is not None else found.group(i + 2) for i in (1, 2))
    return f"{top.strip()}/{bottom.strip()}"
