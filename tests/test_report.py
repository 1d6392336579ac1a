"""The reports: complete, in agreement with each other, and harmless whatever a server wrote."""

import io
import re
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given, settings

from sse_check import github
from sse_check.recording import FallbackRecording, Head, Recording, Redirect, ServiceRecording, StreamRecording
from sse_check.report import Result, build_report, junit_xml, report_json, summary_markdown, terminal_text
from sse_check.report.strip import strip
from sse_check.scenario import Target
from sse_check.verdict import judge
from tests.support.drawn import recordings
from tests.support.runner import commands_in
from tests.support.streams import answer, every, probe, recording, scenario, stream

SECONDS_20 = every(1.0, 20)
GITHUB_LIMIT = 1_048_576  # bytes of a step summary; beyond it GitHub drops all of it


def result_of(value: Recording) -> Result:
    return build_report(value).result


def summary_of(value: Recording) -> str:
    return summary_markdown(build_report(value))


GOOD = recording(
    stream(SECONDS_20, probe="one"),
    *(stream(SECONDS_20, probe="three at once", number=n, phase="concurrency") for n in (1, 2, 3)),
    scenario=scenario(probe("one"), probe("three at once", streams=3)),
)
BAD = recording(
    stream(SECONDS_20, probe="one", redirects=[Redirect(status=307, location="https://app.example.test/x", at_ns=5)]),
    stream(SECONDS_20, probe="three at once", phase="concurrency"),
    stream(every(1, 4), probe="three at once", number=2, phase="concurrency", ended="reset", error="the connection was reset"),
    stream(head=answer(429, reason="Too Many Requests"), probe="three at once", number=3, phase="concurrency"),
    scenario=scenario(probe("one"), probe("three at once", streams=3)),
    fallbacks=[FallbackRecording(kind="batch", url="https://app.example.test/batch", worked=True, seconds=0.2, detail="status 200")],
)
CHAT = recording(
    stream([0.1, 0.5, 0.6, 0.7], tokens=[0, 3, 4, 4], probe="chat"),
    stream(every(1.0, 4), probe="other"),
    scenario=scenario(probe("chat"), probe("other")),
)
OPEN = recording(stream([], comments=[0.1], ended="timeout", end=9.0))
EMPTY = recording()


# --- report.json ------------------------------------------------------------------------------------------------------

NUMBER = (int, float)
CONTRACT: dict[str, Any] = {
    "schema_version": int,
    "test_timestamp": str,
    "target_url": str,
    "verdict": str,
    "exit_criteria_met": bool,
    "streaming_enabled": bool,
    "overall_success_rate": float,
    "recommendation": str,
    "test_results": list,
    "findings": list,
    "summary": dict,
    "environment": dict,
}
CONTRACT_STREAM: dict[str, Any] = {
    "probe": str,
    "stream": int,
    "passed": bool,
    "status": int,
    "total_events": int,
    "expected_events": int,
    "on_time_events": int,
    "success_rate": float,
    "connection_time": float,
    "first_event_time": float,
    "last_event_time": float,
    "ended": str,
    "protocol": str,
    "codes": list,
    "error": (str, type(None)),
}
CONTRACT_SUMMARY: dict[str, Any] = {
    "connection_time": float,
    "avg_first_event_time": float,
    "concurrent_success": str,
    "proxy_buffering": bool,
}
CONTRACT_ENVIRONMENT: dict[str, Any] = {"version": str, "loop_lag_p99": float}
CONTRACT_FINDING: dict[str, Any] = {
    "code": str,
    "severity": str,
    "confidence": str,
    "probe": str,
    "streams": list,
    "evidence": dict,
    "message": str,
    "fixes": list,
}
CONTRACT_FIX: dict[str, Any] = {"where": str, "text": str, "source": str}


def parsed(value: Recording) -> Any:
    return msgspec.json.decode(report_json(result_of(value)))


def wrong_in(promised: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The promised keys that are missing or of another type; a bool is no number."""
    return {
        key: given.get(key, "missing")
        for key, kind in promised.items()
        if key not in given or not isinstance(given[key], kind) or (isinstance(given[key], bool) and kind is not bool)
    }


@pytest.mark.parametrize("value", [GOOD, BAD])
def test_the_report_has_every_key_of_the_contract(value: Recording):
    """
    Other programs read report.json: each key is there under its name and of its type.
    """
    report = parsed(value)

    assert wrong_in(CONTRACT, report) == {}
    assert wrong_in(CONTRACT_SUMMARY, report["summary"]) == {}
    assert wrong_in(CONTRACT_ENVIRONMENT, report["environment"]) == {}
    assert wrong_in(CONTRACT_STREAM, report["test_results"][0]) == {}
    assert [wrong_in(CONTRACT_FINDING, finding) for finding in report["findings"]] == [{}] * len(report["findings"])
    assert [wrong_in(CONTRACT_FIX, fix) for finding in report["findings"] for fix in finding["fixes"] if wrong_in(CONTRACT_FIX, fix)] == []


def test_the_report_of_a_good_run():
    """
    The figures of the contract's example, from a run like it.
    """
    report = parsed(GOOD)
    top = {key: report[key] for key in CONTRACT if not isinstance(report[key], dict | list)}
    first = {key: report["test_results"][0][key] for key in CONTRACT_STREAM}

    assert top == {
        "schema_version": 1,
        "test_timestamp": "2026-01-15T10:30:00Z",
        "target_url": "https://app.example.test",
        "verdict": "viable",
        "exit_criteria_met": True,
        "streaming_enabled": True,
        "overall_success_rate": 100.0,
        "recommendation": "PROCEED with SSE",
    }
    assert first == {
        "probe": "one",
        "stream": 1,
        "passed": True,
        "status": 200,
        "total_events": 20,
        "expected_events": 20,
        "on_time_events": 20,
        "success_rate": 100.0,
        "connection_time": 0.05,
        "first_event_time": 0.1,
        "last_event_time": 19.1,
        "ended": "eof",
        "protocol": "http/1.1",
        "codes": [],
        "error": None,
    }
    assert report["summary"] == {
        "connection_time": 0.05,
        "avg_first_event_time": 0.1,
        "concurrent_success": "3/3",
        "proxy_buffering": False,
    }
    assert {key: report["environment"][key] for key in CONTRACT_ENVIRONMENT} == {"version": "1.0.0", "loop_lag_p99": 0.0004}


def test_the_report_of_a_bad_run():
    """
    What is wrong stands at the stream that has it, in the findings, and in the summary.
    """
    report = parsed(BAD)

    assert (report["verdict"], report["streaming_enabled"], report["exit_criteria_met"]) == ("not-viable", False, False)
    assert [(r["stream"], r["passed"], r["status"], r["codes"], r["error"]) for r in report["test_results"]] == [
        (1, True, 200, ["redirected"], None),
        (1, True, 200, [], None),
        (2, False, 200, ["truncated"], "the connection was reset"),
        (3, False, 429, ["concurrency-limited"], None),
    ]
    assert [(f["code"], f["severity"]) for f in report["findings"]] == [
        ("concurrency-limited", "error"),
        ("truncated", "error"),
        ("redirected", "warning"),
    ]
    assert report["summary"]["concurrent_success"] == "1/3"
    assert report["recommendation"] == "PUNT to batch API"


def test_what_did_not_happen_is_null():
    """
    A stream that was never opened has no status, no times and no protocol; it has an error.
    """
    (result,) = parsed(recording(stream(head=None, ended="error", reason="dns", error="no such host")))["test_results"]

    assert {key: result[key] for key in CONTRACT_STREAM if result[key] is None} == dict.fromkeys(
        ("status", "connection_time", "first_event_time", "last_event_time", "protocol")
    )
    assert (result["error"], result["passed"]) == ("no such host", False)


@pytest.mark.parametrize(
    ("observed", "buffering"),
    [(stream([19.2] * 20, sent=SECONDS_20), True), (stream(SECONDS_20, ended="reset"), False), (stream([5.0], head_at=0.1), False)],
)
def test_proxy_buffering_is_said_of_buffering_only(observed: StreamRecording, buffering: bool):
    """
    `proxy_buffering` is true where something held events back, not where anything else is wrong.
    """
    assert parsed(recording(observed))["summary"]["proxy_buffering"] is buffering


# --- junit.xml --------------------------------------------------------------------------------------------------------


def cases(value: Recording) -> list[tuple[str, str, str]]:
    """Each test case of junit.xml: its probe, its name and its outcome."""
    root = ElementTree.fromstring(junit_xml(result_of(value)))
    outcome = {(): "passed", ("failure",): "failure", ("skipped",): "skipped"}
    return [(c.get("classname", ""), c.get("name", ""), outcome[tuple(child.tag for child in c)]) for c in root.iter("testcase")]


def test_each_cure_is_a_line_of_its_own_and_each_table_stands_apart():
    """
    What to change is a list with one change a line, and a blank line stands before every table and heading, or GitHub shows neither.
    """
    lines = summary_of(BAD).split("\n")
    fixes = [line for line in lines if line.startswith("- **")]
    starts = [number for number, line in enumerate(lines) if line.startswith(("#", "| ---"))]

    assert all(line.count("- **") == 1 and line.endswith(")") for line in fixes)
    assert len(fixes) > 1
    assert [lines[n - (2 if lines[n].startswith("|") else 1)] for n in starts if n] == [""] * len([n for n in starts if n])


def test_junit_has_a_case_for_each_probe_and_criterion():
    """
    The verdict comes first; a failed criterion is a failure, a fault is one of its own, and the rest passes.
    """
    assert cases(BAD) == [
        ("sse-check", "verdict", "failure"),
        ("one", "success_rate", "passed"),
        ("one", "first_event", "passed"),
        ("one", "no streaming fault", "passed"),
        ("three at once", "success_rate", "passed"),
        ("three at once", "first_event", "failure"),
        ("three at once", "streams", "failure"),
        ("three at once", "no streaming fault", "failure"),
    ]


def test_what_was_not_decided_is_skipped_in_junit():
    """
    A criterion that nothing could be judged by did not pass.
    """
    assert cases(OPEN)[1:3] == [("wallet", "success_rate", "skipped"), ("wallet", "first_event", "skipped")]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(msgspec.structs.replace(GOOD, interrupted="SIGTERM"), id="interrupted"),
        pytest.param(recording(stream(SECONDS_20), loop_lag_p99=0.5), id="a noisy machine"),
        pytest.param(
            recording(stream(SECONDS_20, probe="a"), scenario=scenario(probe("a"), probe("b"))), id="a probe that was not observed"
        ),
        pytest.param(EMPTY, id="nothing"),
        pytest.param(OPEN, id="nothing was due"),
    ],
)
def test_an_inconclusive_run_is_not_green_in_junit(value: Recording):
    """
    Whoever reads only junit.xml must not take "not known" for "passed": something in it is skipped or failed.
    """
    assert judge(value).verdict == "inconclusive"
    assert {outcome for _, _, outcome in cases(value)} - {"passed"}


@pytest.mark.parametrize("value", [GOOD, BAD, OPEN])
def test_a_fault_makes_junit_red_and_nothing_else_does(value: Recording):
    """
    junit.xml has a failure exactly where the verdict is not viable.
    """
    assert any(outcome == "failure" for _, _, outcome in cases(value)) == (judge(value).verdict == "not-viable")


@given(recordings())
@settings(max_examples=30)
def test_the_counts_of_junit_agree_with_its_cases(value: Recording):
    """
    Each suite counts its own cases.
    """
    root = ElementTree.fromstring(junit_xml(result_of(value)))

    def counted(element: ElementTree.Element) -> dict[str, str]:
        found = list(element.iter("testcase"))
        return {
            "tests": str(len(found)),
            "failures": str(sum(c.find("failure") is not None for c in found)),
            "skipped": str(sum(c.find("skipped") is not None for c in found)),
            "errors": "0",
        }

    for element in root.iter("testsuite"):
        assert {key: element.get(key) for key in ("tests", "failures", "skipped", "errors")} == counted(element)


# --- summary.md and the terminal --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "heading", "sign"),
    [
        (GOOD, "### ✅ SSE streams through this deployment", "✔ viable: PROCEED with SSE"),
        (BAD, "### ❌ SSE does not stream through this deployment", "✘ not-viable: PUNT to batch API"),
        (OPEN, "### ❔ Whether SSE streams through this deployment is not known", "? inconclusive: MEASURE AGAIN"),
    ],
)
def test_the_first_line_is_the_verdict(value: Recording, heading: str, sign: str):
    """
    Who reads one line has read the answer; the next ones give the cause, and what to do meanwhile.
    """
    run = build_report(value)
    result = run.result
    summary = summary_markdown(run).split("\n")

    assert (summary[0], terminal_text(result).split("\n")[0]) == (heading, sign)
    assert summary[4].startswith("> ")
    assert any(f"**{result.recommendation}**" in line for line in summary[2:20])


def test_the_summary_names_cause_and_cure_before_anything_is_folded():
    """
    What is wrong and what to change, ready to copy, stand above the first fold; what else would cure it is folded.
    """
    above, _, folded = summary_of(recording(stream([19.2] * 20, sent=SECONDS_20))).partition("<details>")

    assert "held the whole response back" in above
    assert "```text\nX-Accel-Buffering: no\n```" in above
    assert "proxy_buffering off" in folded


@pytest.mark.parametrize("value", [BAD, CHAT], ids=["bad", "chat"])
def test_every_table_of_the_summary_has_as_many_cells_in_each_row(value: Recording):
    """
    A row with a cell too many or too few is no row of that table.
    """
    widths: set[int] = set()
    for line in summary_of(value).split("\n"):
        widths = {*widths, bars(line)} if line.startswith("|") else set()
        assert len(widths) <= 1


def test_the_figures_of_tokens_are_in_every_report():
    """
    The first token and the gaps between tokens, beside a stream that has none; where no stream has any, nothing is said of them.
    """
    chat, other = parsed(CHAT)["test_results"]
    assert (chat["tokens"], chat["first_token_time"], chat["token_gap_median"], chat["token_gap_p99"]) == (3, 0.5, 0.1, 0.1)
    assert (other["tokens"], other["first_token_time"], other["token_gap_median"], other["token_gap_p99"]) == (0, None, None, None)
    summary = summary_of(CHAT)
    assert "| First token |" in summary
    assert "| 500ms | 100ms | 100ms |" in summary
    assert "3 tokens from 500ms on, then 100ms apart (median)" in terminal_text(result_of(CHAT))
    assert "token" not in summary_of(GOOD)
    assert "token" not in terminal_text(result_of(GOOD))


def bars(line: str) -> int:
    """How many unescaped bars a line has: the borders of a table's cells."""
    return len(re.findall(r"(?<!\\)\|", line))


LONG = "<script>`|](http://x.test)@everyone\n" * 600


def test_the_summary_of_a_huge_hostile_run_fits():
    """
    A thousand probes with three findings each and long texts: GitHub would drop more than a mebibyte whole, so it stays below.
    """
    names = [f"{number} {LONG}" for number in range(1000)]
    value = recording(
        *(
            stream(
                every(1, 9, first=3.0),
                head_at=0.05,
                head=answer(reason=LONG),
                ended="reset",
                ids=["1", "2", "3", "4", "5", "6", "7", "9", "10"],
                redirects=[Redirect(status=307, location=LONG, at_ns=5)],
                error=LONG,
                probe=name,
            )
            for name in names
        ),
        scenario=scenario(*map(probe, names)),
    )
    run = build_report(value)
    result = run.result
    summary = summary_markdown(run)

    assert len(result.findings) >= 3000
    assert summary.startswith("### ❌ SSE does not stream")
    assert len(summary.encode()) < GITHUB_LIMIT
    assert summary.count("<details>") == summary.count("</details>") > 2
    assert len(terminal_text(result).encode()) < GITHUB_LIMIT


@pytest.mark.parametrize("limit", [1_000, 3_000, 20_000, 100_000])
def test_a_summary_that_is_too_long_loses_whole_sections(limit: int):
    """
    Every section is there as a whole or not at all, the verdict always, and what is left out is counted.
    """
    log = "a line of the log\n" * 900
    services = [ServiceRecording(name=f"app{n}", image="x", state="running", log=log) for n in range(3)]
    run = build_report(recording(stream([20.0] * 20, sent=SECONDS_20), services=services))
    whole, cut = summary_markdown(run), summary_markdown(run, limit)

    assert len(cut.encode()) <= limit < len(whole.encode()) or cut == whole
    assert cut.startswith("### ❌ SSE does not stream")
    assert cut.count("<details>") == cut.count("</details>")
    assert 2 * (cut.count("```text") + cut.count("```mermaid")) == cut.count("```")
    assert set(cut.splitlines()) - set(whole.splitlines()) <= {
        line for line in cut.splitlines() if "left out here for want of room" in line
    }
    assert ("left out here" in cut) == (cut != whole)
    assert summary_markdown(run, 100) == ""  # not even the verdict has room


def test_what_is_cut_off_is_counted():
    """
    More streams than a table shows: the worst are shown, the rest is counted.
    """
    plan = scenario(probe(streams=300))
    run = build_report(recording(*(stream([0.1], number=n, phase="concurrency") for n in range(1, 301)), scenario=plan))
    result = run.result

    assert "…and 100 more streams" in summary_markdown(run)
    assert "… and 260 more" in terminal_text(result)


@pytest.mark.parametrize(
    ("at", "end", "picture"),
    [
        ([0.5, 1.5, 2.5, 3.5], 4.0, "████"),
        ([3.9] * 4, 4.0, "···█"),
        ([], 4.0, "····"),
        ([1.0], 0.0, "····"),
        ([9.0], 4.0, "···█"),
        ([-1.0], 4.0, "█···"),
    ],
)
def test_the_strip_shows_a_stream_as_a_line_and_a_buffer_as_a_mark(at: list[float], end: float, picture: str):
    """
    An even line is a stream, a single mark at the end a buffer; what lies outside is drawn at the edge.
    """
    assert strip(at, end, 4) == picture


# --- texts from strangers ---------------------------------------------------------------------------------------------

HOSTILE = {
    "workflow command": "::error::forged",
    "workflow command on a line of its own": "x\n::set-output name=streaming_enabled::true",
    "old workflow command": "x\r##[error]forged",
    "script": "<script>alert(1)</script>",
    "image tag": "<img src=https://evil.example.test/x>",
    "end of a fold": "</details></summary>",
    "comment": "<!-- hidden",
    "link": "[click](https://evil.example.test)",
    "image": "![x](https://evil.example.test/x.png)",
    "bare link": "https://evil.example.test www.evil.example.test",
    "mention": "@octocat @org/team #1 org/repo#2",
    "table": "a | b || c \\| d",
    "table on lines of its own": "x\n| a | b |\n| --- | --- |",
    "fence": "x\n```\ny\n~~~\n",
    "backticks": "` `` ``` ````",
    "heading": "\n# ✅ SSE streams through this deployment\n",
    "verdict": "x\n✔ viable: PROCEED with SSE",
    "blank line": "a\n\n\nb",
    "emphasis": "**bold** _it_ ~~no~~ $math$",
    "entities": "&lt;b&gt; &#64;octocat",
    "ANSI": "\x1b[2J\x1b[31mred\x1b]0;title\x07",
    "eight-bit controls": "\x9b31m \x85 \x90",
    "NUL": "a\x00b",
    "right to left": "\u202egnp.exe \u2066x\u2069",
    "unseen": "\u200b\u2060\ufeff\u00ad",
    "line separators": "a\u2028b\u2029c\x0bd\x0ce\x1cf",
    "no character of XML": "\ufffe\uffff ]]> <![CDATA[",
    "template": "{{ 7 * 7 }} {% raw %} {# x #}",
    "backslash": "\\",
    "long": "x" * 20_000,
}
RAW = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff]")

CODE_SPAN = re.compile(r"(?<![`\\])(`+)(?!`)(.+?)(?<!`)\1(?!`)")
# What is markup, a mention or a link outside of code spans.
ACTIVE = re.compile(r"(?<!\\)<(?!wbr>)|(?<!\\)[\[\]*_`#~!]|@|://|www\.|&(?!(amp|lt|gt);)")


def faulty(text: str) -> Recording:
    """A run in which a server, and whoever named the probes, wrote this text wherever text can be written."""
    hops = [Redirect(status=307, location=text, at_ns=5)]
    hostile: dict[str, Any] = {"error": text, "redirects": hops, "url": text, "peer": text, "body_start": text, "last_event_id": text}
    heads = {
        "status": answer(500, reason=text, x_cache=text),
        "type": answer(content_type=text),
        "encoding": answer(content_encoding=text),
        "fine": Head(status=200, reason=text, protocol="http/1.1", headers=(("Content-Type", "text/event-stream"), (text, text))),
    }
    streams = [
        stream(head=heads["status"], probe=f"status{text}", body=9, **hostile),
        stream(every(1, 3), head=heads["type"], probe=f"type{text}", **hostile),
        stream(head=heads["encoding"], probe=f"encoding{text}", ended="error", reason="decode", **hostile),
        stream(head=None, probe=f"refused{text}", ended="error", reason="dns", **hostile),
        stream(head=None, probe=f"policy{text}", ended="error", reason="policy", **hostile),
        stream(head=None, probe=f"protocol{text}", ended="error", reason="protocol", **hostile),
        stream(
            every(1, 9),
            probe=f"events{text}",
            head=heads["fine"],
            types=[text] * 9,
            ids=[text] * 9,
            fields={f"{text}.seq": [1, 2, 3, 4, 5, 6, 7, 9, 10]},
            **hostile,
        ),
        stream(every(1, 9), probe=f"terminal{text}", **hostile),
    ]
    terminal = {"event": text}
    probes = [probe(s.probe, until=terminal) if s.probe.startswith("terminal") else probe(s.probe) for s in streams]
    return recording(
        *streams,
        scenario=scenario(*probes, name=text, target=Target(url=text)),
        fallbacks=[FallbackRecording(kind="batch", url=text, worked=False, seconds=0.1, detail=text)],
        services=[ServiceRecording(name=text, image=text, in_front_of=text, state=f"exited {text}")],
    )


hostile_texts = pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in HOSTILE.items()])


PLAIN = result_of(faulty("plain"))


def skeleton(line: str) -> str:
    """A line of the summary without what stands in code spans, which Markdown takes as it is."""
    return CODE_SPAN.sub("`…`", line)


@hostile_texts
def test_hostile_texts_stay_in_their_place_in_the_summary(text: str):
    """
    Whatever a server writes, the summary has the same lines and cells, and outside of code spans nothing that it wrote.
    """
    summary = summary_of(faulty(text))
    lines, plain = summary.split("\n"), summary_of(faulty("plain")).split("\n")

    assert RAW.search(summary) is None
    assert [bars(line) for line in lines] == [bars(line) for line in plain]
    # Fallback details are our own sentences with a stranger's words in them: literal text, not code.
    told = [number for number, line in enumerate(plain) if line.startswith("| batch")]
    assert [skeleton(line) for n, line in enumerate(lines) if n not in told] == [
        skeleton(line) for n, line in enumerate(plain) if n not in told
    ]
    for number in told:
        assert ACTIVE.search(skeleton(lines[number]).replace("`…`", "")) is None


@hostile_texts
def test_a_services_log_stays_in_its_fence(text: str):
    """
    The lines of a log are in a code block that none of them ends; in a terminal and in a workflow's log each stays a line.
    """
    log = f"one\n{text}\nlast\n```\n</details>\n"
    service = ServiceRecording(name="app", image="built from .", error=f"The service app cannot be asked: {text}", log=log)
    run = build_report(recording(services=[service]))
    result = run.result
    summary = summary_markdown(run)
    fence = re.search(r"^(`{3,})text\n(.*?)\n\1\n\n</details>", summary, re.MULTILINE | re.DOTALL)

    assert result.verdict == "inconclusive"
    assert fence is not None
    assert not any(line.strip().startswith(fence[1]) for line in fence[2].split("\n"))
    assert fence[2].startswith("one\n")
    assert RAW.search(summary + terminal_text(result)) is None
    out = io.StringIO()
    github.show_logs(result, out)
    assert [name for name, _ in commands_in(out.getvalue())] == ["group", "endgroup"]
    assert "##[" not in terminal_text(result)


@hostile_texts
def test_hostile_texts_stay_in_their_place_on_the_terminal(text: str):
    """
    No escape sequence, no workflow command, and no line more than there would be without them.
    """
    shown = terminal_text(result_of(faulty(text)))

    assert RAW.search(shown) is None
    assert "::" not in shown
    assert "##[" not in shown
    assert len(shown.split("\n")) == len(terminal_text(PLAIN).split("\n"))
    assert [line for line in shown.split("\n") if line.startswith(("✔", "✘", "?"))] == shown.split("\n")[:1]


@hostile_texts
def test_hostile_texts_stay_in_their_place_in_junit(text: str):
    """
    The XML parses, and has the same elements as without them.
    """
    written = junit_xml(result_of(faulty(text)))

    assert [e.tag for e in ElementTree.fromstring(written).iter()] == [e.tag for e in ElementTree.fromstring(junit_xml(PLAIN)).iter()]
    assert RAW.search(written.decode()) is None


@hostile_texts
def test_hostile_texts_stay_in_their_place_in_the_report(text: str):
    """
    report.json parses, says the same of each stream, and holds a stranger's text as it is where it holds it whole.
    """
    report = msgspec.json.decode(report_json(result_of(faulty(text))))

    assert [r["codes"] for r in report["test_results"]] == [list(r.codes) for r in PLAIN.test_results]
    assert {r["error"] for r in report["test_results"]} == {text}
    assert RAW.search(report_json(result_of(faulty(text))).decode()) is None or not text.isascii()


# --- any run at all ---------------------------------------------------------------------------------------------------


@given(recordings())
@settings(max_examples=50)
def test_any_run_gives_a_verdict_and_every_report(value: Recording):
    """
    No recording, however odd, is without a verdict, a reason and its reports.
    """
    run = build_report(value)
    result = run.result
    summary, text = summary_markdown(run), terminal_text(result)
    report = msgspec.json.decode(report_json(result))
    ElementTree.fromstring(junit_xml(result))

    assert result.verdict in ("viable", "not-viable", "inconclusive")
    assert result.reasons[0]
    assert (report["verdict"], report["streaming_enabled"]) == (result.verdict, result.verdict == "viable")
    assert summary.startswith("### ")
    assert RAW.search(summary + text) is None
    assert all(0 <= r["success_rate"] <= 100 for r in report["test_results"])


@given(recordings())
def test_a_viable_run_has_no_failed_stream_criterion_or_error(value: Recording):
    """
    Yes is said only where every probe was observed, every criterion met and no error found.
    """
    outcome = judge(value)
    fine = (
        not value.interrupted,
        {c.probe for c in outcome.criteria} == {p.name for p in value.scenario.probes},
        all(c.passed for c in outcome.criteria),
        not any(f.severity == "error" or f.code == "runner-noise" for f in outcome.findings),
    )

    assert outcome.verdict != "viable" or fine == (True, True, True, True)
