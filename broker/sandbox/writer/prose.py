"""Plain English taken apart by rules: sentences, syllables, reading ease, what a text is about."""

from __future__ import annotations

import re
from collections import Counter

_ABBREVIATIONS_WORDS = """
mr mrs ms dr st prof no vs etc ca c fig vol jr sr max min approx gen col lt sgt rev hon inc ltd co v ft e.g i.e u.s
u.k u.n a.m p.m b.c a.d ph.d
"""
_ABBREVIATIONS = frozenset(_ABBREVIATIONS_WORDS.split())
_END = re.compile(r"""[.!?]["'\u201d\u2019)\]]*\s+(?=["'\u201c\u2018(\[]?[A-Z0-9])""")
_LAST_WORD = re.compile(r"([\w.]+)\.?$")
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][\w\u2019'-]+(?: (?:of |the |de |von )?[A-Z][\w\u2019'-]+){0,3}")
_VOWELS = re.compile(r"[aeiouy]+")
_HIATUS = re.compile(r"(?<![tcsg])i[ao]|eo(?!u)|ua[lt]")

_COMMON_WORDS = """
the a an and or but nor so yet of in on at by for with from to into onto over under between among within without about
after before during since until while when where who whom whose which that this these those it its they their them he
she his her him we us our you your i my me is are was were be been being has have had do does did can could will would
may might must shall should not no as if than then there here also more most many much some any all each every both
few several other another such only own same very too just because although though however therefore thus even still
what how why up down out off again once one two three first second according known called used made often usually
generally
"""
COMMON = frozenset(_COMMON_WORDS.split())


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, without the white space between them."""
    found: list[str] = []
    start = 0
    for match in _END.finditer(text):
        before = _LAST_WORD.search(text[start : match.start()])
        word = before.group(1).lower() if before else ""
        if text[match.start()] == "." and (word in _ABBREVIATIONS or len(word) == 1):
            continue
        found.append(text[start : match.end()].strip())
        start = match.end()
    found.append(text[start:].strip())
    return [sentence for sentence in found if sentence]


def words(text: str) -> list[str]:
    """Return the words of a text, in their own spelling."""
    return _WORD.findall(text)


def syllables(word: str) -> int:
    """Return about how many syllables an English word has; at least one."""
    bare = "".join(char for char in word.lower() if char.isalpha())
    count = len(_VOWELS.findall(bare)) + len(_HIATUS.findall(bare))
    silent_e = bare.endswith("e") and not bare.endswith(("le", "ee", "ye"))
    silent_ed = bare.endswith("ed") and not bare.endswith(("ted", "ded", "eed"))
    silent_es = bare.endswith("es") and not bare.endswith(("ses", "xes", "zes", "ches", "shes", "ces", "ges", "ies"))
    return max(1, count - (silent_e or silent_ed or silent_es))


def ease(text: str) -> float:
    """Return about the Flesch reading ease of a text; 0 when it has no words.

    A rule of thumb for the writer's own choices. What is measured and shown anywhere is `broker.evaluation.flesch`.
    """
    found = words(text)
    if not found:
        return 0.0
    long = sum(map(syllables, found)) / len(found)
    return 206.835 - 1.015 * len(found) / len(sentences(text)) - 84.6 * long


def names(text: str) -> list[str]:
    """Return what a text calls by name inside its sentences, the most frequent first."""
    return [name for name, _ in Counter(_NAME.findall(text)).most_common()]


def content(text: str) -> list[str]:
    """Return the words that say what a text is about, in lower case and in their order."""
    return [word for word in map(str.lower, words(text)) if word not in COMMON and len(word) > 2]


def subjects(text: str, count: int) -> list[str]:
    """Return the words that say most about a text: frequent and long ones.

    Args:
        text: Any text.
        count: Most that are returned.
    """
    counted = Counter(word for word in content(text) if not word.isdigit())
    ranked = sorted(counted, key=lambda word: (-counted[word] * min(len(word), 12), word))
    return ranked[:count]


def sentence_case(text: str) -> str:
    """Return the text with a capital at its start."""
    return text[:1].upper() + text[1:]
