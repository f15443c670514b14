"""Where a text's sentences end, by rules that a reader would use; no model, no network.

textstat takes every full stop for an end ("3.5", "U.S.") and then drops what has fewer than three words ("He left.",
"Why?"). The two faults cancel out in long plain prose and not in a chat answer, so sentences are counted here.

A sentence ends

- at "!", "?" and "." before white space, but not after an abbreviation ("Dr. Smith", "e.g. this", "H. Kinnard"), in a
  number, an address or "p.m. today";
- at "..." when the next word has a capital;
- at a blank line, and before and after a heading or an item of a list, with or without a full stop.

What is left without a letter or digit (a lone emoji, a rule of dashes) is no sentence.
"""

from __future__ import annotations

import re

# Counts up whenever a rule here changes a number of sentences.
SENTENCES_VERSION = 1

# Followed by the name, number or words that they belong to.
_NEVER_LAST = """
mr mrs ms mx dr prof messrs mmes capt sgt lt col cmdr gen rev hon gov sen rep e.g i.e eg ie vs cf viz approx
"""
# May end a sentence or not: the next word decides.
_SOMETIMES_LAST = """
jr sr inc ltd co corp bros dept est st mt ft etc al no nos fig figs vol pp p ch sec ed eds min max hr hrs
jan feb mar apr jun jul aug sep sept oct nov dec
"""
# Words that begin sentences and follow such a full stop in the middle of one only seldom.
_STARTERS = """
a after all also although an and any as at before both but by do does each even every for from have he her here his how
however i i'd i'll i'm i've if in is it it's its let like many maybe more most my no not now of on once one or our
people perhaps she since so some such that that's the their then there there's these they they're this those though
through to today under until we we're well what when where which while who why with yes you you're your
"""
_TITLES = frozenset(_NEVER_LAST.split())
_SHORTENED = frozenset(_SOMETIMES_LAST.split())
_FIRST = frozenset(_STARTERS.split())
_ITEM = re.compile(r"^\s*(?:[-*+\u2022\u25aa\u25e6]\s+|\(?(?:\d{1,3}|[a-zA-Z])[.)]\s+)")
_HEADING = re.compile(r"^\s*#{1,6}\s")
_RULE = re.compile(r"^\s*([-*_=])(?:\s*\1){2,}\s*$")
_CLOSING = "\"')]}*_\u201d\u2019\u00bb"
_END = re.compile(rf"([.!?]+)([{re.escape(_CLOSING)}]*)(?=\s|$)")
_OPENING = "\"'([{*_\u201c\u2018\u00ab"
_WORD = re.compile(r"[^\W_]")
_DOTTED = re.compile(r"(?:[a-z]{1,2}\.)+[a-z]")


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text, without the marks of list items.

    Args:
        text: Any text; apostrophes and dashes as `plain` leaves them.
    """
    found = [sentence for block in _blocks(text) for sentence in _sentences(block)]
    return [sentence for sentence in found if _WORD.search(sentence)]


def _blocks(text: str) -> list[str]:
    """Part a text at blank lines, and before and after headings and list items; wrapped lines are joined."""
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        item = _ITEM.match(line)
        alone = bool(_HEADING.match(line))
        if not line.strip() or _RULE.match(line):
            blocks.append([])
            continue
        if item or alone:
            blocks.append([])
        blocks[-1].append(line[item.end() :] if item else line)
        if alone:
            blocks.append([])
    return [" ".join(block) for block in blocks if block]


def _sentences(block: str) -> list[str]:
    parts: list[str] = []
    start = 0
    for end in _END.finditer(block):
        if _ends(block, start, end):
            parts.append(block[start : end.end()].strip())
            start = end.end()
    return [*parts, block[start:].strip()]


def _ends(block: str, start: int, end: re.Match[str]) -> bool:
    """Say whether a mark ends the sentence that began at `start`."""
    rest = block[end.end() :].lstrip()
    if not rest:
        return True
    following = rest.split(maxsplit=1)[0].lstrip(_OPENING)
    mark, closing = end.group(1), end.group(2)
    if "!" in mark or "?" in mark:
        return not (closing and following[:1].islower())
    if len(mark) > 1 or (closing and following[:1].islower()):
        return not following[:1].islower()
    before = block[start : end.start()].split()
    return not before or _last(before[-1].lstrip(_OPENING), following)


def _last(word: str, following: str) -> bool:
    """Say whether a word with a full stop after it ends its sentence."""
    low = word.lower()
    if low in _TITLES:
        return False
    initial = len(word) == 1 and word.isupper() and word != "I"
    if initial or low in _SHORTENED or _DOTTED.fullmatch(low):
        return following[:1].isupper() and following.rstrip(",:;.!?").lower() in _FIRST and following[1:2] != "."
    return True
