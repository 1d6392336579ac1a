"""Conversations with MCP servers whose every byte is the test's: what is sent, what is measured, and how it goes wrong."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sse_check.probe import Stop
from sse_check.recording import StreamRecording
from sse_check.redaction import Redactor
from sse_check.scenario import Scenario, load
from sse_check.schedule import Run, run
from sse_check.verdict import judge
from tests.support.servers import SSE_HEAD, chunk, raw_server

TOLERANCE_S = 0.15
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
CALL = "{name: count, arguments: {to: 3}}"
RESULT = {"content": [{"type": "text", "text": "counted"}]}
INITIALIZED = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "test", "version": "1"}}

Request = tuple[str, str, dict[str, str], dict[str, Any]]  # method, path, headers, message
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def parsed(raw: bytes) -> Request:
    head, _, body = raw.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    method, path, _ = line.split(" ")
    headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
    return method, path, headers, json.loads(body) if body else {}


def answered(message: dict[str, Any], *, status: str = "200 OK", **headers: str) -> bytes:
    """A JSON answer; `mcp_session_id="s"` adds the header field."""
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def event(message: Any, kind: str = "message") -> bytes:
    """An event in a chunk of its own; text as it is, anything else as a JSON-RPC message."""
    data = message if isinstance(message, str) else json.dumps({"jsonrpc": "2.0", **message})
    return chunk(f"event: {kind}\ndata: {data}\n\n".encode())


def progress(number: int) -> bytes:
    return event({"method": "notifications/progress", "params": {"progressToken": 2, "progress": number, "total": 3}})


class Server:
    """An MCP server over Streamable HTTP. What a test does not want is put into `instead`, by the message's method."""

    def __init__(self, **instead: bytes) -> None:
        self.requests: list[Request] = []
        self.instead = {name.replace("_", "/"): raw for name, raw in instead.items()}
        self.session = "a-session"

    async def __call__(self, raw: bytes, writer: asyncio.StreamWriter) -> None:
        request = parsed(raw)
        self.requests.append(request)
        method = request[3].get("method", request[0])
        if method in self.instead:
            writer.write(self.instead[method])
        elif method == "initialize":
            headers = {"mcp_session_id": self.session} if self.session else {}
            writer.write(answered({"id": 1, "result": INITIALIZED}, **headers))
        elif method == "tools/call":
            writer.write(SSE_HEAD)
            for number in (1, 2, 3):
                writer.write(progress(number))
                await writer.drain()
                await asyncio.sleep(0.2)
            writer.write(event({"id": 2, "result": RESULT}) + chunk(b""))
        else:
            writer.write(ACCEPTED)


class SseServer(Server):
    """An MCP server over the older transport: answers come on the one stream. `endpoint` is what it sends first; None: nothing."""

    def __init__(self, endpoint: str | None = "/messages?session=1", first: bytes = b"", **instead: bytes) -> None:
        super().__init__(**instead)
        self.endpoint, self.first = endpoint, first
        self.stream: asyncio.StreamWriter | None = None

    async def __call__(self, raw: bytes, writer: asyncio.StreamWriter) -> None:
        method, path, headers, message = parsed(raw)
        self.requests.append((method, path, headers, message))
        if method == "GET":
            self.stream = writer
            writer.write(SSE_HEAD + self.first + (event(self.endpoint, "endpoint") if self.endpoint is not None else b""))
            await writer.drain()
            await asyncio.sleep(60)
        what = message["method"]
        writer.write(self.instead.get(what, ACCEPTED))
        writer.close()
        assert self.stream is not None
        if what == "initialize" and what not in self.instead:
            self.stream.write(event({"id": 1, "result": {**INITIALIZED, "protocolVersion": "2024-11-05"}}))
        elif what == "tools/call" and what not in self.instead:
            for number in (1, 2, 3):
                self.stream.write(progress(number))
                await asyncio.sleep(0.2)
            self.stream.write(event({"id": 2, "result": RESULT}))
            await self.stream.drain()


def scenario(base: str, preset: str = "mcp", rest: str = "", body: str = CALL) -> Scenario:
    text = f"version: 1\ntarget: {{url: '{base}', headers: {{Authorization: Bearer t0k3n-of-the-test}}}}\n"
    return load(f"{text}probes: [{{name: p, path: /mcp, preset: {preset}, body: {body}{rest}}}]".encode(), file="test.yml")


async def talk(
    server: Server, preset: str = "mcp", rest: str = "", *, hosts: tuple[str, ...] | None = None
) -> tuple[StreamRecording, list[str]]:
    """One conversation: its stream, and the codes of what is found in it."""
    async with raw_server(server) as base:
        recording = await run(scenario(base, preset, rest), Run(redactor=Redactor(), stop=Stop(), hosts=hosts))
    return recording.streams[0], [finding.code for finding in judge(recording).findings]


# --- Streamable HTTP --------------------------------------------------------------------------------------------------


async def test_a_call_is_made_as_the_specification_says():
    """
    initialize, initialized, tools/call, DELETE: with the session and the version in the headers of all but the first.
    """
    server = Server()
    stream, codes = await talk(server)
    assert [(method, message.get("method"), message.get("id")) for method, _, _, message in server.requests] == [
        ("POST", "initialize", 1),
        ("POST", "notifications/initialized", None),
        ("POST", "tools/call", 2),
        ("DELETE", None, None),
    ]
    assert server.requests[0][3]["params"]["protocolVersion"] == "2025-06-18"
    assert server.requests[2][3]["params"] == {"name": "count", "arguments": {"to": 3}, "_meta": {"progressToken": 2}}
    assert {headers.get("mcp-session-id") for _, _, headers, _ in server.requests[1:]} == {"a-session"}
    assert {headers.get("mcp-protocol-version") for _, _, headers, _ in server.requests[1:]} == {"2025-06-18"}
    assert "mcp-session-id" not in server.requests[0][2]
    assert all(headers["authorization"] == "Bearer t0k3n-of-the-test" for _, _, headers, _ in server.requests)
    assert all("text/event-stream" in headers["accept"] and "application/json" in headers["accept"] for _, _, headers, _ in server.requests)
    assert (stream.ended, stream.planned_end, stream.negotiated, codes) == ("until", "json", "MCP 2025-06-18", [])


async def test_the_measured_stream_is_the_answer_to_the_call():
    """
    Its events are the progress and the result, and zero is when the call is sent, however long the conversation took before.
    """

    class Slow(Server):
        async def __call__(self, raw: bytes, writer: asyncio.StreamWriter) -> None:
            if parsed(raw)[3].get("method") == "initialize":
                await asyncio.sleep(0.5)
            await super().__call__(raw, writer)

    before = time.time()
    stream, _ = await talk(Slow())
    assert [t / 1e9 for t in stream.events.at_ns] == pytest.approx([0.0, 0.2, 0.4, 0.6], abs=TOLERANCE_S)
    assert list(stream.events.tokens) == [1, 1, 1, 0]
    assert stream.method == "POST"
    assert stream.sent_at - before >= 0.5  # how much later depends on the machine alone


async def test_a_server_without_sessions_is_spoken_to_without_one():
    """
    No Mcp-Session-Id: none is sent back, and nothing is there to be deleted.
    """
    server = Server()
    server.session = ""
    stream, codes = await talk(server)
    assert [request[0] for request in server.requests] == ["POST"] * 3
    assert all("mcp-session-id" not in headers for _, _, headers, _ in server.requests)
    assert (stream.ended, codes) == ("until", [])


async def test_a_token_of_the_probe_s_own_meta_is_kept_beside_ours():
    """
    What the scenario puts into `_meta` goes with the call.
    """
    server = Server()
    async with raw_server(server) as base:
        await run(scenario(base, body="{name: count, _meta: {trace: abc}}"), Run(redactor=Redactor(), stop=Stop()))
    assert server.requests[2][3]["params"] == {"name": "count", "_meta": {"trace": "abc", "progressToken": 2}}


async def test_initialize_may_be_answered_by_an_event_stream():
    """
    Servers answer it either way; the stream may begin with an event without data, and go on after the answer.
    """
    head = SSE_HEAD.replace(b"\r\n\r\n", b"\r\nMcp-Session-Id: s\r\n\r\n")
    raw = head + chunk(b"id: 0\ndata:\n\n") + event({"id": 1, "result": INITIALIZED})
    server = Server(initialize=raw)
    stream, codes = await talk(server)
    assert (server.requests[2][2]["mcp-session-id"], stream.ended, codes) == ("s", "until", [])


async def test_a_conversation_that_is_redirected_goes_on_there():
    """
    A 307 of initialize is followed as any redirect, with a warning.
    """

    class Moved(Server):
        async def __call__(self, raw: bytes, writer: asyncio.StreamWriter) -> None:
            if parsed(raw)[1] == "/mcp":
                writer.write(b"HTTP/1.1 307 Moved\r\nLocation: /mcp/\r\nContent-Length: 0\r\n\r\n")
            else:
                await super().__call__(raw, writer)

    stream, codes = await talk(Moved())
    assert (stream.ended, codes, [r.status for r in stream.redirects]) == ("until", ["redirected"], [307])
    assert stream.events.at_ns[0] / 1e9 == pytest.approx(0.0, abs=TOLERANCE_S)


@pytest.mark.parametrize(
    ("instead", "code", "said"),
    [
        pytest.param(
            {"initialize": answered({}, status="401 Unauthorized")}, "http-error", "initialize was answered with status 401", id="status"
        ),
        pytest.param(
            {"initialize": answered({"id": 1, "error": {"code": -32600, "message": "no"}})},
            "http-error",
            "initialize was answered with the error -32600: no",
            id="error",
        ),
        pytest.param(
            {"initialize": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"},
            "not-sse",
            "initialize was answered with no JSON-RPC answer to it (Content-Type text/html)",
            id="a page",
        ),
        pytest.param(
            {"initialize": answered({"id": 1, "result": {"protocolVersion": "1\r\nX: y"}})},
            "not-sse",
            "names no protocol version",
            id="version",
        ),
        pytest.param(
            {"initialize": answered({"id": 1, "result": INITIALIZED}, mcp_session_id="two words")}, "not-sse", "session's id", id="session"
        ),
        pytest.param({"initialize": SSE_HEAD + chunk(b"data: 1\n\n" * 40_000)}, "not-sse", "no JSON-RPC answer", id="endless"),
        pytest.param({"initialize": b""}, "refused", "initialize: the connection was closed before any answer", id="nothing"),
        pytest.param(
            {"notifications_initialized": answered({}, status="400 Bad Request")},
            "http-error",
            "notifications/initialized was answered with status 400",
            id="initialized",
        ),
        pytest.param(
            {"tools_call": answered({"id": 2, "error": {"code": -32602, "message": "Unknown tool"}})},
            "http-error",
            "tools/call was answered with the error -32602: Unknown tool",
            id="call: error as JSON",
        ),
        pytest.param(
            {"tools_call": SSE_HEAD + progress(1) + event({"id": 2, "error": {"code": -32603, "message": "broke"}}) + chunk(b"")},
            "http-error",
            "tools/call was answered with the error -32603: broke",
            id="call: error on the stream",
        ),
        pytest.param(
            {
                "tools_call": SSE_HEAD
                + event({"id": 2, "result": {"isError": True, "content": [{"type": "text", "text": "no disk"}]}})
                + chunk(b"")
            },
            "http-error",
            "the tool failed: no disk",
            id="call: the tool failed",
        ),
        pytest.param({"tools_call": answered({"id": 2, "result": RESULT})}, "not-sse", None, id="call: answered as JSON"),
        pytest.param({"tools_call": answered({}, status="404 Not Found")}, "http-error", None, id="call: session lost"),
        pytest.param({"tools_call": SSE_HEAD + progress(1) + progress(2)}, "truncated", "closed", id="call: cut"),
        pytest.param({"tools_call": SSE_HEAD + progress(1) + chunk(b"")}, "truncated", None, id="call: ended without an answer"),
    ],
)
async def test_what_goes_wrong_is_the_stream_s_own_result(instead: dict[str, bytes], code: str, said: str | None):
    """
    A step that fails before the stream, and an answer that is an error, are found like any fault, and say what it was.
    """
    stream, codes = await talk(Server(**instead))
    assert codes[:1] == [code], (codes, stream.error)
    if said is not None:
        assert said in (stream.error or "")


async def test_a_failed_step_tells_its_status_and_what_was_said():
    """
    The head of the step that failed is the stream's, as if there had been no conversation.
    """
    stream, _ = await talk(Server(initialize=answered({"error": "no key"}, status="401 Unauthorized")))
    assert stream.head is not None
    assert stream.head.status == 401
    assert "no key" in stream.body_start
    assert "no key" in (stream.error or "")


async def test_a_request_of_the_server_s_own_with_the_same_id_is_no_answer():
    """
    Both sides count their requests, so a server's own may have the id of the call.
    """
    own = event({"id": 2, "method": "ping"})
    raw = SSE_HEAD + progress(1) + own
    stream, _ = await talk(Server(tools_call=raw + event({"id": 2, "result": RESULT}) + chunk(b"")))
    assert (stream.error, len(stream.events)) == (None, 3)


async def test_a_long_result_is_still_the_end():
    """
    A result of a megabyte is no reason to wait for one.
    """
    raw = SSE_HEAD + event({"id": 2, "result": {"content": [{"type": "text", "text": "x" * 1_000_000}]}})
    stream, codes = await talk(Server(tools_call=raw))
    assert (stream.ended, stream.planned_end, codes) == ("until", "json", [])


async def test_a_session_is_ended_when_the_stream_is_given_up():
    """
    What is still open after the timeout is not left behind; a server that does not answer that holds up nobody.
    """

    class Endless(Server):
        async def __call__(self, raw: bytes, writer: asyncio.StreamWriter) -> None:
            if parsed(raw)[3].get("method") == "tools/call":
                writer.write(SSE_HEAD + progress(1))
                await writer.drain()
                await asyncio.sleep(60)
            if parsed(raw)[0] == "DELETE":
                self.requests.append(parsed(raw))
                await asyncio.sleep(60)
            await super().__call__(raw, writer)

    server, began = Endless(), time.monotonic()
    stream, _ = await talk(server, rest=", timeout: 1s")
    assert (server.requests[-1][0], stream.ended) == ("DELETE", "timeout")
    assert 0.5 < stream.times.ended_ns / 1e9 < 10
    assert time.monotonic() - began < 20


# --- the older transport ----------------------------------------------------------------------------------------------


async def test_the_older_transport_is_spoken_as_its_specification_says():
    """
    A GET, whose endpoint event says where to post; the answers come on the stream, and zero is when the GET is sent.
    """
    server = SseServer()
    stream, codes = await talk(server, "mcp-sse")
    assert [(method, path, message.get("method")) for method, path, _, message in server.requests] == [
        ("GET", "/mcp", None),
        ("POST", "/messages?session=1", "initialize"),
        ("POST", "/messages?session=1", "notifications/initialized"),
        ("POST", "/messages?session=1", "tools/call"),
    ]
    assert server.requests[1][3]["params"]["protocolVersion"] == "2024-11-05"
    assert all(headers["authorization"] == "Bearer t0k3n-of-the-test" for _, _, headers, _ in server.requests)
    assert all(headers["content-type"] == "application/json" for _, _, headers, _ in server.requests[1:])
    assert "content-type" not in server.requests[0][2]
    assert "content-length" not in server.requests[0][2]
    assert (stream.ended, stream.planned_end, stream.negotiated, stream.method, codes) == ("until", "json", "MCP 2024-11-05", "GET", [])
    assert list(stream.events.type) == ["endpoint", *["message"] * 5]
    assert list(stream.events.tokens) == [0, 0, 1, 1, 1, 0]


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://elsewhere.example.test/messages",
        "//elsewhere.example.test/m",
        "http://127.0.0.1:1/m",
        "file:///etc/passwd",
        "http://[",
        "/" + "m" * 5000,
    ],
)
async def test_an_endpoint_elsewhere_gets_nothing(endpoint: str):
    """
    The server may name a place at its own origin only: anywhere else would be handed the scenario's credentials.
    """
    server = SseServer(endpoint)
    stream, codes = await talk(server, "mcp-sse")
    assert [request[0] for request in server.requests] == ["GET"]
    assert codes[:1] == ["not-sse"]
    assert "leads to another origin" in (stream.error or "")
    assert stream.times.ended_ns < 2e9


async def test_an_endpoint_at_a_host_that_is_not_allowed_gets_nothing():
    """
    `allow-hosts` holds for what a server names as well.
    """
    server = SseServer()
    _, codes = await talk(server, "mcp-sse", hosts=("app.example.test",))
    assert ([request[0] for request in server.requests], codes[:1]) == (["GET"], ["not-sse"])


@pytest.mark.parametrize("endpoint", ["messages", "?session=1", "/messages"])
async def test_an_endpoint_is_resolved_against_the_stream_s_own_url(endpoint: str):
    """
    Relative references are the rule.
    """
    stream, codes = await talk(SseServer(endpoint), "mcp-sse")
    assert (stream.ended, codes) == ("until", [])


@pytest.mark.parametrize(
    ("server", "code", "said"),
    [
        pytest.param(SseServer(None, event({"method": "hello"})), "not-sse", "no endpoint event", id="another event stream"),
        pytest.param(
            SseServer(initialize=answered({}, status="403 Forbidden")),
            "http-error",
            "initialize was answered with status 403",
            id="post refused",
        ),
        pytest.param(
            SseServer(tools_call=answered({"e": "too much"}, status="429 Too Many Requests")),
            "http-error",
            "tools/call was answered with status 429",
            id="call refused",
        ),
        pytest.param(SseServer(initialize=b""), "refused", "initialize: the connection was closed", id="post closed"),
    ],
)
async def test_what_goes_wrong_beside_the_stream_is_the_stream_s_own_result(server: SseServer, code: str, said: str):
    """
    Without an endpoint, and without a post that is accepted, nothing would ever come: it is said at once.
    """
    stream, codes = await talk(server, "mcp-sse")
    assert codes[:1] == [code]
    assert said in (stream.error or "")
    assert stream.times.ended_ns < 4e9


async def test_an_error_on_the_stream_is_no_healthy_answer():
    """
    The call is accepted, and its answer on the stream is an error.
    """

    class Failing(SseServer):
        async def __call__(self, raw: bytes, writer: asyncio.StreamWriter) -> None:
            if parsed(raw)[3].get("method") == "tools/call":
                writer.write(ACCEPTED)
                assert self.stream is not None
                self.stream.write(event({"id": 2, "error": {"code": -32601, "message": "no such tool"}}))
            else:
                await super().__call__(raw, writer)

    stream, codes = await talk(Failing(), "mcp-sse")
    assert (codes[:1], stream.error) == (["http-error"], "tools/call was answered with the error -32601: no such tool")


async def test_events_before_the_endpoint_are_waited_out():
    """
    The specification says that the event comes, not that it is the first.
    """
    stream, codes = await talk(SseServer(first=event("hello", "connected")), "mcp-sse")
    assert (stream.ended, codes) == ("until", [])


async def test_a_stream_that_is_refused_is_as_for_any_probe():
    """
    A status other than 200 of the GET: nothing is posted.
    """

    async def handler(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")

    async with raw_server(handler) as base:
        recording = await run(scenario(base, "mcp-sse"), Run(redactor=Redactor(), stop=Stop()))
    assert [finding.code for finding in judge(recording).findings][:1] == ["http-error"]


async def test_conversations_at_once_do_not_mix():
    """
    Each of several streams has a conversation of its own.
    """
    server = Server()
    async with raw_server(server) as base:
        recording = await run(scenario(base, rest=", streams: 3"), Run(redactor=Redactor(), stop=Stop()))
    assert [(stream.ended, len(stream.events)) for stream in recording.streams] == [("until", 4)] * 3
    assert sum(request[0] == "DELETE" for request in server.requests) == 3


@pytest.mark.parametrize(
    ("server", "preset", "lacking"),
    [
        pytest.param(Server(), "mcp", "initialize was not answered", id="initialize"),
        pytest.param(SseServer(None), "mcp-sse", "no endpoint event came", id="endpoint"),
        pytest.param(SseServer(initialize=ACCEPTED), "mcp-sse", "the answer to initialize did not come on the stream", id="accepted only"),
    ],
)
async def test_a_conversation_that_is_given_up_says_what_it_waited_for(server: Server, preset: str, lacking: str):
    """
    What never comes is given up after the probe's own timeout, as a cold start may take its time.
    """
    if preset == "mcp":

        async def silent(_: bytes, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(60)

        handler: Callable[[bytes, asyncio.StreamWriter], Awaitable[None]] = silent
    else:
        handler = server
    async with raw_server(handler) as base:
        recording = await run(scenario(base, preset, ", timeout: 1s"), Run(redactor=Redactor(), stop=Stop()))
    assert recording.streams[0].error == f"not over after 1 s: {lacking}"
    assert [finding.code for finding in judge(recording).findings] == ["stalled"]
