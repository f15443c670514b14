"""A scenario: what the server does, when brokers die, and what must be true at the end whatever happened."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

CREATE, UPLOAD = "POST /fine_tuning/jobs", "POST /files"
# Faults after the server has made the job or the file.
MADE = ("lose", "500_after", "409_after", "late", "reset", "half_json", "half_json_clean", "html_after", "slow")
# Faults by which the server loses the request.
NOT_MADE = ("reset_before", "500_before", "409_before", "503_before")
# Certain refusals that pass.
PASSING = ("429",)
READS = ("GET /fine_tuning/jobs", "GET /files", "GET /fine_tuning/jobs/ft", "GET /files/file")
POINTS = (
    "before:claim", "after:claim", "before:transition", "after:transition", "before:record_intent",
    "after:record_intent", "before:prepare", "before:upload", "before:remember_upload", "after:remember_upload",
    "after:forget_upload", "after:prepare", "before:record_send", "after:record_send", "before:submit", "after:submit",
    "before:record_handle", "after:record_handle", "before:poll", "after:poll", "before:append_events",
    "after:append_events", "before:find", "after:find", "after:update", "before:release", "before:record_unsent",
    "after:record_unsent",
)  # fmt: skip


@dataclass
class Scenario:
    """One run.

    Attributes:
        name: Shown when it fails.
        jobs: How many jobs.
        same_data: All train on the same rows.
        brokers: How many broker processes share the store.
        habits: Of the server.
        rules: Its faults.
        deaths: For each life of the first broker but the last, when it dies: [step, nth] or [seconds].
    """

    name: str
    jobs: int = 1
    same_data: bool = True
    brokers: int = 1
    habits: dict[str, Any] = field(default_factory=dict[str, Any])
    rules: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    deaths: list[list[Any]] = field(default_factory=list[list[Any]])


def rule(call: str, fault: str, nth: list[int]) -> dict[str, Any]:
    """Return a fault in the form the server takes; `late` and `slow` outlast the broker's patience."""
    exact = not call.endswith(("/ft", "/file"))
    return {"call": call, "fault": fault, "nth": nth, "exact": exact, "options": {"delay_s": 1.5, "retry_after": 0.1}}


def named() -> list[Scenario]:
    """Return one death at every point, each with another fault of the creating call or none, and double deaths."""
    faults = ("", *MADE[:6], "reset_before")
    found: list[Scenario] = []
    for number, point in enumerate(POINTS):
        fault = faults[number % len(faults)]
        if "unsent" in point:
            fault = "429"
        elif "find" in point or "update" in point:
            fault = "lose"
        rules = [rule(CREATE, fault, [1])] if fault else []
        found.append(Scenario(name=f"{point} with {fault or 'no fault'}", rules=rules, deaths=[[point, 1]]))
    for fault in MADE[:6]:
        deaths: list[list[Any]] = [["after:record_send", 1], ["before:find", 1], ["after:find", 1]]
        found.append(Scenario(name=f"three deaths with {fault}", rules=[rule(CREATE, fault, [1])], deaths=deaths))
    return found


def chance(seed: int) -> Scenario:
    """Return a random scenario."""
    dice = random.Random(seed)
    rules = [rule(CREATE, fault, [nth]) for nth, fault in enumerate(_creates(dice), start=1) if fault]
    if dice.random() < 0.4:
        rules.append(rule(UPLOAD, dice.choice([*MADE, *NOT_MADE, *PASSING]), [dice.randint(1, 2)]))
    if dice.random() < 0.4:
        fault = dice.choice(["500_before", "reset", "half_json", "429", "html"])
        rules.append(rule(dice.choice(READS), fault, sorted(dice.sample(range(1, 9), 2))))
    habits: dict[str, Any] = {
        "looks": dice.randint(1, 4),
        "list_lag_s": dice.choice([0.0, 0.0, 0.2, 0.4]),
        "ignore_filter": dice.random() < 0.3,
        "odd": dice.random() < 0.3,
        "file_status": dice.choice(["processed", "processed", "pending"]),
    }
    return Scenario(
        name=f"seed {seed}",
        jobs=dice.choice([1, 1, 2, 4]),
        same_data=dice.random() < 0.7,
        brokers=dice.choice([1, 1, 2]),
        habits=habits,
        rules=rules,
        deaths=[_death(dice) for _ in range(dice.choice([0, 1, 1, 2, 3]))],
    )


def _creates(dice: random.Random) -> list[str]:
    """Return the fate of the first creating calls; the server loses at most one in a row, or a job may end as lost."""
    fates: list[str] = []
    for _ in range(dice.randint(0, 4)):
        kinds = ["", dice.choice(MADE), dice.choice(PASSING)]
        if not fates or fates[-1] not in NOT_MADE:
            kinds.append(dice.choice(NOT_MADE))
        fates.append(dice.choice(kinds))
    return fates


def _death(dice: random.Random) -> list[Any]:
    if dice.random() < 0.3:
        return [round(dice.uniform(0.02, 1.2), 3)]
    return [dice.choice(POINTS), dice.choice([1, 1, 1, 2, 3])]
