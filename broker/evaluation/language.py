"""A cheap guess whether a text is English, for the warning beside Flesch scores. No model, no network."""

from __future__ import annotations

import re

# Frequent words that are rare or absent in the other languages below.
_ENGLISH_WORDS = """
the of and to is that it for was with as are this you be by from have or not which but they we he she what if can your
how there their has had were would when who will more about it's i'm don't that's you're its
"""
# German, French, Spanish, Italian, Portuguese, Dutch, Swedish.
_OTHER_WORDS = """
der die das und ist nicht ein eine zu den mit sich auf für von dem des wird sind auch
le la les et est une du que dans pour qui sur pas au avec ce il elle sont ne se
el los las es un por con para su al lo como más pero del y una
di che è per della non sono anche gli dei nel
o e os um uma não em no na do da dos mais
het een van en dat niet zijn voor met aan er maar om ook
och att det som är på av inte till den ett
"""
_ENGLISH = frozenset(_ENGLISH_WORDS.split())
_OTHER = frozenset(_OTHER_WORDS.split())
_TOKEN = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?")
MIN_WORDS = 6
_MIN_LATIN = 0.7
_MIN_SHARE = 0.08


def looks_english(text: str) -> bool:
    """Guess whether a text is English.

    Args:
        text: Any text. One of fewer than `MIN_WORDS` words is judged by its alphabet alone, one without letters passes.

    Returns:
        False for another alphabet, or when frequent words of other languages outnumber the English ones, or when almost
        no frequent English word occurs.
    """
    letters = [char for char in text if char.isalpha()]
    if not letters:
        return True
    if sum(char < "\u0250" for char in letters) < _MIN_LATIN * len(letters):
        return False
    words = [word.lower().replace("\u2019", "'") for word in _TOKEN.findall(text)]
    if len(words) < MIN_WORDS:
        return True
    english = sum(word in _ENGLISH for word in words)
    other = sum(word in _OTHER for word in words)
    return english >= other and english >= _MIN_SHARE * len(words)
