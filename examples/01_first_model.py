"""Tune a model on 200 rows, judge it beside its base on 40 others, talk to it. Offline, about a minute.

python examples/01_first_model.py

The sandbox is a toy that makes itself when it is first needed. A real one: model="Qwen/Qwen2.5-0.5B-Instruct".
"""

from pathlib import Path

from broker import BlockingBroker, Decoding

ROWS = Path(__file__).parent / "data" / "tone_of_voice.jsonl"  # says itself which rows are for training


def main() -> None:
    with BlockingBroker() as broker:
        job = broker.submit(
            provider="local",
            model="sandbox",
            train=ROWS,
            precision="int8",
            lr=1e-3,
            epochs=3,
            metrics=["conversational", "length"],
            decoding=Decoding(max_tokens=60),
        ).wait()
        print(job.results())
        print(broker.chat(job.id, "What is a birch?"))


if __name__ == "__main__":
    main()
