"""The fallbacks of a scenario, tried through the same deployment, each until it is proven or has failed.

A WebSocket (RFC 6455) must be upgraded, must answer, and must then stay open while nothing is sent: many a proxy upgrades
a connection and cuts it after a minute of silence. A batch request must be answered whole.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp import WSMsgType
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from sse_check.escape import quoted
from sse_check.hosts import host_allowed, host_in, why_never
from sse_check.probe import USER_AGENT
from sse_check.recording import FallbackRecording
from sse_check.redaction import Redactor
from sse_check.scenario import BatchFallback, Scenario, WebSocketFallback
from sse_check.transport import same_origin
from sse_check.transport.decoding import DecodeError, decoder_for
from sse_check.transport.resolve import ForbiddenError, addresses_of, any_addresses_of, known_address
from sse_check.transport.tls import Certificates
from sse_check.units import format_duration

_CONNECT_TIMEOUT: Final = 10.0  # seconds, as a stream has
_CLOSE_TIMEOUT: Final = 2.0  # seconds for the server's own close frame at the end
_MAX_MESSAGE: Final = 1024 * 1024
_MAX_BODY: Final = 64 * 1024 * 1024
_SHOWN: Final = 80  # characters of an unexpected answer that are told

# RFC 6455, section 7.1.5: the codes of a close that brought none, and of a connection that ended without a close frame.
_NO_CODE: Final = 1005
_ABNORMAL: Final = 1006
# What servers answer to a request for an upgrade whose Upgrade header a proxy has taken out.
_NO_UPGRADE_SEEN: Final = frozenset({200, 400, 426})


class _FailedError(Exception):
    """The fallback does not work; the message says why."""


class _ClosedError(Exception):
    """The WebSocket is closed; the message says by which close code and reason."""


class _Response(aiohttp.ClientResponse):
    """A response whose `Connection` is read as a list of tokens (RFC 6455, section 4.1): `keep-alive, Upgrade` upgrades."""

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The header fields, as aiohttp's handshake looks at them."""
        headers = self._headers
        tokens = [token.strip().lower() for value in headers.getall("Connection", []) for token in value.split(",")]
        if self.status != 101 or "upgrade" not in tokens:
            return headers
        changed = CIMultiDict(headers)
        changed["Connection"] = "Upgrade"
        return CIMultiDictProxy(changed)


class _KnownFirst(AbstractResolver):
    """What a stream's host names are resolved by, as aiohttp's connector wants it: `host` is the fallback's, others are proxies."""

    def __init__(self, host: str, known: Mapping[str, str]) -> None:
        self._host = host
        self._known = known

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """The addresses of a host name. Raises OSError where there are none."""
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=proto, flags=socket.AI_NUMERICHOST)
            for kind, proto, address in await (addresses_of if host == self._host else any_addresses_of)(host, port, family, self._known)
        ]

    async def close(self) -> None:
        """Nothing is kept open."""


@dataclass(slots=True)
class _Seen:
    """What is known of a fallback so far, in seconds; it survives when the fallback fails."""

    answered: float | None = None
    held: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """One fallback as it is tried. `deadline` and `hold` are in seconds."""

    session: aiohttp.ClientSession
    url: URL
    headers: CIMultiDict[str]
    deadline: float
    hold: float
    redactor: Redactor
    seen: _Seen

    def quoted(self, text: str) -> str:
        """The beginning of a text for one of our sentences: without its secrets first, as what is cut is not recognised any more."""
        return quoted(self.redactor.beginning(text, 2 * _SHOWN), _SHOWN)


async def try_fallbacks(
    scenario: Scenario, *, redactor: Redactor, hosts: tuple[str, ...] | None, addresses: Mapping[str, str], hold: float
) -> tuple[FallbackRecording, ...]:
    """Try the fallbacks in their order, up to the first that works. Never raises for what a server does.

    `hold` is for how many seconds a WebSocket must stay open where its fallback does not say.
    """
    tried: list[FallbackRecording] = []
    for fallback in scenario.fallbacks:
        option = fallback.websocket or fallback.batch
        assert option is not None  # the scenario was checked
        tried.append(await _tried(scenario, option, redactor, hosts, {**scenario.target.resolve, **addresses}, hold))
        if tried[-1].worked:
            break
    return tuple(tried)


async def _tried(
    scenario: Scenario,
    option: WebSocketFallback | BatchFallback,
    redactor: Redactor,
    hosts: tuple[str, ...] | None,
    addresses: Mapping[str, str],
    hold: float,
) -> FallbackRecording:
    shown = scenario.fallback_url(option)
    # With HTTP's own schemes the proxies of the environment are found: there are no variables for ws: and wss:.
    url = "http" + shown.removeprefix("ws") if shown.startswith("ws") else shown
    deadline, seen, began, worked = scenario.criteria.event_deadline, _Seen(), time.monotonic(), False
    try:
        if hosts is not None and not host_allowed(url, hosts):
            raise _FailedError("its host is not allowed")
        asked = URL(url, encoded=True)
        if (why := why_never(host_in(url))) is not None:  # an address is not looked up, and through a proxy no name is
            raise _FailedError(f"{host_in(url)} is never asked: {why}")
        async with _session(scenario, asked, addresses) as session:
            attempt = _Attempt(
                session=session,
                url=asked,
                headers=_headers(scenario, url, option.headers),
                deadline=deadline,
                hold=option.hold if isinstance(option, WebSocketFallback) and option.hold is not None else hold,
                redactor=redactor,
                seen=seen,
            )
            detail = await (_websocket(attempt, option) if isinstance(option, WebSocketFallback) else _batch(attempt, option))
        worked = True
    except _FailedError as failed:
        detail = str(failed)
    except aiohttp.ConnectionTimeoutError:
        detail = f"no connection within {format_duration(_CONNECT_TIMEOUT)}"
    except aiohttp.ClientConnectorDNSError as error:
        forbidden = isinstance(error.os_error, ForbiddenError)
        detail = str(error.os_error) if forbidden else f"{type(error).__name__}: {error}"
    except TimeoutError:
        detail = f"no answer within {format_duration(deadline)}"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        detail = f"{type(error).__name__}: {error}"
    return FallbackRecording(
        kind="websocket" if isinstance(option, WebSocketFallback) else "batch",
        url=redactor.url(shown),
        worked=worked,
        seconds=round(time.monotonic() - began, 6),
        detail=redactor.text(detail)[:300],
        answered=seen.answered,
        held=seen.held,
    )


def _session(scenario: Scenario, asked: URL, addresses: Mapping[str, str]) -> aiohttp.ClientSession:
    """A session for one fallback. What has an address of its own is reached there, and through no proxy."""
    host, port = asked.raw_host or "", asked.port or (443 if asked.scheme == "https" else 80)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=Certificates(scenario).for_url(str(asked)) or True, resolver=_KnownFirst(host, addresses), force_close=True
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": USER_AGENT},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT),
        trust_env=known_address(addresses, host, port) is None,
        middlewares=(_no_redirect,),
        auto_decompress=False,
        response_class=_Response,
    )


async def _no_redirect(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """A redirect is an answer: neither headers nor an upgrade go where it leads (WHATWG WebSockets, "redirect mode is error")."""
    response = await handler(request)
    if 300 <= response.status < 400:
        response.close()
        raise _FailedError(f"status {response.status}, a redirect, which is not followed")
    return response


def _headers(scenario: Scenario, url: str, own: Mapping[str, str]) -> CIMultiDict[str]:
    """The target's headers, for the target's own host, port and scheme only; then the fallback's."""
    headers = CIMultiDict(scenario.target.headers if same_origin(url, scenario.target.url or "") else {})
    headers.update(own)
    return headers


# --- a WebSocket ------------------------------------------------------------------------------------------------------


async def _websocket(attempt: _Attempt, option: WebSocketFallback) -> str:
    """Upgrade, ask, hold, and ask again. Raises _FailedError."""
    socket = await _upgraded(attempt)
    began = time.monotonic()
    async with socket:
        doing = "before it answered"
        try:
            said = await _answer(attempt, socket, option)
            if attempt.hold:
                doing = "while it was held open in silence"
                await _held(attempt, socket)
                said += f", and stayed open in silence for {format_duration(attempt.hold)}"
        except _ClosedError as closed:
            raise _FailedError(f"upgraded, but closed after {format_duration(time.monotonic() - began)}, {doing}: {closed}") from None
    return f"upgraded, {said}"


async def _upgraded(attempt: _Attempt) -> aiohttp.ClientWebSocketResponse:
    try:
        async with asyncio.timeout(attempt.deadline):
            return await attempt.session.ws_connect(
                attempt.url,
                headers=attempt.headers,
                max_msg_size=_MAX_MESSAGE,
                autoping=False,  # a pong is an answer here, and must be seen
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_TIMEOUT),
            )
    except aiohttp.WSServerHandshakeError as error:
        if error.status == 101:
            raise _FailedError(f"not upgraded: {error.message} in an answer with status 101") from None
        hint = "; does every proxy pass the headers Upgrade and Connection on?" if error.status in _NO_UPGRADE_SEEN else ""
        raise _FailedError(f"not upgraded: status {error.status} instead of 101{hint}") from None


async def _answer(attempt: _Attempt, socket: aiohttp.ClientWebSocketResponse, option: WebSocketFallback) -> str:
    """See that the server answers, and say how. Raises _FailedError where it does not."""
    began, within = time.monotonic(), format_duration(attempt.deadline)
    last: list[str] = []

    def wanted(frame: aiohttp.WSMessage) -> bool:
        if frame.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            return False
        last[:] = [frame.data if isinstance(frame.data, str) else frame.data.decode("utf-8", "replace")]
        return option.expect is None or option.expect in last[0]

    if option.send is None and option.expect is None:
        if not await _ponged(attempt, socket):
            raise _FailedError(f"upgraded, but a ping was not answered within {within}")
        what = "a ping was answered"
    else:
        if option.send is not None:
            await _sending(socket.send_str(option.send))
        try:
            came = await _came(attempt, socket, wanted, attempt.deadline)
        except _ClosedError as closed:
            if not last:
                raise
            said = attempt.quoted(last[0])
            wrong = f"upgraded, and answered {said}, which does not hold {attempt.quoted(option.expect or '')}; then closed: {closed}"
            raise _FailedError(wrong) from None
        if not came:
            other = f"; the last message was {attempt.quoted(last[0])}" if last else ""
            what = "no message came" if option.expect is None else f"no message with {attempt.quoted(option.expect)} came"
            raise _FailedError(f"upgraded, but {what} within {within}{other}")
        what = "the message was answered" if option.send is not None else "the expected message came"
    attempt.seen.answered = round(time.monotonic() - began, 6)
    return f"{what} after {format_duration(attempt.seen.answered)}"


async def _held(attempt: _Attempt, socket: aiohttp.ClientWebSocketResponse) -> None:
    """Say nothing for a while, then ping. Raises _FailedError where the ping is not answered, _ClosedError where it is over before."""
    began = time.monotonic()
    try:
        await _came(attempt, socket, lambda frame: False, attempt.hold)
    finally:
        attempt.seen.held = round(min(time.monotonic() - began, attempt.hold), 6)
    if not await _ponged(attempt, socket):
        # A hop that forgets a connection need not tell either side.
        raise _FailedError(
            f"upgraded, but after {format_duration(attempt.hold)} of silence a ping was not answered within {format_duration(attempt.deadline)}"
        )


async def _ponged(attempt: _Attempt, socket: aiohttp.ClientWebSocketResponse) -> bool:
    """Whether a ping is answered in time by a pong with the same data (RFC 6455, section 5.5.3)."""
    data = f"sse-check {time.monotonic_ns()}".encode()
    await _sending(socket.ping(data))
    return await _came(attempt, socket, lambda frame: frame.type is WSMsgType.PONG and frame.data == data, attempt.deadline)


async def _came(
    attempt: _Attempt, socket: aiohttp.ClientWebSocketResponse, wanted: Callable[[aiohttp.WSMessage], bool], within: float
) -> bool:
    """Whether such a frame comes within so many seconds. Pings are answered meanwhile. Raises _ClosedError."""
    try:
        async with asyncio.timeout(within):
            while True:
                frame = await socket.receive()
                if frame.type is WSMsgType.PING:
                    await _sending(socket.pong(frame.data))
                elif frame.type is WSMsgType.CLOSE:
                    raise _ClosedError(
                        f"close code {frame.data or _NO_CODE}" + (f" ({attempt.quoted(frame.extra)})" if frame.extra else "")
                    )
                elif frame.type is WSMsgType.ERROR:
                    raise _ClosedError(f"the protocol was broken ({frame.data})")
                elif frame.type in (WSMsgType.CLOSING, WSMsgType.CLOSED):
                    raise _ClosedError(_WITHOUT_CLOSE_FRAME)
                elif wanted(frame):
                    return True
    except TimeoutError:
        return False


_WITHOUT_CLOSE_FRAME: Final = f"the connection ended without a close frame (close code {_ABNORMAL})"


async def _sending(frame: Any) -> None:
    """Send a frame. Raises _ClosedError where the connection has gone."""
    try:
        await frame
    except ConnectionError:
        raise _ClosedError(_WITHOUT_CLOSE_FRAME) from None


# --- a batch request --------------------------------------------------------------------------------------------------


async def _batch(attempt: _Attempt, option: BatchFallback) -> str:
    """Ask once and read the answer whole. Raises _FailedError."""
    headers, data = attempt.headers, None
    if isinstance(option.body, dict):
        data = msgspec.json.encode(option.body)
        headers.setdefault("Content-Type", "application/json")
    elif option.body is not None:
        data = option.body.encode()
        headers.setdefault("Content-Type", "text/plain; charset=utf-8")
    began, size, status = time.monotonic(), 0, None
    wanted = (option.expect or "").encode()
    found, tail = not wanted, b""
    try:
        async with (
            asyncio.timeout(attempt.deadline),
            attempt.session.request(option.method, attempt.url, headers=headers, data=data) as response,
        ):
            status = response.status
            if not 200 <= status < 300:
                raise _FailedError(f"status {status}")
            async for part in _decoded(response):
                size += len(part)
                if size > _MAX_BODY:
                    raise _FailedError(f"status {status}, but its body has more than {_MAX_BODY:,} bytes")
                # No more is kept than what the text may have begun in.
                found = found or wanted in tail + part
                tail = (tail + part)[-len(wanted) :] if wanted else b""
    except aiohttp.ConnectionTimeoutError:
        raise
    except TimeoutError:
        begun = "no answer" if status is None else f"status {status}, but its body was not complete ({size:,} bytes)"
        raise _FailedError(f"{begun} within {format_duration(attempt.deadline)}") from None
    except DecodeError as error:
        raise _FailedError(f"status {status}, but {error}") from None
    except aiohttp.ClientError as error:
        if status is None:
            raise
        raise _FailedError(f"status {status}, but its body broke off after {size:,} bytes ({type(error).__name__})") from None
    attempt.seen.answered = round(time.monotonic() - began, 6)
    if not found:
        raise _FailedError(f"status {status}, but {attempt.quoted(option.expect or '')} is not in its body of {size:,} bytes")
    return f"status {status}, {size:,} bytes, complete after {format_duration(attempt.seen.answered)}"


async def _decoded(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body without its content coding, in small pieces: aiohttp would undo it at once, whatever it grows to. Raises DecodeError."""
    decoder = decoder_for(response.headers.get("Content-Encoding"))
    async for part in response.content.iter_any():
        if decoder is None:
            yield part
            continue
        for piece in decoder.feed(part):
            yield piece
            await asyncio.sleep(0)  # where the deadline strikes
    if decoder is not None and response.content.total_bytes:
        decoder.close()
