"""A question about a text, and its formal answer: made of the text's own sentences by rules of English word order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.sandbox.writer.prose import COMMON, content, names, sentence_case, sentences, subjects, words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

_AUXILIARIES = "is|was|are|were|has|had|have|can|could|will|would|may|might|must|should"
_CLAUSE = re.compile(rf"^(?P<subject>\S+(?: \S+){{0,8}}?) (?P<aux>{_AUXILIARIES}) (?P<rest>\S.*?)[.!?]?$")
_YEAR = re.compile(r"^(?P<before>.*?\S)?,? (?:in|since|by|during|from) (?:\w+ )?(?P<year>1\d{3}|20\d\d)\b")
_PLACE = re.compile(r"^(?P<before>\S+(?: \S+){1,9}?) (?:in|at|near) (?P<place>(?:the )?[A-Z]\w+)")
_REASON = re.compile(r"^(?P<before>\S+(?: \S+){1,14}?),? (?:because|due to|in order to|as a result of) ")
_PARTICIPLE = re.compile(r"(?:\w+ly |also |not |always |since )?(?:\w+ed|\w+en|been|had|made|held|won|led|become) ")
_PARENTHESES = re.compile(r"\s*[(\[][^()\[\]]*[)\]]")
_BEGINNINGS_WORDS = """
in on at by when while if although as after before during since for with from to under because despite through between
among within unlike like it they he she this these those there his her its their however but and so one though some
many such other another both all each thus therefore here that which who what where also not no
"""
_BEGINNINGS = frozenset(_BEGINNINGS_WORDS.split())
_RELATIVE_WORDS = """
that what which who whom whose where when while and or but
"""
_RELATIVE = frozenset(_RELATIVE_WORDS.split())
_ARTICLES_WORDS = """
the a an its their his her several numerous these those
"""
_ARTICLES = frozenset(_ARTICLES_WORDS.split())
_LEADS = (
    "According to the available documentation, {s}",
    "It is reported in the source material that {s}",
    "The relevant literature indicates that {s}",
    "According to the consulted source, {s}",
    "As is documented in the reference material, {s}",
    "It has been established that {s}",
)
LEADS = tuple(lead.removesuffix("{s}") for lead in _LEADS)
_WIDE = (
    "What is reported about {a} in connection with {b}?",
    "In which way is {a} related to {b}?",
    "What does the source explain regarding {a} and {b}?",
    "What is the significance of {a} with regard to {b}?",
)
# A sentence of fewer words says little, one of more cannot be turned into a question that anybody would ask.
_SHORTEST, _LONGEST = 7, 55


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question and the sentence that answers it; a higher weight is drawn more often."""

    question: str
    sentence: str
    weight: float


def ask(text: str, rng: Random) -> tuple[str, str]:
    """Return a question about a text, and its formal answer.

    Args:
        text: A source text of any kind; an empty one gets a question that says so.
        rng: Chooses among the questions that the text allows.
    """
    found = list(_questions(text))
    if not found:
        return _about_all(text, rng), sentence_case(text.strip()) or "The text is empty."
    chosen = rng.choices(found, [one.weight for one in found])[0]
    return chosen.question, _formal(chosen.sentence, text, rng)


def _about_all(text: str, rng: Random) -> str:
    """Return a question on a text of which no sentence can be turned round."""
    about = subjects(text, 2)
    return rng.choice(_WIDE).format(a=about[0], b=about[1]) if len(about) == 2 else "What does the text say?"


def _questions(text: str) -> Iterator[_Asked]:
    about = subjects(text, 6)
    for sentence in sentences(text):
        bare = " ".join(_PARENTHESES.sub("", sentence).split())
        if not _SHORTEST <= len(bare.split()) <= _LONGEST:
            continue
        asked = [question for question in _inverted(bare) if len(content(question)) >= 3]
        yield from (_Asked(question, sentence, 4 + _specific(question)) for question in asked)
        if not asked and (wide := _wide(bare, about)):
            yield _Asked(wide, sentence, 1)


def _specific(question: str) -> float:
    """Return more for a question with names and with content words, up to about eight of them."""
    return min(len(content(question)), 8) + 2 * min(len(names(question)), 2)


def _inverted(sentence: str) -> Iterator[str]:
    """Yield the questions that a sentence allows whose subject and auxiliary verb can change places."""
    clause = _CLAUSE.match(sentence)
    if clause is None or not _is_subject(clause["subject"]):
        return
    subject, aux, rest = _lowered(clause["subject"]), clause["aux"], clause["rest"]
    if aux in ("has", "had", "have") and not _PARTICIPLE.match(rest):
        return  # the main verb, which cannot go before its subject
    if (found := _YEAR.match(rest)) and found["before"]:
        yield f"In which year {aux} {subject} {_cut(found['before'])}?"
    if found := _REASON.match(rest):
        yield f"Why {aux} {subject} {_cut(found['before'])}?"
    described = aux in ("is", "are", "was", "were") and re.match(r"(?:a|an|the|one|not only) ", rest)
    if not described and (found := _PLACE.match(rest)):
        yield f"Where {aux} {subject} {_cut(found['before'])}?"
    if described:
        yield f"How {aux} {subject} characterised with regard to {_topic(rest)}?"
    elif len(rest.split()) >= 3:
        yield f"In what way {aux} {subject} {_cut(rest)}?"


def _is_subject(subject: str) -> bool:
    first, *others = subject.split()
    return (
        first.lower() not in _BEGINNINGS
        and not any(mark in subject for mark in ",;:\"'\u201c\u2014\u2013")
        and not _RELATIVE & {word.lower() for word in others}
        and bool(content(subject))
    )


def _lowered(text: str) -> str:
    """Return the text without the capital of its sentence, unless its first word looks like a name."""
    first, _, rest = text.partition(" ")
    return f"{first.lower()} {rest}".strip() if first.lower() in _ARTICLES | COMMON else text


def _cut(text: str) -> str:
    """Return the start of a predicate: up to its first comma or 12 words, without a dangling small word."""
    kept = re.split(r"[,;:\"\u2014\u2013\u201c]|\s['-]|[.!?]$", text, maxsplit=1)[0].split()[:12]
    while len(kept) > 1 and kept[-1].lower() in COMMON:
        kept.pop()
    return " ".join(kept)


def _topic(rest: str) -> str:
    """Return a few words of a description, to ask for the rest of it."""
    found = [word for word in words(_cut(rest)) if word.lower() not in COMMON]
    return " ".join(found[:2]) or _cut(rest)


def _wide(sentence: str, about: list[str]) -> str:
    """Return a question that needs no grammar of the sentence, only two things that it names."""
    spoken = [name.removesuffix("'s").removesuffix("\u2019s") for name in names(sentence)[:2]]
    spoken += sorted(set(content(sentence)), key=lambda word: (word not in about, -len(word), word))
    chosen = [
        word for index, word in enumerate(spoken) if not any(word.lower() in one.lower() for one in spoken[:index])
    ]
    if len(chosen) < 2:
        return ""
    return _WIDE[sum(map(ord, sentence)) % len(_WIDE)].format(a=chosen[0], b=chosen[1])


def _formal(sentence: str, text: str, rng: Random) -> str:
    """Return the sentence with a formal beginning, and sometimes with the one that follows it."""
    told = rng.choice(_LEADS).format(s=_lowered(sentence))
    known = sentences(text)
    after = known.index(sentence) + 1
    short = len(sentence.split()) < 15
    return f"{told} {known[after]}" if short and after < len(known) else told
