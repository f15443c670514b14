"""What the fake holds, and the ledger by which the broker is judged."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from broker.sandbox.writer import write
from tests.fakes.openai_server.faults import Rule

INTENT_KEY = "broker_intent"


@dataclass(slots=True)
class Habits:
    """How this server behaves, apart from faults.

    Attributes:
        key: The bearer token it wants; empty takes any.
        looks: Looks at a job until it has succeeded.
        list_lag: Listings for which a new job, file or batch stays invisible.
        list_lag_s: Seconds likewise.
        ignore_filter: It ignores the metadata filter.
        ignore_after: It ignores `after`, and always says `has_more`.
        no_uploads: It has no Uploads API.
        odd: Jobs come with `error: {}`, null hyperparameters and fields that nobody knows.
        status: A raw status that every job has, whatever it does.
        fail: Every job fails with this code.
        file_status: Status of new files.
        file_looks: Looks until a file is processed.
        latency_s: Time that an answer takes.
        rate: Requests a second for chat; 0 is no limit.
        burst: Size of the bucket of that limit.
        headers: Chat answers carry rate-limit headers.
        retry_after: `none`, `int` or `exact`.
        most_at_once: Chat requests at once; 0 is no limit.
        lose_every: Every n-th chat request is reset after its work.
        choice: What every chat answer's choice has in place of the echo: `message`, `finish_reason`.
        batch_looks: Looks until a batch has ended.
        batch_end: Its status then.
        batch_fail: Every n-th row of a batch fails.
        batch_drop: Every n-th row of a batch is in neither file.
    """

    key: str = ""
    looks: int = 3
    list_lag: int = 0
    list_lag_s: float = 0.0
    ignore_filter: bool = False
    ignore_after: bool = False
    no_uploads: bool = False
    odd: bool = False
    status: str = ""
    fail: str = ""
    file_status: str = "processed"
    file_looks: int = 2
    latency_s: float = 0.0
    rate: float = 0.0
    burst: float = 50.0
    headers: bool = False
    retry_after: str = "int"
    most_at_once: int = 0
    lose_every: int = 0
    choice: dict[str, Any] = field(default_factory=dict[str, Any])
    batch_looks: int = 2
    batch_end: str = "completed"
    batch_fail: int = 0
    batch_drop: int = 0


@dataclass(slots=True)
class Held:
    """One object with what the server knows about it beyond its body."""

    body: dict[str, Any]
    made: float
    listings: int
    looks: int = 0
    wanted: str = ""
    content: bytes = b""


@dataclass(slots=True)
class State:
    """Everything the fake holds."""

    habits: Habits = field(default_factory=Habits)
    rules: list[Rule] = field(default_factory=list[Rule])
    jobs: dict[str, Held] = field(default_factory=dict[str, Held])
    files: dict[str, Held] = field(default_factory=dict[str, Held])
    uploads: dict[str, Held] = field(default_factory=dict[str, Held])
    parts: dict[str, bytes] = field(default_factory=dict[str, bytes])
    batches: dict[str, Held] = field(default_factory=dict[str, Held])
    calls: Counter[str] = field(default_factory=Counter[str])
    statuses: Counter[int] = field(default_factory=Counter[int])
    chats: Counter[str] = field(default_factory=Counter[str])
    bodies: deque[dict[str, Any]] = field(default_factory=lambda: deque[dict[str, Any]](maxlen=1000))
    listings: Counter[str] = field(default_factory=Counter[str])
    arrived: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    tokens: float = -1.0
    tokens_at: float = 0.0
    serial: int = 0

    def reset(self) -> None:
        """Forget everything; ids go on, so that nobody takes an old one for a new one."""
        fresh = State(serial=self.serial)
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))

    def new_id(self, prefix: str) -> str:
        self.serial += 1
        return f"{prefix}-{self.serial:06d}{hashlib.sha256(str(self.serial).encode()).hexdigest()[:12]}"

    def ledger(self) -> dict[str, Any]:
        """Return the counts by which the broker is judged."""
        intents = Counter(str((job.body["metadata"] or {}).get(INTENT_KEY)) for job in self.jobs.values())
        contents = Counter(hashlib.sha256(file.content).hexdigest() for file in self.uploaded())
        batches = Counter(str(batch.body["input_file_id"]) for batch in self.batches.values())
        return {
            "jobs_per_intent": dict(intents),
            "jobs": {job.body["id"]: (job.body["metadata"] or {}).get(INTENT_KEY) for job in self.jobs.values()},
            "files_per_content": dict(contents),
            "batches_per_input": dict(batches),
            "calls": dict(self.calls),
            "statuses": {str(code): count for code, count in self.statuses.items()},
            "chats": dict(self.chats),
            "most_in_flight": self.most_in_flight,
        }

    def uploaded(self) -> list[Held]:
        return [file for file in self.files.values() if file.body["purpose"] in {"fine-tune", "batch"}]

    def visible(self, kind: str, held: Held) -> bool:
        """Say whether a listing shows an object yet."""
        habits = self.habits
        old_enough = time.monotonic() - held.made >= habits.list_lag_s
        return old_enough and self.listings[kind] - held.listings > habits.list_lag

    def grant(self) -> float | None:
        """Take one request from the chat limit; None when it may pass, else seconds until one may."""
        habits, now = self.habits, time.monotonic()
        if not habits.rate:
            return None
        if self.tokens < 0:
            self.tokens, self.tokens_at = habits.burst, now
        self.tokens = min(habits.burst, self.tokens + habits.rate * (now - self.tokens_at))
        self.tokens_at = now
        if self.tokens >= 1:
            self.tokens -= 1
            return None
        return (1 - self.tokens) / habits.rate

    # --- objects --------------------------------------------------------------------------------------------------

    def add_file(self, content: bytes, filename: str, purpose: str, status: str | None = None) -> Held:
        body: dict[str, Any] = {
            "id": self.new_id("file"), "object": "file", "bytes": len(content), "created_at": int(time.time()),
            "filename": filename, "purpose": purpose, "status": status or self.habits.file_status,
            "status_details": None, "expires_at": None,
        }  # fmt: skip
        held = Held(body=body, made=time.monotonic(), listings=self.listings["files"], content=content)
        self.files[body["id"]] = held
        return held

    def add_job(self, asked: dict[str, Any]) -> Held:
        method: dict[str, Any] = asked.get("method") or {"type": "supervised"}
        given = (method.get(method["type"]) or {}).get("hyperparameters") or {}
        numbers = {name: given.get(name, "auto") for name in ("n_epochs", "batch_size", "learning_rate_multiplier")}
        body: dict[str, Any] = {
            "id": self.new_id("ftjob"), "object": "fine_tuning.job", "created_at": int(time.time()), "error": None,
            "fine_tuned_model": None, "finished_at": None, "hyperparameters": numbers, "model": asked["model"],
            "organization_id": "org-fake", "result_files": [], "seed": asked.get("seed") or 0,
            "status": "validating_files", "trained_tokens": None, "training_file": asked["training_file"],
            "validation_file": asked.get("validation_file"), "estimated_finish": None, "method": method,
            "integrations": asked.get("integrations") or [], "metadata": asked.get("metadata"),
            "user_provided_suffix": asked.get("suffix"),
        }  # fmt: skip
        if self.habits.odd:
            body |= {"error": {}, "hyperparameters": None, "shared_with_openai": None, "eval_id": None}
        held = Held(body=body, made=time.monotonic(), listings=self.listings["jobs"])
        self.jobs[body["id"]] = held
        return held

    def look_at_job(self, held: Held) -> dict[str, Any]:
        """Let a job advance by one look and return it."""
        held.looks += not held.wanted
        status, habits = self._job_status(held), self.habits
        held.body["status"] = habits.status or status
        if status == "succeeded" and held.body["fine_tuned_model"] is None:
            suffix = held.body["user_provided_suffix"] or ""
            result = self.add_file(b"step,train_loss\n1,1.5\n", "step_metrics.csv", "fine-tune-results", "processed")
            held.body |= {
                "fine_tuned_model": f"ft:{held.body['model']}:org-fake:{suffix}:{held.body['id'][-8:]}",
                "finished_at": int(time.time()), "trained_tokens": 1_000_000, "result_files": [result.body["id"]],
            }  # fmt: skip
        if status == "failed":
            held.body["error"] = {"code": habits.fail, "message": f"the job failed: {habits.fail}", "param": None}
            held.body["finished_at"] = int(time.time())
        return held.body

    def _job_status(self, held: Held) -> str:
        if held.wanted:
            return held.wanted
        if held.looks >= self.habits.looks:
            return "failed" if self.habits.fail else "succeeded"
        return "queued" if held.looks == 1 else "running"

    def add_batch(self, asked: dict[str, Any]) -> Held:
        body: dict[str, Any] = {
            "id": self.new_id("batch"), "object": "batch", "endpoint": asked["endpoint"], "status": "validating",
            "input_file_id": asked["input_file_id"], "completion_window": "24h", "created_at": int(time.time()),
            "metadata": asked.get("metadata"), "output_file_id": None, "error_file_id": None, "errors": None,
            "request_counts": None,
        }  # fmt: skip
        held = Held(body=body, made=time.monotonic(), listings=self.listings["batches"])
        self.batches[body["id"]] = held
        return held

    def look_at_batch(self, held: Held) -> dict[str, Any]:
        held.looks += 1
        if held.looks < self.habits.batch_looks:
            held.body["status"] = "in_progress"
        elif held.body["status"] != self.habits.batch_end:
            held.body["status"] = self.habits.batch_end
            if self.habits.batch_end in {"completed", "expired", "cancelled"}:
                self._finish_batch(held)
        return held.body

    def _finish_batch(self, held: Held) -> None:
        rows = [json.loads(line) for line in self.files[held.body["input_file_id"]].content.splitlines()]
        habits, good, bad = self.habits, list[str](), list[str]()
        for number, row in enumerate(rows, start=1):
            if habits.batch_drop and number % habits.batch_drop == 0:
                continue
            failed = habits.batch_fail and number % habits.batch_fail == 0
            self.chats["batch"] += 1
            body = {"error": error_body("batch row failed", "server_error")} if failed else chat_body(row["body"])
            response = {"status_code": 500 if failed else 200, "request_id": "r", "body": body}
            line = {"id": f"br-{number}", "custom_id": row["custom_id"], "response": response, "error": None}
            (bad if failed else good).append(json.dumps(line))
        for name, lines in (("output_file_id", good), ("error_file_id", bad)):
            if lines:
                content = ("\n".join(lines) + "\n").encode()
                held.body[name] = self.add_file(content, f"{name}.jsonl", "batch_output", "processed").body["id"]


def chat_body(asked: dict[str, Any]) -> dict[str, Any]:
    """Return a chat completion that echoes the prompt, so that a lost or mixed-up answer shows.

    A task of a judge or of a synthesis is done by the sandbox's writer.
    """
    prompt = str(asked["messages"][-1]["content"])
    schema = asked.get("response_format", {}).get("json_schema", {}).get("schema")
    tasked = prompt.startswith("Task: ")
    text = write(prompt, seed=int(asked.get("seed") or 0), schema=schema) if tasked else f"answer to {prompt}"
    usage = {"prompt_tokens": len(prompt) // 4 + 1, "completion_tokens": len(text) // 4 + 1}
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": int(time.time()), "model": asked["model"],
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "logprobs": None, "finish_reason": "stop"}
        ],
        "usage": usage | {"total_tokens": sum(usage.values())},
    }  # fmt: skip


def error_body(message: str, kind: str, code: str | None = None) -> dict[str, Any]:
    """Return OpenAI's error object."""
    return {"message": message, "type": kind, "param": None, "code": code}
