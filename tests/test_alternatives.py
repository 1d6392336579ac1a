"""How long a WebSocket must last, and what a recommendation does not rest on: values in, values out."""

from typing import Any

import msgspec
import pytest

from sse_check.alternatives import footing, silence_to_hold
from sse_check.diagnosis import Finding
from sse_check.recording import FallbackRecording
from sse_check.report import Report, build_result, report_json, summary_markdown, terminal_text
from sse_check.scenario import Fallback, WebSocketFallback
from tests.support.streams import answer, every, judged, recording, scenario, stream

NAMED = scenario(fallbacks=[Fallback(websocket=WebSocketFallback(path="/ws"))])


def cut(**evidence: Any) -> Finding:
    """A finding of a stream that was cut."""
    return Finding(
        code="idle-timeout",
        severity="error",
        confidence="certain",
        probe="p",
        streams=(1,),
        evidence=evidence,
        message="It was cut.",
        fixes=(),
    )


def tried(held: float | None = 5.0, *, worked: bool = True) -> FallbackRecording:
    return FallbackRecording(
        kind="websocket", url="wss://a.test/ws", worked=worked, seconds=5.1, detail="upgraded", answered=0.1, held=held
    )


@pytest.mark.parametrize(
    ("findings", "seconds"),
    [
        ([], 5.0),
        ([cut(silence=40.0)], 5.0),
        ([cut(idle_timeout=2.0)], 5.0),
        ([cut(idle_timeout=30.0)], 36.0),
        ([cut(idle_timeout=10.0), cut(max_duration=60.0)], 72.0),
        ([cut(idle_timeout=300.0)], 120.0),
    ],
)
def test_a_websocket_is_held_longer_than_what_cut_the_stream(findings, seconds):
    """
    5 s where nothing was cut, else 1.2 times the longest limit that was met, and never more than two minutes.
    """
    assert silence_to_hold(findings) == seconds


@pytest.mark.parametrize(
    ("verdict", "findings", "fallbacks", "named", "said"),
    [
        ("viable", [], [], scenario(), None),
        ("inconclusive", [], [], scenario(), None),
        (
            "not-viable",
            [],
            [],
            scenario(),
            "No fallback was tried (the scenario names none): whether one works through this deployment is not known.",
        ),
        (
            "not-viable",
            [],
            [],
            NAMED,
            "No fallback was tried (those that the scenario names were left out): whether one works through this deployment is not known.",
        ),
        ("not-viable", [], [tried()], NAMED, None),
        ("not-viable", [cut(idle_timeout=4.0)], [tried()], NAMED, None),
        ("not-viable", [cut(idle_timeout=300.0)], [tried(worked=False)], NAMED, None),
        (
            "not-viable",
            [cut(idle_timeout=300.0)],
            [tried(120.0)],
            NAMED,
            "The WebSocket was held open for 2m only, and the limit that cut the stream is 5m.",
        ),
        (
            "not-viable",
            [cut(idle_timeout=3.0)],
            [tried(None)],
            NAMED,
            "The WebSocket was not held open, and the limit that cut the stream is 3s.",
        ),
    ],
)
def test_what_a_recommendation_does_not_rest_on_is_said(verdict, findings, fallbacks, named, said):
    """
    An alternative that nobody tried, or that was not seen to outlast what cut the stream, is no proven one.
    """
    assert footing(verdict, findings, fallbacks, named) == said


def test_every_report_says_that_no_fallback_was_tried():
    """
    `PUNT to WebSocket` without a fallback in the scenario is advice, not a finding: all reports say so beside it.
    """
    observed = stream(every(1.0, 3), head=answer(500))
    result = build_result(recording(observed), judged(observed))
    said = "No fallback was tried (the scenario names none)"

    assert result.recommendation == "PUNT to WebSocket"
    assert msgspec.json.decode(report_json(result))["footing"].startswith(said)
    assert said in terminal_text(result)
    assert "No fallback was tried" in summary_markdown(Report(result=result, pictures=()))
