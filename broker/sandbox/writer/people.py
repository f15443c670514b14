"""Invented people, what happens to them, and conversations with them: drawn from lists and put together by rules."""

from __future__ import annotations

import json
import re
from itertools import count as counted
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from broker.jobs.datasets.jsontext import is_object
from broker.sandbox.writer.prose import content, sentence_case

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

# One in so many is a rare case, at least one of each list of so many.
_RARE_EVERY = 5

_CALLED = """
Amara Bolton Cyril Dilnoza Edda Farid Greta Hamish Imke Jonas Kavya Lorenz Mirela Nkechi Oskar Paloma Quentin Runa
Selim Tamsin Ulla Viktor Wanda Xenia Yusuf Zora Anselm Birgit Calum Dorota Emeka Freya Goran Hilde Ines Jarmo  Keiko
Leif Maud Nadir Odile Piotr Renske Silvan Thabo Ursel Vesna Willem Yara Zeno
"""
_NAMES = tuple(_CALLED.split())
_BACKGROUNDS = (
    "drives a night bus",
    "teaches at a village school",
    "studies nursing in the second year",
    "runs a small bakery with a sister",
    "retired from a post office last spring",
    "mends bicycles and plays in a brass band",
    "keeps the books of a timber yard",
    "came home after ten years abroad",
    "works from a kitchen table as a translator",
    "raises two children alone",
    "cooks in a hospital canteen",
    "is looking for a first job after school",
    "farms sheep on a hillside",
    "answers the phone for an insurer",
    "builds stage sets for a theatre",
    "moved to the city three months ago",
)
_RARE_BACKGROUNDS = (
    "keeps a lighthouse on an island with one other house",
    "is deaf and would rather write than talk",
    "spent a winter at a research station on the ice",
    "looks after a parent, a grandchild and forty goats",
    "learned the language only last year and mixes up words",
    "left a closed religious community at forty",
    "works under water, welding pipes",
    "travels with a circus and has no address",
)
_TRAITS = (
    "patient", "blunt", "shy", "curious", "easily tired", "funny when nervous", "careful with money", "stubborn",
    "generous", "quick to say sorry", "fond of lists", "suspicious of advice", "hopeful", "always early",
    "a slow reader", "a good listener", "proud", "forgetful", "warm", "short of sleep",
)  # fmt: skip
_CONCERNS = (
    "does not know where to begin with {t}",
    "has put off {t} for months and is ashamed of it",
    "is afraid to get {t} wrong a second time",
    "was promised help with {t} and never got it",
    "argues at home about {t}",
    "lies awake because of {t}",
    "wants a plain word about {t}, without long explanations",
    "has read too much about {t} and believes half of it",
    "needs to decide about {t} before the end of the week",
    "was told that {t} is no reason to complain",
)
_RARE_CONCERNS = (
    "has nobody else to ask about {t} within a day's journey",
    "was harmed by earlier advice about {t} and trusts nobody with it now",
    "must hide from the family that {t} is a question at all",
    "has a condition that makes the usual answer about {t} wrong",
)
_SCENES = (
    (
        "first questions",
        "The first talk about {t}",
        "Asks about {t} for the first time and has no words for it yet.",
    ),
    ("setback", "{T} went wrong", "After two good weeks {t} went wrong again, and giving up seems near."),
    ("decision", "A choice about {t}", "There are two ways to go on with {t}, and both have a price."),
    ("conflict", "Quarrel over {t}", "Somebody close sees {t} differently, and yesterday it came to shouting."),
    ("habit", "Keeping at {t}", "The first steps with {t} are done; now it must become a habit."),
    ("doubt", "Is {t} worth it?", "Progress with {t} is slow, and friends say that it is not worth the trouble."),
    ("good news", "{T} went well", "{T} went well for once, and somebody wants to share that and keep it so."),
    ("follow-up", "Back to {t}", "A second talk about {t}: some of the last advice helped, some did not."),
    ("pressure", "No time for {t}", "Work takes every evening, and {t} waits; the deadline is on Friday."),
    ("misunderstanding", "Not what was meant by {t}", "An earlier answer about {t} was taken the wrong way."),
)
_RARE_SCENES = (
    (
        "emergency",
        "{T} cannot wait",
        "It is three in the morning, {t} is an emergency now, and nobody else is awake.",
    ),
    (
        "wrong person",
        "Asked for somebody else",
        "The question about {t} is for a neighbour who must not know of it.",
    ),
    (
        "out of reach",
        "Beyond what talk can do",
        "The question about {t} is one for a doctor or a lawyer.",
    ),
    ("silence", "Hardly a word about {t}", "Only single words come back, and {t} is never said aloud."),
)
_WORRIES = (
    "sleep", "a new job", "money", "an exam", "a quarrel at home", "being alone", "an old friend", "the move",
    "a bad back", "the rent", "a late answer", "too much work", "saying no", "a first meeting",
)  # fmt: skip
_LETTERS = "BDFHKLMNPRSTVWZ"
_BETWEEN = re.compile(r"[,;:\n()]|\band\b|\bor\b")
_LONGEST_TOPIC = 3
_OPENINGS = (
    "Hi. I'm {name}, and to be honest it's about {t}. {fact}",
    "Hello, do you have a minute? {fact} It's {t} that keeps me busy.",
    "I don't know how to put this. {fact} So, {t}.",
    "Good evening. Somebody told me to talk about {t}. {fact}",
)
_USER = (
    "I tried that once, and it lasted a week. Maybe {t} is just not for me.",
    "That sounds simple when you say it. What do I do on a bad day?",
    "My family thinks I make too much of {t}.",
    "Okay. I could start with the small part on Monday.",
    "I hadn't seen {t} like that. It does feel a bit lighter.",
    "And if it goes wrong again?",
    "I guess I'm afraid of what the others will say.",
    "Could you say that again in one sentence? I want to write it down.",
)
_ASSISTANT = (
    "That makes sense. Anyone would be worn out by that. What part of {t} weighs most on you right now?",
    "Thank you for telling me. It takes some courage. Shall we take one small step of {t} and leave the rest for now?",
    "I hear how tired you are. A bad day does not undo the good ones. What helped you last time, even a little?",
    "You don't have to solve {t} today. Pick ten minutes tomorrow, and stop when they are over.",
    "It's okay to be unsure. What would you tell a friend who came to you with {t}?",
    "I'm glad you said that. Your view of {t} counts as much as theirs. What would you like them to know?",
    "Let's be kind to you first. If it goes wrong, we look at it together and change the plan, not you.",
)
_LAST = (
    "You've got a small plan now, and that is plenty for today. Come back any time and tell me how {t} went.",
    "So: one small step, one person who knows, and a kind word to yourself. I'm glad you talked to me about {t}.",
    "That sounds like you. Take it slowly; if {t} gets too heavy, ask somebody near you for help. You aren't alone.",
)


def personas(domain: str, count: int, known: str, rng: Random) -> dict[str, Any]:
    """Return `{"personas": [{"name", "age", "background", "traits", "concern", "rare"}]}`.

    Args:
        domain: What their talks are about.
        count: How many; about one in five is a rare case.
        known: Whoever is there already; none of these names is given again.
        rng: Draws them.
    """
    names = list(islice((name for name in _full_names(rng) if name not in known), count))
    rare = _rare(count, rng)
    made = [_persona(name, _topics(domain), rng, rare=index in rare) for index, name in enumerate(names)]
    return {"personas": made}


def _persona(name: str, topics: Sequence[str], rng: Random, *, rare: bool) -> dict[str, Any]:
    return {
        "name": name,
        "age": rng.choice((17, 83, 91)) if rare and rng.random() < 0.5 else rng.randint(19, 74),
        "background": rng.choice(_RARE_BACKGROUNDS if rare else _BACKGROUNDS),
        "traits": ", ".join(rng.sample(_TRAITS, 3)),
        "concern": rng.choice(_RARE_CONCERNS if rare else _CONCERNS).format(t=rng.choice(topics)),
        "rare": rare,
    }


def scenarios(domain: str, count: int, known: str, rng: Random) -> dict[str, Any]:
    """Return `{"scenarios": [{"title", "situation", "category", "rare"}]}`; arguments as for `personas`."""
    rare = _rare(count, rng)
    common, special = (_scenes(pool, domain, known, rng) for pool in (_SCENES, _RARE_SCENES))
    made = [{**next(special if index in rare else common), "rare": index in rare} for index in range(count)]
    return {"scenarios": made}


def _scenes(pool: Sequence[tuple[str, str, str]], domain: str, known: str, rng: Random) -> Iterator[dict[str, Any]]:
    """Yield scenarios that are not known yet, as long as there are any; then the known ones again."""
    pairs = [(scene, topic) for topic in _topics(domain) for scene in pool]
    told = [_scene(scene, topic) for scene, topic in rng.sample(pairs, len(pairs))]
    yield from (one for one in told if one["title"] not in known)
    yield from cycle(told)


def _scene(scene: tuple[str, str, str], topic: str) -> dict[str, Any]:
    category, title, situation = scene
    words = {"t": topic, "T": sentence_case(topic)}
    return {"title": title.format(**words), "situation": situation.format(**words), "category": category}


def conversation(domain: str, persona: str, scenario: str, turns: int, rng: Random) -> dict[str, Any]:
    """Return `{"messages": [...]}`: the user begins, the assistant ends.

    Args:
        domain: What it is about.
        persona: Who the user is: JSON as `personas` gives it, or words.
        scenario: What has happened: JSON as `scenarios` gives it, or words.
        turns: Messages; an odd number is rounded up, so that the assistant has the last word.
        rng: Draws what they say.
    """
    rounds = -(-turns // 2)
    person, scene = _fields(persona, "background"), _fields(scenario, "situation")
    concern, situation = (person.get("concern") or person["background"]).rstrip("."), scene["situation"]
    name = person.get("name", "somebody")
    fact = f'{situation} My sister puts it like this: "{name} {concern}."'
    words = {"t": _topic(f"{concern} {situation}", domain, rng), "name": name, "fact": fact}
    said = [rng.choice(_OPENINGS), *_dealt(_USER, rounds - 1, rng)]
    replied = [*_dealt(_ASSISTANT, rounds - 1, rng), rng.choice(_LAST)]
    messages: list[dict[str, str]] = []
    for user, assistant in zip(said, replied, strict=True):
        messages.append({"role": "user", "content": user.format(**words)})
        messages.append({"role": "assistant", "content": assistant.format(**words)})
    return {"messages": messages}


def _topics(domain: str) -> list[str]:
    """Return what talks of a domain are about: the things that it lists, or worries that everybody has."""
    parts = [part.strip(" .").lower() for part in _BETWEEN.split(domain.partition(":")[2] or domain)]
    listed = [part for part in parts if part and len(part.split()) <= _LONGEST_TOPIC]
    return listed if len(listed) > 1 else list(_WORRIES)


def _topic(told: str, domain: str, rng: Random) -> str:
    """Return the thing that a persona or a scenario tells of, or any of the domain's."""
    topics = _topics(domain)
    return rng.choice([topic for topic in topics if topic in told.lower()] or topics)


def _fields(text: str, name: str) -> dict[str, str]:
    try:
        read: Any = json.loads(text)
    except ValueError:
        read = None
    if is_object(read):
        return {name: "", **{str(key): str(value) for key, value in read.items()}}
    found: dict[str, str] = {name: text.strip() or "it is hard to say"}
    for line in text.splitlines():
        key, colon, value = line.strip(" -*").partition(":")
        if colon and len(content(key)) <= 1 and value.strip():
            found[key.strip().lower()] = value.strip()
    return found


def _full_names(rng: Random) -> Iterator[str]:
    """Yield names without end: first names, the same with a letter for the family's, then with a number."""
    yield from rng.sample(_NAMES, len(_NAMES))
    for letter in _LETTERS:
        yield from (f"{name} {letter}." for name in rng.sample(_NAMES, len(_NAMES)))
    for number in counted(2):
        yield from (f"{name} {number}" for name in _NAMES)


def _rare(count: int, rng: Random) -> set[int]:
    wanted = round(count / _RARE_EVERY) or (1 if count > 2 else 0)
    return set(rng.sample(range(count), wanted))


def _dealt(pool: Sequence[Any], count: int, rng: Random) -> list[Any]:
    """Draw from a pool, each once before any comes again."""
    drawn: list[Any] = []
    while len(drawn) < count:
        drawn += rng.sample(pool, len(pool))
    return drawn[:count]
