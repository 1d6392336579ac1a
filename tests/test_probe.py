"""One stream against a real server: what is recorded is what the server did, and when."""

import asyncio
import gzip
import json
import socket
import ssl
import struct
import time
import zlib
from collections.abc import Callable

import brotli
import pytest
import trustme

from sse_check.probe import Stop
from sse_check.recording import Recording, StreamRecording
from sse_check.redaction import Redactor
from sse_check.scenario import Variables, load
from sse_check.schedule import Run, run
from tests.support.servers import SSE_HEAD, answering, chunk, greeting_server, raw_server

# How late a stamp may be on a busy machine. The gaps that the tests make are several times this long.
TOLERANCE_S = 0.15


async def observe(base: str, probe: str = "path: /", *, target: str = "") -> Recording:
    """Run a scenario of one probe against a base URL."""
    text = f"version: 1\ntarget: {{url: '{base}'{', ' + target if target else ''}}}\nprobes: [{{name: p, {probe}}}]\n"
    return await run(load(text.encode(), file="test.yml", variables=Variables()), Run(redactor=Redactor(), stop=Stop()))


async def observe_one(base: str, probe: str = "path: /", *, target: str = "") -> StreamRecording:
    """Run a scenario of one probe of one stream, and give that stream."""
    recording = await observe(base, probe, target=target)
    assert len(recording.streams) == 1
    return recording.streams[0]


async def test_every_read_is_stamped_when_its_bytes_arrived():
    """
    Events are stamped with the read that completed them: spread when the server spreads them, together when it does not.
    """
    written: list[float] = []

    async def handler(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE_HEAD)
        for data in (b"data: 1\n\n", b"data: 2\n\ndata: 3\n\n", b"data: 4\n", b"\n"):
            await asyncio.sleep(0.3)
            written.append(time.monotonic())
            writer.write(chunk(data))
        writer.write(chunk(b""))

    async with raw_server(handler) as base:
        stream = await observe_one(base)
    at = [t / 1e9 for t in stream.events.at_ns]
    sent = [w - written[0] for w in written]
    assert [t - at[0] for t in at] == pytest.approx([sent[0], sent[1], sent[1], sent[3]], abs=TOLERANCE_S)
    assert [stream.events.read[n] for n in range(4)] == [0, 1, 1, 3]
    assert stream.ended == "eof"


async def test_events_that_come_with_the_head_carry_its_stamp():
    """
    A body that arrives in the same segment as the response head is not stamped later than the head.
    """
    async with raw_server(answering(SSE_HEAD + chunk(b"data: 1\n\n") + chunk(b"data: 2\n\n") + chunk(b""))) as base:
        stream = await observe_one(base)
    assert stream.times.head_ns is not None
    assert list(stream.events.at_ns) == [stream.times.head_ns] * 2
    assert stream.ended == "eof"


async def test_phases_of_the_connection_are_in_order():
    """
    Name look-up, connect, request, head, first byte and end are stamped in the order in which they happen; sending is zero.
    """

    async def handler(_: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        writer.write(SSE_HEAD)
        await writer.drain()
        await asyncio.sleep(0.3)
        writer.write(chunk(b"data: x\n\n") + chunk(b""))

    async with raw_server(handler) as base:
        stream = await observe_one(base.replace("127.0.0.1", "localhost"))
    times = stream.times
    assert times.resolved_ns is not None
    assert times.connected_ns is not None
    assert times.head_ns is not None
    assert times.started_ns <= times.resolved_ns <= times.connected_ns <= 0 < times.head_ns < stream.reads.at_ns[0] <= times.ended_ns
    assert times.head_ns / 1e9 == pytest.approx(0.3, abs=TOLERANCE_S)
    assert (stream.reads.at_ns[0] - times.head_ns) / 1e9 == pytest.approx(0.3, abs=TOLERANCE_S)
    assert times.tls_ns is None
    assert stream.peer == base.removeprefix("http://")


@pytest.mark.parametrize(
    ("raw", "ended", "reason"),
    [
        (SSE_HEAD + chunk(b"data: 1\n\n") + chunk(b""), "eof", None),
        (SSE_HEAD + chunk(b"data: 1\n\n"), "truncated", None),
        (SSE_HEAD + b"100\r\ndata: 1\n\n", "truncated", None),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 100\r\n\r\ndata: 1\n\n", "truncated", None),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: 1\n\n", "eof", None),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n", "eof", None),
        (b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n", "eof", None),
        (SSE_HEAD + b"zz\r\nno chunk", "error", "protocol"),
        (b"\x16\x03\x01\x02\x00garbage" * 50, "error", "protocol"),
        (b"", "error", "no-response"),
        (b"HTTP/1.1 200 OK\r\nContent-Ty", "error", "no-response"),
    ],
)
async def test_how_a_stream_ended_is_told(raw: bytes, ended: str, reason: str | None):
    """
    A proper end, a missing last chunk, a body that is too short, and what is no HTTP at all are told apart.
    """
    async with raw_server(answering(raw)) as base:
        stream = await observe_one(base)
    assert (stream.ended, stream.reason) == (ended, reason)


async def test_a_reset_is_told_from_a_close():
    """
    RST in mid-stream is `reset`, and the events before it are kept.
    """

    async def handler(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE_HEAD + chunk(b"data: 1\n\n"))
        await writer.drain()
        await asyncio.sleep(0.2)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with raw_server(handler) as base:
        stream = await observe_one(base)
    assert (stream.ended, len(stream.events)) == ("reset", 1)


@pytest.mark.parametrize(
    ("url", "reason"), [("http://127.0.0.1:1", "tcp"), ("http://name.invalid", "dns"), ("https://127.0.0.1:{plain}", "tls")]
)
async def test_no_connection_says_which_step_failed(url: str, reason: str):
    """
    Name look-up, TCP and TLS failures are recorded as such, with what the system said.
    """
    async with greeting_server() as port:
        stream = await observe_one(url.format(plain=port))
    assert (stream.ended, stream.reason, stream.head) == ("error", reason, None)
    assert stream.error


@pytest.fixture
def authority() -> trustme.CA:
    """A certificate authority of the test's own."""
    return trustme.CA()


def _server_tls(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


async def test_tls_is_verified_unless_the_scenario_says_otherwise(authority, tmp_path):
    """
    An unknown authority is refused; its certificate as `tls.ca` or `tls.verify: false` lets the stream through.
    """
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    raw = answering(SSE_HEAD + chunk(b"data: 1\n\n") + chunk(b""))
    async with raw_server(raw, tls=_server_tls(authority, "127.0.0.1")) as base:
        unknown = await observe_one(base)
        known = await observe_one(base, target=f"tls: {{ca: '{ca}'}}")
        unverified = await observe_one(base, target="tls: {verify: false}")
    assert (unknown.reason, known.reason, unverified.reason) == ("tls", None, None)
    assert len(known.events) == len(unverified.events) == 1
    assert known.times.connected_ns is not None
    assert known.times.tls_ns is not None
    assert known.times.connected_ns < known.times.tls_ns <= 0


async def test_a_certificate_for_another_name_is_refused(authority, tmp_path):
    """
    A certificate that is valid, but for another host, is a TLS failure.
    """
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    async with raw_server(answering(b""), tls=_server_tls(authority, "other.test")) as base:
        stream = await observe_one(base, target=f"tls: {{ca: '{ca}'}}")
    assert stream.reason == "tls"


def _compressors() -> dict[str, Callable[[bytes], bytes]]:
    deflate = zlib.compressobj(wbits=zlib.MAX_WBITS)
    gz = zlib.compressobj(wbits=31)
    br = brotli.Compressor()
    return {
        "gzip": lambda data: gz.compress(data) + gz.flush(zlib.Z_SYNC_FLUSH),
        "deflate": lambda data: deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH),
        "br": lambda data: br.process(data) + br.flush(),
    }


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
async def test_compressed_events_are_stamped_as_they_come(encoding):
    """
    A compressed stream that is flushed for each event is read event by event.
    """
    compress = _compressors()[encoding]

    async def handler(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: " + encoding.encode() + b"\r\n\r\n"))
        for number in range(3):
            writer.write(chunk(compress(b"data: %d\n\n" % number)))
            await writer.drain()
            await asyncio.sleep(0.3)

    async with raw_server(handler) as base:
        stream = await observe_one(base, "path: /, until: {events: 3}")
    gaps = [later - earlier for earlier, later in zip(stream.events.at_ns, stream.events.at_ns[1:], strict=False)]
    assert [gap / 1e9 for gap in gaps] == pytest.approx([0.3, 0.3], abs=TOLERANCE_S)


async def test_a_decompression_bomb_stays_within_bounds_and_is_named():
    """
    A body that grows a thousandfold when decoded is read within the parser's bounds, and counted as oversized.
    """
    bomb = gzip.compress(b"data: " + b"x" * 50_000_000)
    head = SSE_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    async with raw_server(answering(head + chunk(bomb) + chunk(b""))) as base:
        stream = await observe_one(base)
    assert (stream.ended, stream.oversized, len(stream.events)) == ("eof", 1, 0)
    assert sum(stream.reads.body_bytes) == 50_000_006


async def test_a_body_that_is_not_what_its_encoding_says_is_a_decoding_error():
    """
    Plain text under `Content-Encoding: gzip` is recorded as a decoding error, not as a broken connection.
    """
    head = SSE_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    async with raw_server(answering(head + chunk(b"data: 1\n\n") + chunk(b""))) as base:
        stream = await observe_one(base)
    assert (stream.ended, stream.reason) == ("error", "decode")


@pytest.mark.parametrize(
    ("until", "planned", "events"),
    [
        ("{event: done}", "event", 4),
        ("{events: 2}", "events", 2),
        ('{data: "[DONE]"}', "data", 3),
        ("{duration: 600ms}", "duration", 4),
        ('{events: 100, data: "[DONE]"}', "data", 3),
    ],
)
async def test_a_stream_ends_where_the_scenario_says(until, planned, events):
    """
    The first of the scenario's ends that holds ends the stream, as planned; the server is not waited for.
    """

    async def handler(_: bytes, writer: asyncio.StreamWriter) -> None:
        body = b"data: 1\n\ndata: 2\n\ndata: [DONE]\n\nevent: done\ndata: {}\n\n"
        writer.write(SSE_HEAD + chunk(body))
        await writer.drain()
        await asyncio.sleep(5)

    async with raw_server(handler) as base:
        stream = await observe_one(base, f"path: /, until: {until}")
    assert (stream.ended, stream.planned_end, len(stream.events)) == ("until", planned, events)
    assert stream.times.ended_ns < 3e9


async def test_a_stream_that_never_ends_is_given_up():
    """
    Without an end in sight the probe's timeout ends the stream, and what came is kept.
    """

    async def handler(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE_HEAD)
        while True:
            writer.write(chunk(b": still here\n\n"))
            await writer.drain()
            await asyncio.sleep(0.1)

    async with raw_server(handler) as base:
        stream = await observe_one(base, "path: /, until: {events: 9}, timeout: 1s")
    assert stream.ended == "timeout"
    assert len(stream.comments_ns) >= 5
    assert len(stream.events) == 0


async def test_the_request_is_what_the_scenario_says():
    """
    Method, headers and body are sent as written; a mapping goes out as JSON; a scenario's header overrides sse-check's own.
    """
    seen: list[bytes] = []

    async def handler(request: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        writer.write(SSE_HEAD + chunk(b"data: 1\n\n") + chunk(b""))

    async with raw_server(handler) as base:
        await observe_one(
            base,
            "path: '/a?b=%20c', method: post, headers: {accept: x/y, X-Probe: '2'}, body: {stream: true}",
            target="headers: {X-Target: '1'}",
        )
        await observe_one(base)
    head, _, body = seen[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /a?b=%20c HTTP/1.1"
    assert json.loads(body) == {"stream": True}
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    assert headers["accept"] == "x/y"
    assert (headers["x-target"], headers["x-probe"], headers["content-type"]) == ("1", "2", "application/json")
    plain = seen[1].decode().lower()
    assert "accept: text/event-stream\r\n" in plain
    assert "accept-encoding: gzip, deflate\r\n" in plain
    assert "cache-control: no-cache\r\n" in plain


async def test_redirects_are_followed_and_recorded():
    """
    A redirect leads to the stream and is recorded with its status; time counts from the first request.
    """

    async def handler(request: bytes, writer: asyncio.StreamWriter) -> None:
        if b" /there" in request:
            writer.write(SSE_HEAD + chunk(b"data: 1\n\n") + chunk(b""))
        else:
            await asyncio.sleep(0.3)
            writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n")

    async with raw_server(handler) as base:
        stream = await observe_one(base)
    assert [(r.status, r.location) for r in stream.redirects] == [(307, f"{base}/there")]
    assert stream.url == f"{base}/there"
    assert len(stream.events) == 1
    assert stream.events.at_ns[0] / 1e9 == pytest.approx(0.3, abs=TOLERANCE_S)


async def test_another_origin_gets_none_of_the_scenarios_headers():
    """
    Credentials meant for the target do not follow a redirect to another origin; nor does a POST's body after a 303.
    """
    seen: list[bytes] = []

    async def there(request: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        writer.write(SSE_HEAD + chunk(b"data: 1\n\n") + chunk(b""))

    async with raw_server(there) as other:

        async def here(_: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 303 See Other\r\nLocation: " + other.encode() + b"/x\r\nContent-Length: 0\r\n\r\n")

        async with raw_server(here) as base:
            stream = await observe_one(
                base, "path: /, method: POST, body: secret text", target="headers: {X-API-Key: k1, Authorization: Bearer k2}"
            )
    assert len(stream.events) == 1
    assert seen[0].startswith(b"GET /x ")
    assert not any(word in seen[0] for word in (b"k1", b"k2", b"secret text"))


@pytest.mark.parametrize("host", ["a b.test", "a.test HTTP", "a\x1f.test"])
async def test_a_redirect_to_what_is_no_host_is_not_followed_through_a_proxy(host: str, monkeypatch: pytest.MonkeyPatch):
    """
    A blank in the host's name would be the end of the URL in the line that a proxy is sent.
    """
    asked: list[bytes] = []

    async def proxy(request: bytes, writer: asyncio.StreamWriter) -> None:
        asked.append(request.split(b"\r\n")[0])
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: http://{host}/events\r\nContent-Length: 0\r\n\r\n".encode())

    async with raw_server(proxy) as base:
        monkeypatch.setenv("HTTP_PROXY", base)
        stream = await observe_one("http://app.example.test")
    assert asked == [b"GET http://app.example.test/ HTTP/1.1"]
    assert (stream.ended, stream.reason) == ("error", "policy")


async def test_endless_redirects_end():
    """
    A redirect to itself is followed twenty times, as the Fetch Standard allows, and then reported as the status it is.
    """
    async with raw_server(answering(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")) as base:
        stream = await observe_one(base)
    assert len(stream.redirects) == 20
    assert stream.head is not None
    assert stream.head.status == 302


async def test_secrets_are_not_in_the_recording():
    """
    What was sent as a secret is in no field of the recording, even if the server sends it back everywhere.
    """
    secret = "hunter2-hunter2"

    async def handler(_: bytes, writer: asyncio.StreamWriter) -> None:
        s = secret.encode()
        head = SSE_HEAD.replace(b"200 OK", b"200 " + s).replace(b"\r\n\r\n", b"\r\nX-Echo: " + s + b"\r\nSet-Cookie: sid=abc\r\n\r\n")
        writer.write(head + chunk(b"id: " + s + b"\nevent: " + s + b'\ndata: {"' + s + b'": 1}\n\n') + chunk(b""))

    async with raw_server(handler) as base:
        text = f"version: 1\ntarget: {{url: '{base}', headers: {{X-Plain: '${{KEY}}'}}}}\nprobes: [{{name: p, path: '/?x=${{KEY}}'}}]\n"
        scenario = load(text.encode(), file="t", variables=Variables(values={"KEY": secret}, secrets=frozenset({"KEY"})))
        recording = await run(scenario, Run(redactor=Redactor([secret]), stop=Stop()))
    assert len(recording.streams[0].events) == 1
    assert secret not in repr(recording)
    assert "sid=***" in repr(recording)
    assert "abc" not in repr(recording)


async def test_a_response_that_is_no_stream_is_read_only_as_far_as_needed():
    """
    An endless error page is cut after some kilobytes; its beginning is kept, to say what the server said.
    """

    async def handler(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 Oops\r\nContent-Type: text/plain\r\n\r\nfirst words ")
        while True:
            writer.write(b"x" * 1000)
            await writer.drain()

    async with raw_server(handler) as base:
        stream = await observe_one(base)
    assert (stream.ended, stream.reason) == ("error", "limit")
    assert stream.body_start.startswith("first words xxx")
    assert sum(stream.reads.body_bytes) < 1_000_000
