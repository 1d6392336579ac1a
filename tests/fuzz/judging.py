"""Recordings, however odd: read or refused, kept as they are, judged, and shown in every report; and earlier reports."""

import io
import json
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final
from xml.etree import ElementTree

import jsonschema
from hypothesis import given, settings
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics_format

from sse_check import github
from sse_check.baseline import Run
from sse_check.baseline.run import BaselineError, read_run
from sse_check.merging import merge
from sse_check.recording import Recording, RecordingError, from_lines, to_lines
from sse_check.report import (
    SUMMARY_LIMIT,
    Report,
    build_report,
    junit_xml,
    openmetrics,
    report_html,
    report_json,
    summary_markdown,
    terminal_text,
)
from tests.fuzz.broken import hold
from tests.support.drawn import recordings
from tests.support.process import ROOT
from tests.support.streams import every, stream
from tests.support.streams import recording as invented

FILE: Final = "recording.ndjson"
# The library gives it no type.
_metrics_in: Callable[[str], Iterable[Metric]] = openmetrics_format.text_string_to_metric_families
_NOW: Final = invented(stream(every(1.0, 20)), stream(every(0.5, 9), number=2, ended="reset"))
_VERDICTS: Final = ("viable", "not-viable", "inconclusive")


def kept(value: Recording) -> Recording:
    """A recording written, and read again."""
    return from_lines(list(to_lines(value)), file=FILE)


def judged_and_reported(value: Recording, *, lightly: bool = False) -> Report:
    """The recording's verdict in every report, each of them whole. `lightly`: only what other programs read."""
    report = build_report(value)
    result = report.result
    hold(result.verdict in _VERDICTS, "there is a verdict")
    hold(result.streaming_enabled == (result.verdict == "viable"), "only a proven yes enables streaming")
    raw = report_json(result)
    outputs = github.outputs(result, "sse-check-report")
    hold(all("\n" not in text and "\r" not in text for text in outputs.values()), "every output is one line")
    if lightly:
        return report
    _schema().validate(json.loads(raw))
    try:
        before = read_run(raw, "report.json")
    except BaselineError as error:
        hold("Expected `float` >= 0.0" in str(error), f"only a report with times that run backwards is no baseline: {error}")
        compared = build_report(value, baseline=read_run(report_json(build_report(_NOW).result), "report.json"))
    else:
        compared = build_report(value, baseline=before)
        hold(not any(f.code == "regression" for f in compared.result.findings), "a run is no worse than itself")
    for one in (report, compared):
        _shown(one)
    return report


def _shown(report: Report) -> None:
    summary = summary_markdown(report)
    hold(len(summary.encode()) <= SUMMARY_LIMIT, "the summary has room on GitHub")
    hold(report_html(report).decode("utf-8").rstrip().endswith("</html>"), "the page is whole")
    ElementTree.fromstring(junit_xml(report.result))
    for family in _metrics_in(openmetrics(report.result).decode("utf-8")):
        hold(bool(family.name), "every metric has a name")
    terminal_text(report.result).encode("utf-8")
    log = io.StringIO()
    github.annotate_result(report.result, log)
    github.show_logs(report.result, log)
    github.debug_result(report.result, log)
    log.getvalue().encode("utf-8")


@cache
def _schema() -> Any:
    return jsonschema.Draft202012Validator(json.loads((ROOT / "docs/report.schema.json").read_text()))


def lines_of(data: bytes) -> list[bytes]:
    """The lines of a file, as reading it gives them."""
    return io.BytesIO(data).readlines()


def recording_file(data: bytes) -> None:
    """Any file is a recording, or refused by name and line. What is read comes back equal, and is judged and shown."""
    try:
        value = merge([from_lines(lines_of(data), file=FILE)])
    except RecordingError as error:
        text = str(error)
        hold(text.startswith(f"{FILE}:") or "shard" in text, f"a refusal says where: {text[:200]}")
        text.encode("utf-8")
        return
    hold(kept(value) == value, "a recording that was read can be written and read again")
    judged_and_reported(value)


@given(recordings(wild=True))
@settings(deadline=None, database=None)
def any_run(value: Recording) -> None:
    """Any run, of whatever times and counts, is kept, judged and shown."""
    hold(kept(value) == value, "a recording can be written and read")
    judged_and_reported(value)


def verdict(data: bytes) -> None:
    """A run as hypothesis draws it from these bytes."""
    any_run.hypothesis.fuzz_one_input(data)  # type: ignore[attr-defined]  # what `given` adds has no type


def baseline(data: bytes) -> None:
    """Any file is an earlier report, or refused; with whatever stands in it a run is compared and shown."""
    try:
        before: Run = read_run(data, "report.json")
    except BaselineError as error:
        hold("report.json" in str(error), "a refusal names the file")
        hold("\n" not in str(error), "a refusal is one line")
        return
    report = build_report(_NOW, baseline=before)
    _schema().validate(json.loads(report_json(report.result)))
    _shown(report)
