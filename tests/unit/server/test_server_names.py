"""Names of models and ids."""

from __future__ import annotations

import pytest

from broker.server.ids import new_id, short, sort_key
from broker.server.naming import (
    ModelNames,
    checkpoint_name,
    short_id_of,
    split_checkpoint,
    tuned_name,
)

NAMES = ModelNames(
    {
        "gpt-4o-mini-2024-07-18": "org/one",
        "gpt-4.1-mini": "two",
        "gpt-*": "three",
        "gpt-5*": "five",
    },
    ["org/plain"],
)


@pytest.mark.parametrize(
    ("said", "public", "base"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini-2024-07-18", "org/one"),
        ("gpt-4o-mini", "gpt-4o-mini-2024-07-18", "org/one"),
        ("gpt-4.1-mini", "gpt-4.1-mini", "two"),
        ("gpt-4.1-mini-2025-04-14", "gpt-4.1-mini-2025-04-14", "two"),
        ("gpt-4o-mini-2025-01-01", "gpt-4o-mini-2025-01-01", "three"),
        ("gpt-5.6-sol", "gpt-5.6-sol", "five"),
        ("org/plain", "org/plain", "org/plain"),
    ],
)
def test_a_name_finds_its_base(said: str, public: str, base: str) -> None:
    found = NAMES.find(said)
    assert found is not None
    assert (found.public, found.base) == (public, base)


@pytest.mark.parametrize("said", ["", "org/one", "three", "/etc/passwd", "claude", "ft:gpt-4o-mini:a:b:c"])
def test_what_is_not_offered_cannot_be_named(said: str) -> None:
    assert NAMES.find(said) is None


def test_stars_are_not_listed() -> None:
    assert NAMES.public == ["gpt-4o-mini-2024-07-18", "gpt-4.1-mini", "org/plain"]


def test_names_of_tuned_models() -> None:
    name = tuned_name("org/base", "acme", "My: Bot_2!", "abcd1234")
    assert name == "ft:org/base:acme:my-bot-2:abcd1234"
    assert tuned_name("b", "acme", None, "abcd1234") == "ft:b:acme::abcd1234"
    assert short_id_of(name) == "abcd1234"
    assert split_checkpoint(checkpoint_name(name, 20)) == (name, 20)
    assert split_checkpoint(name) == (name, None)
    for strange in (f"{name}:ckpt-step-x", f"{name}:ckpt-step-", f"{name}:ckpt-step-{'9' * 30}"):
        assert split_checkpoint(strange) == (strange, None)
    assert short_id_of("gpt-4o") is None


def test_ids_sort_by_time_and_never_meet() -> None:
    ids = [new_id("ftjob-") for _ in range(5000)]
    assert sorted(ids) == ids
    assert len({short(made) for made in ids}) == 5000
    assert all(sort_key(made) == made.removeprefix("ftjob-") for made in ids)
    for foreign in ("after", "file-abc123", "", "ftjob-" + "i" * 24):
        assert sort_key(foreign) is None
