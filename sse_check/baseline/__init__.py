"""A run against an earlier one: what got worse, with the noise of both taken into account. Pure: no I/O, no clock."""

from sse_check.baseline.change import Change, Comparison
from sse_check.baseline.comparison import FALSE_ALARM, compare
from sse_check.baseline.regression import CODE, regressions
from sse_check.baseline.run import BaselineError, Run, beyond, read_run

__all__ = ["CODE", "FALSE_ALARM", "BaselineError", "Change", "Comparison", "Run", "beyond", "compare", "read_run", "regressions"]
