"""Have training rows made by a pipeline of your own. Offline: the sandbox's writer answers, by rules.

python examples/06_make_rows.py

A real one: provider="gemini", model="gemini-3.5-flash-lite", and GEMINI_API_KEY set.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from broker import Broker
from broker.synthesis import Bench, Pipeline, RejectedError, Row, each
from broker.synthesis.pipelines.qa import QUESTION
from broker.synthesis.steps import ANSWER

SECTIONS = Path(__file__).parent / "data" / "sections.jsonl"
LONGEST = 25  # words of an answer


@each
async def explain(row: Row, bench: Bench) -> Row:
    asked = await bench.ask(row, "question", schema=QUESTION)
    told = await bench.ask(row, "human-like", schema=ANSWER, question=asked["question"])
    if (words := len(told["answer"].split())) > LONGEST:
        raise RejectedError("long", f"{words} words")
    return row.having(question=asked["question"], answer=told["answer"])


pipeline = Pipeline(name="short", steps=lambda _options: [explain], prompts=("question", "human-like"))


async def main() -> None:
    async with Broker() as broker:
        with TemporaryDirectory() as folder:
            job = await broker.synthesize(
                provider="local",
                model="sandbox-writer",
                pipeline="06_make_rows:pipeline",  # module:attribute
                source=SECTIONS,
                rows=40,
                output=folder,
            )
            (done,) = await broker.wait(job)
            made = dict(done.result or {})
            print(f"{done.state}: {made['accepted']} of {made['requested']} rows from {made['requests']} answers")
            print(f"rejected: {made['reasons']}")
            for name in ("train.jsonl", "validation.jsonl"):
                lines = (Path(folder) / name).read_text(encoding="utf-8").splitlines()
                print(f"{len(lines)} rows in {name}")
            print(*(message["content"] for message in json.loads(lines[0])["messages"]), sep="\n")


if __name__ == "__main__":
    anyio.run(main)
