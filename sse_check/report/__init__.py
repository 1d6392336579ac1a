"""The reports: each renders the same frozen `Result`, none of them judges."""

from sse_check.report.junit import junit_xml
from sse_check.report.markdown import SUMMARY_LIMIT, summary_markdown
from sse_check.report.result import Result, build_result, report_json
from sse_check.report.terminal import terminal_text

__all__ = ["SUMMARY_LIMIT", "Result", "build_result", "junit_xml", "report_json", "summary_markdown", "terminal_text"]
