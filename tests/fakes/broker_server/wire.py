"""OpenAI's wire protocol as a judge: each answer of the server against the published schema."""

from __future__ import annotations

import copy
import os
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

SPEC = "openai-finetune-subset-observed.yaml"
# What every operation of ours may answer besides its success, with OpenAI's error object.
ERRORS = ("400", "401", "403", "404", "405", "409", "413", "422", "429", "503")


def spec_path(name: str = SPEC) -> Path | None:
    """Return the published protocol, where `BROKER_TEST_DATA` says it is."""
    folder = os.environ.get("BROKER_TEST_DATA")
    path = Path(folder) / "specs" / name if folder else None
    return path if path is not None and path.is_file() else None


@cache
def load_wire(name: str = SPEC) -> Wire | None:
    """Return the judge, or None without `BROKER_TEST_DATA`."""
    path = spec_path(name)
    return None if path is None else Wire(yaml.safe_load(path.read_text("utf-8")))


class Wire:
    """The published protocol."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._routes: list[tuple[list[str], str]] = [(path.strip("/").split("/"), path) for path in document["paths"]]

    def check(self, method: str, path: str, status: int, body: Any) -> None:
        """Check one JSON answer.

        Args:
            method: `GET`, …
            path: Behind `/v1`.
            status: Of the answer.
            body: Parsed.
        """
        schema = {"$ref": "#/components/schemas/ErrorResponse"} if status >= 400 else self._success(method, path)
        self._validate(schema, body)
        if status >= 400:
            assert set(body["error"]) == {"message", "type", "param", "code"}, body

    def check_as(self, name: str, body: Any) -> None:
        """Check an object against a schema by its name."""
        self._validate({"$ref": f"#/components/schemas/{name}"}, body)

    def with_errors(self) -> dict[str, Any]:
        """Return the protocol with our error statuses on every operation, and no `default` that excuses all."""
        document = copy.deepcopy(self.document)
        answer = {
            "description": "error",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}},
        }
        for operations in document["paths"].values():
            for name, operation in operations.items():
                if name in ("get", "post", "delete"):
                    operation["responses"].pop("default", None)
                    operation["responses"].update(dict.fromkeys(ERRORS, answer))
        return document

    def _success(self, method: str, path: str) -> dict[str, Any]:
        operation = self.document["paths"][self._template(path)][method.lower()]
        schema: dict[str, Any] = operation["responses"]["200"]["content"]["application/json"]["schema"]
        return schema

    def _template(self, path: str) -> str:
        parts = path.strip("/").split("/")
        if parts[0] == "models" and len(parts) > 1:
            return "/models/{model}"
        for pattern, template in self._routes:
            if len(pattern) == len(parts) and all(
                want == got or want.startswith("{") for want, got in zip(pattern, parts, strict=True)
            ):
                return template
        raise AssertionError(f"the protocol has no {path}")

    def _validate(self, schema: dict[str, Any], body: Any) -> None:
        whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, **self._components()}
        jsonschema.validate(body, whole)

    def _components(self) -> dict[str, Any]:
        return {"components": self.document["components"]}
