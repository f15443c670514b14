"""Make the training, validation and preference files from tone_of_voice.jsonl.

    python examples/data/split.py [FOLDER]

tone_of_voice.jsonl has 240 rows in OpenAI's chat format, each with three more keys: `formal` (the same answer in formal
words), `topic`, and `split` (`train` or `validation`; one or two rows of each topic are held out). The files made of it
hold nothing but what OpenAI's formats define, so they can be uploaded anywhere as they are:

- tone_of_voice.train.jsonl: 200 chat rows
- tone_of_voice.validation.jsonl: 40 chat rows
- tone_of_voice.preference.jsonl: the 200 training rows as preference rows (conversational over formal), for DPO
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def preference(row: dict[str, Any]) -> dict[str, Any]:
    *prompt, answer = row["messages"]
    return {
        "input": {"messages": prompt},
        "preferred_output": [answer],
        "non_preferred_output": [{"role": "assistant", "content": row["formal"]}],
    }


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    print(f"{path}: {len(rows)} rows")


def main(folder: Path) -> None:
    source = (HERE / "tone_of_voice.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in source.splitlines()]
    train = [row for row in rows if row["split"] == "train"]
    validation = [row for row in rows if row["split"] == "validation"]
    write(folder / "tone_of_voice.train.jsonl", [{"messages": row["messages"]} for row in train])
    write(folder / "tone_of_voice.validation.jsonl", [{"messages": row["messages"]} for row in validation])
    write(folder / "tone_of_voice.preference.jsonl", [preference(row) for row in train])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
