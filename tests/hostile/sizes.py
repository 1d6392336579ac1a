"""What a server makes too large, or too slow: each bound is kept, within the budget and the stated memory, and named.

A case is a server and a scenario; `measured` runs sse-check on it as a process of its own.
"""

import base64
import gzip
import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import brotli
import trustme
from hpack import Encoder

from tests.hostile.row import Row
from tests.support.flood import Serve, endlessly, flood, flooding, silence
from tests.support.process import ROOT
from tests.support.servers import SSE_HEAD, chunk

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PROBE: Final = "{name: p, path: /, timeout: 2s}"
BUDGET_S: Final = 5.0
# How late the budget may strike, and what a process may take beside it to begin, to judge and to write, on a machine that is busy with
# other things.
LATE_S: Final = 5.0
AROUND_S: Final = 60.0
# docs/own-limits.md: what the streams keep, twice, and the process.
PEAK_MIB: Final = 256 + 2 * 512

_TLS: Final = trustme.CA()
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One attempt. `probes` and `rest` are YAML, `{base}` the server's URL; `said` stands in what is reported, if anything must."""

    name: str
    serve: Serve
    verdicts: tuple[str, ...] = ("not-viable",)
    said: str = ""
    probes: str = PROBE
    rest: str = ""
    health: str = ""
    arguments: tuple[str, ...] = ()
    tls: bool = False
    h2: bool = False
    shake: bool = True
    ask: bool = True
    peak_mib: float = PEAK_MIB
    quick: bool = False  # also in `make test`


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came of a case. `took` is in seconds, `peak` in MiB; `lag` is the longest freeze of the event loop, in seconds."""

    status: int
    took: float
    peak: float
    result: dict[str, object] = field(default_factory=dict)
    stderr: str = ""
    files: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        return str(self.result.get("verdict"))

    @property
    def told(self) -> str:
        """All that the report says, as one text."""
        return json.dumps(self.result, ensure_ascii=False) + self.stderr

    @property
    def observed(self) -> float:
        """How long the longest stream was, in seconds."""
        streams = self.result.get("test_results")
        return max((stream["end_time"] for stream in streams), default=0.0) if isinstance(streams, list) else 0.0

    @property
    def lag(self) -> float:
        environment = self.result.get("environment")
        return float(environment.get("loop_lag_max", 0.0)) if isinstance(environment, dict) else 0.0


REPORTS: Final = ("junit.xml", "metrics.prom", "recording.ndjson", "report.html", "report.json", "summary.md")


def measured(case: Case) -> Measured:
    """Run sse-check against the case's server."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        context = server_context(h2=case.h2) if case.tls else None
        base = stack.enter_context(flooding(case.serve, tls=context, shake=case.shake, ask=case.ask))
        target = f"url: '{base}'" + (", tls: {verify: false}" if case.tls else "") + (f", health: {case.health}" if case.health else "")
        text = f"version: 1\nbudget: {BUDGET_S:g}s\nfollow_up: false\ntarget: {{{target}}}\nprobes: [{case.probes}]\n{case.rest}\n"
        scenario = directory / "scenario.yml"
        scenario.write_text(text.replace("{base}", base).replace("{socket}", base.replace("http", "ws", 1)), encoding="utf-8")
        arguments = [argument.replace("{base}", base) for argument in case.arguments]
        command = [sys.executable, "-m", "sse_check", "run", str(scenario), "--report-dir", str(directory / "out"), *arguments]
        began = time.monotonic()
        with (directory / "stderr").open("w+") as stderr:
            process = subprocess.Popen(
                command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr
            )
            try:
                status, peak = _wait(process, BUDGET_S + AROUND_S)
            finally:
                process.kill()
            stderr.seek(0)
            said = stderr.read()
        took = time.monotonic() - began
        out = directory / "out"
        report = out / "report.json"
        return Measured(
            status=status,
            took=took,
            peak=peak,
            result=json.loads(report.read_bytes()) if report.exists() else {},
            stderr=said,
            files=tuple(sorted(path.name for path in out.iterdir())) if out.exists() else (),
        )


def _wait(process: "subprocess.Popen[bytes]", within: float) -> tuple[int, float]:
    """The status of a process that has ended, and its peak of memory in MiB; -1 where it did not end within so many seconds.

    The peak is the kernel's own (VmHWM, proc_pid_status(5)), looked at until the end: that of getrusage(2) begins with the parent's.
    """
    until, peak = time.monotonic() + within, 0.0
    while time.monotonic() < until:
        with suppress(OSError):
            lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
            peak = next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), peak)
        if process.poll() is not None:
            return process.returncode, peak
        time.sleep(0.01)
    return -1, peak


def server_context(*, h2: bool = False) -> ssl.SSLContext:
    """A certificate of an authority that nobody knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _TLS.issue_cert("127.0.0.1").configure_cert(context)
    context.set_alpn_protocols(["h2"] if h2 else ["http/1.1"])
    return context


def broken(case: Case, seen: Measured) -> list[str]:
    """What of the promises was not kept."""
    wrong = []
    if seen.status not in (0, 1, 3):
        wrong.append(f"status {seen.status}: {seen.stderr[-300:]}")
    if seen.observed > BUDGET_S + LATE_S:
        wrong.append(f"observed for {seen.observed:.1f} s, the budget is {BUDGET_S:g} s")
    if seen.peak > case.peak_mib:
        wrong.append(f"peak of {seen.peak:.0f} MiB, {case.peak_mib:.0f} are stated")
    if seen.verdict not in case.verdicts:
        wrong.append(f"verdict {seen.verdict}")
    if case.said not in seen.told:
        wrong.append(f"nothing of: {case.said}")
    if seen.files != REPORTS:
        wrong.append(f"reports: {', '.join(seen.files)}")
    return wrong


def rows() -> Iterator[Row]:
    """Each case once."""
    for case in CASES:
        seen = measured(case)
        wrong = broken(case, seen)
        yield Row(part="sizes", attempt=case.name, seen=_line(seen) + (f"; {'; '.join(wrong)}" if wrong else ""), held=not wrong)


def _line(seen: Measured) -> str:
    streams = seen.result.get("test_results") or ()
    ended = [f"{s['ended']}" + (f" ({s['error']})" if s.get("error") else "") for s in streams] if isinstance(streams, list) else []
    findings = seen.result.get("findings") or ()
    codes = [f["code"] for f in findings] if isinstance(findings, list) else []
    how = ", ".join(dict.fromkeys(ended))[:160]
    text = f"{seen.verdict} ({', '.join(dict.fromkeys(codes)) or 'no finding'}): {how}; observed for {seen.observed:.1f} s, {seen.took:.1f} s in all, {seen.peak:.0f} MiB"
    return " ".join(text.replace("|", "/").split())


# --- servers ----------------------------------------------------------------------------------------------------------


def bodied(coding: str, body: Callable[[], bytes]) -> Serve:
    """Answer with a body of this coding, again and again where its format lets pieces follow each other."""

    def serve(sock: socket.socket, request: bytes) -> None:
        sock.sendall(_HEAD + b"Content-Encoding: " + coding.encode() + b"\r\n\r\n")
        made = body()
        if coding == "br":
            sock.sendall(made)
        else:
            endlessly(sock, made)

    return serve


@cache
def zipped(piece: bytes, size: int = 32 * _MIB) -> bytes:
    return gzip.compress(piece * (size // len(piece)), 9, mtime=0)


@cache
def deflated() -> bytes:
    return zlib.compress(b"data: x\n\n" * (32 * _MIB // 9), 9)


@cache
def brotlied(piece: bytes, size: int = 128 * _MIB) -> bytes:
    made: bytes = brotli.compress(piece * (size // len(piece)), quality=5, lgwin=24)
    return made


@cache
def zstded(piece: bytes, window_log: int = 21, size: int = 64 * _MIB) -> bytes:
    options: dict[int, int] = {zstd.CompressionParameter.compression_level: 3, zstd.CompressionParameter.window_log: window_log}
    return zstd.compress(piece * (size // len(piece)), options=options)


def counted(form: str, *, much: int = 2000) -> Serve:
    """Events of this form, each with the next number."""

    def serve(sock: socket.socket, request: bytes) -> None:
        sock.sendall(_HEAD + b"\r\n")
        number = 0
        while number < 50_000_000:
            sock.sendall("".join([form % at for at in range(number, number + much)]).encode())
            number += much

    return serve


def redirecting(sock: socket.socket, request: bytes) -> None:
    """Each redirect leads to another one, farther away and longer."""
    path = request.split(b" ")[1]
    sock.sendall(b"HTTP/1.1 302 Found\r\nLocation: " + path + b"x" * 2000 + b"\r\nContent-Length: 0\r\n\r\n")


def located(host: bytes) -> Serve:
    """A redirect to this host."""
    return lambda sock, request: sock.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://" + host + b"/\r\nContent-Length: 0\r\n\r\n")


def dripping(whole: bytes, *, every: float = 0.2, head: bytes = b"") -> Serve:
    """One byte at a time, slowly, and in segments of their own."""

    def serve(sock: socket.socket, request: bytes) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(head)
        for at in range(len(whole)):
            sock.sendall(whole[at : at + 1])
            time.sleep(every)

    return serve


def by_path(**serves: Serve) -> Serve:
    """A server for each first part of the path."""

    def serve(sock: socket.socket, request: bytes) -> None:
        name = request.split(b" ")[1].strip(b"/").split(b"/")[0].split(b"?")[0].decode()
        serves.get(name, silence)(sock, request)

    return serve


def good(sock: socket.socket, request: bytes) -> None:
    """Ten good events."""
    sock.sendall(SSE_HEAD)
    for number in range(10):
        sock.sendall(chunk(b"id: %d\ndata: {}\n\n" % number))
        time.sleep(0.05)
    sock.sendall(chunk(b"event: done\ndata: {}\n\n") + chunk(b""))


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """HTTP/2: a frame (RFC 9113, section 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def response(*fields: tuple[str, str]) -> bytes:
    """HTTP/2: the head of a good response on stream 1."""
    return frame(1, 4, 1, bytes(Encoder().encode([(":status", "200"), ("content-type", "text/event-stream"), *fields])))


_ANSWER: Final = response()
_OK: Final = _ANSWER[9:]


def framed(first: bytes, again: bytes = b"", *, read: bool = True) -> Serve:
    """HTTP/2: once the request of stream 1 is there these frames, and then these without end. `read`: what the client answers is taken."""

    def serve(sock: socket.socket, request: bytes) -> None:
        sock.sendall(frame(4, 0, 0, b""))
        _requested(sock)
        sock.sendall(first)
        if not again:
            silence(sock, b"")
            return
        if read:
            threading.Thread(target=silence, args=(sock, b""), daemon=True).start()
        endlessly(sock, again)

    return serve


def _requested(sock: socket.socket) -> None:
    """Read up to the first HEADERS frame (RFC 9113, section 6.2), behind the preface of 24 bytes."""
    data, at = sock.recv(65536), 24
    while len(data) < at + 9 or data[at + 3] != 1:
        if len(data) >= at + 9:
            at += 9 + int.from_bytes(data[at : at + 3], "big")
        if len(data) < at + 9:
            more = sock.recv(65536)
            if not more:
                raise ConnectionError
            data += more


def upgraded(frames: bytes, again: bytes) -> Serve:
    """A WebSocket that sends these frames, and then these without end; anything else is answered with 500."""

    def serve(sock: socket.socket, request: bytes) -> None:
        lines = dict(line.split(b": ", 1) for line in request.split(b"\r\n")[1:] if b": " in line)
        key = {name.lower(): value for name, value in lines.items()}.get(b"sec-websocket-key")
        if key is None:
            sock.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
            return
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest())
        sock.sendall(
            b"HTTP/1.1 101 Up\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n" + frames
        )
        endlessly(sock, again)

    return serve


_REFUSED: Final = flood(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", b"x", every=1.0)
_JSON: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_DONE: Final = "{name: p, path: /, timeout: 2s, until: {event: done}}"

CASES: Final[tuple[Case, ...]] = (
    # Heads.
    Case(name="endless status line", serve=flood(b"HTTP/1.1 200 O", b"K"), said="65,536 bytes"),
    Case(name="one endless header field", serve=flood(b"HTTP/1.1 200 OK\r\nX: ", b"y"), said="65,536 bytes"),
    Case(name="endless header fields", serve=flood(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), said="1,000 fields"),
    Case(name="10,000 header fields in one read, then events", serve=flood(b"HTTP/1.1 200 OK\r\n" + b"X:\r\n" * 10_000 + b"\r\n", b"data: x\n\n", every=0.1), said="1,000 fields", quick=True),
    Case(name="endless interim responses", serve=flood(b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"), said="65,536 bytes"),
    Case(name="endless redirects, each to another place", serve=redirecting, said="http-error"),
    Case(name="a loop of redirects", serve=flood(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", b"x"), said="http-error"),
    Case(name="a redirect to a name of 70,000 characters", serve=located(b"a." * 30_000 + b"test"), said="no http or https URL"),
    Case(name="a redirect to a label of 1,000 characters", serve=located(b"a" * 1000 + b".test"), verdicts=("not-viable",)),
    Case(name="a redirect to 20,000 characters that are no ASCII", serve=located("ä".encode() * 20_000), said="no http or https URL", quick=True),
    # Framing.
    Case(name="endless size of a chunk", serve=flood(SSE_HEAD, b"0"), said="65,536 bytes"),
    Case(name="endless extension of a chunk", serve=flood(SSE_HEAD + b"5;", b"a"), said="65,536 bytes"),
    Case(name="endless trailers", serve=flood(SSE_HEAD + chunk(b"data: 1\n\n") + b"0\r\n", b"X: y\r\n"), said="65,536 bytes"),
    # Bodies.
    Case(name="endless line", serve=flood(_HEAD + b"\r\n", b"x"), said="never ends"),
    Case(name="one event in gigabytes of data", serve=flood(_HEAD + b"\r\ndata: ", b"x"), said="never ends"),
    Case(name="an event in between of 5 MB", serve=flood(_HEAD + b"\r\ndata: 1\n\ndata: " + b"x" * 5_000_000 + b"\n\n", b"data: 2\n\n", every=0.05), verdicts=("viable",), said="4,194,304 bytes of a line", quick=True),
    Case(name="the same, with a number of events that is expected", serve=flood(_HEAD + b"\r\ndata: 1\n\ndata: " + b"x" * 5_000_000 + b"\n\n", b": \n\n", every=0.05), probes="{name: p, path: /, timeout: 2s, until: {duration: 1s}, expect: {events: 2}}", verdicts=("inconclusive", "not-viable"), said="own-limit"),
    Case(name="an event of a million lines", serve=flood(_HEAD + b"\r\ndata: 0\n\n", b"data:ab\n"), said="p", verdicts=("not-viable", "inconclusive", "viable")),
    Case(name="millions of events, as fast as they come", serve=flood(_HEAD + b"\r\n", b"data: x\n\n"), probes="{name: p, path: /, timeout: 60s, until: {duration: 60s}}", verdicts=("inconclusive",)),
    Case(name="endless comments", serve=flood(_HEAD + b"\r\n", b":\n"), verdicts=("inconclusive", "viable")),
    Case(name="a million IDs of 250 characters", serve=counted(f"id: %d{'x' * 250}\ndata: 1\n\n"), probes="{name: p, path: /, timeout: 60s, until: {duration: 60s}}", verdicts=("inconclusive",), said=""),
    Case(name="a million types", serve=counted(f"event: %d{'x' * 250}\ndata: 1\n\n"), probes="{name: p, path: /, timeout: 60s, until: {duration: 60s}}", verdicts=("inconclusive",)),
    Case(name="events of 10,000 JSON fields", serve=flood(_HEAD + b"\r\n", b'data: {"a":"x"' + b"".join(b',"k%d":1' % n for n in range(6_000)) + b"}\n\n"), verdicts=("viable", "inconclusive")),
    Case(name="deep JSON", serve=flood(_HEAD + b"\r\n", b'data: {"a":' + b"[" * 60_000 + b"\n\n"), verdicts=("viable", "inconclusive")),
    Case(name="deep JSON where JSON ends the stream", serve=flood(_HEAD + b"\r\n", b'data: {"a":' + b"[{}," * 500_000 + b"\n\n"), probes="{name: p, path: /, timeout: 2s, until: {json: {type: done}}}", verdicts=("inconclusive",)),
    Case(name="numbers of 60,000 digits, and too large for a float", serve=flood(_HEAD + b"\r\n", b'data: {"a":' + b"9" * 60_000 + b'}\n\ndata: {"a":1e999,"b":-0.0,"c":9223372036854775808}\n\n'), verdicts=("viable", "inconclusive")),
    Case(name="retry of 10^30 ms, and a resume", serve=flood(_HEAD + b"\r\nretry: 1000000000000000000000000000000\n\n", b"id: 1\ndata: x\n\n", every=0.05), probes="{name: p, path: /, timeout: 1s, resume: {after: 2 events}}", verdicts=("inconclusive",)),
    # Bombs.
    Case(name="gzip: events", serve=bodied("gzip", lambda: zipped(b"data: x\n\n")), verdicts=("inconclusive",), probes="{name: p, path: /, timeout: 20s}", said=""),
    Case(name="gzip: a line without end", serve=bodied("gzip", lambda: zipped(b"x")), said="never ends"),
    Case(name="gzip: comments", serve=bodied("gzip", lambda: zipped(b":\n")), verdicts=("inconclusive", "viable")),
    Case(name="gzip: empty members", serve=bodied("gzip", lambda: gzip.compress(b"", mtime=0)), said="decoded as gzip"),
    Case(name="gzip in gzip", serve=bodied("gzip, gzip", lambda: gzip.compress(zipped(b"data: x\n\n"), mtime=0)), said="not-sse"),
    Case(name="deflate", serve=bodied("deflate", deflated), verdicts=("inconclusive", "viable")),
    Case(name="br: 128 MiB in some 200 bytes", serve=bodied("br", lambda: brotlied(b"data: x\n\n")), tls=True, verdicts=("inconclusive", "viable")),
    Case(name="br: a line of 128 MiB", serve=bodied("br", lambda: brotlied(b"x")), tls=True, said="never ends"),
    Case(name="zstd: events", serve=bodied("zstd", lambda: zstded(b"data: x\n\n")), tls=True, verdicts=("inconclusive", "viable")),
    Case(name="zstd with a window of 128 MiB", serve=bodied("zstd", lambda: zstded(b"x", window_log=27, size=256 * _MIB)), tls=True, said="decoded as zstd", peak_mib=160, quick=True),
    Case(name="gzip: comments, beside a good stream", serve=by_path(bomb=bodied("gzip", lambda: zipped(b":\n")), good=good), probes="{name: bomb, path: /bomb, timeout: 2s, streams: 3}, {name: good, path: /good, timeout: 2s, until: {event: done}}", verdicts=("inconclusive", "viable", "not-viable")),
    # Slow.
    Case(name="no answer", serve=silence, said="stalled", probes=_DONE),
    Case(name="no TLS handshake", serve=silence, tls=True, shake=False, ask=False, said="", verdicts=("not-viable", "inconclusive")),
    Case(name="a byte every 0.2 s: the head", serve=dripping(SSE_HEAD), said="stalled", probes=_DONE),
    Case(name="a byte every 0.2 s: the size of a chunk", serve=dripping(b"0" * 400, head=SSE_HEAD), said="stalled", probes=_DONE),
    Case(name="a byte every 2 ms, in a segment of its own: events", serve=dripping(_HEAD + b"\r\n" + b"data: x\n\n" * 100, every=0.002), verdicts=("viable", "not-viable", "inconclusive")),
    Case(name="tiny chunks, as fast as they come", serve=flood(SSE_HEAD, b"".join(chunk(bytes([byte])) for byte in b"data: x\n\n")), verdicts=("inconclusive", "viable")),
    Case(name="events for ever, and no last one", serve=flood(SSE_HEAD, chunk(b"data: x\n\n"), every=0.02), probes=_DONE, verdicts=("inconclusive",)),
    # Many streams.
    Case(name="200 streams of a line without end", serve=flood(_HEAD + b"\r\ndata: ", b"x"), probes="{name: p, path: /, timeout: 3s, streams: 200}", verdicts=("not-viable", "inconclusive")),
    Case(name="100 streams of IDs of 250 characters", serve=counted(f"id: %d{'x' * 250}\ndata: 1\n\n"), probes="{name: p, path: /, timeout: 60s, until: {duration: 60s}, streams: 100}", verdicts=("inconclusive",), said=""),
    Case(name="50 streams of gzip", serve=bodied("gzip", lambda: zipped(b"data: x\n\n")), probes="{name: p, path: /, timeout: 60s, until: {duration: 60s}, streams: 50}", verdicts=("inconclusive",)),
    # HTTP/2.
    Case(name="h2: endless CONTINUATION", serve=framed(frame(1, 0, 1, _OK), frame(9, 0, 1, b"\x00\x01a\x01b" * 100)), h2=True, tls=True, ask=False, probes="{name: p, path: /, timeout: 2s, protocol: h2}", said="not-sse"),
    Case(name="h2: a table entry of 4 kB named 10,000 times", serve=framed(frame(1, 4, 1, _OK + b"\x40\x01a\x7f\x81\x1e" + b"b" * 4000 + b"\xbe" * 10_000)), h2=True, tls=True, ask=False, probes="{name: p, path: /, timeout: 2s, protocol: h2}", said="not-sse"),
    Case(name="h2: SETTINGS without end", serve=framed(_ANSWER, frame(4, 0, 0, b"\x00\x03\x00\x00\x00\x64")), h2=True, tls=True, ask=False, probes="{name: p, path: /, timeout: 2s, protocol: h2}", verdicts=("not-viable", "inconclusive")),
    Case(name="h2: PING without end", serve=framed(_ANSWER, frame(6, 0, 0, b"12345678")), h2=True, tls=True, ask=False, probes="{name: p, path: /, timeout: 2s, protocol: h2}", verdicts=("not-viable", "inconclusive")),
    Case(name="h2: PING without end, and no answer taken", serve=framed(_ANSWER, frame(6, 0, 0, b"12345678"), read=False), h2=True, tls=True, ask=False, probes="{name: p, path: /, timeout: 2s, protocol: h2}", verdicts=("not-viable", "inconclusive")),
    Case(name="h2: RST_STREAM without end", serve=framed(b"", frame(3, 0, 1, b"\x00\x00\x00\x08")), h2=True, tls=True, ask=False, probes="{name: p, path: /, timeout: 2s, protocol: h2}", verdicts=("not-viable",)),
    Case(name="h2: empty DATA without end", serve=framed(_ANSWER, frame(0, 0, 1, b"")), h2=True, tls=True, ask=False, probes="{name: p, path: /, timeout: 2s, protocol: h2}", verdicts=("not-viable", "inconclusive")),
    Case(name="h2: WINDOW_UPDATE without end", serve=framed(_ANSWER, frame(8, 0, 1, b"\x00\x00\x00\x01")), h2=True, tls=True, ask=False, probes="{name: p, path: /, timeout: 2s, protocol: h2, streams: 50}", verdicts=("not-viable", "inconclusive")),
    Case(name="h2: no room for the request", serve=framed(frame(4, 0, 0, b"\x00\x04\x00\x00\x00\x00")), h2=True, tls=True, ask=False, probes="{name: p, path: /, timeout: 2s, protocol: h2, method: POST, body: {a: 1}, until: {event: done}}", said="stalled"),
    # What is asked beside the streams.
    Case(name="mcp: an answer without end", serve=flood(_JSON + b"\r\n", b" "), probes="{name: p, path: /, timeout: 2s, preset: mcp, body: {name: t}}", verdicts=("not-viable",)),
    Case(name="mcp: tiny pieces of an answer", serve=flood(_HEAD + b"\r\n", b":\n", every=0.0002), probes="{name: p, path: /, timeout: 2s, preset: mcp, body: {name: t}}", verdicts=("not-viable",)),

    Case(name="the health check: gigabytes", serve=by_path(health=flood(_JSON + b"\r\n", b" "), p=good), probes="{name: p, path: /p, until: {event: done}}", health="/health", verdicts=("viable", "inconclusive")),
    Case(name="a WebSocket's frame of 2^62 bytes", serve=upgraded(b"\x82\x7f" + (2**62).to_bytes(8, "big"), b"x"), rest="criteria: {event_deadline: 2s}\nfallbacks: [{websocket: {url: '{socket}/ws'}}]"),
    Case(name="a WebSocket's message in frames without end", serve=upgraded(b"\x01\x01a", b"\x00\x7e\x40\x00" + b"x" * 16384), rest="criteria: {event_deadline: 2s}\nfallbacks: [{websocket: {url: '{socket}/ws'}}]"),
    Case(name="a WebSocket's pings without end", serve=upgraded(b"", b"\x89\x04ping"), rest="criteria: {event_deadline: 2s}\nfallbacks: [{websocket: {url: '{socket}/ws'}}]"),
    Case(name="a WebSocket's head without end", serve=by_path(ws=flood(b"HTTP/1.1 101 Up\r\n", b"X: y\r\n"), **{"": _REFUSED}), rest="criteria: {event_deadline: 2s}\nfallbacks: [{websocket: {url: '{socket}/ws'}}]"),
    Case(name="a batch of gigabytes", serve=by_path(batch=flood(_JSON + b"\r\n", b" "), **{"": _REFUSED}), rest="criteria: {event_deadline: 2s}\nfallbacks: [{batch: {url: '{base}/batch'}}]", said="67,108,864 bytes"),
    Case(name="a batch of gigabytes, in br", serve=by_path(batch=bodied("br", lambda: brotlied(b"x")), **{"": _REFUSED}), rest="criteria: {event_deadline: 10s}\nfallbacks: [{batch: {url: '{base}/batch'}}]", said="67,108,864 bytes", peak_mib=200, quick=True),
    Case(name="a batch with a head without end", serve=by_path(batch=flood(_JSON, b"X: y\r\n"), **{"": _REFUSED}), rest="criteria: {event_deadline: 2s}\nfallbacks: [{batch: {url: '{base}/batch'}}]"),
    Case(name="a Pushgateway and a receiver that answer without end", serve=by_path(p=good, metrics=flood(_JSON + b"\r\n", b" "), v1=flood(_JSON, b"X: y\r\n")), probes="{name: p, path: /p, until: {event: done}}", verdicts=("viable", "inconclusive"), arguments=("--pushgateway", "{base}", "--otlp", "{base}")),
)  # fmt: skip  # a table
