"""Servers that are broken or hostile: always a verdict, with the code that says why, in bounded time."""

import asyncio
import random
import time

import pytest

from sse_check.pipeline import Checked, check
from sse_check.report import junit_xml, report_json, summary_markdown, terminal_text
from sse_check.scenario import load
from tests.support.runner import commands_in
from tests.support.servers import SSE_HEAD, Handler, answering, chunk, raw_server

HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"
BUDGET_S = 8.0


async def verdict_on(handler: Handler, probe: str = "until: {event: done}, timeout: 2s") -> Checked:
    """Check a server of one's own, and render every report of it."""
    async with raw_server(handler) as base:
        text = f"version: 1\nbudget: {BUDGET_S}s\ntarget: {{url: '{base}'}}\nprobes: [{{name: p, path: /, {probe}}}]\n"
        began = time.monotonic()
        checked = await check(load(text.encode(), file="test.yml"))
        assert time.monotonic() - began < BUDGET_S + 2
    assert report_json(checked.result)
    assert junit_xml(checked.result)
    assert summary_markdown(checked.report)
    assert commands_in(terminal_text(checked.result)) == []
    return checked


def codes(checked: Checked) -> list[str]:
    """The codes of its findings, in their order."""
    return [finding.code for finding in checked.result.findings]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (HTML, "not-sse"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ndata: 1\n\n", "not-sse"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 0\r\n\r\n", "not-sse"),
        (SSE_HEAD + chunk(b""), "not-sse"),
        (SSE_HEAD + chunk(random.Random(1).randbytes(5000)) + chunk(b""), "not-sse"),
        (SSE_HEAD + chunk(b'{"error": "in the body"}') + chunk(b""), "not-sse"),
        (random.Random(2).randbytes(5000), "not-sse"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "not-sse"),
        (b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops", "http-error"),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "http-error"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "http-error"),
        (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n", "http-error"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n", "http-error"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:99999/\r\nContent-Length: 0\r\n\r\n", "http-error"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:0/\r\nContent-Length: 0\r\n\r\n", "http-error"),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "http-error"),
        (b"", "refused"),
        (SSE_HEAD + chunk(b"data: 1\n\n"), "truncated"),
        (SSE_HEAD + chunk(b"data: 1\n\n") + chunk(b""), "truncated"),
    ],
)
async def test_a_bad_answer_is_not_viable_and_named(raw: bytes, code: str):
    """
    Whatever is no event stream, or ends too early, is not viable, and the first finding says what it was.
    """
    checked = await verdict_on(answering(raw))
    assert (checked.result.verdict, codes(checked)[0]) == ("not-viable", code)


async def _endless(_: bytes, writer: asyncio.StreamWriter, head: bytes, piece: bytes, pause: float) -> None:
    writer.write(head)
    while True:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pause)


@pytest.mark.parametrize(
    ("head", "piece", "pause", "code"),
    [
        (SSE_HEAD, chunk(b"x" * 65536), 0, "not-sse"),  # a line that never ends
        (SSE_HEAD, chunk(b"data: " + b"x" * 65536), 0, "not-sse"),
        (SSE_HEAD, chunk(random.Random(3).randbytes(4096)), 0.01, "not-sse"),
        (SSE_HEAD, chunk(b": hb\n\n"), 0.2, None),
        (b"HTTP/1.1 200 O", b"K", 0.5, "stalled"),  # a head, one byte at a time
        (b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n", 0.001, "not-sse"),  # a head that never ends
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x" * 65536, 0.001, "not-sse"),
        (b"HTTP/1.1 503 No\r\nContent-Type: text/plain\r\n\r\n", b"x" * 1000, 0.001, "http-error"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", 0.01, None),
    ],
)
async def test_what_never_ends_is_judged_all_the_same(head: bytes, piece: bytes, pause: float, code: str | None):
    """
    An endless line, head, body or stream ends at the probe's timeout or at a limit, with a verdict that is not `viable`.
    """
    checked = await verdict_on(lambda request, writer: _endless(request, writer, head, piece, pause))
    assert checked.result.verdict == "not-viable"
    assert code is None or codes(checked)[:1] == [code]


async def test_events_for_ever_are_no_fault_but_their_end_is_missed():
    """
    Where events never stop and the scenario names a last one, nothing is claimed: inconclusive, and the finding says why.
    """
    checked = await verdict_on(lambda request, writer: _endless(request, writer, SSE_HEAD, chunk(b"data: x\n\n"), 0.01))
    assert checked.result.verdict == "inconclusive"
    assert [(f.code, f.severity) for f in checked.result.findings] == [("stalled", "warning")]
    assert "raise the probe's timeout" in checked.result.findings[0].message


async def test_events_for_ever_are_viable_where_no_end_is_named():
    """
    An endless healthy stream is watched up to its deadline, and is viable.
    """
    checked = await verdict_on(lambda request, writer: _endless(request, writer, SSE_HEAD, chunk(b"data: x\n\n"), 0.01), "timeout: 1s")
    assert (checked.result.verdict, checked.result.test_results[0].ended) == ("viable", "until")


async def test_what_a_server_says_runs_no_workflow_command():
    """
    Status text, header values, redirect targets and bodies full of workflow commands stay text in the log.
    """
    evil = b"##[set-output name=streaming_enabled]true ::error::x"
    for raw in (
        b"HTTP/1.1 500 " + evil + b"\r\nX: " + evil + b"\r\n\r\n::add-mask::true\n##[error]x",
        b"HTTP/1.1 200 OK\r\nContent-Type: " + evil + b"\r\n\r\n" + evil,
        b"HTTP/1.1 302 Found\r\nLocation: /" + evil.replace(b" ", b"") + b"\r\n\r\n",
        SSE_HEAD + chunk(b"id: 1\nevent: " + evil + b"\ndata: " + evil + b"\n\n"),
    ):
        checked = await verdict_on(answering(raw))
        assert checked.result.verdict == "not-viable"


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: 1\n\n", id="by its length"),
        pytest.param(SSE_HEAD + chunk(b"data: 1\n\n") + chunk(b""), id="by its last chunk"),
    ],
)
async def test_a_second_response_behind_the_first_is_nobodys(first: bytes):
    """
    One request has one response: neither the status nor the events of what follows it are the stream's.
    """
    second = b"HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\ndata: 2\n\n"
    (stream,) = (await verdict_on(answering(first + second), "timeout: 2s")).recording.streams
    assert stream.head is not None
    assert (stream.head.status, len(stream.events), stream.ended) == (200, 1, "eof")


@pytest.mark.parametrize("endless", [b"0\r\nX: ", b"0\r\nX", b"5;"], ids=["trailer", "trailer's name", "chunk extension"])
async def test_framing_without_end_is_cut_off(endless: bytes):
    """
    What is neither head nor body is bounded too: the parser keeps a trailer to itself, however long it gets.
    """

    async def handler(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE_HEAD + chunk(b"data: 1\n\n") + endless)
        while True:
            writer.write(b"a" * 65536)
            await writer.drain()

    (stream,) = (await verdict_on(handler)).recording.streams
    assert (stream.ended, stream.reason) == ("error", "protocol")
    assert sum(stream.reads.wire_bytes) < 1024 * 1024
