"""A metric of your own: a function of one answered row. Its column gets an interval and a test like any other.

python examples/04_own_metric.py
"""

from pathlib import Path

from broker import BlockingBroker
from broker.evaluation import Scored, metric

DATA = Path(__file__).parent / "data"


@metric("contractions", label="has a contraction", kind="proportion")
def contractions(row: Scored) -> bool:
    return "'" in row.answer or "’" in row.answer


@metric("shared words", label="words of the expected answer", unit="%")
def shared_words(row: Scored) -> float | None:
    expected = set(row.expected.lower().split())
    return 100 * len(expected & set(row.answer.lower().split())) / len(expected) if expected else None


def main() -> None:
    with BlockingBroker() as broker:
        job = broker.submit(
            provider="fake",
            train=DATA / "tone_of_voice.train.jsonl",
            validation=DATA / "tone_of_voice.validation.jsonl",
            metrics=["contractions", "shared words", "length"],
        ).wait()
        print(job.results())


if __name__ == "__main__":
    main()
