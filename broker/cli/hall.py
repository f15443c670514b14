"""The voting page while `broker vote` serves it: its links, and how the vote goes."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio

from broker.cli import context
from broker.cli.output import OUT
from broker.errors import StoreError, UserError
from broker.jobs.blocking import blocking
from broker.server.config import is_loopback

if TYPE_CHECKING:
    from broker.voting import Booth

_LOOK_S = 1.0
_EVERY_ADDRESS = frozenset({"0.0.0.0", "::", "[::]"})


class Hall:
    """A server for one vote."""

    def __init__(self, booth: Booth, voters: int | None) -> None:
        """Keep the parts.

        Args:
            booth: What is voted on.
            voters: So many personal links; None is one link for everybody.
        """
        self._booth = booth
        self._voters = voters
        self._told = {"voters": 0, "voting": 0, "done": 0, "votes": 0}

    def hold(self, host: str, port: int | None, base: str | None) -> None:
        """Serve until Ctrl-C.

        Args:
            host: Address to listen on.
            port: Port; None is the last one of this vote when it is free, else any.
            base: What links begin with, behind a proxy; None is where it listens.

        Raises:
            UserError: The address cannot be bound.
            MissingExtraError: The extra `server` is not installed.
        """
        anyio.run(self._hold, host, port, base)

    async def _hold(self, host: str, port: int | None, base: str | None) -> None:
        last = self._booth.book.port or 0
        try:
            await self._serve(host, last if port is None else port, base)
        except UserError:
            if port is not None or not last:
                raise
            await self._serve(host, 0, base)  # somebody else has the last one now

    async def _serve(self, host: str, port: int, base: str | None) -> None:
        from broker.server.voting import VoteConfig, build_server

        listening = anyio.Event()
        found: list[str] = []

        def started(url: str) -> None:
            found.append(url)
            listening.set()

        allowed = (urlsplit(base).hostname or "",) if base else ()
        server = build_server(self._booth, VoteConfig(host=host, port=port, allowed_hosts=allowed), started=started)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._attend, listening, found, host, base)
                await server.serve()
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise context.plain(group) from None

    async def _attend(self, listening: anyio.Event, found: list[str], host: str, base: str | None) -> None:
        """Give out the links once the server listens, then say how the vote goes."""
        await listening.wait()
        await blocking(self._book_links, host, found[0], base)
        while True:
            try:
                self._say(await blocking(self._booth.progress))
            except StoreError as error:  # voters are told too, and what was stored stays
                OUT.warn(str(error))
            await anyio.sleep(_LOOK_S)

    def _say(self, now: dict[str, int]) -> None:
        """Say when somebody came or is done."""
        if (now["voters"], now["done"]) != (self._told["voters"], self._told["done"]):
            self._told = now
            OUT.note(f"{now['voters']} joined · {now['voting']} voting · {now['done']} done · {now['votes']} votes")

    def _book_links(self, host: str, url: str, base: str | None) -> None:
        """Make the links and tell them."""
        book = self._booth.book
        book.keep_port(urlsplit(url).port or 0)
        root = base or _reachable(host, url)
        if self._voters is None:
            links = [f"{root}/join/{book.invite()}"]
        else:
            links = [f"{root}/v/{book.join()[1]}" for _ in range(self._voters)]
        self._tell(links, safe=is_loopback(host) or root.startswith("https://"))

    def _tell(self, links: list[str], *, safe: bool) -> None:
        ballot, pair = self._booth.ballot, self._booth.ballot.pair
        if OUT.json:
            about = {"prompts": len(ballot.rows), "left_out": dict(ballot.left_out), "criterion": ballot.criterion}
            OUT.line({"links": links, "everybody": self._voters is None, **about})
            return
        OUT.say(f"{pair.left_label} and {pair.right_label}, blind: “{ballot.criterion}”")
        OUT.say(f"{len(ballot.rows)} prompts" + "".join(f"; {n} left out: {why}" for why, n in ballot.left_out.items()))
        OUT.say("one link for everybody:" if self._voters is None else "one link for each voter:")
        for link in links:
            OUT.console.print(f"  {link}", highlight=False, markup=False, soft_wrap=True)
        if not safe:
            OUT.warn(
                "links and votes go over the network in the clear: use an SSH tunnel, or a proxy with TLS and --url"
            )
        OUT.note("every vote is stored at once; Ctrl-C ends and counts", style="dim")


def _reachable(host: str, url: str) -> str:
    """Return a URL that others can open, where the server listens on every address."""
    if host not in _EVERY_ADDRESS:
        return url
    return f"http://{socket.gethostname()}:{urlsplit(url).port}"
