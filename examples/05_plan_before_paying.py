"""See what an experiment would do and cost before anything is sent, and let a budget hold it.

python examples/05_plan_before_paying.py
"""

from dataclasses import replace
from pathlib import Path

import anyio

from broker import Broker, BrokerError, ExperimentRequest, TuneRequest
from broker.settings import load_settings

DATA = Path(__file__).parent / "data"
# An account that asks two dollars a job, and makes nothing.
PAID = {"paid": {"kind": "fake", "options": {"price_usd": 2.0}}}


async def main() -> None:
    request = ExperimentRequest(
        name="planned",
        validation=str(DATA / "tone_of_voice.validation.jsonl"),
        metrics=("length",),
        budget_usd=3.0,
        tunings=tuple(
            TuneRequest(provider="paid", train=str(DATA / "tone_of_voice.train.jsonl"), parameters={"epochs": epochs})
            for epochs in (1, 2)
        ),
    )
    async with Broker(load_settings(overrides={"providers": PAID})) as broker:
        try:
            await broker.plan(request)
        except BrokerError as error:
            print(f"refused: {error}")
        plan = await broker.plan(replace(request, tunings=request.tunings[:1]))
        print(f"{len(plan.jobs)} jobs, {plan.low_usd:.2f} to {plan.high_usd:.2f} USD")
        await broker.start(plan)
        await broker.wait(experiment="planned")
        print(await broker.results("planned"))


if __name__ == "__main__":
    anyio.run(main)
