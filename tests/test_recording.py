"""What is kept of a run: the same after a round trip, honest where it was cut off, and without secrets."""

import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_check.probe import Stop
from sse_check.recording import (
    FORMAT_VERSION,
    FallbackRecording,
    Recording,
    RecordingError,
    Redirect,
    from_lines,
    to_lines,
)
from sse_check.redaction import Redactor
from sse_check.report import build_result, report_json
from sse_check.scenario import BatchFallback, Fallback, Target
from sse_check.scenario.redacted import redact_scenario
from sse_check.schedule import Run, run
from sse_check.verdict import judge
from tests.support.drawn import recordings
from tests.support.servers import answering, raw_server
from tests.support.streams import every, probe, recording, scenario, stream

FILE = "recording.ndjson"


def lines_of(value: Recording) -> list[bytes]:
    return list(to_lines(value))


def read(lines: list[bytes]) -> Recording:
    return from_lines(lines, file=FILE)


@given(recordings())
def test_a_recording_comes_back_equal_and_is_judged_alike(value: Recording):
    """
    Whatever was observed, its file holds all of it: what is read back is equal, and so is the outcome.
    """
    back = read(lines_of(value))

    assert back == value
    assert judge(back) == judge(value)


def test_every_line_is_one_json_value():
    """
    The file is NDJSON: a header that names the format and its version, a line a record, an end that counts the streams.
    """
    tried = FallbackRecording(kind="batch", url="https://app.example.test/batch", worked=True, seconds=0.2, detail="status 200")
    records = [msgspec.json.decode(line) for line in lines_of(recording(stream([0.1]), stream([0.2]), fallbacks=[tried]))]

    assert [record["record"] for record in records] == ["run", "stream", "stream", "fallback", "end"]
    assert (records[0]["format"], records[0]["format_version"]) == ("sse-check recording", FORMAT_VERSION)
    assert records[-1]["streams"] == 2
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines_of(recording(stream([0.1], ids=["a\nb"]))))


async def test_a_status_line_that_is_no_utf_8_can_be_kept():
    """
    A server may write any bytes into its status line: what was observed can be written, read back and reported all the same.
    """
    async with raw_server(answering(b"HTTP/1.1 404 N\xff\xfe\r\nX-Odd: \xff\r\nContent-Length: 3\r\n\r\n\xff\xfeo")) as base:
        value = await run(scenario(target=Target(url=base)), Run(redactor=Redactor(), stop=Stop()))

    assert [s.head.status for s in value.streams if s.head] == [404]
    assert read(lines_of(value)) == value
    assert report_json(build_result(value, judge(value)))


@pytest.mark.parametrize("kept", range(1, 5))
def test_a_recording_without_its_end_is_read_and_marked(kept: int):
    """
    A recording whose last lines are missing is read as far as it goes, and is inconclusive however good it looks.
    """
    whole = recording(*(stream(every(0.5, 10), number=number) for number in (1, 2, 3)))
    back = read(lines_of(whole)[:kept])

    assert back.streams == whole.streams[: kept - 1]
    assert back.interrupted == "the recording is not complete"
    assert judge(back).verdict == "inconclusive"


@given(st.data())
def test_a_recording_cut_in_mid_line_is_read_up_to_that_line(data: st.DataObject):
    """
    Wherever behind its header the file was cut, the whole lines before the cut are read, and the run counts as interrupted.
    """
    whole = recording(stream(every(0.5, 4)), stream(every(0.5, 4), number=2))
    lines = lines_of(whole)
    last = data.draw(st.integers(1, len(lines) - 1))
    cut = data.draw(st.integers(1, len(lines[last]) - 2))
    back = read([*lines[:last], lines[last][:cut]])

    assert back.streams == whole.streams[: last - 1]
    assert (back.interrupted, judge(back).verdict) == ("the recording is not complete", "inconclusive")


def test_a_lost_line_in_the_middle_is_noticed():
    """
    The end counts the streams: a line that was taken out leaves the recording incomplete.
    """
    lines = lines_of(recording(stream([0.1]), stream([0.1], number=2)))

    assert read([lines[0], *lines[2:]]).interrupted == "the recording is not complete"


def test_blank_lines_are_passed_over():
    """
    An empty line at the end, as an editor leaves it, changes nothing.
    """
    value = recording(stream([0.1]))

    assert read([*lines_of(value), b"\n", b"  \n"]) == value


def test_a_broken_line_in_the_middle_is_an_error_with_its_line():
    """
    Only the last line may be half written: a broken one before it is a fault of the file, named by file and line.
    """
    lines = lines_of(recording(stream([0.1]), stream([0.1], number=2)))

    with pytest.raises(RecordingError, match=rf"^{FILE}:2: not a line of a recording"):
        read([lines[0], lines[1][:40] + b"\n", *lines[2:]])


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([], id="empty"),
        pytest.param([b"\n"], id="blank"),
        pytest.param([b"# Heading\n", b"text\n"], id="text"),
        pytest.param([b'{"schema_version": 1}\n'], id="a report.json in one line"),
        pytest.param([b"{\n", b'  "schema_version": 1\n', b"}\n"], id="a report.json"),
        pytest.param([b"[1, 2]\n"], id="another JSON value"),
        pytest.param([b"\xff\xfe\x00\n"], id="binary"),
        pytest.param([b"[" * 100_000], id="nested too deep"),
        pytest.param([b'{"record":"run","format":"sse-check recording","format_version":1}\n'], id="a header without its scenario"),
    ],
)
def test_another_file_is_refused_by_name(lines: list[bytes]):
    """
    A file that is no recording is refused with its name and line, never taken for an empty run.
    """
    with pytest.raises(RecordingError, match=rf"^{FILE}:1: not a "):
        read(lines)


def test_a_recording_without_its_header_is_refused():
    """
    The first line carries the scenario: without it nothing can be judged.
    """
    with pytest.raises(RecordingError, match=rf"^{FILE}:1: not a recording of sse-check"):
        read(lines_of(recording(stream([0.1])))[1:])


@pytest.mark.parametrize("version", [0, FORMAT_VERSION + 1, "next", None])
def test_another_format_version_is_refused(version: Any):
    """
    A recording of a newer format is refused before anything of it is read, whatever else the newer header holds.
    """
    header = {"record": "run", "format": "sse-check recording", "format_version": version, "new": [1]}

    with pytest.raises(RecordingError, match=rf"^{FILE}:1: format version .*; this sse-check reads version {FORMAT_VERSION}\."):
        read([msgspec.json.encode(header) + b"\n", b'{"record": "unheard of"}\n'])


def test_a_broken_stream_record_says_which_field():
    """
    A line that is JSON but no record of this format names its line and what is wrong.
    """
    lines = lines_of(recording(stream([0.1])))
    broken = lines[1].replace(b'"phase":"stream"', b'"phase":"dream"')

    with pytest.raises(RecordingError, match=rf"^{FILE}:2: .*dream.*phase"):
        read([lines[0], broken, lines[2]])


def test_secrets_leave_the_scenario_that_is_kept():
    """
    Values that were handed over, secret headers and secret query keys leave every part of the scenario; all else stays.
    """
    secret = "s3cr3t-value-of-9"
    before = scenario(
        probe(
            name=f"for {secret}",
            path=f"/events?token=abc&page=2&q={secret}",
            headers={"X-Other": f"a {secret}"},
            body={secret: [secret, 7, None]},
        ),
        name=f"run of {secret}",
        target=Target(
            url=f"https://user:{secret}@app.example.test/", headers={"X-API-Key": "anything", "Accept": "*/*"}, health=f"/h?key={secret}"
        ),
        fallbacks=[Fallback(batch=BatchFallback(url=f"https://app.example.test/{secret}", body=f"x={secret}"))],
    )
    after = redact_scenario(before, Redactor([secret]))

    assert secret not in msgspec.json.encode(after).decode()
    assert after == scenario(
        probe(name="for ***", path="/events?token=***&page=2&q=***", headers={"X-Other": "a ***"}, body={"***": ["***", 7, None]}),
        name="run of ***",
        target=Target(url="https://***@app.example.test/", headers={"X-API-Key": "***", "Accept": "*/*"}, health="/h?key=***"),
        fallbacks=[Fallback(batch=BatchFallback(url="https://app.example.test/***", body="x=***"))],
    )


def test_a_scenario_without_secrets_is_kept_as_it_is():
    """
    Nothing is lost where nothing is secret: criteria, ends, hints and bodies stay equal.
    """
    plan = scenario(
        probe(until={"event": "complete", "duration": 30.0}, expect={"events": 20, "every": 1.0}, timestamps={"field": "ts"}, body="{}"),
        probe(name="posted", method="POST", body={"headers": {"depth": 2, "wide": True}, "url": "https://app.example.test/x"}),
    )

    assert redact_scenario(plan, Redactor()) == plan


def test_a_body_that_happens_to_hold_headers_is_only_a_body():
    """
    The JSON body of a request may have any shape below any name: a field `headers` in it is not the request's headers.
    """
    plan = scenario(probe(method="POST", body={"headers": {"retries": 3, "cookie": 4, "to": "s3cr3t-value"}}))
    body = redact_scenario(plan, Redactor(["s3cr3t-value"])).probes[0].body

    assert body == {"headers": {"retries": 3, "cookie": 4, "to": "***"}}


@pytest.mark.parametrize("secret", ["name", "probes", "GET", "request", "stream", "e"])
def test_a_secret_that_is_an_ordinary_word_does_not_break_the_scenario(secret: str):
    """
    A secret may be a word of the scenario's own vocabulary: values lose it, while keys and fixed words hold the form together.
    """
    plan = scenario(probe(name=f"with {secret}" + "e" * 150, streams=2))
    after = redact_scenario(plan, Redactor([secret]))

    assert secret not in after.probes[0].name
    assert (after.version, after.criteria, after.probes[0].streams) == (plan.version, plan.criteria, 2)


def test_a_redirect_and_a_missing_head_are_kept():
    """
    What did not happen stays unknown after a round trip: no head, no phases, no error.
    """
    hop = Redirect(status=307, location="https://app.example.test/elsewhere", at_ns=5)
    value = recording(stream(head=None, ended="error", reason="dns", redirects=[hop]))

    assert read(lines_of(value)) == value


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        pytest.param({"at_ns": [1, "x"]}, r"`\$\.events\.at_ns\[1\]`", id="a text among times"),
        pytest.param({"numbers": {"seq": [1, []]}}, r"`\$\.events\.numbers\[\.\.\.\]\[1\]`", id="a list among numbers"),
        pytest.param({"at_ns": {}}, r"`\$\.events\.at_ns`", id="no column"),
        pytest.param([], r"`\$\.events`", id="no columns"),
        pytest.param({"at_ns": [1, 2], "read": [0]}, "Events has columns of different lengths", id="a column too short"),
    ],
)
def test_a_column_that_is_none_is_an_error_with_its_place(wrong: Any, said: str):
    """
    Columns are read one by one, and a mistake in one is named all the same: by file, line and place.
    """
    lines = lines_of(recording(stream([])))
    broken = {**msgspec.json.decode(lines[1]), "events": wrong}

    with pytest.raises(RecordingError, match=rf"^{FILE}:2: not a line of a recording: .*{said}"):
        read([lines[0], msgspec.json.encode(broken), *lines[2:]])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        pytest.param({"times": {"ended_ns": 10**308}}, r"`\$\.times\.ended_ns`", id="a time of 10^299 seconds"),
        pytest.param({"times": {"head_ns": -(10**18) - 1}}, r"`\$\.times\.head_ns`", id="a time long before the request"),
        pytest.param({"sent_at": 1e300}, r"`\$\.sent_at`", id="a moment after all others"),
        pytest.param({"stream": -1}, r"`\$\.stream`", id="a number below zero"),
        pytest.param({"reads": {"at_ns": [2**63]}}, r"`\$\.reads\.at_ns\[0\]`", id="a read beyond 64 bits"),
        pytest.param({"reads": {"wire_bytes": [-1]}}, r"`\$\.reads\.wire_bytes\[0\]`", id="fewer bytes than none"),
        pytest.param({"events": {"numbers": {"seq": [10**400]}}}, r"`\$\.events\.numbers", id="a number that no event brings"),
    ],
)
def test_what_no_run_can_hold_is_refused_with_its_place(wrong: Any, said: str):
    """
    Anybody may write a recording: times and counts of which no figure can be worked out are a mistake of the file, not a defect.
    """
    lines = lines_of(recording(stream([])))
    broken = {**msgspec.json.decode(lines[1]), **wrong}

    with pytest.raises(RecordingError, match=rf"^{FILE}:2: not a line of a recording: .*{said}"):
        read([lines[0], json.dumps(broken).encode(), *lines[2:]])


def test_a_recording_that_is_no_utf_8_is_refused_with_its_line():
    """
    A byte that is no UTF-8 inside of a text is a mistake of that line.
    """
    lines = lines_of(recording(stream([0.1], ids=["a-name"])))

    with pytest.raises(RecordingError, match=rf"^{FILE}:2: not a line of a recording"):
        read([lines[0], lines[1].replace(b"a-name", b"a-\xff"), *lines[2:]])


def test_a_long_stream_takes_few_bytes_an_event():
    """
    A stream of 100,000 events with IDs, types and two numbers takes 60 bytes an event; reading it takes hardly more on the way than
    one of its columns as a list, and judging it leaves no copy but the times of sending.
    """
    count = 100_000
    lines = lines_of(
        recording(stream(every(0.0001, count), sent=every(0.0001, count), ids=list(map(str, range(count))), fields={"seq": range(count)}))
    )
    tracemalloc.start()
    try:
        value = read(lines)
        kept, most = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        outcome = judge(value)
        judged, most_judging = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert outcome.verdict == "viable"
    assert kept / count < 60
    assert (most - kept) / count < 110
    assert (judged - kept) / count < 10
    assert (most_judging - kept) / count < 150
