"""`python -m tests.fakes.openai_server PORT_FILE`: the fake as a process; writes its port and runs until killed."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.fakes.openai_server.app import build
from tests.fakes.openai_server.running import server_of
from tests.fakes.openai_server.state import State


def main() -> None:
    server, listening = server_of(build(State()))
    port_file = Path(sys.argv[1])
    written = port_file.with_suffix(".new")
    written.write_text(str(listening.getsockname()[1]))
    written.rename(port_file)
    server.run(sockets=[listening])


main()
