"""The 25 instructions of IFEval by id: which function checks each, and which arguments it must be given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import cast

from broker.evaluation.ifeval import (
    case,
    combination,
    content,
    formats,
    keywords,
    language,
    length,
    punctuation,
    startend,
)
from broker.evaluation.ifeval.relations import RELATIONS

Check = Callable[..., bool]


class Needs(Enum):
    """What an argument must be; the value says so in words."""

    COUNT = "a whole number, 0 or more"
    PLACE = "a whole number, 1 or more"
    RELATION = " or ".join(f'"{relation}"' for relation in RELATIONS)
    TEXT = "a text"
    TEXTS = "a list of texts"
    LETTER = "one character"

    def holds(self, value: object) -> bool:
        """Say whether a value is what is needed."""
        return _HOLDS[self](value)


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _texts(value: object) -> bool:
    texts = cast("Sequence[object]", value) if isinstance(value, tuple | list) else ()
    return bool(texts) and all(isinstance(text, str) and text for text in texts)


def _at_least(least: int) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


_HOLDS: Mapping[Needs, Callable[[object], bool]] = {
    Needs.COUNT: _at_least(0),
    Needs.PLACE: _at_least(1),
    Needs.RELATION: lambda value: value in RELATIONS,
    Needs.TEXT: _text,
    Needs.TEXTS: _texts,
    Needs.LETTER: lambda value: isinstance(value, str) and len(value) == 1 and not value.isspace(),
}


@dataclass(frozen=True, slots=True)
class Checker:
    """How one kind of instruction is checked.

    Attributes:
        check: `(response, **arguments) -> bool`.
        arguments: What each argument must be; all of them are needed.
    """

    check: Check
    arguments: Mapping[str, Needs]


def _checker(check: Check, **arguments: Needs) -> Checker:
    return Checker(check, MappingProxyType(arguments))


CHECKERS: Mapping[str, Checker] = {
    "change_case:capital_word_frequency": _checker(
        case.capital_word_frequency, capital_relation=Needs.RELATION, capital_frequency=Needs.COUNT
    ),
    "change_case:english_capital": _checker(case.english_capital),
    "change_case:english_lowercase": _checker(case.english_lowercase),
    "combination:repeat_prompt": _checker(combination.repeat_prompt, prompt_to_repeat=Needs.TEXT),
    "combination:two_responses": _checker(combination.two_responses),
    "detectable_content:number_placeholders": _checker(content.number_placeholders, num_placeholders=Needs.COUNT),
    "detectable_content:postscript": _checker(content.postscript, postscript_marker=Needs.TEXT),
    "detectable_format:constrained_response": _checker(formats.constrained_response),
    "detectable_format:json_format": _checker(formats.json_format),
    "detectable_format:multiple_sections": _checker(
        formats.multiple_sections, section_spliter=Needs.TEXT, num_sections=Needs.COUNT
    ),
    "detectable_format:number_bullet_lists": _checker(formats.number_bullet_lists, num_bullets=Needs.COUNT),
    "detectable_format:number_highlighted_sections": _checker(
        formats.number_highlighted_sections, num_highlights=Needs.COUNT
    ),
    "detectable_format:title": _checker(formats.title),
    "keywords:existence": _checker(keywords.existence, keywords=Needs.TEXTS),
    "keywords:forbidden_words": _checker(keywords.forbidden_words, forbidden_words=Needs.TEXTS),
    "keywords:frequency": _checker(
        keywords.frequency, keyword=Needs.TEXT, frequency=Needs.COUNT, relation=Needs.RELATION
    ),
    "keywords:letter_frequency": _checker(
        keywords.letter_frequency, letter=Needs.LETTER, let_frequency=Needs.COUNT, let_relation=Needs.RELATION
    ),
    "language:response_language": _checker(language.response_language, language=Needs.TEXT),
    "length_constraints:nth_paragraph_first_word": _checker(
        length.nth_paragraph_first_word, num_paragraphs=Needs.COUNT, nth_paragraph=Needs.PLACE, first_word=Needs.TEXT
    ),
    "length_constraints:number_paragraphs": _checker(length.number_paragraphs, num_paragraphs=Needs.COUNT),
    "length_constraints:number_sentences": _checker(
        length.number_sentences, relation=Needs.RELATION, num_sentences=Needs.COUNT
    ),
    "length_constraints:number_words": _checker(length.number_words, relation=Needs.RELATION, num_words=Needs.COUNT),
    "punctuation:no_comma": _checker(punctuation.no_comma),
    "startend:end_checker": _checker(startend.end_checker, end_phrase=Needs.TEXT),
    "startend:quotation": _checker(startend.quotation),
}
