"""How a server is set up: one frozen value, made by the command line or by a program."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

_MIB = 1024 * 1024
DEFAULT_PORT = 8100


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a client may ask for.

    Attributes:
        json_bytes: Largest JSON body.
        file_bytes: Largest file sent in one request.
        upload_bytes: Largest file sent in parts.
        part_bytes: Largest part.
        stored_bytes: Most bytes of files that one token may keep here.
        requests_per_minute: Requests of one token; `None` is no limit. Without tokens there is none.
        failed_logins_per_minute: Wrong tokens of one address.
        body_idle_s: Longest silence of a client that is sending a body, seconds.
        header_s: Longest time from a connection's opening to the end of its first request's headers, seconds.
        answer_tokens: Tokens of an answer when the client names no limit.
        chats_waiting: Chat requests in work or waiting; more get a 429.
        batch_rows: Most requests of one batch.
    """

    json_bytes: int = 16 * _MIB
    file_bytes: int = 512 * _MIB
    upload_bytes: int = 8192 * _MIB
    part_bytes: int = 64 * _MIB
    stored_bytes: int = 64 * 1024 * _MIB
    requests_per_minute: int | None = 6000
    failed_logins_per_minute: int = 60
    body_idle_s: float = 30.0
    header_s: float = 20.0
    answer_tokens: int = 1024
    chats_waiting: int = 1024
    batch_rows: int = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Where the server listens and what it serves.

    Attributes:
        host: Address to bind; other than loopback needs a token.
        port: TCP port; 0 lets the system choose.
        provider: The account that tunes and answers.
        model_map: Name that clients use → model of the provider. A key may end with `*`.
        models: More models of the provider that clients may name as they are.
        organization: The ORG in a tuned model's name.
        allowed_hosts: More names that a `Host` header may have when bound to loopback (behind a proxy).
        limits: What a client may ask for.
        shutdown_s: How long running requests may take to end when the server stops, seconds.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    provider: str = "local"
    model_map: Mapping[str, str] = field(default_factory=dict[str, str])
    models: tuple[str, ...] = ()
    organization: str = "broker"
    allowed_hosts: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    shutdown_s: float = 20.0

    @property
    def loopback(self) -> bool:
        """Say whether only this machine can reach the server."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Say whether a host name or address is this machine and nothing else."""
    name = host.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
