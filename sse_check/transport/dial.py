"""A connection to an origin: its address, a proxy of the environment on the way, TCP and TLS, each phase in the trace."""

import asyncio
import errno
import os
import socket
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from aiohappyeyeballs import start_connection

from sse_check.hosts import host_in, why_never
from sse_check.recording import Reason
from sse_check.transport import Clock, End, Request, Trace
from sse_check.transport.local import is_local
from sse_check.transport.resolve import ForbiddenError, addresses_of, any_addresses_of, is_address, known_address, other_version
from sse_check.transport.wire import Wire

_HAPPY_EYEBALLS_S: Final = 0.25  # RFC 8305, section 5: the recommended Connection Attempt Delay
_MAX_PROXY_ANSWER: Final = 64 * 1024
# Characters of another's words in an error. What is kept is much less, but a secret can be taken out only of what is there whole.
MOST_QUOTED: Final = 8192
# What a request-target may hold as it is: visible ASCII. The rest is percent-encoded, as browsers do.
_AS_IT_IS: Final = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


class DialError(Exception):
    """No connection could be made; `end` says which step failed, and why."""

    def __init__(self, end: End) -> None:
        super().__init__(end.error)
        self.end = end


@dataclass(frozen=True, slots=True)
class Target:
    """Where an http or https URL leads: what connections are shared by, and what they are made to."""

    scheme: str
    host: str
    port: int
    credentials: str | None

    @property
    def authority(self) -> str:
        """As Host and `:authority` have it (RFC 9112, section 3.2): without the port that is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def tls_name(self) -> str:
        """The name that a certificate must be for: a name's final dot is no part of it."""
        return self.host.rstrip(".")


_PORTS: Final = {"http": 80, "https": 443}


def target_of(url: str) -> Target:
    """Where a URL leads. Raises ValueError where its scheme, its host or its port is none."""
    parts = urlsplit(url)
    host = host_in(url)
    scheme = parts.scheme.lower()
    if scheme not in _PORTS:
        raise ValueError("the URL is no http or https URL")
    return Target(scheme=scheme, host=host, port=parts.port or _PORTS[scheme], credentials=basic_credentials(parts))


def path_of(url: str) -> str:
    """The URL's path and query as a request names them (RFC 9112, section 3.2.1); its fragment is not sent."""
    parts = urlsplit(url)
    return quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_AS_IT_IS)


async def dial(
    target: Target, request: Request, trace: Trace, clock: Clock, *, tls: ssl.SSLContext | None
) -> tuple[Wire, SplitResult | None]:
    """A wire to the target, over TLS where a context is given; and the proxy that takes the request in its place, if one does.

    Raises DialError. Cancelling it closes the connection.
    """
    if (other := other_version(target.host, request.family)) is not None:
        raise _failed("tcp", other, clock)
    proxy = _proxy_for(target, request.addresses, clock)
    if proxy and (why := why_never(target.host)) is not None:
        raise _failed(
            "policy", f"{target.host} is never asked: {why}", clock
        )  # the proxy looks up names, and cannot be asked to look at them
    host, port = (proxy.hostname or "", proxy.port or 80) if proxy else (target.host, target.port)
    found = await _resolved(host, port, request, trace, clock, through_proxy=proxy is not None)
    try:
        async with asyncio.timeout(request.connect_timeout):
            sock = await start_connection(found, happy_eyeballs_delay=_HAPPY_EYEBALLS_S, interleave=1)
    except TimeoutError:
        raise _failed("proxy" if proxy else "tcp", f"no connection within {request.connect_timeout:g} s", clock) from None
    except OSError as error:
        # Where there is no IPv6 there is no ::1 either: what was asked is this machine itself, and that it is not there is the answer.
        own = error.errno == errno.EADDRNOTAVAIL and all(address[0] == "::1" for *_, address in found)
        raise _failed("machine" if is_local(error) and not own else "proxy" if proxy else "tcp", one_line(error), clock) from None
    trace.connected_ns = clock()
    trace.peer = peer_of(sock)
    if tls is None:
        return Wire(sock), proxy
    if proxy:
        try:
            await _tunnel(sock, proxy, target, request.connect_timeout, clock)
        except BaseException:
            sock.close()
            raise
    wire = Wire(sock)
    try:
        await _secured(wire, tls, target, request.connect_timeout, clock)
    except BaseException:
        wire.close()
        raise
    trace.tls_ns = clock()
    return wire, None


async def _secured(wire: Wire, tls: ssl.SSLContext, target: Target, timeout: float, clock: Clock) -> None:
    try:
        async with asyncio.timeout(timeout):
            await wire.secure(tls, target.tls_name)
    except TimeoutError:
        raise _failed("tls", f"no TLS handshake within {timeout:g} s", clock) from None
    except ssl.SSLCertVerificationError as error:
        raise _failed("tls", f"the certificate is not accepted: {error.verify_message}", clock) from None
    except (OSError, ValueError) as error:
        raise _failed("tls", one_line(error), clock) from None


async def _resolved(
    host: str, port: int, request: Request, trace: Trace, clock: Clock, *, through_proxy: bool
) -> list[tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]]:
    try:
        async with asyncio.timeout(request.connect_timeout):
            if through_proxy:
                found = await any_addresses_of(host, port, request.family, request.addresses)
            else:
                found = await addresses_of(host, port, request.family, request.addresses, public_only=request.public_only)
    except ForbiddenError as error:
        raise _failed("policy", one_line(error), clock) from None
    except TimeoutError:
        raise _failed("machine", f"the resolver gave no address of {host} within {request.connect_timeout:g} s", clock) from None
    except (OSError, UnicodeError) as error:
        raise _failed("machine" if is_local(error) else "proxy" if through_proxy else "dns", one_line(error), clock) from None
    if not is_address(host):
        trace.resolved_ns = clock()
    return [
        (kind, socket.SOCK_STREAM, proto, "", (address, port, 0, 0) if kind == socket.AF_INET6 else (address, port))
        for kind, proto, address in found
    ]


def _environment(scheme: str) -> str | None:
    """What the environment, or the system, names as the proxy for a scheme."""
    named = tuple(item for item in os.environ.items() if item[0].lower().endswith("_proxy"))
    return _proxies(named).get(scheme)


@cache
def _proxies(named: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """The proxies while the environment names these: thousands of connections are made meanwhile."""
    return getproxies()


def _proxy_for(target: Target, addresses: Mapping[str, str], clock: Clock) -> SplitResult | None:
    """The environment's proxy, by the rules of aiohttp's `trust_env`: HTTPS_PROXY unless NO_PROXY; one that speaks TLS is ignored."""
    if (
        known_address(addresses, target.host, target.port) is not None
        or not (url := _environment(target.scheme))
        or proxy_bypass(target.host)
    ):
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
    raise _failed("proxy", f"{target.scheme.upper()}_PROXY is no http:// URL", clock)


async def _tunnel(sock: socket.socket, proxy: SplitResult, target: Target, timeout: float, clock: Clock) -> None:
    """Ask the proxy for the target (RFC 9110, section 9.3.6). What follows its answer is the target's own."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    credentials = basic_credentials(proxy)
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
        raise _failed("proxy", f"the proxy answered: {status[:MOST_QUOTED]}", clock)


def basic_credentials(parts: SplitResult) -> str | None:
    """The credentials in a URL, as HTTP sends them (RFC 7617)."""
    if parts.username is None and parts.password is None:
        return None
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return "Basic " + b64encode(pair.encode()).decode()


def _failed(reason: Reason, error: str, clock: Clock) -> DialError:
    return DialError(End(ended="error", at_ns=clock(), reason=reason, error=error))


def peer_of(sock: socket.socket) -> str | None:
    """The address and port of a socket's other side; None where it is not connected any more."""
    try:
        host, port, *_ = sock.getpeername()
    except OSError:
        return None
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def one_line(error: BaseException) -> str:
    """What an error says, in one line that is cut further where it is kept; its type where it says nothing."""
    return (str(error) or type(error).__name__).replace("\n", " ")[:MOST_QUOTED]
