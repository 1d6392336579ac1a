"""junit.xml: the verdict, then a suite for each probe: a case for each criterion, and one for the absence of streaming faults.

JUnit's XML was never specified. Apache Ant's schema (windyroad/JUnit-Schema, JUnit.xsd) demands the most, Jenkins' (jenkinsci/xunit-plugin,
junit-10.xsd, and junit-4.xsd before it) allow the least, and this keeps to what all of them allow:

* the root has no attributes: it is for readers to add up the suites;
* a suite is its properties, cases, output and errors, in this order and all of them there, and its time stamp has no zone (it is UTC);
* a case has one outcome at most, and no `file` or `line`; why it was skipped is the element's text, for junit-4.xsd knows no message there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from sse_check.escape import visible
from sse_check.report.names import in_words, stream_name
from sse_check.report.result import Result, StreamResult
from sse_check.verdict import Verdict

_PACKAGE: Final = "sse-check"
_PASSED: Final[dict[Verdict, bool | None]] = {"viable": True, "not-viable": False, "inconclusive": None}
_MAX_LINES: Final = 200  # of a text: a run may have thousands of streams
_LINE: Final = 1000  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One thing that was judged. `passed` is None where it could not be; `kind` is what failed; the first line sums the others up."""

    name: str
    passed: bool | None
    kind: str
    lines: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Suite:
    """The cases of a probe, or the verdict alone. `seconds` is how long the longest of its streams was open."""

    name: str
    cases: Sequence[_Case]
    properties: dict[str, str]
    seconds: float = 0.0
    output: Sequence[str] = ()


def junit_xml(result: Result) -> bytes:
    """The result as JUnit XML. What could not be judged is skipped, never passed."""
    root = Element("testsuites")
    started = _without_zone(result.test_timestamp)
    for number, suite in enumerate(_suites(result)):
        root.append(_suite_element(suite, number, started))
    indent(root)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode").encode("utf-8")


def _suites(result: Result) -> Iterator[_Suite]:
    # The verdict itself comes first: a run that was cut short, or measured on a noisy machine, has good probes all the same.
    verdict = _Case(name="verdict", passed=_PASSED[result.verdict], kind=result.verdict, lines=result.reasons)
    about = {"scenario": result.name, "target": result.target_url, "verdict": result.verdict, "recommendation": result.recommendation}
    early = {"ended early": result.decided} if result.decided else {}
    yield _Suite(name=_PACKAGE, cases=[verdict], properties={**about, "version": result.environment.version, **early})
    for probe in dict.fromkeys([c.probe for c in result.criteria] + [f.probe for f in result.findings if f.probe]):
        streams = [s for s in result.test_results if s.probe == probe]
        yield _Suite(
            name=probe,
            cases=[
                *(
                    _Case(name=c.criterion, passed=_sure(c.passed, result.verdict), kind=c.criterion, lines=[c.detail])
                    for c in result.criteria
                    if c.probe == probe
                ),
                _no_fault(result, probe),
            ],
            properties={"streams": str(len(streams)), **({"url": streams[0].url} if streams else {})},
            seconds=max((s.end_time for s in streams), default=0.0),
            output=[_stream_line(s) for s in streams],
        )


def _sure(passed: bool | None, verdict: Verdict) -> bool | None:
    """What a measurement that carries no answer shows as failed is not known to have failed."""
    return None if passed is False and verdict == "inconclusive" else passed


def _no_fault(result: Result, probe: str) -> _Case:
    """One case for all faults of a probe: each with its message, and what to change."""
    errors = [f for f in result.findings if f.probe == probe and f.severity == "error"]
    # A rate that is only not sure enough was seen all the same.
    unseen = any(c.passed is None and c.low is None for c in result.criteria if c.probe == probe)
    lines = [] if errors or not unseen else ["Not everything of it could be observed."]
    for finding in errors:
        lines += [f"{finding.code}: {finding.message}", *(f"-> {fix.where}: {fix.text}" for fix in finding.fixes)]
    return _Case(
        name="no streaming fault",
        passed=_sure(False if errors else (None if unseen else True), result.verdict),
        kind=errors[0].code if errors else "",
        lines=lines,
    )


def _stream_line(stream: StreamResult) -> str:
    return f"{stream_name(stream.probe, stream.stream, stream.phase)}: {stream.strip} {in_words(stream)}"


def _suite_element(suite: _Suite, number: int, started: str | None) -> Element:
    element = Element("testsuite", name=_name(suite.name), package=_PACKAGE, id=str(number), hostname="localhost")
    if started is not None:
        element.set("timestamp", started)
    properties = SubElement(element, "properties")
    for key, value in suite.properties.items():
        SubElement(properties, "property", name=visible(key), value=visible(value, _LINE))
    for place, case in enumerate(suite.cases):
        # All cases of a suite judge the same streams: their time is spent once.
        _add_case(element, _name(suite.name), case, suite.seconds if place == 0 else 0.0)
    SubElement(element, "system-out").text = _text(suite.output)
    SubElement(element, "system-err")
    outcomes = [case.passed for case in suite.cases]
    counts = {"tests": len(outcomes), "failures": outcomes.count(False), "errors": 0, "skipped": outcomes.count(None)}
    element.attrib.update({key: str(count) for key, count in counts.items()}, time=_seconds(suite.seconds))
    return element


def _add_case(suite: Element, class_name: str, case: _Case, seconds: float) -> None:
    element = SubElement(suite, "testcase", name=_name(case.name), classname=class_name, time=_seconds(seconds))
    if case.passed is None:
        SubElement(element, "skipped").text = _text(case.lines)
    elif not case.passed:
        message = visible(case.lines[0], _LINE) if case.lines else _name(case.name)
        SubElement(element, "failure", message=message, type=visible(case.kind)).text = _text(case.lines)


def _name(text: str) -> str:
    """A name that is seen: Ant's schema wants one that is more than white space."""
    return visible(text).strip() or "(no name)"


def _text(lines: Sequence[str]) -> str:
    """Lines of ours, each with whatever a stranger wrote into it spelled out; what is too much is counted."""
    rest = len(lines) - _MAX_LINES
    return "\n".join([visible(line, _LINE) for line in lines[:_MAX_LINES]] + ([f"… and {rest} more"] if rest > 0 else []))


def _seconds(seconds: float) -> str:
    """Plain decimals, not negative (junit-10.xsd, SUREFIRE_TIME), also where a recording that was tampered with says so."""
    return f"{max(0.0, seconds):.3f}"


def _without_zone(timestamp: str) -> str | None:
    """An ISO 8601 time in UTC to the second, without its zone (JUnit.xsd, ISO8601_DATETIME_PATTERN). None: it is no time."""
    try:
        moment = datetime.fromisoformat(timestamp)
        return (moment.astimezone(UTC) if moment.tzinfo else moment).replace(tzinfo=None).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        return None
