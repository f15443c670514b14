"""A formal answer in a conversational tone, and easier still: rules of thumb for English sentences.

Nothing is understood here. Long sentences are parted where a comma is followed by a clause, long words give way to
short ones of a list, what stands in parentheses is left out, and each further simplification leaves out more. Names
and technical terms stay, so that a text full of them never gets easy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from broker.sandbox.phrases import LEADS as WORLD_LEADS
from broker.sandbox.writer import questions
from broker.sandbox.writer.prose import COMMON, ease, sentence_case, sentences, syllables
from broker.sandbox.writer.words import CLOSERS, OPENERS, joined, shorter

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

_LEADS = tuple(sorted((*questions.LEADS, *WORLD_LEADS), key=len, reverse=True))
_PARENTHESES = re.compile(r"\s*[(\[][^()\[\]]*[)\]]")
_QUOTES = re.compile('["\u201c\u201d]')
_DASHES = re.compile(r"\s*(?:[\u2014\u2013]|--|\s-\s)\s*(?!\d)")
_VERBS_WORDS = """
is was are were has had have can could will would may might must did does made took gave led won held came went saw
built found left fell grew wrote said ran lost sent became began brought kept knew rose set
"""
_VERBS = frozenset(_VERBS_WORDS.split())
# Where a sentence may be parted, and how the second part then begins.
_JOINTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r";\s+"), ""),
    (re.compile(r",\s+(?=which (?:is|was|are|were|has|had|can|could)\b)which "), "It "),
    (re.compile(r",\s+(?=who (?:is|was|are|were|has|had|can|could)\b)who "), "They "),
    (re.compile(r",?\s+(?:while|whereas) "), "But "),
    (re.compile(r",\s+(?:although|though) "), "Still, "),
    (re.compile(r",\s+where "), "There, "),
    (re.compile(r",\s+but "), "But "),
    (re.compile(r",\s+so "), "So "),
    (re.compile(r",\s+and (?=(?:\S+ ){1,6}?(?:is|was|are|were|has|had|have|can|could|will|would)\b)"), "And "),
    (re.compile(r",?\s+because "), "That's because "),
    (re.compile(r"(?<=\w) and (?=(?:it|they|he|she|this|these) )"), "And "),
)
_FINER: tuple[tuple[re.Pattern[str], str], ...] = (
    *_JOINTS,
    (re.compile(r",\s+and "), "And "),
    (re.compile(r",?\s+which "), "It "),
    (re.compile(r",?\s+who "), "They "),
    (re.compile(r",\s+(?=(?:in|at|by|on|from|during|until|after|before) )"), "That was "),
    (re.compile(r",?\s+(?:including|such as|like) "), "Think of "),
    (re.compile(r",\s+(?=a |an |the )"), "That's "),
    (re.compile(r",?\s+when "), "That was when "),
    (re.compile(r":\s+"), ""),
    (re.compile(r",\s+with "), "It came with "),
    (re.compile(r" that (?=(?:is|was|are|were|has|had|have|can|could)\b)"), "It "),
    (re.compile(r" (?=(?:during|after|before|until|since) )"), "That was "),
    (re.compile(r" so that "), "So "),
    (re.compile(r" in which "), "In it, "),
    (re.compile(r" and (?=\w+ed )"), "Then it "),
)
_OPENING = re.compile(r"^((?:In|On|At|By|During|After|Before|Since|From|For|With|Under|Despite) [^,]{3,60}), (?=\w)")
_ADVERB = re.compile(r"\b(?!only|early|family|likely|daily|supply|reply|apply|july|italy|assembly)[a-z]{3,}ly\b,? ?")
_LONG_ADJECTIVE = re.compile(
    r"(?<=\b(?:the|its|his|her|our) )[a-z]{5,}(?:ical|ional|ative|itive|ious|ible|able|ary)\s(?=[a-z])"
)
_ENDING = re.compile(r",\s+(?:\w+ing|\w+ed|as|with|like|or|to) [^,.]*$")
_PLACE_TO_CUT = re.compile(
    r",|\s(?=(?:in|at|by|on|from|for|with|during|through|under|between|among|to|as|than|that|since|into) )"
)
_SMALL_TALK = frozenset(text.strip() for text in (*OPENERS, *CLOSERS))
_SHORTEST_PART = 4
# A body of more words gets one more closing remark.
_LONG_WORDS = 16


def converse(answer: str, rng: Random) -> str:
    """Return a formal answer in a conversational tone, with the same content.

    Args:
        answer: The formal answer.
        rng: Chooses the small talk around it.
    """
    body = [one for sentence in sentences(_plain(answer)) for one in _parted(sentence, _JOINTS)]
    return _dressed([shorter(joined(one), most=_words_to_replace(one)) for one in body], rng, remarks=1)


def simplify(answer: str, rng: Random) -> str:
    """Return an answer that is easier to read; it says less, where fewer words are not enough.

    Args:
        answer: What was too hard.
        rng: Chooses the small talk around it.
    """
    body = [one for one in sentences(answer) if one not in _SMALL_TALK]
    done = 0
    for step in _STEPS:
        changed = step(body)
        if changed != body and ease(" ".join(changed)) > ease(" ".join(body)):
            body, done = changed, done + 1
        if done == _STEPS_AT_ONCE:
            break
    return _dressed(body, rng, remarks=2)


def _plain(answer: str) -> str:
    """Return the answer without its formal beginning, parentheses, quotation marks and dashes."""
    text = _PARENTHESES.sub("", answer.strip())
    for lead in _LEADS:
        if text.lower().startswith(lead.lower().strip()):
            text = sentence_case(text[len(lead.strip()) :].strip())
            break
    return " ".join(_DASHES.sub(", ", _QUOTES.sub("", text)).split())


def _words_to_replace(sentence: str) -> int:
    # One word in two: whoever rephrases a text does not weigh each of its words.
    return max(1, len(sentence.split()) // 2)


def _dressed(body: list[str], rng: Random, *, remarks: int) -> str:
    told = " ".join(sentence_case(_ended(one)) for one in body if one.strip())
    closers = rng.sample(CLOSERS, remarks + (len(told.split()) > _LONG_WORDS))
    return rng.choice(OPENERS) + told + "".join(closers)


def _ended(sentence: str) -> str:
    bare = sentence.strip().rstrip(" ,;:")
    return bare if bare.endswith((".", "!", "?")) else f"{bare}."


def _parted(sentence: str, joints: tuple[tuple[re.Pattern[str], str], ...]) -> list[str]:
    """Part a sentence at the joints that leave something on both sides."""
    for joint, beginning in joints:
        for match in joint.finditer(sentence):
            left, right = sentence[: match.start()], beginning + sentence[match.end() :]
            if min(len(left.split()), len(right.split())) >= _SHORTEST_PART and _has_verb(left):
                return [*_parted(left, joints), *_parted(sentence_case(right), joints)]
    return [sentence]


def _has_verb(text: str) -> bool:
    found = set(text.lower().split())
    return bool(_VERBS & found) or any(word.endswith(("ed", "'s", "'re")) for word in found)


def _finer(body: list[str]) -> list[str]:
    opened = [part for sentence in body for part in _opened(sentence)]
    return [part for sentence in opened for part in _parted(sentence, _FINER)]


def _opened(sentence: str) -> list[str]:
    """Put what a sentence begins with ("In 1749, …") into one of its own."""
    found = _OPENING.match(sentence)
    if found is None:
        return [sentence]
    return [sentence_case(sentence[found.end() :]), f"That was {found[1][:1].lower()}{found[1][1:]}."]


def _plainer(body: list[str]) -> list[str]:
    return [shorter(joined(sentence), most=99) for sentence in body]


def _barer(body: list[str]) -> list[str]:
    return [" ".join(_LONG_ADJECTIVE.sub("", _ADVERB.sub("", sentence)).split()) for sentence in body]


def _clipped(body: list[str]) -> list[str]:
    return [_ENDING.sub(".", sentence.rstrip(".")) for sentence in body]


def _cut(body: list[str]) -> list[str]:
    """Cut each sentence of more than eleven words at the last joint before that."""
    return [_shortened(sentence, 11) for sentence in body]


def _cut_short(body: list[str]) -> list[str]:
    return [_shortened(sentence, 7) for sentence in body]


def _shortened(sentence: str, most: int) -> str:
    if len(sentence.split()) <= most:
        return sentence
    heads = [sentence[: match.start()] for match in _PLACE_TO_CUT.finditer(sentence)]
    whole = [head for head in heads if len(head.split()) >= _SHORTEST_PART and _has_verb(head)]
    return max((head for head in whole if len(head.split()) <= most), key=len, default=whole[0] if whole else sentence)


def _fewer(body: list[str]) -> list[str]:
    """Leave out the hardest sentence, as long as two remain."""
    if len(body) <= 2:
        return body
    hardest = min(range(1, len(body)), key=lambda index: ease(body[index]))
    return [sentence for index, sentence in enumerate(body) if index != hardest]


def _kept_words(body: list[str]) -> list[str]:
    """Leave out long words beside a noun: those of four syllables and more that follow an article."""
    return [" ".join(_without_long(sentence.split())) for sentence in body]


def _without_long(found: list[str]) -> list[str]:
    kept: list[str] = []
    for index, word in enumerate(found):
        after_article = index > 0 and found[index - 1].lower() in ("the", "a", "an", "of", "its", "their")
        before_noun = index + 1 < len(found) and found[index + 1].lower() not in COMMON and word.isalpha()
        if not (after_article and before_noun and word.islower() and syllables(word) >= 4):
            kept.append(word)
    return kept


# What a simplification tries, the mildest first; one call takes so many steps that help.
_STEPS: tuple[Callable[[list[str]], list[str]], ...] = (
    _finer,
    _plainer,
    _barer,
    _clipped,
    _cut,
    _kept_words,
    _fewer,
    _cut_short,
)
_STEPS_AT_ONCE = 3
