"""Conversations with a server of the Model Context Protocol, of which the measured stream is one part.

Both transports are spoken as their specification says, with the probe's own headers and to one origin only:

* Streamable HTTP (2025-06-18, "Transports"): `initialize` by POST, the session and the version that it gives in the headers
  of all that follows, `notifications/initialized`, and then `tools/call` by POST, whose answer is the measured stream.
* HTTP with SSE (2024-11-05, "Transports"): the stream is a GET; its `endpoint` event says where messages are posted, and
  the answers to them come on the stream.

A conversation stands where a transport's `fetch` does, so that redirects, bounds and the recording are those of any other
stream. Where a step before or beside the stream fails, its answer is shown as the stream's own.
"""

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Final, Protocol
from urllib.parse import urljoin, urlsplit

import msgspec

from sse_check import __version__
from sse_check.eventstream import EventStreamParser
from sse_check.fields import json_in
from sse_check.recording import Head, Reason
from sse_check.scenario import MCP_CALL_ID, Preset
from sse_check.transport import Clock, End, Fetch, Request, Sink, Trace, same_origin
from sse_check.transport.arrival import Stamp
from sse_check.transport.dial import MOST_QUOTED

# The newest version of each transport that begins with `initialize`; a server answers with one that it speaks itself.
_VERSIONS: Final[dict[Preset, str]] = {"mcp": "2025-06-18", "mcp-sse": "2024-11-05"}
_INITIALIZE_ID: Final = 1
# Seconds. Of events that come before the one that says where to post: the specification does not say that it is the first.
_GRACE_S: Final = 2.0
_GOODBYE_S: Final = 1.0
# Bounds on what a server may say before or beside the stream.
_MAX_ANSWER: Final = 256 * 1024
_MAX_ANSWER_READS: Final = 10_000
_MAX_ENDPOINT: Final = 4096

_SESSION: Final = re.compile(r"[\x21-\x7e]{1,1024}")  # "MUST only contain visible ASCII characters"
_VERSION: Final = re.compile(r"[0-9A-Za-z.-]{1,32}")

Listener = Callable[[str, str, Any], None]  # an event's type, its data, and the JSON that the data is


class Live(Sink, Protocol):
    """What a conversation needs of the stream that is being recorded."""

    listener: Listener | None
    negotiated: str | None
    body_start: bytearray
    head_seen: Head | None


class _Answer:
    """Collects the response to one message, up to a bound; `message` is the JSON-RPC message in it with the awaited id."""

    def __init__(self, awaited: int | None) -> None:
        self._awaited = awaited
        self._parser = EventStreamParser()
        self.seen: Head | None = None
        self.head_ns = 0
        self.reads: list[tuple[Stamp, int, bytes]] = []
        self.size = 0
        self.message: dict[str, Any] | None = None

    def head(self, at_ns: int, head: Head) -> bool:
        """Take the response's head."""
        self.seen, self.head_ns = head, at_ns
        return False

    def body(self, stamp: Stamp, wire_bytes: int, data: bytes) -> bool:
        """Take one read; an event stream may go on after the answer, and is not waited for."""
        self.reads.append((stamp, wire_bytes, data))
        self.size += len(data)
        if _type_of(self.seen) == "text/event-stream":
            for event in self._parser.feed(data):
                self._hear(json_in(event.data, _MAX_ANSWER))
        return self.message is not None or self.size > _MAX_ANSWER or len(self.reads) > _MAX_ANSWER_READS

    def close(self) -> None:
        """Nothing more comes: what was no event stream is one JSON value."""
        if self.message is None:
            self._hear(json_in(self.text, _MAX_ANSWER))

    @property
    def text(self) -> str:
        """The body as text."""
        return b"".join(data for _, _, data in self.reads).decode("utf-8", "replace")

    def _hear(self, value: Any) -> None:
        if self.message is None and self._awaited is not None and _answers(value, self._awaited):
            self.message = value


class _FailedError(Exception):
    """The conversation did not get to its stream; `end` says why, `answer` what was answered, if anything was."""

    def __init__(self, end: End, answer: _Answer | None = None, trace: Trace | None = None) -> None:
        super().__init__(end.error)
        self.end, self.answer, self.trace = end, answer, trace

    def show(self, sink: Sink, trace: Trace) -> End:
        """Make the failed step the stream's own result."""
        if self.trace is not None:
            for field in fields(Trace):
                setattr(trace, field.name, getattr(self.trace, field.name))
        answer = self.answer
        if answer is not None and answer.seen is not None:
            enough = sink.head(answer.head_ns, answer.seen)
            # The events of another response are none of the stream's.
            for read in answer.reads if answer.seen.status != 200 and not enough else ():
                if sink.body(*read):
                    break
        return self.end


class Conversation(ABC):
    """One conversation. `fetch` takes the place of the transport's for one stream; `close` is called when that is over.

    `allowed` says of a URL of the stream's own origin, which the server named, whether it may be asked.
    """

    def __init__(self, fetch: Fetch, live: Live, body: bytes | None, allowed: Callable[[str], bool]) -> None:
        self._transport = fetch
        self._live = live
        self._params = _params(body)
        self._allowed = allowed
        self._answer: dict[str, Any] | None = None
        self.lacking = ""  # what the conversation waits for, for whoever gives it up
        live.listener = self._hear

    async def fetch(self, request: Request, sink: Sink, trace: Trace, clock: Clock) -> End:
        """Have the conversation and feed the measured stream to the sink. Never raises for what a server or a network does."""
        try:
            if self._params is None:
                raise _FailedError(_failed(clock(), "conversation", "the probe's body does not name a tool to call"))
            return self._result(await self._converse(request, sink, trace, clock))
        except _FailedError as failed:
            return failed.show(sink, trace)

    @abstractmethod
    async def close(self, clock: Clock) -> None:
        """Leave the server as it was; what it says to that matters to nobody."""

    @abstractmethod
    async def _converse(self, request: Request, sink: Sink, trace: Trace, clock: Clock) -> End:
        """Say what comes before and beside the stream, and feed that to the sink. Raises _FailedError where it goes wrong."""

    def _hear(self, kind: str, data: str, value: Any) -> None:
        if _answers(value, MCP_CALL_ID):
            self._answer = value

    def _result(self, end: End) -> End:
        """How the stream ended; an error as the call's answer is no good end of it."""
        head = self._live.head_seen
        if head is None or head.status != 200:
            return end
        answer = self._answer
        if answer is None and _type_of(head) == "application/json":
            answer = json_in(self._live.body_start.decode("utf-8", "replace"))
        wrong = _error_of("tools/call", answer if isinstance(answer, dict) else {})
        return end if wrong is None else _failed(end.at_ns, "answer", wrong)

    async def _post(self, request: Request, message: dict[str, Any], clock: Clock, *, awaited: int | None = None) -> _Answer:
        """Post one message, and give what was answered. Raises _FailedError where it was not accepted."""
        what = message["method"]
        answer, trace = _Answer(awaited), Trace(started_ns=clock())
        self.lacking = f": {what} was not answered"
        posted = replace(request, method="POST", body=msgspec.json.encode({"jsonrpc": "2.0", **message}))
        end = await self._transport(posted, answer, trace, clock)
        answer.close()
        if (wrong := _wrong(what, answer, end, awaited)) is not None:
            raise _FailedError(wrong, answer, trace)
        self.lacking = ""
        return answer

    def _initialize(self, preset: Preset) -> dict[str, Any]:
        params = {
            "protocolVersion": _VERSIONS[preset],
            "capabilities": {},
            "clientInfo": {"name": "sse-check", "version": __version__},
        }
        return {"id": _INITIALIZE_ID, "method": "initialize", "params": params}

    def _negotiated(self, message: dict[str, Any], at_ns: int) -> str:
        """The version that the server's answer to `initialize` names. Raises _FailedError where that is an error."""
        if (wrong := _error_of("initialize", message)) is not None:
            raise _FailedError(_failed(at_ns, "answer", wrong))
        result = message.get("result")
        version = result.get("protocolVersion") if isinstance(result, dict) else None
        if not isinstance(version, str) or not _VERSION.fullmatch(version):
            raise _FailedError(_failed(at_ns, "conversation", "the answer to initialize names no protocol version"))
        self._live.negotiated = f"MCP {version}"
        return version

    @property
    def _call(self) -> dict[str, Any]:
        return {"id": MCP_CALL_ID, "method": "tools/call", "params": self._params}


class _StreamableHttp(Conversation):
    """The measured stream is the answer to the POST of `tools/call`; zero is when that is sent."""

    _session: Request | None = None  # how to end it: only where the server gave one

    async def _converse(self, request: Request, sink: Sink, trace: Trace, clock: Clock) -> End:
        if request.method != "POST":
            raise _FailedError(_failed(clock(), "conversation", "a redirect turned the POST of initialize into a GET"))
        answer = await self._post(request, self._initialize("mcp"), clock, awaited=_INITIALIZE_ID)
        version = self._negotiated(answer.message or {}, clock())
        headers = [*request.headers, ("MCP-Protocol-Version", version)]
        session = answer.seen.header("mcp-session-id") if answer.seen else None
        if session is not None:
            if not _SESSION.fullmatch(session):
                raise _FailedError(_failed(clock(), "conversation", "the session's id holds characters that none may hold"))
            headers.append(("Mcp-Session-Id", session))
        within = replace(request, headers=tuple(headers))
        if session is not None:
            self._session = replace(within, method="DELETE", body=None, headers=_without(within.headers, "content-type"))
        await self._post(within, {"method": "notifications/initialized"}, clock)
        trace.started_ns = clock()
        return await self._transport(replace(within, body=msgspec.json.encode({"jsonrpc": "2.0", **self._call})), sink, trace, clock)

    async def close(self, clock: Clock) -> None:
        """End the session: "clients SHOULD send an HTTP DELETE"."""
        if self._session is not None:
            await asyncio.wait(
                {work := asyncio.ensure_future(self._transport(self._session, _Answer(None), Trace(started_ns=clock()), clock))},
                timeout=_GOODBYE_S,
            )
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


class _HttpWithSse(Conversation):
    """The measured stream is the GET; zero is when that is sent."""

    def __init__(self, fetch: Fetch, live: Live, body: bytes | None, allowed: Callable[[str], bool]) -> None:
        super().__init__(fetch, live, body, allowed)
        loop = asyncio.get_running_loop()
        self._endpoint: asyncio.Future[str] = loop.create_future()
        self._other: asyncio.Future[str] = loop.create_future()
        self._initialized: asyncio.Future[dict[str, Any]] = loop.create_future()

    async def _converse(self, request: Request, sink: Sink, trace: Trace, clock: Clock) -> End:
        asked = replace(request, method="GET", body=None, headers=_without(request.headers, "content-type"))
        stream = asyncio.ensure_future(self._transport(asked, sink, trace, clock))
        talk = asyncio.ensure_future(self._talk(request, clock))
        try:
            await asyncio.wait({stream, talk}, return_when=asyncio.FIRST_COMPLETED)
            if not stream.done():
                await talk
            return await stream
        except _FailedError as failed:
            return failed.end  # the stream was opened: its head is its own
        finally:
            for task in (stream, talk):
                task.cancel()
            await asyncio.gather(stream, talk, return_exceptions=True)

    async def close(self, clock: Clock) -> None:
        """There is nothing left to do: this session ends with its stream."""

    def _hear(self, kind: str, data: str, value: Any) -> None:
        super()._hear(kind, data, value)
        if kind == "endpoint" and not self._endpoint.done():
            self._endpoint.set_result(data)
        elif not self._endpoint.done() and not self._other.done():
            self._other.set_result(data)
        elif _answers(value, _INITIALIZE_ID) and not self._initialized.done():
            self._initialized.set_result(value)

    async def _talk(self, request: Request, clock: Clock) -> None:
        """All that is posted beside the stream. Raises _FailedError where it goes wrong."""
        headers = (*_without(request.headers, "accept", "content-type"), ("Accept", "application/json, text/event-stream"))
        url = await self._where(request.url, clock)
        beside = replace(request, url=url, headers=(*headers, ("Content-Type", "application/json")))
        await self._post(beside, self._initialize("mcp-sse"), clock)
        self.lacking = ": the answer to initialize did not come on the stream"
        self._negotiated(await self._initialized, clock())
        await self._post(beside, {"method": "notifications/initialized"}, clock)
        await self._post(beside, self._call, clock)

    async def _where(self, asked: str, clock: Clock) -> str:
        """Where messages are posted: what the `endpoint` event says, if it leads to the origin of the stream.

        "The server MUST send an endpoint event"; a client that follows it anywhere hands its credentials to anybody.
        """
        self.lacking = ": no endpoint event came"
        await asyncio.wait({self._endpoint, self._other}, return_when=asyncio.FIRST_COMPLETED)
        try:
            said = await asyncio.wait_for(self._endpoint, _GRACE_S)
        except TimeoutError:
            raise _FailedError(_failed(clock(), "conversation", "events came, but no endpoint event that says where to post")) from None
        try:
            url = urljoin(asked, said)
            allowed = len(said) <= _MAX_ENDPOINT and same_origin(url, asked) and self._allowed(url)
            host = urlsplit(url).hostname or "none"
        except ValueError:
            allowed, host = False, "none"
        if not allowed:
            wrong = f"the endpoint event leads to another origin than the stream's (host {host[:MOST_QUOTED]}); nothing was posted there"
            raise _FailedError(_failed(clock(), "conversation", wrong))
        return url


def conversation(
    preset: Preset | None, fetch: Fetch, live: Live, body: bytes | None, allowed: Callable[[str], bool]
) -> Conversation | None:
    """The conversation that a probe of this preset is, by this transport; None where it is a plain request.

    `body` is the probe's, the parameters of `tools/call`. Needs a running event loop.
    """
    if preset == "mcp":
        return _StreamableHttp(fetch, live, body, allowed)
    return _HttpWithSse(fetch, live, body, allowed) if preset == "mcp-sse" else None


def _params(body: bytes | None) -> dict[str, Any] | None:
    """The parameters of `tools/call`, with the token that asks for its progress; None where they name no tool."""
    given = json_in((body or b"").decode("utf-8", "replace"), _MAX_ANSWER)
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        return None
    meta = given.get("_meta")
    return {**given, "_meta": {**(meta if isinstance(meta, dict) else {}), "progressToken": MCP_CALL_ID}}


def _wrong(what: str, answer: _Answer, end: End, awaited: int | None) -> End | None:
    """What is wrong with the answer to a message, if anything is."""
    head = answer.seen
    if head is None:
        return replace(end, error=f"{what}: {end.error}")
    if not 200 <= head.status < 300:
        said = " ".join(answer.text.split())[:MOST_QUOTED]
        return _failed(end.at_ns, "answer", f"{what} was answered with status {head.status}" + (f": {said}" if said else ""))
    if awaited is None:
        return None  # accepted; how the answer to a notification ends is of no interest
    if answer.message is not None:
        wrong = _error_of(what, answer.message)
        return None if wrong is None else _failed(end.at_ns, "answer", wrong)
    if end.ended not in ("eof", "until"):
        return replace(end, error=f"{what}: {end.error}")
    return _failed(
        end.at_ns, "conversation", f"{what} was answered with no JSON-RPC answer to it (Content-Type {_type_of(head) or 'missing'})"
    )


def _answers(value: Any, to: int) -> bool:
    """Whether a JSON value is the answer to our message with this id, and no request of the server's own."""
    return isinstance(value, dict) and value.get("id") == to and value.get("method") is None


def _error_of(what: str, message: dict[str, Any]) -> str | None:
    """What a JSON-RPC answer says went wrong: its error, or that of the tool which was called. None: nothing."""
    error, result = message.get("error"), message.get("result")
    if isinstance(error, dict):
        return f"{what} was answered with the error {error.get('code')}: {str(error.get('message'))[:MOST_QUOTED]}"
    if isinstance(result, dict) and result.get("isError") is True:
        content = result.get("content")
        texts = [str(part["text"]) for part in content if isinstance(part, dict) and "text" in part] if isinstance(content, list) else []
        return f"{what} was answered, but the tool failed: {' '.join(texts)[:MOST_QUOTED] or 'it does not say why'}"
    return None


def _failed(at_ns: int, reason: Reason, error: str) -> End:
    return End(ended="error", at_ns=at_ns, reason=reason, error=error)


def _type_of(head: Head | None) -> str:
    return head.media_type if head else ""


def _without(headers: tuple[tuple[str, str], ...], *names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in headers if name.lower() not in names)
