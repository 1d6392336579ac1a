"""junit.xml: the verdict, then a suite for each probe: a case for each criterion, and one for the absence of streaming faults."""

from xml.etree import ElementTree

from sse_check.escape import visible
from sse_check.report.result import Result


def junit_xml(result: Result) -> bytes:
    """The result as JUnit XML. What could not be judged is skipped, never passed."""
    root = ElementTree.Element("testsuites", name=visible(result.name))
    # The verdict itself comes first: a run that was cut short, or measured on a noisy machine, has good probes all the same.
    verdict: dict[str, bool | None] = {"viable": True, "not-viable": False, "inconclusive": None}
    cases: dict[str, list[tuple[str, bool | None, str]]] = {
        "sse-check": [("verdict", verdict[result.verdict], " ".join(result.reasons[:3]))]
    }
    probes = dict.fromkeys([c.probe for c in result.criteria] + [f.probe for f in result.findings if f.probe])
    for probe in probes:
        errors = [f for f in result.findings if f.probe == probe and f.severity == "error"]
        text = "\n".join(f"{f.code}: {f.message}" for f in errors)
        judged = [(c.criterion, c.passed, c.detail) for c in result.criteria if c.probe == probe]
        cases[probe] = [*judged, ("no streaming fault", not errors, text)]
    totals = {"tests": 0, "failures": 0, "skipped": 0}
    for suite_name, listed in cases.items():
        suite = ElementTree.SubElement(root, "testsuite", name=visible(suite_name), timestamp=result.test_timestamp.removesuffix("Z"))
        counts = {"tests": 0, "failures": 0, "skipped": 0}
        seconds = max((s.end_time for s in result.test_results if s.probe == suite_name), default=0.0)
        for name, passed, detail in listed:
            _case(suite, counts, suite_name, name, passed, detail, seconds)
        suite.attrib.update({name: str(count) for name, count in counts.items()}, errors="0", time=f"{seconds:.3f}")
        totals = {name: totals[name] + count for name, count in counts.items()}
    root.attrib.update({name: str(count) for name, count in totals.items()}, errors="0")
    ElementTree.indent(root)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode").encode("utf-8")


def _case(
    suite: ElementTree.Element, counts: dict[str, int], probe: str, name: str, passed: bool | None, detail: str, seconds: float
) -> None:
    case = ElementTree.SubElement(suite, "testcase", name=name, classname=visible(probe), time=f"{seconds:.3f}")
    counts["tests"] += 1
    if passed is None:
        counts["skipped"] += 1
        ElementTree.SubElement(case, "skipped", message=visible(detail, 1000))
    elif not passed:
        counts["failures"] += 1
        failure = ElementTree.SubElement(case, "failure", message=visible(detail, 1000), type="sse-check")
        failure.text = "\n".join(visible(line, 1000) for line in detail.split("\n"))
