"""summary.md, the job summary: the verdict, the cause, what to change; everything else is folded."""

from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from sse_check.escape import code, prose
from sse_check.report.result import ENDINGS, FACTORS, Result, grouped_findings
from sse_check.units import format_duration

# GitHub drops a step summary of more than 1,048,576 bytes whole (actions/runner, FileCommandManager.cs).
SUMMARY_LIMIT: Final = 900 * 1024
_ROWS: Final = (200, 50, 10, 1)  # rows of each table, fewer each time until it fits


def summary_markdown(result: Result) -> str:
    """The result as GitHub-flavoured Markdown, under GitHub's limit whatever the run."""
    # Markdown is not HTML: autoescaping would not make it safe, so every value passes a filter by hand instead.
    jinja = Environment(
        loader=PackageLoader("sse_check.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    jinja.filters.update(code=code, prose=prose, duration=_duration, mark=_mark, limit=_limit, source=_source)
    template = jinja.get_template("summary.md.j2")
    # The worst first: what is cut off at the end must be the good news.
    criteria = sorted(result.criteria, key=lambda c: (c.passed is not False, c.passed is not None))
    worst = sorted(result.test_results, key=lambda s: (s.passed, s.success_rate))
    text = ""
    for rows in _ROWS:
        text = template.render(
            result=result, rows=rows, criteria=criteria, worst=worst, groups=grouped_findings(result), endings=ENDINGS, factors=FACTORS
        )
        if len(text.encode()) <= SUMMARY_LIMIT:
            break
    return text


def _duration(seconds: float | None) -> str:
    return "–" if seconds is None else format_duration(seconds)


def _limit(seconds: float | str | None) -> str:
    """A documented limit: none, unknown, or a time."""
    if seconds is None:
        return "none"
    return seconds if isinstance(seconds, str) else format_duration(seconds)


def _source(source: str, text: str) -> str:
    """A source of ours: a link if it is one, else what it says (`measured with nginx 1.22`)."""
    return f"[{text}]({source})" if source.startswith("https://") else prose(source)


def _mark(passed: bool | None) -> str:
    return {True: "✅", False: "❌", None: "❔"}[passed]
