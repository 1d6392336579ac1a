"""All that a report is rendered from: the result, and the pictures of its streams."""

from dataclasses import dataclass

from sse_check.baseline import Run
from sse_check.recording import Recording
from sse_check.report.picture import StreamPicture, pictures
from sse_check.report.result import Result, against, as_run, build_result
from sse_check.verdict import judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run. `pictures` are its streams, the worst first; `before` are those of a run that it is compared with, if they are known."""

    result: Result
    pictures: tuple[StreamPicture, ...]
    before: tuple[StreamPicture, ...] = ()


def build_report(recording: Recording, *, baseline: Run | None = None, before: Recording | None = None) -> Report:
    """The recording judged, and everything that the reports show of it.

    It is compared with an earlier run: with its report, or with its recording, whose pictures are then known too.
    """
    outcome = judge(recording)
    result = build_result(recording, outcome)
    seen: tuple[StreamPicture, ...] = ()
    if before is not None:
        then = judge(before)
        baseline = as_run(build_result(before, then))
        seen = pictures(then, before.scenario.criteria)
    if baseline is not None:
        result = against(result, baseline)
    return Report(result=result, pictures=pictures(outcome, recording.scenario.criteria), before=seen)
