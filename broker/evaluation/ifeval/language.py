"""The instruction about the language of the response, and the guess on which the case of English rests too.

langdetect draws at random from the text's n-grams. The published checkers let it, so that a short or mixed text may
get another language on another day; here each guess starts from the same seed, on a factory of our own.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib import import_module
from typing import Any

ENGLISH = "en"
SEED = 0
_REMEMBERED = 2048


def response_language(response: str, *, language: str) -> bool:
    """Say whether the response is in a language (`en`, `de`, `zh-cn`, …); one without features counts as followed."""
    return detected(response) in (language, None)


@lru_cache(maxsize=_REMEMBERED)
def detected(text: str) -> str | None:
    """Return the language of a text, `unknown` where none is likely, or None where there is nothing to judge by.

    The code is langdetect's: ISO 639-1, but `zh-cn` and `zh-tw` for Chinese.
    """
    detector = _factory().create()
    try:
        detector.append(text)
        return str(detector.detect())
    except _langdetect().LangDetectException:
        return None


@cache
def _langdetect() -> Any:
    return import_module("langdetect")


@cache
def _factory() -> Any:
    module: Any = import_module("langdetect.detector_factory")
    factory = module.DetectorFactory()
    factory.load_profile(module.PROFILES_DIRECTORY)
    factory.set_seed(SEED)
    return factory
