"""The reports: each renders the same frozen `Report`, none of them judges."""

from sse_check.report.html import report_html
from sse_check.report.junit import junit_xml
from sse_check.report.markdown import SUMMARY_LIMIT, summary_markdown
from sse_check.report.openmetrics import openmetrics
from sse_check.report.picture import StreamPicture, pictures
from sse_check.report.report import Report, build_report
from sse_check.report.result import Result, build_result, report_json, report_schema
from sse_check.report.terminal import terminal_text

__all__ = [
    "SUMMARY_LIMIT",
    "Report",
    "Result",
    "StreamPicture",
    "build_report",
    "build_result",
    "junit_xml",
    "openmetrics",
    "pictures",
    "report_html",
    "report_json",
    "report_schema",
    "summary_markdown",
    "terminal_text",
]
