"""report.html: one page with the verdict, the cause, what to change, and the charts; it needs nothing but itself.

Text from strangers passes two gates: `visible` for whatever a template writes, and Jinja's escaping. Should something pass
them all the same, the page's own policy lets no script and no style run but the ones that are named by their hash (Content
Security Policy Level 3, section 2.3.1), and lets nothing be fetched.
"""

import base64
import hashlib
import math
import re
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from sse_check.diagnosis import limit_in_words
from sse_check.diagnosis.finding import ready_to_copy
from sse_check.escape import visible
from sse_check.report.exactness import exactness
from sse_check.report.names import FACTORS, stream_name
from sse_check.report.page_data import CHART_BYTES, STEP_NAMES, ChartData, chart_data, sentence
from sse_check.report.page_rows import BAR_WIDTH, connection_rows, finding_rows, stream_rows
from sse_check.report.report import Report
from sse_check.report.result import ENDINGS, Result, StreamResult, ended_early, leading
from sse_check.units import format_duration, format_measured, format_within

PAGE_BYTES: Final = 5_000_000  # what a phone still opens at once, and a mail still carries
# Rows of each table and bytes of chart data: less each time, until the page fits.
_ROOMS: Final = ((200, CHART_BYTES), (40, CHART_BYTES), (8, CHART_BYTES), (8, CHART_BYTES // 8), (4, 0))
_CONNECTIONS: Final = 30
_TEXT_CHARS: Final = 400  # of one value
_PROSE_CHARS: Final = 3_000  # of one of our sentences, with the values in it
_LOG_LINES: Final = 200
_SPAN: Final = re.compile(r"(`[^`]*`)")
_ASSETS: Final = resources.files("sse_check.report") / "assets"


def report_html(report: Report) -> bytes:
    """The report as one HTML page of less than 5 MB: as many charts as have room, and fewer rows of the tables until it fits."""
    uplot = f"/*!\nuPlot 1.6.32, https://github.com/leeoniya/uPlot\n{_asset('uplot/LICENSE')}\n*/\n{_asset('uplot/uPlot.iife.min.js')}"
    style = f"{_asset('uplot/uPlot.min.css')}\n{_asset('report.css')}"
    scripts = (uplot, _asset("copy.js"), _asset("data.js"), _asset("report.js"))
    template = _jinja().get_template("report.html.j2")
    page = b""
    for rows, room in _ROOMS:
        charts = chart_data(report, room)
        page = template.render(
            policy=_policy(style, scripts),
            style=Markup(style),
            scripts=[Markup(script) for script in scripts],
            data=Markup(charts.json),  # escaped for a script element by page_data
            charts=charts,
            **_values(report, charts, rows),
        ).encode()
        if len(page) < PAGE_BYTES:
            break
    return page


def _values(report: Report, charts: ChartData, rows: int) -> dict[str, Any]:
    """What the templates write, with this many rows of each table."""
    result = report.result
    numbers = {id(picture): number for number, picture in enumerate(charts.streams)}
    worst = sorted(result.test_results, key=lambda s: (s.passed, s.success_rate))
    lead, findings = leading(result), finding_rows(result, charts.streams, rows)
    # The charts begin with the stream that shows the cause, else with the worst.
    first = next((row.number for row in findings if lead and row.first.code == lead.first.code and row.number is not None), 0)
    connections = [picture for picture in report.pictures if picture.steps]
    return {
        "result": result,
        "exactness": exactness(result.environment),
        "rows": rows,
        "first": first,
        "says": sentence(charts.streams[first]) if charts.streams else "",
        "reasons": _reasons(result),
        "lead": lead,
        "early": ended_early(result),
        "findings": findings,
        "criteria": sorted(result.criteria, key=lambda c: (c.passed is not False, c.passed is not None)),
        "streams": stream_rows(worst[:rows], charts.streams),
        "follow_ups": stream_rows(result.follow_ups[:rows], charts.streams),
        "connections": connection_rows(connections[: min(rows, _CONNECTIONS)], numbers),
        "connections_of": len(connections),
        "bar_width": BAR_WIDTH,
        "step_names": STEP_NAMES,
        "tokens": any(stream.tokens for stream in worst),
        "delays": any(stream.delay_p99 is not None for stream in worst),
        "endings": ENDINGS,
        "factors": FACTORS,
    }


def _reasons(result: Result) -> tuple[str, ...]:
    """What the answer rests on, each reason once: the fault that the answer begins with has other figures in every probe that has it."""
    lead = leading(result)
    known = {f.message for f in result.findings if lead is not None and f.code == lead.first.code}
    return tuple(r for n, r in enumerate(dict.fromkeys(result.reasons)) if n == 0 or r not in known)


@cache
def _jinja() -> Environment:
    jinja = Environment(
        loader=PackageLoader("sse_check.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    jinja.filters.update(
        prose=_prose,
        lines=_lines,
        duration=_duration,
        within=_within,
        measured=_measured,
        limit=limit_in_words,
        figure=_figure,
        name=_name,
        moment=_moment,
    )
    jinja.filters.update(ready_to_copy=ready_to_copy)
    return jinja


def _asset(name: str) -> str:
    return _ASSETS.joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, scripts: tuple[str, ...]) -> str:
    """The page's Content-Security-Policy: nothing but these very texts."""
    hashes = " ".join(map(_hash, scripts))
    return f"default-src 'none'; script-src {hashes}; style-src {_hash(style)}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _shown(value: Any) -> Any:
    """Whatever a template writes: text that no filter has made markup of shows all of its characters, and its length is bounded."""
    return visible(value, _TEXT_CHARS) if isinstance(value, str) and not isinstance(value, Markup) else value


def _prose(text: str) -> Markup:
    """One of our sentences: the values in it that stand between backticks become code."""
    parts = _SPAN.split(visible(text, _PROSE_CHARS))
    return Markup("").join(Markup("<code>{}</code>").format(part[1:-1]) if _SPAN.fullmatch(part) else escape(part) for part in parts)


def _lines(text: str) -> Markup:
    """The last lines of a text, each by itself; what is to be copied, or a log."""
    return escape("\n".join(visible(line, 500) for line in text.splitlines()[-_LOG_LINES:]))


def _duration(seconds: float | None) -> str:
    return "–" if seconds is None or not math.isfinite(seconds) else format_duration(seconds)


def _within(seconds: float | None, error: float | None) -> str:
    return "–" if seconds is None or not math.isfinite(seconds) else format_within(seconds, error)


def _measured(seconds: float | None, error: float | None) -> str:
    return "–" if seconds is None or not math.isfinite(seconds) else format_measured(seconds, error)


def _figure(value: float | int | str, key: str) -> str:
    """A figure of the evidence: counts are whole numbers, and what is none is seconds, unless its key says otherwise."""
    if isinstance(value, str):
        return value
    if "rate" in key:
        return f"{value:g} %"
    if isinstance(value, int) or "bytes" in key or "streams" in key:
        return f"{value:,.0f}"
    return _duration(value)


def _name(stream: StreamResult) -> str:
    return stream_name(visible(stream.probe, 80), stream.stream, stream.phase, stream.factor)


def _moment(text: str) -> str:
    """A time stamp as people write it, in UTC; what is none stays as it is."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    at = at.astimezone(UTC) if at.tzinfo else at
    return f"{at.day} {at:%B %Y, %H:%M} UTC"
