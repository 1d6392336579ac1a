"""The parser against the HTML Standard, 9.2.6: one table of streams, each fed whole and in pieces, and a literal reference."""

import base64
import gzip
import json
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sse_check.eventstream import MAX_RETRY_MS, Event, EventStreamParser
from tests.support.reference import BOM, Seen, cut, parsed, pieces, reference

CORPUS = Path(__file__).parents[2] / "shared" / "conformance" / "cases-dev.json.gz"


def splits(stream: bytes) -> Iterator[tuple[str, Iterable[bytes]]]:
    """Every way in which a case is fed, with its name for the failure message."""
    yield "whole", [stream]
    for size in (1, 2, 3):
        yield f"pieces of {size}", pieces(stream, size)
    yield "byte by byte with empty reads between", (part for byte in pieces(stream, 1) for part in (b"", byte, b""))
    for at in range(1, len(stream)):
        yield f"split at {at}", [stream[:at], stream[at:]]


def ev(data: str, *, kind: str = "message", id: str = "") -> Event:
    return Event(kind, data, id)


# --- the table ------------------------------------------------------------------------------------------------------

CASES: dict[str, tuple[bytes, Seen]] = {
    "nothing at all": (b"", Seen([])),
    "one event": (b"data: x\n\n", Seen([ev("x")])),
    "two events": (b"data: x\n\ndata: y\n\n", Seen([ev("x"), ev("y")])),
    # line ends
    "LF": (b"event: e\ndata: x\nid: 1\n\ndata: y\n\n", Seen([ev("x", kind="e", id="1"), ev("y", id="1")], "1")),
    "CR": (b"event: e\rdata: x\rid: 1\r\rdata: y\r\r", Seen([ev("x", kind="e", id="1"), ev("y", id="1")], "1")),
    "CRLF": (b"event: e\r\ndata: x\r\nid: 1\r\n\r\ndata: y\r\n\r\n", Seen([ev("x", kind="e", id="1"), ev("y", id="1")], "1")),
    "mixed line ends": (b"data: a\r\ndata: b\rdata: c\n\rdata: d\r\n\ndata: e\n\r\n", Seen([ev("a\nb\nc"), ev("d"), ev("e")])),
    "LF CR is two line ends": (b"data: a\n\rdata: b\n\r", Seen([ev("a"), ev("b")])),
    "CR CRLF is two line ends": (b"data: a\r\r\ndata: b\r\r\n", Seen([ev("a"), ev("b")])),
    "CRLF CR is two line ends": (b"data: a\r\n\rdata: b\r\n\r", Seen([ev("a"), ev("b")])),
    "CRLF alone is one line end": (b"data: a\r\ndata: b\r\n\r\n", Seen([ev("a\nb")])),
    "many blank lines": (b"\n\n\r\r\n\ndata: a\n\n\n\n\r\n\r\ndata: b\n\n", Seen([ev("a"), ev("b")])),
    "other separators are no line ends": (
        "data: a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\n\n".encode(),
        Seen([ev("a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg")]),
    ),
    # byte order mark
    "one BOM is stripped": (BOM + b"data: x\n\n", Seen([ev("x")])),
    "a second BOM is kept, as part of the field name": (BOM + BOM + b"data: x\n\ndata: y\n\n", Seen([ev("y")])),
    "a BOM before a blank line": (BOM + b"\ndata: x\n\n", Seen([ev("x")])),
    "a BOM alone": (BOM, Seen([])),
    "two bytes of a BOM": (BOM[:2] + b"data: x\n\ndata: y\n\n", Seen([ev("y")])),
    "a BOM later on is data": (b"data: " + BOM + b"x\n\n", Seen([ev("\ufeffx")])),
    "a BOM before a later field spoils that field": (b"data: x\n" + BOM + b"data: y\n\n", Seen([ev("x")])),
    "a BOM before a comment": (BOM + b":c\n", Seen([], comments=("c",))),
    # comments
    "comments are kept apart": (b":hello\n: world\n:\n\n", Seen([], comments=("hello", " world", ""))),
    "a comment inside an event": (b"data: a\n: ping\ndata: b\n\n", Seen([ev("a\nb")], comments=(" ping",))),
    "a comment may look like a field": (b":data: x\n\n", Seen([], comments=("data: x",))),
    "a heartbeat does not repeat the event before": (b"id: 1\ndata: x\n\n:\n\n:\n\n", Seen([ev("x", id="1")], "1", comments=("", ""))),
    "an unfinished comment is not told": (b":a\n:b", Seen([], comments=("a",))),
    # colon and space
    "no space after the colon": (b"data:x\n\n", Seen([ev("x")])),
    "one space is stripped, the second kept": (b"data:  x\n\n", Seen([ev(" x")])),
    "a tab is kept": (b"data:\tx\n\n", Seen([ev("\tx")])),
    "spaces at the end are kept": (b"data: x  \n\n", Seen([ev("x  ")])),
    "a no-break space is kept": ("data:\u00a0x\n\n".encode(), Seen([ev("\u00a0x")])),
    "later colons belong to the value": (b"data: a:b: c\n\n", Seen([ev("a:b: c")])),
    "a space before the colon makes another field": (b"data : x\n\n", Seen([])),
    "a space before the name makes another field": (b" data: x\n\n", Seen([])),
    "names are case-sensitive": (b"Data: x\nDATA: y\n\n", Seen([])),
    # no colon
    "data without a colon": (b"data\n\n", Seen([ev("")])),
    "two data lines without a colon": (b"data\ndata\n\n", Seen([ev("\n")])),
    "a line that only begins with a name": (b"datax\ndata: y\n\n", Seen([ev("y")])),
    "event and id without a colon are empty": (b"id: 1\ndata: a\n\nid\nevent\ndata: b\n\n", Seen([ev("a", id="1"), ev("b")])),
    # data
    "several data lines": (b"data: a\ndata: b\ndata: c\n\n", Seen([ev("a\nb\nc")])),
    "empty data is an event": (b"data:\n\n", Seen([ev("")])),
    "empty data after a space is an event": (b"data: \n\n", Seen([ev("")])),
    "empty lines of data are kept": (b"data:\ndata: a\ndata:\ndata:\n\n", Seen([ev("\na\n\n")])),
    "no data, no event; its type is forgotten": (b"event: e\n\ndata: x\n\n", Seen([ev("x")])),
    # event
    "the last type counts": (b"event: a\nevent: b\ndata: x\n\n", Seen([ev("x", kind="b")])),
    "an empty type is message": (b"event: a\nevent:\ndata: x\n\n", Seen([ev("x")])),
    "the type may follow the data": (b"data: x\nevent: e\n\n", Seen([ev("x", kind="e")])),
    # id
    "an id lasts": (b"id: 1\ndata: a\n\ndata: b\n\n", Seen([ev("a", id="1"), ev("b", id="1")], "1")),
    "an empty id resets": (b"id: 1\ndata: a\n\nid:\ndata: b\n\n", Seen([ev("a", id="1"), ev("b")])),
    "an id with NUL is ignored": (b"id: 1\ndata: a\n\nid: 2\x003\ndata: b\n\n", Seen([ev("a", id="1"), ev("b", id="1")], "1")),
    "the last good id of a block counts": (b"id: 1\nid: 2\nid: \x00\ndata: a\n\n", Seen([ev("a", id="2")], "2")),
    "a block with only an id sets it": (b"id: 7\n\n", Seen([], "7")),
    "an id is text": ("id: ü 1 \ndata: a\n\n".encode(), Seen([ev("a", id="ü 1 ")], "ü 1 ")),
    "an id counts only when its block has ended": (b"id: 1\ndata: a\n\nid: 2\ndata: b\n", Seen([ev("a", id="1")], "1")),
    # retry
    "retry": (b"retry: 1500\n\n", Seen([], retry=1500)),
    "retry counts at once": (b"retry: 10\n", Seen([], retry=10)),
    "retry with leading zeros": (b"retry: 007\n", Seen([], retry=7)),
    "retry with many leading zeros": (b"retry: " + b"0" * 40 + b"25\n", Seen([], retry=25)),
    "retry zero": (b"retry: 000\n", Seen([], retry=0)),
    "the last retry counts": (b"retry: 1\nretry: 2\n\n", Seen([], retry=2)),
    "a bad retry leaves the good one": (b"retry: 1\nretry: x\n\n", Seen([], retry=1)),
    "retry takes digits only": (
        "retry: -5\nretry: +5\nretry: 1.5\nretry: 1e3\nretry: 1_0\nretry:  5\nretry: 5 \nretry: ٣\nretry: ²\nretry: ５\n\n".encode(),
        Seen([]),
    ),
    "a retry of many digits is bounded": (b"retry: " + b"9" * 5000 + b"\n", Seen([], retry=MAX_RETRY_MS)),
    # the rest
    "unknown fields are ignored": (b"foo: 1\n{json}\ndata: x\nbar\n\n", Seen([ev("x")])),
    "NUL in data is kept": (b"data: a\x00b\n\n", Seen([ev("a\x00b")])),
    "end of file in mid-event": (b"data: x\n\ndata: y\n", Seen([ev("x")])),
    "end of file in mid-line": (b"data: x\n\ndata: y", Seen([ev("x")])),
    "end of file after the last line": (b"data: x", Seen([])),
    # UTF-8
    "text beyond ASCII": ("data: äé€😀\n\n".encode(), Seen([ev("äé€😀")])),
    "a lone byte is replaced": (b"data: a\xffb\n\n", Seen([ev("a\ufffdb")])),
    "a sequence broken by the line end is one replacement": (b"data: \xf0\x9f\x98\n\n", Seen([ev("\ufffd")])),
    "a sequence broken by a letter": (b"data: \xe2\x82x\n\n", Seen([ev("\ufffdx")])),
    "overlong, surrogate and too high: one replacement a byte": (
        b"data: \xc0\xaf\ndata: \xed\xa0\x80\ndata: \xf4\x90\x80\x80\n\n",
        Seen([ev("\ufffd" * 2 + "\n" + "\ufffd" * 3 + "\n" + "\ufffd" * 4)]),
    ),
    "an invalid byte in a name makes another field": (b"dat\xffa: x\n\xffdata: x\ndata: y\n\n", Seen([ev("y")])),
}


@pytest.mark.parametrize(("stream", "expected"), CASES.values(), ids=CASES.keys())
def test_a_stream_means_the_same_however_it_is_cut(stream: bytes, expected: Seen) -> None:
    """Each rule of the standard holds for the whole stream, byte by byte, and split at every offset."""
    for name, chunks in splits(stream):
        assert parsed(chunks) == expected, name


@pytest.mark.parametrize(("stream", "expected"), CASES.values(), ids=CASES.keys())
def test_the_reference_agrees_with_the_table(stream: bytes, expected: Seen) -> None:
    """The reference that random streams are judged by gives what the table says."""
    assert reference(stream) == expected


# --- any bytes -------------------------------------------------------------------------------------------------------

FRAGMENTS = st.one_of(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b":", b" ", b": "]),
    st.sampled_from([b"data", b"event", b"id", b"retry", b"data: ", b"id:", b"event: ", b"retry: ", b"data: x\n\n", b"datum", b":c"]),
    st.sampled_from([b"0", b"12", b"x", b"\t", b"\0", b"\x0b", "é".encode(), "😀".encode(), "\u2028".encode()]),
    st.sampled_from([BOM, b"\xef", b"\xbb", b"\xbf", b"\xff", b"\xc3", b"\xa9", b"\xf0\x9f", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90"]),
)
STREAMS = st.builds(
    lambda head, parts: head + b"".join(parts),
    st.sampled_from([b"", BOM, BOM[:1], BOM[:2], BOM + BOM]),
    st.lists(st.one_of(FRAGMENTS, st.binary(max_size=3)), max_size=40),
)


@settings(max_examples=500)
@given(stream=STREAMS, offsets=st.lists(st.integers(0, 10_000), max_size=12))
def test_any_bytes_in_any_pieces_mean_what_the_standard_says(stream: bytes, offsets: list[int]) -> None:
    """Any bytes, cut anywhere, give the events, ids, retry and comments of the standard's own algorithm."""
    expected = reference(stream)

    assert parsed([stream]) == expected
    assert parsed(cut(stream, offsets)) == expected
    assert parsed(pieces(stream, 1)) == expected


@settings(max_examples=150)
@given(stream=STREAMS)
def test_an_event_is_given_out_at_the_byte_that_completes_it(stream: bytes) -> None:
    """After every single byte all is told that the bytes so far mean: nothing waits for the next read."""
    parser, events = EventStreamParser(), []
    for at, byte in enumerate(pieces(stream, 1), 1):
        events += parser.feed(byte)
        assert Seen(events, parser.last_event_id, parser.retry, tuple(parser.comments)) == reference(stream[:at])


def test_a_carriage_return_at_the_end_of_a_read_dispatches_at_once() -> None:
    """An event ended by CR is given out by the read that brings the CR; the LF that may follow adds nothing."""
    parser = EventStreamParser()

    assert parser.feed(b"data: a\r\n\r") == [ev("a")]
    assert parser.feed(b"\n") == []
    assert parser.feed(b"data: b\r") == []
    assert parser.feed(b"\r") == [ev("b")]
    assert parser.feed(b"data: c\n\n") == [ev("c")]


def test_comments_are_the_callers_to_drain() -> None:
    """A caller that empties `comments` gets only the new ones."""
    parser = EventStreamParser()
    parser.feed(b": a\n")
    parser.comments.clear()
    parser.feed(b": b\n")

    assert parser.comments == [" b"]


def test_lines_of_no_event_stream_are_counted() -> None:
    """Lines whose field name nobody knows are counted: a page of HTML shows itself as one."""
    parser = EventStreamParser()
    parser.feed(b"<html>\n<body>\ndata: x\n: c\nid: 1\nevent: e\nretry: 1\n\n")

    assert parser.unknown_lines == 2


# --- bounds ---------------------------------------------------------------------------------------------------------

TOO_LONG: dict[str, bytes] = {
    "a line of data": b"data: " + b"x" * 100 + b"\n",
    "a line after good data": b"data: good\ndata: " + b"x" * 100 + b"\n",
    "a line before good data": b"data: " + b"x" * 100 + b"\ndata: good\n",
    "a comment": b":" + b"x" * 100 + b"\n",
    "a line of an unknown field": b"x" * 100 + b"\n",
    "an event of short lines": b"data: xxxxxx\n" * 6,
    "an event of empty lines": b"data\n" * 20,
}


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
@pytest.mark.parametrize("block", TOO_LONG.values(), ids=TOO_LONG.keys())
def test_what_is_over_its_limit_is_counted_and_never_dispatched(block: bytes, end: bytes) -> None:
    """A line over `max_line` or an event over `max_event` is counted once and dropped whole; what follows arrives, for any split."""
    stream = b"data: before\n\n" + block + b"\n" + b"data: after\ndata: more\n\nid: 3\ndata: last\n\n"
    stream = stream.replace(b"\n", end)
    for name, chunks in splits(stream):
        parser = EventStreamParser(max_line=64, max_event=64)
        events = [event for chunk in chunks for event in parser.feed(chunk)]
        assert (events, parser.oversized) == ([ev("before"), ev("after\nmore"), ev("last", id="3")], 1), name


def test_each_thing_over_its_limit_is_counted() -> None:
    """`oversized` grows with every line and event that was dropped."""
    parser = EventStreamParser(max_line=16, max_event=32)

    assert parser.feed((b"data: " + b"x" * 20 + b"\n\n") * 3 + b"data: 12345678\n" * 3 + b"\n") == []
    assert parser.oversized == 4


def test_what_is_exactly_at_its_limit_passes() -> None:
    """The limits are inclusive."""
    for name, chunks in splits(b"data: 3456789012\ndata: 3456789012\n\n"):
        parser = EventStreamParser(max_line=16, max_event=32)
        events = [event for chunk in chunks for event in parser.feed(chunk)]
        assert (events, parser.oversized) == ([ev("3456789012\n3456789012")], 0), name


def peak_of(parser: EventStreamParser, chunk: bytes, times: int) -> int:
    """The most memory that feeding a chunk again and again needed at any time."""
    tracemalloc.start()
    try:
        for _ in range(times):
            assert parser.feed(chunk) == []
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_an_endless_line_does_not_fill_the_memory() -> None:
    """64 MiB without a line end leave less than three times the limit of one line in memory, and the stream goes on after it."""
    parser = EventStreamParser(max_line=256 * 1024)

    assert peak_of(parser, b"x" * 65536, 1024) < 3 * 256 * 1024
    assert (parser.oversized, parser.feed(b"\n\ndata: after\n\n")) == (1, [ev("after")])


def test_an_endless_event_does_not_fill_the_memory() -> None:
    """32 MiB of data lines without a blank line are bounded by the limit of one event, and the stream goes on after them."""
    parser = EventStreamParser(max_event=256 * 1024)

    assert peak_of(parser, (b"data: " + b"x" * 1017 + b"\n") * 32, 1024) < 4 * 256 * 1024
    assert (parser.oversized, parser.feed(b"\ndata: after\n\n")) == (1, [ev("after")])


def test_a_long_line_in_single_bytes_is_put_together_once() -> None:
    """An unfinished line grows in place: its time and its memory grow with its length and not with the number of its pieces."""
    parser = EventStreamParser()
    for byte in pieces(b"data: " + b"x" * 200_000, 1):
        parser.feed(byte)

    assert len(parser._unfinished) == 200_006
    assert parser.feed(b"\n\n") == [ev("x" * 200_000)]
    assert not parser._unfinished


# --- the conformance corpus, where it is at hand --------------------------------------------------------------------

# Absent, it adds no tests at all: an empty parametrization would show as skipped.
if CORPUS.exists():
    CORPUS_CASES: list[dict[str, Any]] = json.loads(gzip.decompress(CORPUS.read_bytes()))["cases"]

    def corpus_splits(stream: bytes) -> Iterator[tuple[str, Iterable[bytes]]]:
        if len(stream) <= 256:
            yield from splits(stream)
            return
        yield "whole", [stream]
        for size in (1, 7, 4096):
            yield f"pieces of {size}", pieces(stream, size)
        line_ends = [at for at, byte in enumerate(stream[:4096], 1) if byte in b"\r\n"][:32]
        for at in line_ends:
            yield f"split at {at}", [stream[:at], stream[at:]]

    @pytest.mark.parametrize("case", CORPUS_CASES, ids=[case["id"] for case in CORPUS_CASES])
    def test_the_conformance_corpus(case: dict[str, Any]) -> None:
        """Every body of the corpus gives its events, ids, retry and comments under every split."""
        open_points = case.get("unscored", [])
        expected = [Event(e["type"], e["data"], e["last_event_id"]) for e in case["expected"]]
        for name, chunks in corpus_splits(base64.b64decode(case["input_b64"])):
            seen = parsed(chunks)
            assert seen.events == expected, name
            assert "last_event_id" in open_points or seen.last_event_id == case["expected_final_last_event_id"], name
            assert "retry" in open_points or seen.retry in (case["expected_retry"], *case.get("accept_retry", [])), name
            # The corpus leaves the space after the colon open.
            assert [c.removeprefix(" ") for c in seen.comments] == [c.removeprefix(" ") for c in case["expected_comments"]], name


@pytest.mark.parametrize(
    ("parts", "ended"),
    [
        pytest.param([b"data: 1\n\n"], True, id="an event"),
        pytest.param([b"data: 1\n\ndata: 2\n\n"], True, id="two events"),
        pytest.param([b"event: a\r\ndata: 1\r\nid: 7\r\n\r\n"], True, id="an event of several lines"),
        pytest.param([b"da", b"ta: 1\n", b"\n"], True, id="in parts"),
        pytest.param([b"data: 1\n\nda"], False, id="the beginning of the next"),
        pytest.param([b"data: 1\n\n: heartbeat\n\n"], False, id="a comment"),
        pytest.param([b"data: 1\n\n", b": heartbeat\n\n"], False, id="a comment in a part of its own"),
        pytest.param([b"data: 1\n\n\n\n"], False, id="blank lines"),
        pytest.param([b"data: 1\n\nretry: 10\n\n"], False, id="a block without data"),
        pytest.param([b""], False, id="nothing"),
    ],
)
def test_what_follows_an_event_is_noticed(parts: list[bytes], ended: bool):
    """
    The stamp of a read is the event's own only where the event is the last thing in it.
    """
    parser = EventStreamParser()
    for part in parts:
        parser.feed(part)
    assert parser.ended_event is ended
