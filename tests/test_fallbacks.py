"""Fallbacks against real servers on loopback: what counts as working, and what is said of each that does not work."""

import asyncio
import base64
import hashlib
import json
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
from aiohttp import WSMsgType, web

from sse_check import fallbacks as fallbacks_module
from sse_check.fallbacks import try_fallbacks
from sse_check.origin import serving
from sse_check.pipeline import check
from sse_check.recording import FallbackRecording, to_lines
from sse_check.redaction import Redactor
from sse_check.report import report_json, summary_markdown, terminal_text
from sse_check.scenario import Scenario, Variables, load
from tests.support.servers import Handler, answering, chunk, raw_server

DEADLINE_S = 1.0
HOLD_S = 0.6

Talk = Callable[[web.WebSocketResponse], Awaitable[None]]


def scenario_of(fallbacks: str, *, url: str = "http://127.0.0.1:9", target: str = "", probe: str = "path: /") -> Scenario:
    """A scenario with these fallbacks, in YAML; what is within the deadline is within a second."""
    text = (
        f"version: 1\ntarget: {{url: '{url}'{', ' + target if target else ''}}}\ncriteria: {{event_deadline: {DEADLINE_S}s}}\n"
        f"probes: [{{name: p, {probe}}}]\nfallbacks: [{fallbacks}]\n"
    )
    return load(text.encode(), file="test.yml", variables=Variables())


async def tried(fallbacks: str, *, hosts: tuple[str, ...] | None = None, hold: float = HOLD_S, **of: Any) -> list[FallbackRecording]:
    """What trying these fallbacks comes to."""
    return list(await try_fallbacks(scenario_of(fallbacks, **of), redactor=Redactor(), hosts=hosts, addresses={}, hold=hold))


async def one(fallback: str, **of: Any) -> FallbackRecording:
    """The same, of the only fallback."""
    (result,) = await tried(fallback, **of)
    return result


@asynccontextmanager
async def talking(talk: Talk, *, autoping: bool = True, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A WebSocket server that does as `talk` says; gives its base URL, with ws: or wss:."""

    async def handler(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=autoping)
        await socket.prepare(request)
        await talk(socket)
        return socket

    app = web.Application()
    app.router.add_get("/ws", handler)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield f"{'wss' if tls else 'ws'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def echo(socket: web.WebSocketResponse) -> None:
    """Every message comes back."""
    async for message in socket:
        await socket.send_str(message.data)


async def mute(socket: web.WebSocketResponse) -> None:
    """Takes messages, and answers none."""
    async for _ in socket:
        pass


def upgraded(frames: Handler, connection: bytes = b"Upgrade") -> Handler:
    """Upgrades by hand, and goes on as `frames` says."""

    async def handler(request: bytes, writer: asyncio.StreamWriter) -> None:
        found = re.search(rb"(?i)sec-websocket-key: (\S+)", request)
        assert found is not None
        accept = base64.b64encode(hashlib.sha1(found[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: %s\r\nSec-WebSocket-Accept: %s\r\n\r\n"
        writer.write(head % (connection, accept))
        await frames(request, writer)

    return handler


# --- a WebSocket: the answer ------------------------------------------------------------------------------------------


async def test_an_echo_that_comes_back_works():
    """
    Upgraded, answered with the text, open and silent for the whole hold: it works, and each is told in seconds.
    """
    async with talking(echo) as base:
        result = await one(f"{{websocket: {{url: '{base}/ws', send: ping, expect: ping}}}}")
    assert (result.kind, result.worked) == ("websocket", True), result.detail
    assert result.answered is not None
    assert result.answered < DEADLINE_S
    assert result.held == HOLD_S
    assert result.seconds >= HOLD_S
    assert re.fullmatch(r"upgraded, the message was answered after [0-9.]+ms, and stayed open in silence for 600ms", result.detail)


async def test_other_messages_may_come_before_the_answer():
    """
    A greeting is not the answer, and does not spoil it.
    """

    async def greets(socket: web.WebSocketResponse) -> None:
        await socket.send_str("welcome")
        await echo(socket)

    async with talking(greets) as base:
        result = await one(f"{{websocket: {{url: '{base}/ws', send: ping, expect: ping}}}}")
    assert result.worked, result.detail


@pytest.mark.parametrize("kind", ["text", "bytes"])
async def test_a_wrong_answer_does_not_work(kind):
    """
    An answer without the expected text is none, and what came instead is told.
    """

    async def wrong(socket: web.WebSocketResponse) -> None:
        async for _ in socket:
            await (socket.send_str("not so") if kind == "text" else socket.send_bytes(b"not so"))

    async with talking(wrong) as base:
        result = await one(f"{{websocket: {{url: '{base}/ws', send: ping, expect: pong}}}}")
    assert (result.worked, result.answered, result.held) == (False, None, None)
    assert result.detail == "upgraded, but no message with `pong` came within 1s; the last message was `not so`"


async def test_no_answer_does_not_work():
    """
    An upgrade proves nothing where the message is not answered within the event deadline.
    """
    async with talking(mute) as base:
        result = await one(f"{{websocket: {{url: '{base}/ws', send: ping}}}}")
    assert (result.worked, result.detail) == (False, "upgraded, but no message came within 1s")
    assert 0.99 * DEADLINE_S <= result.seconds < 4 * DEADLINE_S


async def test_expect_without_send_waits_for_such_a_message():
    """
    A server that speaks first is heard, and nothing is sent to it.
    """
    heard: list[str] = []

    async def speaks(socket: web.WebSocketResponse) -> None:
        await asyncio.sleep(0.2)
        await socket.send_json({"type": "ready"})
        heard.extend([message.data async for message in socket])

    async with talking(speaks) as base:
        result = await one(f"{{websocket: {{url: '{base}/ws', expect: ready}}}}")
    assert result.worked, result.detail
    assert "the expected message came after" in result.detail
    assert heard == []


async def test_without_send_and_expect_a_ping_must_be_answered():
    """
    RFC 6455, section 5.5.2: whoever receives a ping must answer it; one that does not is no WebSocket to fall back to.
    """
    async with talking(mute) as base:
        answers = await one(f"{{websocket: {{url: '{base}/ws'}}}}")
    async with talking(mute, autoping=False) as base:
        deaf = await one(f"{{websocket: {{url: '{base}/ws'}}}}")
    assert answers.worked, answers.detail
    assert answers.detail.startswith("upgraded, a ping was answered after ")
    assert (deaf.worked, deaf.detail) == (False, "upgraded, but a ping was not answered within 1s")


# --- a WebSocket: the hold --------------------------------------------------------------------------------------------


async def test_a_close_during_the_hold_is_told_with_its_time_and_code():
    """
    A connection that is closed while nothing is sent does not work: when it was, by which code, and for which reason.
    """

    async def closes(socket: web.WebSocketResponse) -> None:
        await socket.send_str(await socket.receive_str())
        await asyncio.sleep(0.4)
        await socket.close(code=1013, message=b"too many")

    async with talking(closes) as base:
        result = await one(f"{{websocket: {{url: '{base}/ws', send: a, expect: a, hold: 3s}}}}")
    said = re.fullmatch(
        r"upgraded, but closed after ([0-9.]+)ms, while it was held open in silence: close code 1013 \(`too many`\)", result.detail
    )
    assert said is not None, result.detail
    assert float(said[1]) == pytest.approx(400, abs=200)
    assert result.worked is False
    assert result.held == pytest.approx(0.4, abs=0.2)
    assert result.answered is not None


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        pytest.param(b"\x88\x00", "close code 1005", id="a close without a code"),
        pytest.param(b"", r"the connection ended without a close frame \(close code 1006\)", id="no close frame"),
        pytest.param(b"\xf1\x00", r"the protocol was broken \(.+\)", id="reserved bits"),
        pytest.param(b"\x82\x7f" + (2**40).to_bytes(8, "big"), r"the protocol was broken \(.+\)", id="a message of a terabyte"),
    ],
)
async def test_every_way_to_end_is_told(frames, said):
    """
    RFC 6455, section 7.1.5: a close frame may have no code, and a connection may end without one.
    """

    async def ends(_: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(frames)

    async with raw_server(upgraded(ends)) as base:
        result = await one(f"{{websocket: {{url: '{base.replace('http', 'ws')}/ws', expect: a}}}}")
    assert result.worked is False
    assert re.fullmatch(rf"upgraded, but closed after [0-9.]+ms, before it answered: {said}", result.detail), result.detail


async def test_a_connection_that_a_hop_has_forgotten_does_not_work():
    """
    A hop may drop a silent connection without telling either side: the ping at the end of the hold finds it out.
    """

    async def forgets(socket: web.WebSocketResponse) -> None:
        await socket.send_str(await socket.receive_str())
        await asyncio.sleep(30)

    async with talking(forgets) as base:
        result = await one(f"{{websocket: {{url: '{base}/ws', send: a, expect: a}}}}")
    assert (result.worked, result.held) == (False, HOLD_S)
    assert result.detail == "upgraded, but after 600ms of silence a ping was not answered within 1s"


async def test_the_servers_own_pings_are_answered():
    """
    A server that keeps its connections alive by pings closes what does not answer; ours does, as a browser's would.
    """
    ponged: list[bytes] = []

    async def pings(socket: web.WebSocketResponse) -> None:
        for number in range(3):
            await socket.ping(b"%d" % number)
            message = await socket.receive()
            while message.type is not WSMsgType.PONG:
                await (socket.pong(message.data) if message.type is WSMsgType.PING else asyncio.sleep(0))
                message = await socket.receive()
            ponged.append(message.data)
            await asyncio.sleep(0.1)
        async for message in socket:
            if message.type is WSMsgType.PING:
                await socket.pong(message.data)

    async with talking(pings, autoping=False) as base:
        result = await one(f"{{websocket: {{url: '{base}/ws'}}}}")
    assert result.worked, result.detail
    assert ponged == [b"0", b"1", b"2"]


async def test_messages_during_the_hold_do_no_harm():
    """
    A server may go on talking; nothing is sent to it all the while.
    """

    async def talks(socket: web.WebSocketResponse) -> None:
        async def send() -> None:
            while not socket.closed:
                await socket.send_str("x" * 1000)
                await asyncio.sleep(0.05)

        sending = asyncio.ensure_future(send())
        await mute(socket)
        sending.cancel()

    async with talking(talks) as base:
        result = await one(f"{{websocket: {{url: '{base}/ws'}}}}")
    assert result.worked, result.detail


async def test_no_hold_ends_with_the_answer():
    """
    `hold: 0s` asks for the answer only.
    """
    async with talking(echo) as base:
        result = await one(f"{{websocket: {{url: '{base}/ws', send: a, expect: a, hold: 0s}}}}", hold=20.0)
    assert (result.worked, result.held) == (True, None)
    assert result.seconds < 20.0


# --- a WebSocket: the upgrade -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("403 Forbidden", "not upgraded: status 403 instead of 101"),
        ("200 OK", "not upgraded: status 200 instead of 101; does every proxy pass the headers Upgrade and Connection on?"),
        ("400 Bad Request", "not upgraded: status 400 instead of 101; does every proxy pass the headers Upgrade and Connection on?"),
        ("302 Found\r\nLocation: /elsewhere", "status 302, a redirect, which is not followed"),
        (
            "101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA",
            "not upgraded: Invalid challenge response in an answer with status 101",
        ),
    ],
)
async def test_a_refused_upgrade_is_told_by_its_status(head, said):
    """
    Every answer but a proper 101 is a refusal; where the Upgrade header may have been lost on the way, the detail says so.
    """
    length = "" if head.startswith("101") else "Content-Length: 0\r\n"
    async with raw_server(answering(f"HTTP/1.1 {head}\r\n{length}\r\n".encode())) as base:
        result = await one(f"{{websocket: {{url: '{base.replace('http', 'ws')}/ws'}}}}")
    assert (result.worked, result.detail) == (False, said)


async def test_an_upgrade_that_is_never_answered_ends_in_time():
    """
    A server that takes the request and says nothing costs the event deadline, no more.
    """

    async def silent(_: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with raw_server(silent) as base:
        result = await one(f"{{websocket: {{url: '{base.replace('http', 'ws')}/ws'}}}}")
    assert (result.worked, result.detail) == (False, "no answer within 1s")
    assert 0.99 * DEADLINE_S <= result.seconds < 4 * DEADLINE_S


async def test_the_connection_header_may_hold_other_tokens():
    """
    RFC 6455, section 4.1: `Connection` must contain the token `Upgrade`, not be it; browsers take `keep-alive, Upgrade`.
    """

    async def says(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x81\x05hello")
        await asyncio.sleep(0.3)

    async with raw_server(upgraded(says, b"keep-alive, upgrade")) as base:
        result = await one(f"{{websocket: {{url: '{base.replace('http', 'ws')}/ws', expect: hello, hold: 0s}}}}")
    assert result.worked, result.detail


# --- a batch request --------------------------------------------------------------------------------------------------


def batch_answer(body: bytes, *, length: int | None = None, status: str = "200 OK") -> Handler:
    """An answer of this body; `length` is what its head promises."""
    return answering(f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body)


async def test_a_batch_answer_that_is_whole_works():
    """
    A 2xx status and the whole body in time: it works, with its size and its time.
    """
    async with raw_server(batch_answer(b'{"done": true}', status="201 Created")) as base:
        result = await one(f"{{batch: {{url: '{base}/x', expect: done}}}}")
    assert result.worked, result.detail
    assert re.fullmatch(r"status 201, 14 bytes, complete after [0-9.]+ms", result.detail)
    assert result.answered is not None


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (batch_answer(b"no", status="503 Service Unavailable"), "status 503"),
        (batch_answer(b"", status="307 Temporary Redirect\r\nLocation: /y"), "status 307, a redirect, which is not followed"),
        (batch_answer(b'{"par', length=100), "status 200, but its body broke off after 5 bytes (ClientPayloadError)"),
        (
            answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"part")),
            "status 200, but its body broke off after 4 bytes (ClientPayloadError)",
        ),
        (batch_answer(b'{"state": "pending"}'), "status 200, but `done` is not in its body of 20 bytes"),
        (batch_answer(b""), "status 200, but `done` is not in its body of 0 bytes"),
    ],
    ids=["an error", "a redirect", "cut off", "cut off in chunks", "another text", "no text"],
)
async def test_what_is_no_whole_batch_answer_does_not_work(handler, said):
    """
    An error, a redirect, a body that broke off, or one without the expected text.
    """
    async with raw_server(handler) as base:
        result = await one(f"{{batch: {{url: '{base}/x', expect: done}}}}")
    assert (result.worked, result.detail) == (False, said)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"", "no answer within 1s"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart", "status 200, but its body was not complete (4 bytes) within 1s"),
    ],
)
async def test_a_batch_answer_that_is_late_does_not_work(head, said):
    """
    The body must be whole within the event deadline, as the stream's events must be there.
    """

    async def late(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await asyncio.sleep(30)

    async with raw_server(late) as base:
        result = await one(f"{{batch: {{url: '{base}/x'}}}}")
    assert (result.worked, result.detail) == (False, said)
    assert 0.99 * DEADLINE_S <= result.seconds < 4 * DEADLINE_S


async def test_the_expected_text_may_be_torn():
    """
    The text is found wherever the body was cut into pieces, and whatever its script.
    """

    async def torn(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for byte in "… fertig ✓ …".encode():
            writer.write(chunk(bytes([byte])))
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.write(chunk(b""))

    async with raw_server(torn) as base:
        result = await one(f"{{batch: {{url: '{base}/x', expect: 'fertig ✓'}}}}")
    assert result.worked, result.detail


async def test_a_batch_answer_without_bound_is_given_up(monkeypatch):
    """
    No more is read than there is room for.
    """
    monkeypatch.setattr(fallbacks_module, "_MAX_BODY", 100_000)
    async with raw_server(batch_answer(b"x" * 200_000)) as base:
        result = await one(f"{{batch: {{url: '{base}/x'}}}}")
    assert (result.worked, result.detail) == (False, "status 200, but its body has more than 100,000 bytes")


async def test_a_batch_request_carries_its_body():
    """
    A mapping is sent as JSON, with its type; the method is the fallback's.
    """
    seen: list[bytes] = []

    async def keep(request: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        await batch_answer(b"ok")(request, writer)

    async with raw_server(keep) as base:
        result = await one(f"{{batch: {{url: '{base}/x', method: POST, body: {{a: 1}}}}}}")
    assert result.worked, result.detail
    assert seen[0].startswith(b"POST /x HTTP/1.1\r\n")
    assert b"Content-Type: application/json\r\n" in seen[0]
    assert seen[0].endswith(b'\r\n\r\n{"a":1}')


# --- the way ----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def remembering() -> AsyncIterator[tuple[str, list[dict[str, str]]]]:
    """A server that refuses every request and keeps its headers; gives its base URL."""
    seen: list[dict[str, str]] = []

    async def keep(request: bytes, writer: asyncio.StreamWriter) -> None:
        lines = request.decode().split("\r\n\r\n")[0].split("\r\n")
        pairs = [line.split(": ", 1) for line in lines[1:]]
        assert len({name.lower() for name, _ in pairs}) == len(pairs), "a header was sent twice"
        seen.append({"": lines[0], **{name.lower(): value for name, value in pairs}})
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")

    async with raw_server(keep) as base:
        yield base, seen


async def test_headers_go_to_the_targets_host_only():
    """
    The target's headers go with what is at the target, and never elsewhere; the fallback's own go before them.
    """
    options = "headers: {x-api-key: own-key}"
    async with remembering() as (base, here), remembering() as (other, there):
        results = await tried(
            f"{{websocket: {{path: /ws}}}}, {{batch: {{path: /b}}}}, {{batch: {{path: /b, {options}}}}},"
            f"{{websocket: {{url: '{other.replace('http', 'ws')}/ws'}}}}, {{batch: {{url: '{other}/b', headers: {{X-Own: mine}}}}}}",
            url=base,
            target="headers: {X-API-Key: the-targets, X-Tenant: t1}",
        )
    assert [result.worked for result in results] == [False] * 5
    assert [seen.get("x-api-key") for seen in here] == ["the-targets", "the-targets", "own-key"]
    assert [seen.get("x-tenant") for seen in here] == ["t1"] * 3
    assert here[0]["upgrade"] == "websocket"
    assert [(seen.get("x-api-key"), seen.get("x-tenant"), seen.get("x-own")) for seen in there] == [(None,) * 3, (None, None, "mine")]


async def test_target_resolve_says_where_a_fallback_is():
    """
    `target.resolve` holds for the fallbacks as for the streams.
    """
    async with talking(echo) as base:
        port = base.rpartition(":")[2]
        result = await one(
            "{websocket: {path: /ws, send: a, expect: a}}",
            url=f"http://app.example.test:{port}",
            target="resolve: {app.example.test: 127.0.0.1}",
        )
    assert result.worked, result.detail
    assert result.url == f"ws://app.example.test:{port}/ws"


async def test_target_tls_holds_for_fallbacks(tmp_path):
    """
    A wss: URL is verified by the target's authority, and refused without it.
    """
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with talking(echo, tls=context) as base:
        url = f"https{base.removeprefix('wss')}"
        trusted = await one("{websocket: {path: /ws, send: a, expect: a}}", url=url, target=f"tls: {{ca: '{tmp_path}/ca.pem'}}")
        unknown = await one("{websocket: {path: /ws, send: a, expect: a}}", url=url)
    assert trusted.worked, trusted.detail
    assert unknown.worked is False
    assert "certificate" in unknown.detail.lower()


async def test_the_environments_proxies_are_used(monkeypatch):
    """
    `HTTP_PROXY` and `HTTPS_PROXY` hold for ws: and wss: as well; what has an address of its own goes past them.
    """
    async with remembering() as (proxy, seen):
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("https_proxy", proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        names = ("{websocket: {url: 'ws://app.example.test/ws'}}", "{websocket: {url: 'wss://app.example.test/ws'}}")
        results = await tried(", ".join((*names, "{batch: {url: 'https://app.example.test/b'}}")))
        await tried("{batch: {url: 'http://app.example.test:9/b'}}", target="resolve: {app.example.test: 127.0.0.1}")
    assert [result.worked for result in results] == [False] * 3
    assert [request[""] for request in seen] == ["GET http://app.example.test/ws HTTP/1.1", *["CONNECT app.example.test:443 HTTP/1.1"] * 2]


async def test_a_host_that_is_not_allowed_is_not_asked():
    """
    The action's `allow-hosts` hold for fallbacks: by host and port, which wss: has like https:.
    """
    async with remembering() as (base, seen):
        result = (await tried(f"{{batch: {{url: '{base}/b'}}}}", hosts=("app.example.test",)))[0]
        refused = (await tried("{websocket: {url: 'wss://localhost/ws'}}", hosts=("localhost:443",)))[0]
    assert (result.worked, result.detail, seen) == (False, "its host is not allowed", [])
    assert "not allowed" not in refused.detail


async def test_the_first_that_works_is_the_last_that_is_tried():
    """
    The fallbacks are tried in their order, up to the first that works.
    """
    async with serving() as base:
        results = await tried(
            "{websocket: {path: /nowhere}}, {batch: {path: /batch, expect: complete}}, {websocket: {path: /ws}}", url=base
        )
    assert [(r.kind, r.worked, r.detail[:30]) for r in results[:1]] == [("websocket", False, "not upgraded: status 404 inste")]
    assert [(r.kind, r.worked) for r in results[1:]] == [("batch", True)]


@pytest.mark.parametrize("fallback", ["websocket: {url: 'ws", "batch: {url: 'http"])
async def test_a_connection_that_does_not_come_about_is_told_apart(fallback, monkeypatch):
    """
    A host that drops what it does not want: no connection, which is something else than no answer.
    """
    monkeypatch.setattr(fallbacks_module, "_CONNECT_TIMEOUT", 0.3)
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)  # Linux takes one more than it is told, and drops the rest
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        await asyncio.sleep(0.1)
        result = await one(f"{{{fallback}://127.0.0.1:{full.getsockname()[1]}/'}}}}")
    assert (result.worked, result.detail) == (False, "no connection within 300ms")


async def test_nothing_listens_there():
    """
    What cannot be reached does not work, and the detail says why.
    """
    result = await one("{batch: {url: 'http://127.0.0.1:9/'}}")
    assert result.worked is False
    assert "Cannot connect to host 127.0.0.1:9" in result.detail


# --- the whole run ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "options"),
    [("", "send: ping, expect: ping"), ("", ""), ("?every=50ms", "expect: seq"), ("?every=50ms&count=2", "send: x, expect: x, hold: 1s")],
)
async def test_the_embedded_servers_fallbacks_work(query, options):
    """
    `sse-check serve` offers a WebSocket that sends back what it gets, and messages of its own if asked.
    """
    async with serving() as base:
        result = await one(f"{{websocket: {{path: '/ws{query}'{', ' if options else ''}{options}}}}}", url=base)
    assert result.worked, result.detail


@pytest.mark.parametrize("path", ["/ws?evry=1s", "/ws?every=1", "/batch?count=-1", "/batch?every=1s"])
async def test_the_embedded_server_refuses_what_it_does_not_know(path):
    """
    A query that is misspelt is no fallback that works.
    """
    kind = "websocket" if path.startswith("/ws") else "batch"
    async with serving() as base:
        result = await one(f"{{{kind}: {{path: '{path}'}}}}", url=base)
    assert result.worked is False
    assert "status 400" in result.detail


async def test_credentials_of_fallbacks_stay_secret():
    """
    What stands in a fallback's headers, URL and JSON bodies is kept nowhere, though nobody declared it and the server repeats it.
    """
    secrets = ["header-secret-1", "query-secret-22", "nested-secret-3", "sent-secret-444"]

    async def repeats(socket: web.WebSocketResponse) -> None:
        async for message in socket:
            await socket.send_str(f"no: {message.data} {secrets[0]}")

    async with talking(repeats) as base:
        send = json.dumps({"auth": {"password": secrets[3]}})
        scenario = scenario_of(
            f"{{websocket: {{url: '{base}/ws?token={secrets[1]}', headers: {{X-API-Key: {secrets[0]}}}, send: '{send}', expect: welcome}}}},"
            f"{{batch: {{url: 'http://127.0.0.1:9/?sig={secrets[1]}', method: POST, body: {{login: [{{password: {secrets[2]}}}]}}}}}}",
            probe="url: 'http://127.0.0.1:9/'",
        )
        checked = await check(scenario)
    everything = b"".join(to_lines(checked.recording)).decode() + report_json(checked.result).decode()
    everything += summary_markdown(checked.report) + terminal_text(checked.result)
    assert checked.result.recommendation == "BLOCKED: no fallback works"
    assert "the last message was" in checked.result.fallbacks[0].detail
    assert [secret for secret in secrets if secret in everything] == []


async def test_a_run_holds_a_websocket_longer_than_what_cut_its_stream():
    """
    A stream that is cut in silence after 4.5 s: the WebSocket must last 1.2 times as long, and the reports tell.
    """
    async with serving() as base:
        text = (
            f"version: 1\ntarget: {{url: '{base}'}}\nfollow_up: false\n"
            "probes: [{name: p, path: '/events?fault=idle-timeout&after=4500ms&every=20ms&count=8', until: {event: complete}}]\n"
            "fallbacks: [{websocket: {path: /ws}}]\n"
        )
        began = time.monotonic()
        checked = await check(load(text.encode(), file="test.yml"))
        took = time.monotonic() - began
    (fallback,) = checked.result.fallbacks
    limit = checked.result.findings[0].evidence["idle_timeout"]
    assert (checked.result.recommendation, checked.result.footing) == ("PUNT to WebSocket", None)
    assert not isinstance(limit, str)
    assert fallback.held == pytest.approx(1.2 * limit, abs=0.01)
    assert took > limit + 1.2 * limit
    assert "stayed open in silence for 5.4" in terminal_text(checked.result)
    assert "| Answered after | Open in silence for |" in summary_markdown(checked.report)
