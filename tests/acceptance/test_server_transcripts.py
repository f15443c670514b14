"""The page about the server shows what the server does."""

from __future__ import annotations

import json
import re
import shutil
from typing import Any

import pytest

from broker.server.app import PATHS
from tests.acceptance.server_transcripts import DOCUMENT, MARK, SHOWN, tell

BLOCK = re.compile(r"```console\n\$ (?P<command>[^\n]+)\n(?P<said>.*?)\n```", re.DOTALL)


ID = re.compile(r"[a-z]+[-_:][0-9a-z]{24}|(?<=casual:)[0-9a-z]{8}")


def anonymous(command: str) -> str:
    return ID.sub("ID", command)


def shape(value: Any) -> Any:
    """Return the keys of an answer, all the way down; numbers, words and the length of lists may differ."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items() if key != "data" or inner}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return None


def shapes(said: str) -> list[Any]:
    found: list[Any] = []
    for line in said.splitlines():
        try:
            found.append(shape(json.loads(line.removeprefix("data: "))))
        except ValueError:
            found.append(None)
    return found


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_every_transcript_is_true() -> None:
    page = MARK.search(DOCUMENT.read_text("utf-8"))
    assert page is not None
    shown = [(found["command"], found["said"]) for found in BLOCK.finditer(page.group())]
    told = [entry for _, chapter in tell() for entry in chapter]
    assert [anonymous(command) for command, _ in shown] == [anonymous(command) for command, _ in told]
    for (command, before), (_, now) in zip(shown, told, strict=True):
        assert shapes(before) == shapes(now.strip()), command


def test_every_path_has_a_transcript() -> None:
    shown = {anonymous(found["command"]) for found in BLOCK.finditer(DOCUMENT.read_text("utf-8"))}
    for path, methods in PATHS.items():
        for method in methods:
            pattern = re.compile(re.sub(r"\{[a-z_:]+\}", "[^ /?']+", SHOWN + path) + r"(['? ]|$)")
            deleting = method == "DELETE"
            fits = [line for line in shown if pattern.search(line) and ("-X DELETE" in line) == deleting]
            posted = [command for command in fits if re.search(r" (-X POST|-d|-F) ", command)]
            assert posted if method == "POST" else set(fits) - set(posted), f"{method} {path}"
