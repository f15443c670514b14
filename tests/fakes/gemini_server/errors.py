"""Google's error objects: `google.rpc.Status` with its details, as the Gemini API sends them."""

from __future__ import annotations

from typing import Any

_TYPE = "type.googleapis.com/google.rpc."
LIMITS_PAGE = "https://ai.google.dev/gemini-api/docs/rate-limits"
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


class Refusal(Exception):
    """What the server answers in place of a result."""

    def __init__(self, code: int, message: str, *details: dict[str, Any], status: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.body = body(code, message, *details, status=status)


def body(code: int, message: str, *details: dict[str, Any], status: str = "") -> dict[str, Any]:
    """Return the body of an error."""
    error: dict[str, Any] = {"code": code, "message": message, "status": status or STATUSES[code]}
    if details:
        error["details"] = list(details)
    return {"error": error}


def unknown_field(name: str, place: str) -> Refusal:
    """Return the refusal of a field that the message does not have."""
    at = f" at '{place}'" if place else ""
    said = f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.'
    return _bad_request(place, said)


def bad_value(place: str, kind: str, value: object) -> Refusal:
    """Return the refusal of a value of the wrong type."""
    return _bad_request(place, f"Invalid value at '{place}' ({kind}), {value!r}")


def out_of_place(place: str, why: str) -> Refusal:
    """Return the refusal of a request whose parts do not fit."""
    return Refusal(400, f"* GenerateContentRequest.{place}: {why}\n")


def bad_key() -> Refusal:
    """Return the refusal of an unknown key: Google says 400, not 401."""
    said = "API key not valid. Please pass a valid API key."
    return Refusal(400, said, _key_info("API_KEY_INVALID"), _localized(said))


def no_key() -> Refusal:
    """Return the refusal of a call without a key."""
    return Refusal(
        403,
        "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other "
        "form of API consumer identity to call this API.",
    )


def unknown_model(model: str, version: str, method: str) -> Refusal:
    """Return the refusal of a model that is gone or never was."""
    said = (
        f"{model} is not found for API version {version}, or is not supported for {method}. Call ListModels to see the "
        "list of available models and their supported methods."
    )
    return Refusal(404, said)


def no_file(name: str) -> Refusal:
    """Return the refusal of a file that is not there: Google says 403, not 404."""
    said = f"You do not have permission to access the File {name.removeprefix('files/')} or it may not exist."
    return Refusal(403, said)


def exhausted(model: str, *, retry_s: float | None, per_day: bool = False, limit: int = 10) -> Refusal:
    """Return a 429: the quota that is used up, and when to come back."""
    period = "Day" if per_day else "Minute"
    metric = "generativelanguage.googleapis.com/generate_content_paid_tier_requests"
    violation = {
        "quotaMetric": metric,
        "quotaId": f"GenerateRequestsPer{period}PerProjectPerModel",
        "quotaDimensions": {"location": "global", "model": model.removeprefix("models/")},
        "quotaValue": str(limit),
    }
    said = (
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        f"error, head to: {LIMITS_PAGE}.\n* Quota exceeded for metric: {metric}, limit: {limit}"
    )
    details: list[dict[str, Any]] = [
        {"@type": _TYPE + "QuotaFailure", "violations": [violation]},
        {"@type": _TYPE + "Help", "links": [{"description": "Learn more about Gemini API quotas", "url": LIMITS_PAGE}]},
    ]
    if retry_s is not None:
        said += f"\nPlease retry in {retry_s:.9f}s."
        details.append({"@type": _TYPE + "RetryInfo", "retryDelay": duration(retry_s)})
    return Refusal(429, said, *details)


def named(fault: str, model: str, options: dict[str, Any]) -> Refusal:
    """Return the refusal that a fault asks for."""
    if fault == "400_key":
        return bad_key()
    if fault in {"429", "429_day"}:
        retry_s = options.get("retry_s", 0.05)
        return exhausted(model, retry_s=retry_s, per_day=fault == "429_day", limit=int(options.get("limit", 10)))
    if fault == "400_location":
        said = "User location is not supported for the API use."
        return Refusal(400, said, status="FAILED_PRECONDITION")
    code = int(fault.split("_")[0])
    said = {
        400: "The input token count (1234567) exceeds the maximum number of tokens allowed (1048576).",
        401: "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
        "valid authentication credential.",
        403: "Your API key was reported as leaked. Please use another API key.",
        404: f"{model} is not found for API version v1beta, or is not supported for generateContent.",
        429: "Resource has been exhausted (e.g. check quota).",
        500: "An internal error has occurred. Please retry or report in "
        "https://developers.generativeai.google/guide/troubleshooting",
        503: "The model is overloaded. Please try again later.",
    }[code]
    return Refusal(code, str(options.get("message", said)))


def duration(seconds: float) -> str:
    """Return seconds as protobuf's JSON writes a Duration: with no, three, six or nine places."""
    whole, nanos = divmod(round(seconds * 1e9), 10**9)
    places = next(places for places in (0, 3, 6, 9) if nanos % 10 ** (9 - places) == 0)
    return f"{whole}.{nanos:09d}"[: len(str(whole)) + bool(places) + places] + "s"


def _bad_request(field: str, said: str) -> Refusal:
    violation = {"field": field, "description": said} if field else {"description": said}
    return Refusal(400, said, {"@type": _TYPE + "BadRequest", "fieldViolations": [violation]})


def _key_info(reason: str) -> dict[str, Any]:
    service = {"service": "generativelanguage.googleapis.com"}
    return {"@type": _TYPE + "ErrorInfo", "reason": reason, "domain": "googleapis.com", "metadata": service}


def _localized(said: str) -> dict[str, Any]:
    return {"@type": _TYPE + "LocalizedMessage", "locale": "en-US", "message": said}
