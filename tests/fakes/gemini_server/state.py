"""What the server holds, and the ledger by which the broker is judged."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.fakes.gemini_server.answers import Answering, echo, prompt_of
from tests.fakes.gemini_server.faults import ANSWERS, Rule
from tests.fakes.gemini_server.replies import faulty, reply

_GONE = ("gemini-2.0-flash-001", "gemini-2.0-flash", "gemini-1.5-flash")
_FILE_LIFE = timedelta(hours=48)


@dataclass(slots=True)
class Habits:
    """How this server behaves, apart from faults.

    Attributes:
        key: The API key it wants; empty takes any that is given.
        versions: API versions it serves.
        models: Models it serves; empty is every name but those of `gone`.
        gone: Models that were shut down.
        latency_s: Time that an answer takes.
        requests_per_minute: Limit of `generateContent`; 0 is none.
        window_s: The limit counts the requests of so many last seconds; 0 is a bucket that fills all the time.
        burst: Size of that bucket; 0 is one second's worth.
        whole_seconds: `retryDelay` is rounded up to whole seconds, as Google often does.
        retry_info: A 429 says when to come back.
        most_at_once: Requests in work at once before it answers 503; 0 is no limit.
        batch_looks: Looks until a batch has ended.
        batch_end: Its state then, without `BATCH_STATE_`.
        batch_state: A raw state that every batch has, whatever it does.
        row_keys: `none`: inline rows come back without their keys, in order, as Gemini does at times; `some`: every
            other one, in another order.
        list_lag: Listings for which a new batch stays invisible.
        list_lag_s: Seconds likewise.
        page_most: Largest page of a listing.
        inline_bytes: Largest body of a batch with inline requests.
        file_looks: Looks until a file is ACTIVE.
    """

    key: str = ""
    versions: tuple[str, ...] = ("v1beta",)
    models: tuple[str, ...] = ()
    gone: tuple[str, ...] = _GONE
    latency_s: float = 0.0
    requests_per_minute: float = 0.0
    window_s: float = 0.0
    burst: float = 0.0
    whole_seconds: bool = False
    retry_info: bool = True
    most_at_once: int = 0
    batch_looks: int = 2
    batch_end: str = "SUCCEEDED"
    batch_state: str = ""
    row_keys: str = ""
    list_lag: int = 0
    list_lag_s: float = 0.0
    page_most: int = 1000
    inline_bytes: int = 20 * 1024 * 1024
    file_looks: int = 0


@dataclass(frozen=True, slots=True)
class Paid:
    """One answer that was made, whether or not it arrived.

    Attributes:
        number: Counted from 1.
        at: Seconds since 1970.
        prompt: Text of the last turn.
        key: Hash of the whole request: the same question, asked in the same way.
        model: The model asked.
        fault: What went wrong, if anything.
        delivered: It went out whole.
        batch: The batch it belongs to.
    """

    number: int
    at: float
    prompt: str
    key: str
    model: str
    fault: str = ""
    delivered: bool = True
    batch: str = ""


@dataclass(slots=True)
class Batch:
    """One batch."""

    name: str
    model: str
    display_name: str
    requests: list[tuple[str, dict[str, Any]]]
    inline: bool
    made: float
    listings: int
    created: datetime
    state: str = "PENDING"
    looks: int = 0
    output: dict[str, Any] = field(default_factory=dict[str, Any])
    good: int = 0
    bad: int = 0


@dataclass(slots=True)
class File:
    """One file."""

    name: str
    display_name: str
    mime_type: str
    content: bytes
    created: datetime
    source: str = "UPLOADED"
    looks: int = 0


@dataclass(slots=True)
class State:
    """Everything the server holds."""

    habits: Habits = field(default_factory=Habits)
    answering: Answering = echo
    rules: list[Rule] = field(default_factory=list[Rule])
    batches: dict[str, Batch] = field(default_factory=dict[str, Batch])
    files: dict[str, File] = field(default_factory=dict[str, File])
    uploads: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    calls: Counter[str] = field(default_factory=Counter[str])
    statuses: Counter[int] = field(default_factory=Counter[int])
    paid: list[Paid] = field(default_factory=list[Paid])
    bodies: deque[dict[str, Any]] = field(default_factory=lambda: deque[dict[str, Any]](maxlen=1000))
    listings: int = 0
    limited: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    level: float = -1.0
    level_at: float = 0.0
    sent: deque[float] = field(default_factory=deque[float])
    serial: int = 0
    # What passed and does not fit the wire, either way (`wire.Witness`).
    breaches: list[str] = field(default_factory=list[str])

    def reset(self) -> None:
        """Forget everything but the writer; ids go on, so that nobody takes an old one for a new one."""
        fresh = State(serial=self.serial, answering=self.answering, breaches=self.breaches)
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))

    def new_id(self) -> str:
        self.serial += 1
        return f"{self.serial:06d}{hashlib.sha256(str(self.serial).encode()).hexdigest()[:12]}"

    # --- the ledger -----------------------------------------------------------------------------------------------

    def ledger(self) -> dict[str, Any]:
        """Return what is counted."""
        return {
            "paid": [asdict(one) for one in self.paid],
            "answers_per_prompt": dict(self.answers_per_prompt()),
            "asked_twice": self.asked_twice(),
            "batches_per_display_name": dict(Counter(batch.display_name for batch in self.batches.values())),
            "calls": dict(self.calls),
            "statuses": {str(code): count for code, count in self.statuses.items()},
            "limited": self.limited,
            "most_in_flight": self.most_in_flight,
            "breaches": self.breaches,
        }

    def answers_per_prompt(self) -> Counter[str]:
        """Return how many answers were made for each prompt."""
        return Counter(one.prompt for one in self.paid)

    def asked_twice(self) -> list[str]:
        """Return the prompts of questions that were asked again though a good answer had been delivered whole."""
        good: set[str] = set()
        again: list[str] = []
        for one in self.paid:
            if one.key in good:
                again.append(one.prompt)
            if one.delivered and not one.fault:
                good.add(one.key)
        return again

    # --- answering ------------------------------------------------------------------------------------------------

    def grant(self) -> float | None:
        """Take one request from the limit; None when it may pass, else seconds until one may."""
        habits, now = self.habits, time.monotonic()
        if not habits.requests_per_minute:
            return None
        rate = habits.requests_per_minute / 60
        wait_s = self._window(habits.window_s, rate, now) if habits.window_s else self._bucket(rate, now)
        self.limited += wait_s is not None
        return wait_s

    def _window(self, window_s: float, rate: float, now: float) -> float | None:
        while self.sent and self.sent[0] <= now - window_s:
            self.sent.popleft()
        if len(self.sent) < max(1, int(rate * window_s)):
            self.sent.append(now)
            return None
        return self.sent[0] + window_s - now

    def _bucket(self, rate: float, now: float) -> float | None:
        size = self.habits.burst or max(1.0, rate)
        if self.level < 0:
            self.level, self.level_at = size, now
        self.level = min(size, self.level + rate * (now - self.level_at))
        self.level_at = now
        if self.level >= 1:
            self.level -= 1
            return None
        return (1 - self.level) / rate

    def answer(
        self, request: dict[str, Any], rule: Rule | None = None, *, delivered: bool = True, batch: str = ""
    ) -> dict[str, Any]:
        """Make an answer and write it into the ledger."""
        whole = reply(request, self.answering, self.new_id())
        fault = rule.fault if rule else ""
        key = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:16]
        self.paid.append(
            Paid(
                number=len(self.paid) + 1, at=time.time(), prompt=prompt_of(request), key=key, delivered=delivered,
                model=request["model"].removeprefix("models/"), fault=fault, batch=batch,
            )
        )  # fmt: skip
        return faulty(fault, rule.options, request, whole) if rule and fault in ANSWERS else whole

    # --- batches and files ----------------------------------------------------------------------------------------

    def add_batch(
        self, model: str, display_name: str, requests: list[tuple[str, dict[str, Any]]], inline: bool
    ) -> Batch:
        name = f"batches/{self.new_id()}"
        made = Batch(
            name=name, model=model, display_name=display_name, requests=requests, inline=inline, made=time.monotonic(),
            listings=self.listings, created=datetime.now(UTC),
        )  # fmt: skip
        self.batches[name] = made
        return made

    def visible(self, batch: Batch) -> bool:
        """Say whether a listing shows a batch yet."""
        old_enough = time.monotonic() - batch.made >= self.habits.list_lag_s
        return old_enough and self.listings - batch.listings > self.habits.list_lag

    def look(self, batch: Batch) -> None:
        """Let a batch advance by one look."""
        batch.looks += 1
        if batch.state not in {"PENDING", "RUNNING"}:
            return
        batch.state = "RUNNING"
        if batch.looks >= self.habits.batch_looks:
            batch.state = self.habits.batch_end
            if batch.state in {"SUCCEEDED", "PARTIALLY_SUCCEEDED"}:
                self._finish(batch)

    def _finish(self, batch: Batch) -> None:
        rows: list[dict[str, Any]] = []
        for key, request in batch.requests:
            rule = next((rule for rule in self.rules if rule.hits("batch.row", request)), None)
            row = self._row(batch, request, rule)
            if row is None:
                continue
            batch.good, batch.bad = batch.good + ("response" in row), batch.bad + ("error" in row)
            rows.append({**row, "metadata": {"key": key}} if batch.inline else {"key": key, **row})
        if batch.inline:
            batch.output = {"inlinedResponses": {"inlinedResponses": self._without_keys(rows)}}
            return
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        name = f"files/batch-{batch.name.removeprefix('batches/')}"
        self.add_file(name, "", "application/jsonl", content, source="GENERATED")
        batch.output = {"responsesFile": name}

    def _without_keys(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        kept = {"none": 0, "some": 2}.get(self.habits.row_keys)
        if kept is None:
            return rows
        for number, row in enumerate(rows):
            if not kept or number % kept:
                del row["metadata"]
        return rows[::-1] if kept else rows

    def _row(self, batch: Batch, request: dict[str, Any], rule: Rule | None) -> dict[str, Any] | None:
        if rule and rule.fault == "row_missing":
            return None
        if rule and rule.fault == "row_error":
            code = int(rule.options.get("code", 13))
            return {"error": {"code": code, "message": str(rule.options.get("message", "Internal error."))}}
        return {"response": self.answer(request, rule, batch=batch.name)}

    def add_file(
        self, name: str, display_name: str, mime_type: str, content: bytes, *, source: str = "UPLOADED"
    ) -> File:
        made = File(name, display_name, mime_type, content, datetime.now(UTC), source)
        self.files[name] = made
        return made

    def show_file(self, file: File, base_url: str) -> dict[str, Any]:
        """Return a file as the API shows it: numbers of 64 bits are texts."""
        file.looks += 1
        digest = hashlib.sha256(file.content).hexdigest().encode()
        shown: dict[str, Any] = {
            "name": file.name,
            "mimeType": file.mime_type,
            "sizeBytes": str(len(file.content)),
            "createTime": stamp(file.created),
            "updateTime": stamp(file.created),
            "expirationTime": stamp(file.created + _FILE_LIFE),
            "sha256Hash": base64.b64encode(digest).decode(),
            "uri": f"{base_url}/v1beta/{file.name}",
            "state": "ACTIVE" if file.looks > self.habits.file_looks else "PROCESSING",
            "source": file.source,
        }
        if file.display_name:
            shown["displayName"] = file.display_name
        if file.source == "GENERATED":
            shown["downloadUri"] = f"{base_url}/v1beta/{file.name}:download?alt=media"
        return shown


def stamp(when: datetime) -> str:
    """Return a time as protobuf's JSON writes it."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
