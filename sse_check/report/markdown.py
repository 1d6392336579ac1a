"""summary.md, the job summary: the verdict, the cause, what to change, a picture and the worst streams; everything else is folded.

It is made of sections, each whole Markdown by itself. Where all of them are too much, whole sections are left out.
"""

from functools import cache
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from sse_check.diagnosis import limit_in_words
from sse_check.diagnosis.cures import DOCS
from sse_check.diagnosis.finding import ready_to_copy
from sse_check.escape import code, element, fence, prose
from sse_check.report.exactness import exactness
from sse_check.report.mermaid import chart
from sse_check.report.names import FACTORS, stream_name
from sse_check.report.report import Report
from sse_check.report.result import ENDINGS, StreamResult, ended_early, grouped_findings, leading
from sse_check.report.strip import strip
from sse_check.units import format_duration, format_measured, format_within

# GitHub drops a step summary of more than 1,048,576 bytes whole (actions/runner, FileCommandManager.cs).
SUMMARY_LIMIT: Final = 900 * 1024
_ROWS: Final = (200, 50, 10)  # rows of each folded table, fewer each time until it fits
_SHOWN: Final = 8  # rows of what is not folded: a phone's screen
_STRIP_WIDTH: Final = 20  # of the strips in it
_SECTION: Final = "\f"  # stands between sections in the template; no value can hold it, as every filter spells controls out


@cache
def _jinja() -> Environment:
    # Markdown is not HTML: autoescaping would not make it safe, so every value passes a filter by hand instead.
    jinja = Environment(
        loader=PackageLoader("sse_check.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    jinja.filters.update(code=code, prose=prose, fence=fence, element=element, ready_to_copy=ready_to_copy)
    jinja.filters.update(
        duration=_duration, within=_within, measured=_measured, mark=_mark, limit=limit_in_words, source=_source, name=_name
    )
    return jinja


def summary_markdown(report: Report, limit: int = SUMMARY_LIMIT) -> str:
    """The report as GitHub-flavoured Markdown of at most `limit` bytes: fewer rows first, then fewer sections.

    The verdict, which is the first section, is never left out; where not even that has room, the text is empty.
    """
    template = _jinja().get_template("summary.md.j2")
    result = report.result
    changes = result.baseline.changes if result.baseline else ()
    strips = {(p.probe, p.stream, p.phase): strip(p.received, p.end, _STRIP_WIDTH) for p in report.pictures if p.factor is None}
    # The worst first: what is cut off at the end must be the good news.
    criteria = sorted(result.criteria, key=lambda c: (c.passed is not False, c.passed is not None))
    worst = sorted(result.test_results, key=lambda s: (s.passed, s.success_rate))
    picture = chart(report.pictures, result.findings)
    text = ""
    for rows in _ROWS:
        text = template.render(
            result=result,
            exactness=exactness(result.environment),
            rows=rows,
            shown=_SHOWN,
            strips=strips,
            criteria=criteria,
            worst=worst,
            tokens=any(stream.tokens for stream in worst),
            groups=grouped_findings(result),
            changes=[change for change in changes if change.confidence != "possible"],
            chances=[change for change in changes if change.confidence == "possible"],
            docs=DOCS,
            lead=leading(result),
            early=ended_early(result),
            chart=picture,
            endings=ENDINGS,
            factors=FACTORS,
            section=_SECTION,
        )
        if len(text.encode()) <= limit:
            break
    return _fitted(text.split(f"{_SECTION}\n"), limit)


def _fitted(sections: list[str], limit: int) -> str:
    """The sections in their order, without those that have no room; what is left out is counted."""
    if sum(len(section.encode()) for section in sections) <= limit:
        return "".join(sections)
    room = limit - len(_left_out(len(sections)).encode())
    kept = []
    for number, section in enumerate(sections):
        size = len(section.encode())
        if size <= room:
            kept.append(section)
            room -= size
        elif number == 0:
            return ""
    return "".join(kept) + _left_out(len(sections) - len(kept))


def _left_out(count: int) -> str:
    return f"\n{count} sections are left out here for want of room; `report.json` has all figures.\n"


def _duration(seconds: float | None) -> str:
    return "–" if seconds is None else format_duration(seconds)


def _within(seconds: float | None, error: float | None) -> str:
    return "–" if seconds is None else format_within(seconds, error)


def _measured(seconds: float | None, error: float | None) -> str:
    return "–" if seconds is None else format_measured(seconds, error)


def _source(source: str, text: str) -> str:
    """A source of ours: a link if it is one, else what it says (`measured with nginx 1.22`)."""
    return f"[{text}]({source})" if source.startswith("https://") else prose(source)


def _name(stream: StreamResult) -> str:
    return stream_name(stream.probe, stream.stream, stream.phase, stream.factor)


def _mark(passed: bool | None) -> str:
    return {True: "✅", False: "❌", None: "❔"}[passed]
