"""Two jobs at once, followed event by event in an async program. The provider `fake` makes nothing and costs nothing.

python examples/03_follow_events.py
"""

from pathlib import Path

import anyio

from broker import Broker

DATA = Path(__file__).parent / "data"


async def main() -> None:
    async with Broker() as broker:
        jobs = [
            await broker.submit(
                provider="fake",
                train=DATA / "tone_of_voice.train.jsonl",
                validation=DATA / "tone_of_voice.validation.jsonl",
                metrics=["length"],
                experiment="followed",
                epochs=epochs,
            )
            for epochs in (1, 2)
        ]
        async for event in broker.watch(jobs):
            print(event.job_id, event.kind, dict(event.data))
        await broker.wait(experiment="followed")  # the evaluations too
        for row in (await broker.results("followed")).rows:
            print(row.label, row.state, row.n)


if __name__ == "__main__":
    anyio.run(main)
