"""How exact the times of a report are, in a sentence that stands beside them."""

from typing import Final

from sse_check.report.result import ReportEnvironment
from sse_check.units import format_duration

_CLOCKS: Final = {"kernel": "by the kernel", "user": "by sse-check as it read them"}


def exactness(environment: ReportEnvironment) -> str:
    """By how much events may have arrived before the times that are shown; where that is not known, how late the machine was."""
    error = environment.measurement_error
    if error is None:
        return (
            f"The measuring machine itself was late by up to {format_duration(environment.loop_lag_p99)} (99 of 100 samples of its event "
            f"loop's lag), and once by {format_duration(environment.loop_lag_max)}: no time here is known better."
        )
    return (
        f"Times of 99 of 100 events are right to {format_duration(error.p99)}, those of all to {format_duration(error.max)}; "
        f"they were stamped {_CLOCKS.get(environment.clock, 'partly by the kernel, partly by sse-check')}."
    )
