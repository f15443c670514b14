"""Conversations of invented people in invented situations (arXiv 2410.09168: personas × scenarios).

The domain is the recipe's to say (`domain`); the paper's is therapy counselling. Rare cases are asked for (`rare`), are
spread over the rows so that any number of them holds the share, and what was covered is reported. A source file may
bring people (`persona`) and situations (`scenario`) along.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from broker.providers.contract import Parameter
from broker.synthesis.flow import each
from broker.synthesis.pipeline import Options, Pipeline
from broker.synthesis.rows import RejectedError, Row
from broker.synthesis.steps import deduplicated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from broker.synthesis.flow import Bench, Step

# So many are asked for at once, and so often in a row may nothing new come.
_AT_ONCE = 10
_PATIENCE = 3
_TEXT: dict[str, Any] = {"type": "string"}
_RARE: dict[str, Any] = {"type": "boolean"}


def _list_of(what: str, /, **properties: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object that holds one list of objects."""
    item = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {what: {"type": "array", "items": item}},
        "required": [what],
        "additionalProperties": False,
    }


PERSONAS = _list_of(
    "personas",
    name=_TEXT,
    age={"type": "integer"},
    background=_TEXT,
    traits=_TEXT,
    concern=_TEXT,
    rare=_RARE,
)
SCENARIOS = _list_of("scenarios", title=_TEXT, situation=_TEXT, category=_TEXT, rare=_RARE)
CONVERSATION = _list_of("messages", role={"type": "string", "enum": ["user", "assistant"]}, content=_TEXT)

Cast = list[dict[str, Any]]


async def pairs(records: Sequence[Mapping[str, Any]], bench: Bench) -> AsyncIterator[Row]:
    """Yield every person in every situation, shuffled, the rare ones spread evenly.

    Args:
        records: People and situations that a source file brings along.
        bench: Asks for those that are missing.
    """
    people = _given(records, "persona", "name") or await _cast(bench, "personas", PERSONAS, "name")
    places = _given(records, "scenario", "title") or await _cast(bench, "scenarios", SCENARIOS, "title")
    met = [(i, j) for i in range(len(people)) for j in range(len(places))]
    bench.random("pairs").shuffle(met)
    for turn in range(int(bench.options["passes"])):
        for i, j in _spread(met, people, places, float(bench.options["rare"])):
            person, place = people[i], places[j]
            source = {"title": f"{person['name']}: {place['title']}", "index": i * len(places) + j}
            id_ = f"{i}x{j}" if not turn else f"{i}x{j}.{turn}"
            yield Row(id=id_, source=source, data={"person": person, "place": place})


def most(records: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> int:
    """Return how many conversations there can be."""
    people = len(_given(records, "persona", "name")) or int(options["personas"])
    places = len(_given(records, "scenario", "title")) or int(options["scenarios"])
    return people * places * int(options["passes"])


def _given(records: Sequence[Mapping[str, Any]], key: str, name: str) -> Cast:
    found = [record[key] for record in records if record.get(key)]
    return [{name: "", **one} if isinstance(one, dict) else {name: str(one)[:60], "text": str(one)} for one in found]


async def _cast(bench: Bench, kind: str, schema: Mapping[str, Any], key: str) -> Cast:
    """Have people or situations invented until there are enough, none twice, and enough rare ones among them."""
    wanted, share = int(bench.options[kind]), float(bench.options["rare"])
    found: dict[str, dict[str, Any]] = {}
    idle = turn = 0
    while len(found) < wanted and idle < _PATIENCE:
        count = min(_AT_ONCE, wanted - len(found))
        rare = round(share * (len(found) + count)) - sum(bool(one.get("rare")) for one in found.values())
        asked = {
            "count": count,
            "rare": max(0, rare),
            "known": "\n".join(f"- {name}" for name in found) or "nobody yet",
        }
        turn += 1
        row = Row(id=f"{kind}.{turn}")
        try:
            made = await bench.ask(row, kind, schema=schema, domain=bench.options["domain"], **asked)
        except RejectedError as error:  # with those that are there already it goes on
            bench.reject(row, error.reason, error.detail)
            idle += 1
            continue
        fresh = {str(one[key]).strip(): one for one in made[kind] if str(one[key]).strip() not in found}
        found.update(list(fresh.items())[:count])
        idle = 0 if fresh else idle + 1
    return list(found.values())


def _spread(met: Sequence[tuple[int, int]], people: Cast, places: Cast, share: float) -> Iterator[tuple[int, int]]:
    """Yield the pairs so that any beginning of them holds its share of rare ones, as long as there are any."""
    piles: tuple[deque[tuple[int, int]], deque[tuple[int, int]]] = (deque(), deque())
    for pair in met:
        piles[bool(people[pair[0]].get("rare") or places[pair[1]].get("rare"))].append(pair)
    usual, rare = piles
    taken = 0
    for number in range(1, len(met) + 1):
        take_rare = bool(rare) and (taken < share * number or not usual)
        taken += take_rare
        yield rare.popleft() if take_rare else usual.popleft()


@each
async def converse(row: Row, bench: Bench) -> Row:
    """Have the conversation written; it begins with the person, ends with the assistant, and takes turns."""
    words = {"persona": _described(row["person"]), "scenario": _described(row["place"])}
    options = {"domain": bench.options["domain"], "turns": bench.options["turns"]}
    made = await bench.ask(row, "conversation", schema=CONVERSATION, **words, **options)
    messages = [{"role": one["role"], "content": one["content"].strip()} for one in made["messages"]]
    roles = [one["role"] for one in messages]
    if not messages or roles != ["user", "assistant"] * (len(roles) // 2):
        raise RejectedError("turns", f"the turns are {', '.join(roles[:6]) or 'missing'}")
    if len(messages) < int(bench.options["min_turns"]):
        raise RejectedError("short", f"{len(messages)} messages, {bench.options['min_turns']} are the least")
    if not all(one["content"] for one in messages):
        raise RejectedError("empty", "a message has no text")
    said = "\n".join(one["content"] for one in messages if one["role"] == "user")
    row.trail.scores["turns"] = len(messages)
    return row.having(messages=messages, said=said)


def _described(who: Mapping[str, Any]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in who.items() if name != "rare")


def steps(_options: Options) -> Sequence[Step]:
    """Return the steps in their order."""
    return [converse, deduplicated("said")]


def write(row: Row) -> dict[str, Any]:
    """Return a row with what it covers."""
    person, place = row["person"], row["place"]
    covers = {
        "persona": person.get("name", ""),
        "scenario": place.get("title", ""),
        "category": place.get("category", ""),
        "rare": bool(person.get("rare") or place.get("rare")),
    }
    return {"messages": row["messages"], "covers": covers}


def coverage(rows: Sequence[Row]) -> dict[str, Any]:
    """Count what the accepted rows cover."""
    covers = [write(row)["covers"] for row in rows]
    return {
        "personas": len({one["persona"] for one in covers}),
        "scenarios": len({one["scenario"] for one in covers}),
        "rare_rows": sum(one["rare"] for one in covers),
        "categories": dict(Counter(one["category"] for one in covers).most_common()),
    }


pipeline = Pipeline(
    name="persona",
    steps=steps,
    source=pairs,
    write=write,
    coverage=coverage,
    most=most,
    options=(
        Parameter(name="domain", types=("str",), default="", help="What the conversations are about, in your words."),
        Parameter(name="personas", types=("int",), default=20, minimum=1, help="People to invent."),
        Parameter(name="scenarios", types=("int",), default=20, minimum=1, help="Situations to invent."),
        Parameter(name="rare", types=("float",), default=0.2, minimum=0, maximum=1, help="Share of rare cases."),
        Parameter(name="turns", types=("int",), default=8, minimum=2, help="Messages of a conversation, about."),
        Parameter(name="min_turns", types=("int",), default=4, minimum=2, help="Fewest messages."),
        Parameter(
            name="max_cosine",
            types=("float",),
            default=0.95,
            minimum=-1,
            maximum=1,
            help="Largest cosine of what a person says with an accepted one.",
        ),
        Parameter(name="max_tokens", types=("int",), default=4096, minimum=16, help="Most tokens of an answer."),
    ),
    prompts=("personas", "scenarios", "conversation"),
    needs_source=False,
    required=("domain",),
    requests=(1, 2),
)
