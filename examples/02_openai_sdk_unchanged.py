"""The official SDK, as anybody uses it against OpenAI. Only `base_url` is new.

In one terminal:  broker serve --map gpt-4o-mini=sandbox
In another:       python examples/02_openai_sdk_unchanged.py http://127.0.0.1:8100/v1

A second argument is the token (`broker serve --new-token me`), a third the name of another base model.
"""

import sys
import time
from pathlib import Path

from openai import OpenAI

ROWS = Path(__file__).parent / "data" / "tone_of_voice.train.jsonl"
QUESTION = [{"role": "user", "content": "What do you do on a rainy day?"}]


def main() -> None:
    usual = ("http://127.0.0.1:8100/v1", "no token", "gpt-4o-mini")
    base_url, api_key, model = (*sys.argv[1:], *usual[len(sys.argv) - 1 :])
    client = OpenAI(base_url=base_url, api_key=api_key)

    file = client.files.create(file=ROWS.open("rb"), purpose="fine-tune")
    print(f"uploaded {file.filename}: {file.bytes} bytes as {file.id}")

    job = client.fine_tuning.jobs.create(
        model=model,
        training_file=file.id,
        suffix="casual",
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 3, "learning_rate_multiplier": 5.0}},
        },
    )
    print(f"made {job.id}")

    seen = set()
    while job.status not in ("succeeded", "failed", "cancelled"):
        time.sleep(1)
        job = client.fine_tuning.jobs.retrieve(job.id)
        for event in reversed(client.fine_tuning.jobs.list_events(job.id, limit=100).data):
            if event.id not in seen:
                seen.add(event.id)
                print(f"  {event.message}")
    if job.status != "succeeded":
        sys.exit(f"the job {job.status}: {job.error}")
    print(f"{job.fine_tuned_model} was trained on {job.trained_tokens} tokens")

    for name in (model, job.fine_tuned_model):
        answer = client.chat.completions.create(model=name, messages=QUESTION, temperature=0, max_tokens=60)
        print(f"{name}:\n  {answer.choices[0].message.content}")

    print("streamed: ", end="")
    for chunk in client.chat.completions.create(
        model=job.fine_tuned_model, messages=QUESTION, temperature=0, max_tokens=60, stream=True
    ):
        if chunk.choices:
            print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()


if __name__ == "__main__":
    main()
