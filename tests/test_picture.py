"""What the pictures show: values worked out once, and the summary's drawing of them."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings

from sse_check.diagnosis import CODES
from sse_check.pipeline import rejudge
from sse_check.recording import Recording, StreamRecording
from sse_check.report import build_report, summary_markdown
from sse_check.report.mermaid import Chart, chart
from sse_check.report.names import stream_name
from sse_check.report.picture import StreamPicture
from tests.support.drawn import recordings
from tests.support.process import ROOT
from tests.support.streams import every, probe, recording, scenario, stream

TEN = every(1.0, 10)
HELD = recording(stream([9.2] * 10, sent=TEN))
RECORDINGS = sorted((ROOT / "tests/recordings").glob("*.ndjson"))


def picture(value: Recording) -> StreamPicture:
    return build_report(value).pictures[0]


def drawn(value: Recording) -> Chart:
    report = build_report(value)
    found = chart(report.pictures, report.result.findings)
    assert found is not None
    return found


def series(found: Chart) -> list[tuple[str, list[int]]]:
    """The bars and lines of a diagram, as numbers."""
    return [(kind, [int(n) for n in numbers.split(", ")]) for kind, numbers in re.findall(r"^  (bar|line) \[(.*)\]$", found.diagram, re.M)]


# --- values -----------------------------------------------------------------------------------------------------------


def test_events_stand_beside_when_the_server_sent_them():
    """
    The server's own stamps are put on our clock by the fastest event, so that both lines can be drawn on one axis.
    """
    shown = picture(HELD)

    assert shown.beside_is == "sent"
    assert shown.received == (9.2,) * 10
    assert shown.beside == pytest.approx([at + 0.1 for at in TEN])


def test_events_without_stamps_stand_beside_when_they_were_due():
    """
    A hint draws the line that a stream should have followed, beyond what came, and from where the stream began.
    """
    plan = scenario(probe(expect={"events": 6, "every": 1.0}))
    late = picture(recording(stream([0.5, 1.5, 2.5], ended="reset", end=2.6), scenario=plan))

    assert late.beside_is == "due"
    assert late.beside == pytest.approx([0.5, 1.5, 2.5, 3.5, 4.5, 5.5])


def test_what_was_never_sent_is_due():
    """
    Where a stream with stamps was cut, the events that are missing are drawn where they were due.
    """
    plan = scenario(probe(expect={"events": 5, "every": 1.0}))
    cut = picture(recording(stream([0.1, 1.1, 2.1], sent=[0.0, 1.0, 2.0], ended="reset", end=2.2), scenario=plan))

    assert cut.beside_is == "sent, then due"
    assert cut.beside == pytest.approx([0.1, 1.1, 2.1, 3.1, 4.1])


def test_nothing_is_invented_beside_a_stream_that_tells_nothing():
    """
    Without stamps and hints there is only what came.
    """
    shown = picture(recording(stream(TEN)))
    assert (shown.beside, shown.beside_is) == ((), None)


def test_the_worst_stream_comes_first():
    """
    Who opens a picture sees the cause: the stream that failed, before those that did not.
    """
    plan = scenario(probe("good"), probe("bad"))
    value = recording(stream(TEN, probe="good"), stream([9.2] * 10, sent=TEN, probe="bad"), scenario=plan)

    assert [(p.probe, p.passed) for p in build_report(value).pictures] == [("bad", False), ("good", True)]


@pytest.mark.parametrize(
    ("code", "start", "end"),
    [("buffered-full", 0.0, 1.8), ("idle-timeout", 0.8, 2.8), ("slow-first-event", 0.0, 3.0), ("duration-limit", 1.0, 1.0),
     ("lost-events", 0.6, 1.2), ("delayed-headers", 0.0, 3.0)],
)  # fmt: skip
def test_evidence_is_marked_where_it_lies(code: str, start: float, end: float):
    """
    On real recordings: the event held longest, the silence before a cut, the wait, the gap in the numbers.
    """
    shown = rejudge([ROOT / f"tests/recordings/{code}.ndjson"], None).report.pictures[0]
    mark = next(mark for mark in shown.marks if mark.code == code)

    assert [mark.start, mark.end] == pytest.approx([start, end], abs=0.1)


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_every_finding_is_marked_on_its_streams(path: Path):
    """
    No finding is without its place on a picture, and every phase of a connection follows the one before.
    """
    report = rejudge([path], None).report
    marked = {(p.probe, p.stream, mark.code) for p in report.pictures if p.factor is None for mark in p.marks}
    found = {(f.probe, number, f.code) for f in report.result.findings for number in f.streams}
    asked = {(s.probe, s.stream) for s in report.result.test_results}

    assert {entry for entry in found if entry[:2] in asked} <= marked
    assert {code for _, _, code in marked} <= {*CODES, ""}
    for shown in report.pictures:
        assert all(before.end == after.start for before, after in pairwise(shown.steps))
        assert all(mark.start <= mark.end for mark in shown.marks)


def test_names_tell_the_streams_of_a_probe_apart():
    """
    A stream is called the same in every report.
    """
    assert stream_name("chat", 1, "stream") == "chat"
    assert stream_name("chat", 2, "concurrency") == "chat #2"
    assert stream_name("chat", 1, "follow-up", "direct") == "chat (past the proxies)"


# --- the summary's drawing --------------------------------------------------------------------------------------------


def test_a_buffer_is_a_cliff_beside_a_diagonal():
    """
    The bars grow as the server sent, the line stays at nothing and then jumps.
    """
    (_, sent), (_, received) = series(drawn(HELD))

    assert received == [0] * 49 + [10]
    assert sent[25] == 5
    assert sent[-1] == 10
    assert drawn(HELD).bars == "sent by the server"


def test_a_fault_is_drawn_beside_the_twin_that_shows_it():
    """
    A stream that is held back because it is compressed stands beside the same one without compression.
    """
    report = rejudge([ROOT / "tests/recordings/compressed-buffered.ndjson"], None).report
    found = chart(report.pictures, report.result.findings)

    assert found is not None
    assert found.bars == "received without compression"


def test_streams_at_once_are_drawn_together():
    """
    A limit on streams at once is seen as lines that stay at nothing beside one that rises.
    """
    plan = scenario(probe(streams=3))
    busy = [stream(head=None, number=n, phase="concurrency", ended="timeout", end=9.5) for n in (2, 3)]
    found = drawn(recording(stream(TEN, phase="concurrency"), *busy, scenario=plan))

    assert found.lines == 3
    assert sorted(line[-1] for _, line in series(found)) == [0, 0, 10]


def test_where_nothing_came_there_is_no_picture():
    """
    An empty chart says nothing, and Mermaid would not draw it.
    """
    report = build_report(recording(stream(head=None, ended="error", reason="tcp", end=0.01)))

    assert chart(report.pictures, report.result.findings) is None
    assert "```mermaid" not in summary_markdown(report)


DIAGRAM = re.compile(
    r'%%\{init: \{"themeVariables": \{"xyChart": \{"plotColorPalette": "#[0-9a-f]{6}(, #[0-9a-f]{6})*"\}\}\}\}%%\nxychart-beta\n'
    r'  x-axis "(milli)?seconds since the request" 0 --> [1-9]\d*\n  y-axis 0 --> [1-9]\d*(\n  (bar|line) \[\d+(, \d+){49}\])+'
)


@given(recordings())
@settings(max_examples=60)
def test_a_diagram_is_always_one_that_mermaid_reads(value: Recording):
    """
    Whatever was recorded: plain decimals, whole counts, no empty series, and no text of anybody's.
    """
    report = build_report(value)
    found = chart(report.pictures, report.result.findings)

    assert found is None or DIAGRAM.fullmatch(found.diagram)


# --- odd runs ---------------------------------------------------------------------------------------------------------


def test_an_event_without_a_stamp_keeps_its_place():
    """
    The n-th that was sent stands beside the n-th that came, also where the first event carries no stamp.
    """
    shown = picture(recording(stream([0.1] + [10.0] * 10, sent=[None, *every(1, 10, first=0.2)])))

    assert len(shown.beside) == len(shown.received) == 11
    assert shown.beside[0] == pytest.approx(0.1)


def test_a_tiny_interval_draws_no_endless_line():
    """
    What is due is bounded, whatever interval a scenario names.
    """
    plan = scenario(probe(expect={"every": 1e-9}))
    assert len(picture(recording(stream(TEN), scenario=plan)).beside) <= 100_000


def test_each_stream_marks_its_own_gap():
    """
    Two streams that lost events at different places are marked at different places.
    """
    plan = scenario(probe(streams=2))
    numbers = [[n for n in range(1, 14) if n != gap] for gap in (4, 10)]
    shown = build_report(
        recording(
            *(stream(every(1, 12), ids=[str(i) for i in ids], number=n, phase="concurrency") for n, ids in enumerate(numbers, 1)),
            scenario=plan,
        )
    ).pictures
    starts = {p.stream: next(m.start for m in p.marks if m.code == "lost-events") for p in shown}

    assert starts == {1: pytest.approx(2.1), 2: pytest.approx(8.1)}


def test_the_caption_counts_all_streams():
    """
    Of many streams a few are drawn, and the caption says of how many.
    """
    streams = [stream([20.0] * 20 if n <= 12 else every(1, 20), sent=every(1, 20), number=n, phase="concurrency") for n in range(1, 21)]
    summary = summary_markdown(build_report(recording(*streams, scenario=scenario(probe(streams=20)))))

    assert "by 5 of 20 streams at once" in summary


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (stream(head=None, ended="error", reason="tcp", end=0.2), ["connect"]),
        (stream(head=None, ended="timeout", end=9.0), ["waiting for the head"]),
        (stream([], comments=every(1.0, 9), ended="until", end=9.0), ["waiting for the first event"]),
        (stream(TEN, ended="timeout", end=20.0), ["waiting for the first event", "events", "silence"]),
    ],
    ids=["refused", "no head", "heartbeats only", "silent at the end"],
)
def test_a_connection_is_said_to_wait_for_what_never_came(value: StreamRecording, names: list[str]):
    """
    The phases are those that took place; silence is only what follows events.
    """
    steps = [
        step.name for step in picture(recording(value)).steps if step.name != "waiting for the head" or "waiting for the head" in names
    ]

    assert steps == names


def test_what_is_due_long_after_does_not_squeeze_what_came():
    """
    A stream that was cut early beside a hint of hours is drawn over three times its own length at most.
    """
    plan = scenario(probe(expect={"events": 100, "every": 60.0}))
    found = drawn(recording(stream([0.1, 1.1, 2.1], ended="reset", end=5.0), scenario=plan))

    assert "0 --> 15000" in found.diagram
