"""`python -m tests.fakes.gemini_server [--port 0] [--answers MODULE:FUNCTION] [--habits JSON] [--rules JSON]`.

Prints one line of JSON with its `url`, and runs until it is killed. `GET /_control/ledger` shows what was paid;
`POST /_control/rules` with `{"rules": [...], "habits": {...}}` changes the faults, `POST /_control/clear` forgets all.
"""

from __future__ import annotations

import argparse
import json
from importlib import import_module

from tests.fakes.gemini_server.answers import Answering, echo
from tests.fakes.gemini_server.app import build
from tests.fakes.gemini_server.faults import Rule
from tests.fakes.gemini_server.state import Habits, State
from tests.fakes.openai_server.running import server_of


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--answers", default="")
    parser.add_argument("--habits", type=json.loads, default={})
    parser.add_argument("--rules", type=json.loads, default=[])
    asked = parser.parse_args()
    rules = [Rule(**rule) for rule in asked.rules]
    state = State(habits=Habits(**asked.habits), answering=_writer(asked.answers), rules=rules)
    server, listening = server_of(build(state), port=asked.port)
    print(json.dumps({"url": f"http://127.0.0.1:{listening.getsockname()[1]}"}), flush=True)  # noqa: T201 - its answer
    server.run(sockets=[listening])


def _writer(name: str) -> Answering:
    if not name:
        return echo
    module, _, function = name.partition(":")
    found: Answering = getattr(import_module(module), function)
    return found


main()
