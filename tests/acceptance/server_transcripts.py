"""The curl transcripts of `docs/server.md`: `python -m tests.acceptance.server_transcripts` makes them anew.

Every command runs against a real server over the fake provider. Ids that an answer brings are kept under the names that
later commands use (`$FILE`, `$JOB`, …); the page shows the commands with the ids in them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.fakes.broker_server import CHAT_ROW, fake_config, fake_settings, running

DOCUMENT = Path(__file__).parents[2] / "docs" / "server.md"
MARK = re.compile(r"(?<=<!-- transcripts -->\n).*(?=<!-- end of transcripts -->)", re.DOTALL)
JSON = "-H 'Content-Type: application/json'"
SHOWN = "http://127.0.0.1:8100"

KINDS = {"file": "FILE", "upload": "UPLOAD", "fine_tuning.job": "JOB", "batch": "BATCH"}

# (title, [command, …]); `WAIT path status` waits in between and is not shown.
STORY: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Files",
        (
            "curl -s $BASE/files -F purpose=fine-tune -F file=@train.jsonl"
            " -F 'expires_after[anchor]=created_at' -F 'expires_after[seconds]=86400'",
            "curl -s '$BASE/files?purpose=fine-tune&limit=1&order=desc'",
            "curl -s $BASE/files/$FILE",
            "curl -s $BASE/files/$FILE/content | head -c 60",
        ),
    ),
    (
        "Uploads in parts",
        (
            f"curl -s $BASE/uploads {JSON} -d "
            """'{"filename": "big.jsonl", "purpose": "fine-tune", "bytes": 208, "mime_type": "application/jsonl"}'""",
            "curl -s $BASE/uploads/$UPLOAD/parts -F data=@part-1",
            "curl -s $BASE/uploads/$UPLOAD/parts -F data=@part-2",
            f"""curl -s $BASE/uploads/$UPLOAD/complete {JSON} -d '{{"part_ids": ["$PART1", "$PART2"]}}'""",
            f"curl -s $BASE/uploads {JSON} -d "
            """'{"filename": "b", "purpose": "batch", "bytes": 1, "mime_type": "text/plain"}'""",
            "curl -s -X POST $BASE/uploads/$UPLOAD/cancel",
        ),
    ),
    (
        "Fine-tuning jobs",
        (
            f"curl -s $BASE/fine_tuning/jobs {JSON} -H 'Idempotency-Key: tuesday-1' -d "
            """'{"model": "gpt-4o-mini", "training_file": "$FILE", "suffix": "casual", "metadata": {"team": "a"}, """
            """"method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}}}'""",
            "WAIT fine_tuning/jobs/$JOB running",
            "curl -s -X POST $BASE/fine_tuning/jobs/$JOB/pause",
            "WAIT fine_tuning/jobs/$JOB paused",
            "curl -s -X POST $BASE/fine_tuning/jobs/$JOB/resume",
            "WAIT fine_tuning/jobs/$JOB succeeded",
            "curl -s $BASE/fine_tuning/jobs/$JOB",
            "curl -s -g '$BASE/fine_tuning/jobs?metadata[team]=a&limit=1'",
            "curl -s '$BASE/fine_tuning/jobs/$JOB/events?limit=2'",
            "curl -s $BASE/fine_tuning/jobs/$JOB/checkpoints",
            "curl -s -X POST $BASE/fine_tuning/jobs/$JOB/cancel",
        ),
    ),
    (
        "Models",
        (
            "curl -s $BASE/models",
            "curl -s $BASE/models/$MODEL",
        ),
    ),
    (
        "Chat completions",
        (
            f"curl -s $BASE/chat/completions {JSON} -d "
            """'{"model": "$MODEL", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 30}'""",
            f"curl -sN $BASE/chat/completions {JSON} -d "
            """'{"model": "$MODEL", "messages": [{"role": "user", "content": "Hi"}], "stream": true, """
            """"stream_options": {"include_usage": true}}'""",
            f"curl -s $BASE/chat/completions {JSON} -d "
            """'{"model": "$MODEL", "messages": [{"role": "user", "content": "Hi"}], """
            """"response_format": {"type": "json_object"}}'""",
        ),
    ),
    (
        "Batches",
        (
            "curl -s $BASE/files -F purpose=batch -F file=@requests.jsonl",
            f"curl -s $BASE/batches {JSON} -d "
            """'{"input_file_id": "$FILE", "endpoint": "/v1/chat/completions", "completion_window": "24h"}'""",
            "WAIT batches/$BATCH completed",
            "curl -s $BASE/batches/$BATCH",
            "curl -s '$BASE/batches?limit=1'",
            "curl -s $BASE/files/$OUTPUT/content",
            "curl -s -X POST $BASE/batches/$BATCH/cancel",
        ),
    ),
    (
        "Deleting",
        (
            "curl -s -X DELETE $BASE/models/$MODEL",
            "curl -s -X DELETE $BASE/files/$FILE",
        ),
    ),
    (
        "Health and metrics",
        (
            "curl -s $ROOT/healthz",
            "curl -s $ROOT/metrics | grep broker_jobs",
        ),
    ),
)


class Teller:
    """Runs commands and remembers the ids that their answers bring."""

    def __init__(self, base: str, folder: Path) -> None:
        self.names = {"BASE": base, "ROOT": base.removesuffix("/v1")}
        self._folder = folder

    def filled(self, command: str) -> str:
        return re.sub(r"\$([A-Z][A-Z0-9]*)", lambda found: self.names[found.group(1)], command)

    def run(self, filled: str) -> str:
        done = subprocess.run(
            ["bash", "-c", filled], cwd=self._folder, capture_output=True, text=True, timeout=60, check=True
        )
        self._remember(done.stdout)
        return done.stdout

    def wait(self, path: str, status: str) -> None:
        end = time.monotonic() + 30
        while json.loads(self.run(self.filled(f"curl -s $BASE/{path}")))["status"] != status:
            assert time.monotonic() < end, f"{path} does not become {status}"
            time.sleep(0.02)

    def _remember(self, said: str) -> None:
        try:
            body: dict[str, Any] = json.loads(said)
        except ValueError:
            return
        kind = body.get("object", "")
        if kind in KINDS:
            self.names[KINDS[kind]] = body["id"]
        if kind == "upload.part":
            self.names["PART2" if "PART1" in self.names else "PART1"] = body["id"]
        if body.get("fine_tuned_model"):
            self.names["MODEL"] = body["fine_tuned_model"]
        if body.get("output_file_id"):
            self.names["OUTPUT"] = body["output_file_id"]


def tell() -> list[tuple[str, list[tuple[str, str]]]]:
    """Run the whole story against a server of its own; return (title, [(command, what came)])."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _prepare(folder)
        config = fake_config(model_map={"gpt-4o-mini-2024-07-18": "fake-base"}, models=())
        with running(config, fake_settings(folder / "data", steps=100)) as served:
            teller = Teller(served.url, folder)
            return [(title, list(_chapter(teller, commands))) for title, commands in STORY]


def _chapter(teller: Teller, commands: tuple[str, ...]) -> Any:
    for command in commands:
        if command.startswith("WAIT "):
            teller.wait(*command.split()[1:])
        else:
            filled = teller.filled(command)
            yield filled.replace(teller.names["ROOT"], SHOWN), teller.run(filled)


def _prepare(folder: Path) -> None:
    (folder / "train.jsonl").write_bytes(CHAT_ROW * 10)
    (folder / "part-1").write_bytes(CHAT_ROW)
    (folder / "part-2").write_bytes(CHAT_ROW)
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    row = {"custom_id": "row-1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    (folder / "requests.jsonl").write_text(json.dumps(row) + "\n")


def written(story: list[tuple[str, list[tuple[str, str]]]]) -> str:
    """Return the story as Markdown."""
    lines: list[str] = []
    for title, told in story:
        lines += [f"### {title}", ""]
        for command, said in told:
            lines += ["```console", f"$ {command}", said.strip(), "```", ""]
    return "\n".join(lines)


def main() -> None:
    text = DOCUMENT.read_text("utf-8")
    DOCUMENT.write_text(MARK.sub(lambda _: written(tell()), text), "utf-8")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
