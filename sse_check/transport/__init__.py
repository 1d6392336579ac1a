"""How bytes are fetched and stamped, behind one small interface.

A transport sends one request and hands what comes back to a `Sink`, each piece with the time at which its bytes
arrived. It follows no redirect, parses no event and has no opinion: `probe` does the first two, nobody here the third.
"""

import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import urlsplit

from sse_check.recording import Ended, Head, Reason
from sse_check.transport.arrival import Stamp

Clock = Callable[[], int]  # nanoseconds of one monotonic clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it is to be sent. `connect_timeout` is in seconds.

    `tls` is for an https: URL, `tls_elsewhere` for redirects to another origin: the client's certificate is not shown there.
    `addresses` are host names that no resolver knows, and where they are reached: without any proxy of the environment.
    `family` is the version of IP to use, where only one is wanted. `public_only`: no address of a private network is asked.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None = None
    tls: ssl.SSLContext | None = None
    tls_elsewhere: ssl.SSLContext | None = None
    connect_timeout: float = 10.0
    addresses: Mapping[str, str] = field(default_factory=dict)
    family: socket.AddressFamily = socket.AF_UNSPEC
    public_only: bool = False


@dataclass(slots=True)
class Trace:
    """What is known of a request so far, filled in as it happens; in nanoseconds of the clock.

    It is the caller's, so that what was measured survives when the exchange is given up.
    """

    started_ns: int
    resolved_ns: int | None = None
    connected_ns: int | None = None
    tls_ns: int | None = None
    sent_ns: int | None = None
    head_ns: int | None = None
    peer: str | None = None
    max_streams: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How an exchange ended, when, and why if not properly."""

    ended: Ended
    at_ns: int
    reason: Reason | None = None
    error: str | None = None


class Sink(Protocol):
    """Takes what a transport receives. A true answer says: enough, end the exchange."""

    def head(self, at_ns: int, head: Head) -> bool:
        """The response's head is complete."""
        ...

    def body(self, stamp: Stamp, wire_bytes: int, data: bytes) -> bool:
        """One read: its bytes on the wire, and what they decode to. Zero wire bytes: more of the read before."""
        ...


# Sends one request and feeds its response to the sink until either ends it. Never raises for what a server or a network does.
Fetch = Callable[[Request, Sink, Trace, Clock], Awaitable[End]]


def origin_of(url: str) -> tuple[str, str | None, int]:
    """The origin of a URL: scheme, host and port (RFC 6454, section 4); a WebSocket's is that of its HTTP request.

    Raises ValueError where it is no URL.
    """
    parts = urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    return scheme, parts.hostname, parts.port or (443 if scheme == "https" else 80)


def same_origin(one: str, other: str) -> bool:
    """Whether two URLs have one origin."""
    return origin_of(one) == origin_of(other)


def resuming(request: Request, last_event_id: str) -> Request:
    """The request as a reconnect sends it: with the last event ID, if there is one, in the place of one that it had."""
    if not last_event_id:
        return request
    kept = tuple((name, value) for name, value in request.headers if name.lower() != "last-event-id")
    return replace(request, headers=(*kept, ("Last-Event-ID", last_event_id)))
