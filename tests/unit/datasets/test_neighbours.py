"""Near prompts within one set: every one is found, also where all follow one pattern, and in good time."""

from __future__ import annotations

import random
import time

import pytest

from broker.jobs.datasets.overlaps import clusters, near_duplicates, prompt_key
from broker.jobs.rows import ChatRow, Dataset
from broker.jobs.spec import RowFormat

COLOURS = ("amber", "bronze", "copper", "dusty", "faint", "golden", "ivory", "jagged", "keen", "mellow", "pale", "tall")
THINGS = ("fig", "plum", "owl", "robin", "oak", "pine", "kettle", "hammer", "soup", "stew", "drum", "flute", "river")


def chats(prompts: list[str]) -> Dataset:
    rows = tuple(
        ChatRow(messages=({"role": "user", "content": prompt}, {"role": "assistant", "content": "Yes."}), line=line)
        for line, prompt in enumerate(prompts, 1)
    )
    return Dataset(name="rows.jsonl", format=RowFormat.CHAT, rows=rows)


def patterned(count: int, seed: int = 0) -> list[str]:
    """Return prompts that have nearly everything in common."""
    rng = random.Random(seed)
    form = "In which year was the {} {} number {} first described by the naturalists of the royal society?"
    return [form.format(rng.choice(COLOURS), rng.choice(THINGS), number) for number in range(count)]


def mixed(seed: int) -> list[str]:
    """Return prompts of every kind: patterned, with nothing in common, short, empty, long, and said twice."""
    rng = random.Random(seed)
    loose = [" ".join("".join(rng.choices("abcdefgh", k=rng.randint(1, 7))) for _ in range(8)) for _ in range(40)]
    close = [text.replace(rng.choice(text.split()), "xyz", 1) for text in loose]
    long = [" ".join([text] * 9) for text in close]
    return rng.sample(every := [*patterned(80, seed), *loose, *close, *long, "a", "b", "", "?", *loose[:5]], len(every))


def jaccard(left: str, right: str) -> float:
    sets = [{f" {text} "[i : i + 3] for i in range(len(text))} for text in (left, right)]
    union = sets[0] | sets[1]
    return 1.0 if left == right else len(sets[0] & sets[1]) / len(union) if union else 0.0


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.8, 0.9, 0.97, 1.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_row_is_named_if_and_only_if_an_earlier_one_is_like_it(threshold: float, seed: int) -> None:
    dataset = chats(mixed(seed))
    keys = {row.line: prompt_key(row) for row in dataset.rows}
    found = {one.validation_line: one for one in near_duplicates(dataset, threshold)}
    for line, key in keys.items():
        best = max((jaccard(key, keys[earlier]) for earlier in range(1, line)), default=0.0)
        assert (line in found) == (best >= threshold - 1e-12), key
        if line in found:
            one = found[line]
            assert one.train_line < line
            assert one.similarity == round(jaccard(key, keys[one.train_line]), 4)


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.8, 0.9, 1.0])
def test_groups_are_those_of_all_pairs(threshold: float) -> None:
    dataset = chats(mixed(3))
    keys = [prompt_key(row) for row in dataset.rows]
    groups = {place: {place} for place in range(len(keys))}
    for place, key in enumerate(keys):
        for other in range(place):
            if jaccard(key, keys[other]) >= threshold - 1e-12:
                joined = groups[place] | groups[other]
                groups.update(dict.fromkeys(joined, joined))
    assert clusters(dataset, threshold) == sorted(
        sorted(group) for group in {id(g): g for g in groups.values()}.values()
    )


@pytest.mark.parametrize("look", [near_duplicates, clusters])
def test_ten_thousand_prompts_of_one_pattern_in_seconds(look: object) -> None:
    assert callable(look)
    dataset = chats(patterned(10_000))
    began = time.process_time()
    assert look(dataset)
    assert time.process_time() - began < 6


def test_it_is_told_how_far_the_look_is() -> None:
    told: list[tuple[int, int]] = []
    near_duplicates(chats(patterned(1_200)), tell=lambda done, total: told.append((done, total)))
    assert told == [(0, 1_200), (500, 1_200), (1_000, 1_200), (1_200, 1_200)]
