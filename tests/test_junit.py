"""junit.xml as its readers want it: what all schemas allow, counts that add up, and texts that stay texts.

The schemas themselves are in tests/lab/test_junit.py; what they have in common is the table here.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, fromstring

import msgspec
import pytest
from hypothesis import given, settings
from junitparser import JUnitXml, TestCase, TestSuite

from sse_check.pipeline import rejudge
from sse_check.recording import Recording
from sse_check.report import build_report, build_result, junit_xml
from sse_check.scenario import Target
from sse_check.verdict import judge
from tests.support.drawn import recordings
from tests.support.streams import every, probe, recording, scenario, stream

RECORDINGS: Final = sorted((Path(__file__).parent / "recordings").glob("*.ndjson"))

# Each element's attributes and children, as JUnit.xsd (Ant) demands them and junit-4.xsd and junit-10.xsd (Jenkins) allow them.
ATTRIBUTES: Final = {
    "testsuites": set(),
    "testsuite": {"name", "package", "id", "hostname", "timestamp", "tests", "failures", "errors", "skipped", "time"},
    "properties": set(),
    "property": {"name", "value"},
    "testcase": {"name", "classname", "time"},
    "failure": {"message", "type"},
    "skipped": set(),
    "system-out": set(),
    "system-err": set(),
}
CHILDREN: Final = {
    "testsuites": "(testsuite )*",
    "testsuite": "properties (testcase )*system-out system-err ",
    "properties": "(property )+",
    "testcase": "(failure |skipped )?",
}
VALUES: Final = {
    "id": r"\d+",
    "timestamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d",
    "time": r"\d+\.\d{3}",
    **dict.fromkeys(("tests", "failures", "errors", "skipped"), r"\d+"),
    **dict.fromkeys(("name", "classname", "hostname", "package"), r"\S(.*\S)?"),
}

# One heartbeat, and no event that was known to be due.
NOT_KNOWN: Final = recording(stream([], comments=[0.1], ended="timeout", end=9.0))


def xml_of(value: Recording) -> bytes:
    return junit_xml(build_result(value, judge(value)))


def wrong_in(element: Element) -> Iterator[str]:
    """Each way in which an element, or one inside of it, is not as the schemas want it."""
    if set(element.attrib) != ATTRIBUTES[element.tag]:
        yield f"{element.tag}: {sorted(element.attrib)}"
    inside = "".join(f"{child.tag} " for child in element)
    if not re.fullmatch(CHILDREN.get(element.tag, ""), inside):
        yield f"{element.tag}: {inside}"
    yield from (f"{key}={value!r}" for key, value in element.items() if not re.fullmatch(VALUES.get(key, "(?s:.*)"), value))
    for child in element:
        yield from wrong_in(child)


def cases_of(xml: bytes) -> Iterator[tuple[TestSuite, TestCase]]:
    """Each case with its suite, as junitparser reads them."""
    for suite in JUnitXml.fromstring(xml):
        yield from ((suite, case) for case in suite)


def suites(xml: bytes) -> list[TestSuite]:
    return list(JUnitXml.fromstring(xml))


# --- schemas ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_junit_of_every_recording_is_as_the_schemas_want_it(path: Path):
    """
    Elements, their order, their attributes and the form of the values: nothing is missing, nothing is more.
    """
    assert list(wrong_in(fromstring(junit_xml(rejudge([path], None).result)))) == []


@given(recordings())
@settings(max_examples=50)
def test_junit_of_any_run_is_as_the_schemas_want_it(value: Recording):
    """
    Whatever a server sent and whatever a probe is called.
    """
    assert list(wrong_in(fromstring(xml_of(value)))) == []


@pytest.mark.parametrize(
    ("started", "written"),
    [
        ("2026-01-15T10:30:00Z", "2026-01-15T10:30:00"),
        ("2026-01-15T10:30:00.987+02:00", "2026-01-15T08:30:00"),
        ("2026-01-15T10:30:00", "2026-01-15T10:30:00"),
        ("yesterday\x01", None),
        ("0001-01-01T00:00:00+23:00", None),
    ],
)
def test_the_time_stamp_is_in_utc_and_has_no_zone(started: str, written: str | None):
    """
    Ant's schema refuses a zone and fractions; a recording that was edited by hand has no time stamp rather than a wrong one.
    """
    value = msgspec.structs.replace(recording(stream(every(1, 3))), started_at=started)

    assert {suite.get("timestamp") for suite in fromstring(xml_of(value))} == {written}


def test_a_name_without_a_letter_and_a_time_before_the_request_are_as_the_schemas_want_them():
    """
    Ant's wants a name that is more than white space, Jenkins' a time that is not negative; a recording that was edited may have neither.
    """
    value = recording(stream(probe=" ", end=-1.0), scenario=scenario(probe(" ")))
    (_, probed) = root = fromstring(xml_of(value))

    assert list(wrong_in(root)) == []
    assert (probed.get("name"), probed.get("time")) == ("(no name)", "0.000")


# --- counts and times -------------------------------------------------------------------------------------------------


def agree(xml: bytes) -> None:
    """Each suite's own figures are those that a reader gets who adds up its cases."""
    for suite in suites(xml):
        found = list(suite)

        assert (suite.tests, suite.time) == (len(found), pytest.approx(sum(case.time for case in found)))
        assert suite.failures == sum(case.is_failure for case in found)
        assert suite.errors == sum(case.is_error for case in found)
        assert suite.skipped == sum(case.is_skipped for case in found)


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_reader_counts_what_the_suites_say(path: Path):
    """
    junitparser, with which reporters read these files, adds up the cases and comes to each suite's own figures.
    """
    agree(junit_xml(rejudge([path], None).result))


def test_a_reader_counts_what_was_skipped():
    """
    The same of a run in which nothing could be judged.
    """
    agree(xml := xml_of(NOT_KNOWN))

    assert sum(suite.skipped for suite in suites(xml)) == 4


def test_the_time_of_a_probe_is_spent_once():
    """
    All cases of a suite judge the same streams: a reader that adds up the cases gets the time that the longest stream took.
    """
    value = recording(stream(every(1.0, 20)), stream(every(1.0, 5), number=2))
    (verdict, probed) = suites(xml_of(value))

    assert (verdict.time, probed.time) == (0.0, 19.11)
    assert [case.time for case in probed] == [19.11, 0.0, 0.0]


def test_a_probe_that_is_called_like_the_verdict_does_not_hide_it():
    """
    A scenario may name a probe `sse-check`; the verdict stays the first case of all.
    """
    value = recording(stream(every(1, 3), probe="sse-check", ended="reset"), scenario=scenario(probe("sse-check")))

    assert [case.name for _, case in cases_of(xml_of(value))] == ["verdict", "success_rate", "first_event", "no streaming fault"]


# --- texts ------------------------------------------------------------------------------------------------------------


def test_a_fault_says_what_it_is_and_what_to_change():
    """
    Who sees only a test report has the fault's code as the failure's type, its message, and a line for each cure.
    """
    value = recording(stream([19.2] * 20, sent=every(1.0, 20)))
    ((_, case),) = [found for found in cases_of(xml_of(value)) if found[1].name == "no streaming fault"]
    (failure,) = case.result
    lines = failure.text.split("\n")

    assert failure.type == "buffered-full"
    assert failure.message == lines[0]
    assert lines[0].startswith("buffered-full: ")
    assert len(lines) > 1
    assert all(line.startswith("-> ") for line in lines[1:])


def test_what_was_skipped_says_why():
    """
    A criterion that could not be judged has its reason as the text of the element.
    """
    skipped = {case.name: case.result[0].text for _, case in cases_of(xml_of(NOT_KNOWN)) if case.is_skipped}

    assert set(skipped) == {"verdict", "success_rate", "first_event", "no streaming fault"}
    assert all(skipped.values())


def output(value: Recording) -> list[str]:
    """The lines beside the cases of the first probe."""
    return (fromstring(xml_of(value))[1].findtext("system-out") or "").split("\n")


def test_the_output_of_a_suite_has_a_line_for_each_stream():
    """
    The evidence beside the outcome: events, first event and end of each stream; of thousands, the first and how many more.
    """
    several = recording(*(stream(every(1, 3), number=n, phase="concurrency") for n in (1, 2)), scenario=scenario(probe(streams=2)))
    many = recording(*(stream([0.1], number=n, phase="concurrency") for n in range(1, 302)), scenario=scenario(probe(streams=301)))
    (first, second), cut = output(several), output(many)

    assert first.startswith("wallet #1: ")
    assert second.startswith("wallet #2: ")
    assert second.endswith(" 3/3 events, first after 100ms, by the server after 2.11s")
    assert (len(cut), cut[-1]) == (201, "… and 101 more")


HOSTILE: Final = "]]></failure><!--<b>&amp;&#0;\x00\x1b[31m\ufffe\udc80\u202e\r\n::error::x"


def test_hostile_texts_stay_texts():
    """
    Names, addresses and errors full of markup and of characters that XML cannot hold: read back, they are spelled out, on one line.
    """
    value = recording(
        stream(every(1, 3), probe=HOSTILE, ended="reset", error=HOSTILE, url=HOSTILE),
        scenario=scenario(probe(HOSTILE), name=HOSTILE, target=Target(url=HOSTILE)),
    )
    shown = "]]></failure><!--<b>&amp;&#0;\\x00\\x1b[31m\\ufffe\ufffd\\u202e\\r\\n::error::x"
    root = fromstring(xml_of(value))
    (verdict, probed) = root

    assert list(wrong_in(root)) == []
    assert {e.get("name"): e.get("value") for e in verdict.iter("property")} | {"scenario": shown, "target": shown} == {
        e.get("name"): e.get("value") for e in verdict.iter("property")
    }
    assert (probed.get("name"), {case.get("classname") for case in probed.iter("testcase")}) == (shown, {shown})
    assert all(line.isprintable() for element in root.iter() if element.text for line in element.text.split("\n"))


def test_nothing_fails_where_the_measurement_carries_no_answer():
    """
    On a machine that was too late every case that would fail is skipped: its lateness turns no reporter red.
    """
    late = junit_xml(build_report(recording(stream([20.0] * 20, sent=every(1.0, 20)), loop_lag_p99=2.0)).result)

    assert b"<failure" not in late
    assert b"<skipped" in late
