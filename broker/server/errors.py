"""OpenAI's error object: every answer that is not a success is made here.

| status | type | used for |
|---|---|---|
| 400 | invalid_request_error | a body, parameter or file that does not fit; a step that the state does not allow |
| 401 | invalid_request_error | no token, or a wrong one |
| 403 | invalid_request_error | a page of another origin asks |
| 404 | invalid_request_error | no such path or object |
| 405 | invalid_request_error | the path knows no such method |
| 409 | invalid_request_error | the same idempotency key is being worked on |
| 413 | invalid_request_error | a body or file over the limit |
| 422 | invalid_request_error | an idempotency key used again with another body |
| 429 | requests, insufficient_quota | a token's rate or its room for files is used up |
| 500 | server_error | a mistake of ours |
| 503 | server_error | the worker or the provider behind cannot answer now |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

INVALID = "invalid_request_error"


class ApiError(Exception):
    """One error answer."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = INVALID,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Keep the parts of the answer.

        Args:
            status: HTTP status.
            message: For people.
            code: A stable word for programs.
            param: The parameter that is wrong, as `messages[0].role`.
            kind: The object's `type`.
            headers: More headers of the answer.
        """
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.kind = kind
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """Return the error object; its four keys are always there."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def invalid(message: str, *, param: str | None = None, code: str | None = "invalid_value") -> ApiError:
    """Return a 400 about one parameter."""
    return ApiError(400, message, param=param, code=code)


def unsupported(param: str, why: str) -> ApiError:
    """Return OpenAI's answer to a parameter that the model (here: this server) cannot serve."""
    message = f"Unsupported parameter: '{param}' is not supported by this server: {why}"
    return ApiError(400, message, param=param, code="unsupported_parameter")


def no_such_file(file_id: str) -> ApiError:
    """Return a 404 for a file."""
    return ApiError(404, f"No such File object: {file_id}", param="id")


def no_such_upload(upload_id: str) -> ApiError:
    """Return a 404 for an upload."""
    return ApiError(404, f"No such Upload object: {upload_id}", param="id")


def no_such_batch(batch_id: str) -> ApiError:
    """Return a 404 for a batch."""
    return ApiError(404, f"No batch found with id '{batch_id}'.", param="id")


def no_such_job(job_id: str) -> ApiError:
    """Return a 404 for a fine-tuning job."""
    message = f"Could not find fine tune: {job_id}"
    return ApiError(404, message, param="fine_tuning_job_id", code="fine_tune_not_found")


def no_such_model(model: str, why: str = "") -> ApiError:
    """Return a 404 for a model, with what stands against it where that is known."""
    message = f"The model `{model}` does not exist or you do not have access to it. {why}".strip()
    return ApiError(404, message, param="model", code="model_not_found")


def no_such_path(path: str) -> ApiError:
    """Return a 404 for a path; says so when only the `/v1` is missing."""
    hint = "" if path.startswith("/v1") else " The base URL of this server ends with /v1."
    return ApiError(404, f"Invalid URL ({path}).{hint}", code="unknown_url")


def method_not_allowed(method: str, path: str, allowed: str) -> ApiError:
    """Return a 405 with the methods that the path knows."""
    message = f"Not allowed to {method} on {path}. (HINT: this path knows {allowed})"
    return ApiError(405, message, code="method_not_supported", headers={"allow": allowed})


def too_large(what: str, limit: int, *, param: str | None = None) -> ApiError:
    """Return a 413.

    Args:
        what: What is too large, at the start of a sentence.
        limit: The most bytes allowed.
        param: The form field, if it is one.
    """
    return ApiError(413, f"{what} is over the limit of {limit} bytes.", param=param, code="content_too_large")


def wrong_token(shown: str | None) -> ApiError:
    """Return a 401; of the token only its ends are repeated.

    Args:
        shown: The token that came, or None when none did.
    """
    headers = {"www-authenticate": 'Bearer realm="broker"'}
    if shown is None:
        message = "You didn't provide an API key: send an Authorization header, 'Bearer YOUR_TOKEN'."
        return ApiError(401, message, headers=headers)
    hidden = f"{shown[:3]}***{shown[-2:]}" if len(shown) > 16 and shown.isascii() and shown.isprintable() else "***"
    message = f"Incorrect API key provided: {hidden}. The server's owner makes one by `broker serve --new-token NAME`."
    return ApiError(401, message, code="invalid_api_key", headers=headers)


def server_error(request_id: str) -> ApiError:
    """Return a 500 that names the line in the log, and nothing of what happened."""
    message = f"The server had an error while processing your request. It is in the log under {request_id}."
    return ApiError(500, message, kind="server_error")


def unavailable(message: str, *, retry_after_s: float | None = None) -> ApiError:
    """Return a 503."""
    headers = {} if retry_after_s is None else {"retry-after": str(max(1, round(retry_after_s)))}
    return ApiError(503, message, kind="server_error", code="unavailable", headers=headers)
