"""All that a report is rendered from: the result, and the pictures of its streams."""

from dataclasses import dataclass

from sse_check.recording import Recording
from sse_check.report.picture import StreamPicture, pictures
from sse_check.report.result import Result, build_result
from sse_check.verdict import judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run. `pictures` are its streams, the worst first; `before` are those of a run that it is compared with, if they are known."""

    result: Result
    pictures: tuple[StreamPicture, ...]
    before: tuple[StreamPicture, ...] = ()


def build_report(recording: Recording) -> Report:
    """The recording judged, and everything that the reports show of it."""
    outcome = judge(recording)
    return Report(result=build_result(recording, outcome), pictures=pictures(outcome, recording.scenario.criteria))
