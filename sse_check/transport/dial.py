"""A TCP connection to an origin, for what does not go by aiohttp: as aiohttp makes one, through the environment's proxy too."""

import asyncio
import socket
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from aiohappyeyeballs import start_connection

from sse_check.recording import Reason
from sse_check.transport import Clock, End, Request, Trace
from sse_check.transport.http1 import one_line, peer_of
from sse_check.transport.resolve import KnownFirst, known_address

_HAPPY_EYEBALLS_S: Final = 0.25  # RFC 8305, section 5: the recommended Connection Attempt Delay
_MAX_PROXY_ANSWER: Final = 64 * 1024


class DialError(Exception):
    """No connection could be made; `end` says which step failed, and why."""

    def __init__(self, end: End) -> None:
        super().__init__(end.error)
        self.end = end


@dataclass(frozen=True, slots=True)
class Target:
    """Where an https URL leads: what connections are shared by, and what they are made to."""

    host: str
    port: int
    credentials: str | None

    @property
    def authority(self) -> str:
        """As `:authority` has it (RFC 9113, section 8.3.1): without the port that is https's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"

    @property
    def tls_name(self) -> str:
        """The name that a certificate must be for: a name's final dot is no part of it."""
        return self.host.rstrip(".")


def target_of(url: str) -> Target:
    """Where a URL leads. Raises ValueError where its host or its port is none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host:
        raise ValueError("the URL names no host")
    if not host.isascii():
        host = host.encode("idna").decode()
    return Target(host=host, port=parts.port or 443, credentials=_basic(parts))


async def dial(target: Target, request: Request, trace: Trace, clock: Clock) -> socket.socket:
    """A socket that is connected to the target, its phases in the trace. Raises DialError."""
    proxy = _proxy_for(target, request.addresses, clock)
    host, port = (proxy.hostname or "", proxy.port or 80) if proxy else (target.host, target.port)
    found = await _resolved(host, port, request, clock, through_proxy=proxy is not None)
    trace.resolved_ns = clock()
    try:
        async with asyncio.timeout(request.connect_timeout):
            sock = await start_connection(found, happy_eyeballs_delay=_HAPPY_EYEBALLS_S, interleave=1)
    except TimeoutError:
        raise _failed("proxy" if proxy else "tcp", f"no connection within {request.connect_timeout:g} s", clock) from None
    except OSError as error:
        raise _failed("proxy" if proxy else "tcp", one_line(error), clock) from None
    trace.connected_ns = clock()
    trace.peer = peer_of(sock)
    if proxy:
        try:
            await _tunnel(sock, proxy, target, request.connect_timeout, clock)
        except BaseException:
            sock.close()
            raise
    return sock


async def _resolved(
    host: str, port: int, request: Request, clock: Clock, *, through_proxy: bool
) -> list[tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]]:
    try:
        async with asyncio.timeout(request.connect_timeout):
            found = await KnownFirst(request.addresses).resolve(host, port, request.family)
    except TimeoutError:
        raise _failed("proxy" if through_proxy else "dns", f"no address within {request.connect_timeout:g} s", clock) from None
    except (OSError, UnicodeError) as error:
        raise _failed("proxy" if through_proxy else "dns", one_line(error), clock) from None
    return [
        (
            r["family"],
            socket.SOCK_STREAM,
            r["proto"],
            "",
            (r["host"], r["port"], 0, 0) if r["family"] == socket.AF_INET6 else (r["host"], r["port"]),
        )
        for r in found
    ]


def _proxy_for(target: Target, addresses: Mapping[str, str], clock: Clock) -> SplitResult | None:
    """The environment's proxy, by the rules of aiohttp's `trust_env`: HTTPS_PROXY unless NO_PROXY; one that speaks TLS is ignored."""
    if known_address(addresses, target.host, target.port) is not None or proxy_bypass(target.host):
        return None
    url = getproxies().get("https")
    if not url:
        return None
    try:
        proxy = urlsplit(url if "://" in url else f"http://{url}")
        usable = proxy.scheme == "http" and bool(proxy.hostname) and proxy.port != 0
    except ValueError:
        usable = False
    if usable:
        return proxy
    if url.lower().startswith("https:"):
        return None
    raise _failed("proxy", "HTTPS_PROXY is no http:// URL", clock)


async def _tunnel(sock: socket.socket, proxy: SplitResult, target: Target, timeout: float, clock: Clock) -> None:
    """Ask the proxy for the target (RFC 9110, section 9.3.6). What follows its answer is the target's own."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    credentials = _basic(proxy)
    asked = f"CONNECT {host}:{target.port} HTTP/1.1\r\nHost: {host}:{target.port}\r\n"
    asked += f"Proxy-Authorization: {credentials}\r\n\r\n" if credentials else "\r\n"
    loop = asyncio.get_running_loop()
    answer = b""
    try:
        async with asyncio.timeout(timeout):
            await loop.sock_sendall(sock, asked.encode())
            while b"\r\n\r\n" not in answer and len(answer) < _MAX_PROXY_ANSWER:
                more = await loop.sock_recv(sock, 4096)
                if not more:
                    raise _failed("proxy", "the proxy closed the connection", clock)
                answer += more
    except TimeoutError:
        raise _failed("proxy", f"no answer of the proxy within {timeout:g} s", clock) from None
    except OSError as error:
        raise _failed("proxy", one_line(error), clock) from None
    status = answer.split(b"\r\n", 1)[0].decode("latin-1")
    if not status.startswith("HTTP/1.") or status.split(" ")[1:2] != ["200"]:
        raise _failed("proxy", f"the proxy answered: {status[:200]}", clock)


def _basic(parts: SplitResult) -> str | None:
    """The credentials in a URL, as HTTP sends them (RFC 7617)."""
    if parts.username is None and parts.password is None:
        return None
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return "Basic " + b64encode(pair.encode()).decode()


def _failed(reason: Reason, error: str, clock: Clock) -> DialError:
    return DialError(End(ended="error", at_ns=clock(), reason=reason, error=error))
