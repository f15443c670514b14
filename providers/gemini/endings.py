"""Why an answer ended, in the broker's words: the one table of Gemini's finish reasons, block reasons, batch states.

Only `stop` and `length` are answers; everything else is a failure with its reason. A word that is missing here arrives
as Gemini wrote it, in lower case, and is a failure too. Tests walk the SDK's own enums, so that a new word fails there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

STOP, LENGTH, BLOCKED, REPETITION = "stop", "length", "blocked", "repetition"
# Nothing came, and nobody says that the prompt was blocked: it may be asked again.
NO_CANDIDATES = "no_candidates"
# The only finish reasons of an answer.
GOOD = frozenset({"STOP", "MAX_TOKENS"})

ENDINGS: Mapping[str, str] = {
    "STOP": STOP,
    "MAX_TOKENS": LENGTH,
    "SAFETY": "safety",
    "RECITATION": "recitation",
    "MALFORMED_RESPONSE": "malformed",
    "MALFORMED_FUNCTION_CALL": "malformed",
    "UNEXPECTED_TOOL_CALL": "malformed",
    "TOO_MANY_TOOL_CALLS": "malformed",
    "MISSING_THOUGHT_SIGNATURE": "malformed",
    # Kept as they are: each is a reason of its own.
    "FINISH_REASON_UNSPECIFIED": "finish_reason_unspecified",
    "LANGUAGE": "language",
    "OTHER": "other",
    "BLOCKLIST": "blocklist",
    "PROHIBITED_CONTENT": "prohibited_content",
    "SPII": "spii",
    "IMAGE_SAFETY": "image_safety",
    "IMAGE_PROHIBITED_CONTENT": "image_prohibited_content",
    "IMAGE_OTHER": "image_other",
    "NO_IMAGE": "no_image",
    "IMAGE_RECITATION": "image_recitation",
    "ESCALATION": "escalation",
    "PUP_LIMITED_DISABLED": "pup_limited_disabled",
    "CONTINUATION": "continuation",
    "MODEL_ARMOR": "model_armor",
}

EXPLAINED: Mapping[str, str] = {
    "SAFETY": "the answer was stopped by the safety filter",
    "RECITATION": "the answer recited a source too closely",
    "LANGUAGE": "the answer is in a language that the model does not support",
    "OTHER": "Gemini gave no further reason",
    "BLOCKLIST": "the answer holds a blocked term",
    "PROHIBITED_CONTENT": "the answer may hold prohibited content",
    "SPII": "the answer may hold sensitive personal data",
    "MALFORMED_RESPONSE": "the model's answer could not be read",
    "MALFORMED_FUNCTION_CALL": "the model made a function call that could not be read",
    "ESCALATION": "the request was filtered by an escalation rule",
    "PUP_LIMITED_DISABLED": "the account is limited by Google's prohibited-use policy",
    "CONTINUATION": "the answer reached a limit of the service before its end",
    "FINISH_REASON_UNSPECIFIED": "the answer came without a finish reason",
}

BLOCKS: Mapping[str, str] = {
    "BLOCKED_REASON_UNSPECIFIED": "no reason was given",
    "BLOCK_REASON_UNSPECIFIED": "no reason was given",
    "SAFETY": "the safety filter",
    "OTHER": "Gemini gave no further reason",
    "BLOCKLIST": "a blocked term",
    "PROHIBITED_CONTENT": "prohibited content",
    "IMAGE_SAFETY": "the safety filter for images",
    "MODEL_ARMOR": "Model Armor",
    "JAILBREAK": "it looks like a jailbreak attempt",
}

BATCH_ENDS: Mapping[str, bool] = {
    "JOB_STATE_UNSPECIFIED": False,
    "JOB_STATE_QUEUED": False,
    "JOB_STATE_PENDING": False,
    "JOB_STATE_RUNNING": False,
    "JOB_STATE_CANCELLING": False,
    "JOB_STATE_PAUSED": False,
    "JOB_STATE_UPDATING": False,
    "JOB_STATE_SUCCEEDED": True,
    "JOB_STATE_PARTIALLY_SUCCEEDED": True,
    "JOB_STATE_FAILED": True,
    "JOB_STATE_CANCELLED": True,
    "JOB_STATE_EXPIRED": True,
}
"""Whether a batch in this state has ended; one that is missing here goes on."""


def ending(reason: str) -> str:
    """Return the broker's word for a finish reason.

    Args:
        reason: As Gemini sent it; an unknown one comes back in lower case.
    """
    if "REPETITION" in reason.upper():
        return REPETITION
    return ENDINGS.get(reason, reason.lower())
